"""The benchmark runs: every scenario, with next to nothing to do, in this interpreter. What it measures is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
QUICK = ["receive", "send", "tool", "first_audio", "duplex", "capacity", "memory", "tls_receive"]


@pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="the benchmarks are not part of the source distribution")
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc")
def test_every_scenario_gives_its_figures(tmp_path: Path) -> None:
    found = tmp_path / "results.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--tiny",
        "--here",
        *(argument for name in QUICK for argument in ("--scenario", name)),
        "--contestant",
        "trio_codex lean",
        "--json",
        str(found),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tool call to output" in done.stdout
    results = json.loads(found.read_text(encoding="utf-8"))["results"]
    assert [result["scenario"] for result in results] == QUICK
    for result in results:
        assert all(isinstance(figure, float) for figure in result["figures"].values())
