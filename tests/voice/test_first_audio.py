"""The benchmark of the first sound runs, beside openai-agents on one scripted server. How fast is its report's business."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="the benchmarks are not part of the source distribution")
def test_the_first_sound_does_not_wait_for_the_second_sentence() -> None:
    command = [sys.executable, "-m", "benchmarks.voice_first_audio", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ours, theirs = map(int, re.findall(r"(\d+) ms", done.stdout))
    assert 400 <= ours < theirs
