"""The load benchmark runs whole, with next to nothing to do; its figures on a busy machine say nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_server_under_a_little_load() -> None:
    command = [sys.executable, "-m", "benchmarks.server_load", "--sessions", "2", "--seconds", "4"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, cwd=Path(__file__).parents[1], check=True
    )
    late, first = (re.search(rf"{name}.*\((\d+)\)", done.stdout) for name in ("late by", "first delta"))
    assert late is not None
    assert first is not None
    assert int(first[1]) > 0
    assert "errors 0" in done.stdout
