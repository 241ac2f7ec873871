"""Finding the turns in a stream of audio, for speech-to-text models that do not: where somebody speaks, and what audio that is.

`Cutter` is synchronous and keeps no more than a second of silence. A detector is `trio_codex.speech.TurnDetector` where the extra `local`
is installed, and one that knows of nothing but loudness elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final, Protocol, TypeAlias

import attrs

from trio_codex.audio import WholeSamples, rms
from trio_codex.protocol import UNSET, SemanticVAD, ServerVAD
from trio_codex.speech import SpeechStarted as Onset, SpeechStopped as Offset
from trio_codex.voice.models import SpeechStarted, SpeechStopped

__all__ = ["Cutter", "Detector", "LoudnessDetector", "detector_for"]

_MS: Final = 48  # bytes
_STEP_MS: Final = 20
_KEPT_MS: Final = 2000
_LONGEST_MS: Final = 60_000
"""Whoever speaks for longer than a minute without a pause is understood in parts."""

_PATIENCE_MS: Final = {"high": 700, "medium": 1100, "auto": 1100, "low": 2000}


class Detector(Protocol):
    """Finds where speech starts and stops; synchronous. Positions are ms from the beginning of all audio fed."""

    def feed(self, pcm: bytes, /) -> list[Onset | Offset]:
        """Hear more audio, in any chunking, and return what it brought."""

    def reset(self) -> None:
        """Forget a turn in progress."""


class _Steps:
    """Cuts audio into steps of 20 ms."""

    def __init__(self) -> None:
        self._whole = WholeSamples(_STEP_MS * _MS)

    @property
    def rest(self) -> bytes:
        """What is no whole step yet."""
        return self._whole.rest

    def feed(self, pcm: bytes) -> Iterator[bytes]:
        """Return the steps that are whole now."""
        whole = self._whole.feed(pcm)
        return (whole[at : at + _STEP_MS * _MS] for at in range(0, len(whole), _STEP_MS * _MS))


class LoudnessDetector:
    """Takes for speech what is louder than a floor and than the noise of the last seconds; needs no extra.

    The floor is -60 dB of full scale at threshold 0 and -30 dB at 1. Speech is noticed 120 ms after it began. It takes music and machines
    for speech, which `trio_codex.speech.TurnDetector` does less.
    """

    def __init__(self, *, threshold: float = 0.5, prefix_padding_ms: int = 300, silence_duration_ms: int = 500) -> None:
        self._floor = 10 ** ((-60 + 30 * threshold) / 20)
        self._padding_ms = prefix_padding_ms
        self._silence_ms = silence_duration_ms
        self._steps = _Steps()
        self._now_ms = 0
        self._levels: deque[float] = deque(maxlen=100)
        self._voiced: deque[bool] = deque([False] * 10, maxlen=10)
        self._speaks = False
        self._voice_end_ms = 0
        self._turn_floor_ms = 0

    def feed(self, pcm: bytes) -> list[Onset | Offset]:
        """Hear more audio and return what it brought."""
        found = (self._hear(step) for step in self._steps.feed(pcm))
        return [event for event in found if event is not None]

    def reset(self) -> None:
        """Forget a turn in progress: no end of it follows."""
        self._speaks = False
        self._voiced.extend([False] * 10)
        self._turn_floor_ms = self._now_ms

    def _hear(self, step: bytes) -> Onset | Offset | None:
        level = rms(step)
        self._levels.append(level)
        noise = min(self._levels) if len(self._levels) >= 25 else 0.0
        self._voiced.append(level >= max(self._floor, 2 * noise))
        self._now_ms += _STEP_MS
        if self._voiced[-1]:
            self._voice_end_ms = self._now_ms
        if not self._speaks and sum(self._voiced) >= 6:
            self._speaks = True
            onset_ms = self._now_ms - _STEP_MS * (len(self._voiced) - self._voiced.index(True))
            return Onset(max(onset_ms - self._padding_ms, self._turn_floor_ms))
        if self._speaks and self._now_ms - self._voice_end_ms >= max(self._silence_ms, _STEP_MS):
            self.reset()
            return Offset(self._now_ms, self._voice_end_ms)
        return None


def detector_for(detection: ServerVAD | SemanticVAD) -> Detector:
    """Return the local detector that stands in for a server's detection; its parameters are used as far as they are given."""
    if isinstance(detection, SemanticVAD):
        eagerness = detection.eagerness if isinstance(detection.eagerness, str) else "auto"
        given = {"silence_duration_ms": _PATIENCE_MS[eagerness]}
    else:
        names = ("threshold", "prefix_padding_ms", "silence_duration_ms")
        values = {name: getattr(detection, name) for name in names}
        given = {name: value for name, value in values.items() if value is not UNSET and value is not None}
    if all(find_spec(module) is not None for module in ("pocketsphinx", "numpy", "soxr")):
        from trio_codex.speech import TurnDetector

        return TurnDetector(**given)
    return LoudnessDetector(**given)


@attrs.frozen
class Utterance:
    """More audio of the utterance that is spoken now."""

    pcm: bytes


Cut: TypeAlias = SpeechStarted | Utterance | SpeechStopped


class Cutter:
    """Cuts a stream of audio into utterances by what a detector says; what is between them is dropped.

    Each utterance is SpeechStarted, any number of Utterance, SpeechStopped. One that lasts longer than a minute is ended there.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._steps = _Steps()
        self._kept = bytearray()  # the newest audio; the beginning of an utterance is found only after it
        self._position = 0  # of the end of what is kept, in bytes
        self._began_ms: int | None = None

    def feed(self, pcm: bytes) -> list[Cut]:
        """Hear more audio, in any chunking."""
        cuts: list[Cut] = []
        for step in self._steps.feed(pcm):
            cuts += self._hear(step)
        return cuts

    def finish(self) -> list[Cut]:
        """End the utterance that is spoken when the stream ends."""
        cuts = self._hear(self._steps.rest)
        return cuts if self._began_ms is None else [*cuts, *self._take(), self._stop()]

    def _hear(self, pcm: bytes) -> list[Cut]:
        self._kept += pcm
        self._position += len(pcm)
        cuts: list[Cut] = []
        for event in self._detector.feed(pcm):
            if isinstance(event, Onset):
                self._began_ms = event.audio_start_ms
                before = max(self._position - event.audio_start_ms * _MS, 0)
                del self._kept[: max(len(self._kept) - before, 0)]
                cuts.append(SpeechStarted(event.audio_start_ms))
            elif self._began_ms is not None:
                cuts += [*self._take(), self._stop()]
        if self._began_ms is None:
            del self._kept[: max(len(self._kept) - _KEPT_MS * _MS, 0)]
            return cuts
        cuts += self._take()
        if self._position // _MS - self._began_ms >= _LONGEST_MS:
            self._detector.reset()
            cuts.append(self._stop())
        return cuts

    def _take(self) -> list[Cut]:
        pcm = bytes(self._kept)
        self._kept.clear()
        return [Utterance(pcm)] if pcm else []

    def _stop(self) -> SpeechStopped:
        self._began_ms = None
        return SpeechStopped(self._position // _MS)
