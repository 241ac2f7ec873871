"""The recogniser's engine in this process: what is beyond a test of a minute's audio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from trio_codex.speech import pocketsphinx
from trio_codex.speech.framing import Kind
from trio_codex.speech.worker import JobCancelled


class Listened:
    """Stands where a job does; gives its audio in pieces of 100 ms."""

    settings = {"partials": True}  # noqa: RUF012

    def __init__(self, pcm: bytes, cancel_at: int | None = None) -> None:
        self.pcm, self.cancel_at = pcm, cancel_at
        self.partials: list[str] = []

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, len(self.pcm), 4800):
            if self.cancel_at is not None and at >= self.cancel_at:
                raise JobCancelled
            yield self.pcm[at : at + 4800]

    def say(self, payload: bytes, kind: Kind) -> None:
        assert kind is Kind.PARTIAL
        self.partials.append(payload.decode())


def test_a_very_long_utterance_is_cut_and_keeps_its_words(
    recordings: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = pocketsphinx.Pocketsphinx()
    pause = bytes(48 * 300)
    monkeypatch.setattr(pocketsphinx, "_LONGEST", 32 * (len(recordings["goodbye"]) // 48 + 150))
    job = Listened(recordings["goodbye"] + pause + recordings["goodbye"])
    assert engine.run(job).count("goodbye") == 2
    assert any("goodbye" in partial for partial in job.partials)
    with pytest.raises(JobCancelled):
        engine.run(Listened(recordings["goodbye"], cancel_at=9600))
    assert engine.run(Listened(recordings["goodbye"])).endswith("goodbye")
