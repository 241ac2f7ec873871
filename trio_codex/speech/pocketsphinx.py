"""The recogniser's engine, inside its worker: pocketsphinx with its general English model.

One decoder for the life of the process (loading takes half a second), brought back to its first state before every
utterance, so that the same audio always gives the same words: the front end's adaptation (mean, noise) is forgotten,
and one utterance of silence after loading takes away the difference between a fresh decoder and a used one.
"""

from __future__ import annotations

from typing import Any

from trio_codex.audio import Resampler, require
from trio_codex.speech.framing import Kind
from trio_codex.speech.worker import Job

_RATE = 16_000
_PARTIAL_EVERY = _RATE * 2 // 5  # bytes: 200 ms
_LONGEST = _RATE * 2 * 60  # the search keeps everything since its start: after a minute it starts anew


class Pocketsphinx:
    """Turns one utterance (pieces of 24 kHz audio) into text; says partial hypotheses if asked."""

    def __init__(self) -> None:
        self._decoder: Any = require("pocketsphinx", extra="local").Decoder(loglevel="FATAL")
        self._utterance = _Utterance(self._decoder)
        self._utterance.hear(bytes(_RATE))
        self._utterance.end()

    def run(self, job: Job) -> str:
        """Hear to the end and return the words."""
        resampler = Resampler(24_000, _RATE)
        self._decoder.reinit_feat()
        utterance = _Utterance(self._decoder)
        try:
            for piece in job.pieces():
                utterance.hear(resampler.feed(piece))
                if job.settings["partials"] and utterance.news():
                    job.say(utterance.text.encode(), Kind.PARTIAL)
            utterance.hear(resampler.feed(b"", last=True))
        finally:
            utterance.end()
        return utterance.text


class _Utterance:
    """One utterance in the decoder, cut where it gets too long for one search."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._before = ""
        self._heard = 0
        self._unreported = 0
        self.text = ""
        decoder.start_utt()

    def hear(self, pcm: bytes) -> None:
        if not pcm:
            return
        if self._heard >= _LONGEST:
            self.end()
            self._before, self._heard = self.text, 0
            self._decoder.start_utt()
        self._decoder.process_raw(pcm)
        self._heard += len(pcm)
        self._unreported += len(pcm)

    def news(self) -> bool:
        """Whether `text` was brought up to date and changed; looks five times per second of audio."""
        if self._unreported < _PARTIAL_EVERY:
            return False
        self._unreported = 0
        before = self.text
        self._note()
        return self.text != before

    def end(self) -> None:
        self._decoder.end_utt()
        self._note()

    def _note(self) -> None:
        hypothesis = self._decoder.hyp()
        self.text = f"{self._before} {hypothesis.hypstr if hypothesis else ''}".strip()
