"""The demo's recordings, as 24 kHz PCM by the first word of their name."""

from __future__ import annotations

from pathlib import Path

import pytest

import trio_codex
from trio_codex.audio import read_wav


@pytest.fixture(scope="session")
def recordings() -> dict[str, bytes]:
    folder = Path(trio_codex.__file__).parent / "cli" / "recordings"
    return {path.stem.split("-")[1]: read_wav(path).pcm24k() for path in sorted(folder.glob("*.wav"))}
