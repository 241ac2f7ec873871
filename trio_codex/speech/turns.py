"""Turn detection: where speech starts and stops in a stream of audio.

Owns the decision, nothing else: no Trio, no process, no clock; time is the number of samples heard, so the same audio
gives the same events in any chunking. It runs in the event loop's own process, because 20 ms of audio cost some 20 µs
(a pipe to a worker costs more) and importing pocketsphinx's detector costs 1 MB and no GIL-bound decoding.

A frame of 20 ms is voiced if pocketsphinx's voice activity detector says so and it is loud enough: above a fixed
floor (digital silence, line noise) and above the noise of the last seconds (the detector alone takes loud hiss or a
steady tone for speech).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

import attrs

from trio_codex.audio import Resampler, require
from trio_codex.errors import ConfigurationError

__all__ = ["SpeechStarted", "SpeechStopped", "TurnDetector"]

_RATE = 16_000  # at 24 kHz the detector silently takes frames of another length
_FRAME_MS = 20
_FRAME_BYTES = _RATE // 1000 * _FRAME_MS * 2
_BATCH_BYTES = 3 * 48 * _FRAME_MS  # of what is fed: three frames at once cost little more than one

_ONSET_FRAMES, _ONSET_VOICED = 10, 6  # speech began if 120 of the last 200 ms are voiced
_SOLID_FRAMES, _SOLID_VOICED = 5, 3  # it goes on while 60 of the last 100 ms are; a click does not prolong it
_NOISE_FRAMES, _NOISE_SETTLED = 100, 25  # the quietest of the last 2 s is the noise, once half a second was heard

PATIENCE_MS = {"high": 700, "medium": 1100, "auto": 1100, "low": 2000}
"""How long a silence ends a turn, by the eagerness of a semantic detection."""


@attrs.frozen
class SpeechStarted:
    """Someone began to speak. `audio_start_ms` includes the prefix padding and never reaches back into the turn before."""

    audio_start_ms: int


@attrs.frozen
class SpeechStopped:
    """The speaker was silent long enough: `audio_end_ms` includes that silence, `voice_end_ms` is where the voice ended."""

    audio_end_ms: int
    voice_end_ms: int


class TurnDetector:
    """Finds where speech starts and stops in a stream of audio; synchronous, about 20 µs per 20 ms.

    `threshold` (0 to 1): higher asks for louder, clearer speech. `prefix_padding_ms`: how much before the first
    voiced sample belongs to the turn. `silence_duration_ms`: how long a silence ends it. Positions are ms from the
    beginning of all audio fed, plus `origin_ms` (for a detector that takes over in mid-stream). Speech is noticed
    150 to 200 ms after it began. The first one made imports what it needs, which takes 50 ms: make one before time
    matters. Raises ConfigurationError for settings out of range and without the extra `local`.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.5,
        prefix_padding_ms: int = 300,
        silence_duration_ms: int = 500,
        origin_ms: int = 0,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigurationError(f"a threshold lies between 0 and 1, not at {threshold}")
        if prefix_padding_ms < 0 or silence_duration_ms < 0:
            raise ConfigurationError("prefix_padding_ms and silence_duration_ms are not negative")
        pocketsphinx = require("pocketsphinx", extra="local")
        self._vad = pocketsphinx.Vad(min(int(threshold * 4), 3), _RATE, _FRAME_MS / 1000)
        self._floor_db = -60 + 30 * threshold
        self._margin_db = 3 + 6 * threshold
        self._padding_ms = prefix_padding_ms
        self._silence_ms = silence_duration_ms
        self._origin_ms = origin_ms
        self._np = require("numpy", extra="local")
        self._resampler = Resampler(24_000, _RATE, quality="LQ")
        self._heard = 0
        self._unheard = b""  # less than a batch, as it was fed
        self._waiting = b""  # less than a frame, resampled
        self._frames = 0
        self._levels: deque[float] = deque(maxlen=_NOISE_FRAMES)
        self._voiced: deque[bool] = deque(maxlen=_ONSET_FRAMES)
        self._turn_floor_ms = origin_ms
        self._voice_end_ms = 0
        self.in_speech: bool = False

    @classmethod
    def semantic(
        cls, eagerness: Literal["low", "medium", "high", "auto"] = "auto", *, origin_ms: int = 0
    ) -> TurnDetector:
        """Return a detector that waits longer before it believes that the turn is over; it stands in for semantic VAD."""
        if eagerness not in PATIENCE_MS:
            raise ConfigurationError(f"eagerness is one of {', '.join(PATIENCE_MS)}, not {eagerness!r}")
        return cls(silence_duration_ms=PATIENCE_MS[eagerness], origin_ms=origin_ms)

    @property
    def position_ms(self) -> int:
        """How much audio was fed in whole ms, `origin_ms` included."""
        return self._origin_ms + self._heard // 48

    def feed(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Hear more audio (s16le mono 24 kHz, any chunking) and return what it brought, in order.

        Does not block, but a minute of audio takes 60 ms: feed long recordings in pieces.
        """
        self._heard += len(pcm)
        self._unheard += pcm
        batches = len(self._unheard) - len(self._unheard) % _BATCH_BYTES
        if not batches:
            return []
        self._waiting += self._resampler.feed(self._unheard[:batches])
        self._unheard = self._unheard[batches:]
        whole = len(self._waiting) - len(self._waiting) % _FRAME_BYTES
        frames, self._waiting = self._waiting[:whole], self._waiting[whole:]
        starts = range(0, whole, _FRAME_BYTES)
        heard = zip(starts, self._levels_of(frames), strict=True)
        events = (self._hear(frames[at : at + _FRAME_BYTES], level_db) for at, level_db in heard)
        return [event for event in events if event is not None]

    def reset(self) -> None:
        """Forget a turn in progress (after a manual commit or a clear): no SpeechStopped follows; positions go on."""
        self.in_speech = False
        self._voiced.clear()
        self._turn_floor_ms = self.position_ms

    def _levels_of(self, frames: bytes) -> list[float]:
        """How loud each frame is, in dB of the full scale."""
        samples = self._np.frombuffer(frames, "<i2").astype("f4").reshape(-1, _FRAME_BYTES // 2)
        powers = (samples * samples).mean(axis=1).tolist()
        return [10 * math.log10(power / 2**30) if power > 0 else -120.0 for power in powers]

    def _hear(self, frame: bytes, level_db: float) -> SpeechStarted | SpeechStopped | None:
        self._voiced.append(self._is_voiced(frame, level_db))
        self._frames += 1
        now_ms = self._origin_ms + self._frames * _FRAME_MS
        return self._while_speaking(now_ms) if self.in_speech else self._while_silent(now_ms)

    def _is_voiced(self, frame: bytes, level_db: float) -> bool:
        self._levels.append(level_db)
        # The detector keeps a state of its own: it hears every frame, also those that are too quiet to count.
        speech_like: bool = self._vad.is_speech(frame)
        settled = len(self._levels) >= _NOISE_SETTLED
        floor_db = max(self._floor_db, min(self._levels) + self._margin_db) if settled else self._floor_db
        return speech_like and level_db >= floor_db

    def _while_silent(self, now_ms: int) -> SpeechStarted | None:
        if sum(self._voiced) < _ONSET_VOICED:
            return None
        self.in_speech = True
        self._voice_end_ms = now_ms
        onset_ms = now_ms - _FRAME_MS * (len(self._voiced) - self._voiced.index(True))
        return SpeechStarted(max(onset_ms - self._padding_ms, self._turn_floor_ms))

    def _while_speaking(self, now_ms: int) -> SpeechStopped | None:
        if self._voiced[-1] and sum(list(self._voiced)[-_SOLID_FRAMES:]) >= _SOLID_VOICED:
            self._voice_end_ms = now_ms
        if now_ms - self._voice_end_ms < max(self._silence_ms, _FRAME_MS):
            return None
        self.in_speech = False
        self._voiced.clear()
        self._turn_floor_ms = self._voice_end_ms + self._silence_ms
        return SpeechStopped(self._turn_floor_ms, self._voice_end_ms)
