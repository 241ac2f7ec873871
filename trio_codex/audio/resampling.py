"""Changing the rate and the format of a stream of audio.

Needs soxr and numpy (extra `audio`), imported when a converter is made. The output depends on the input alone, not on
its chunking and not on chance: soxr is given floats, because it dithers integers from a random seed and then no two
runs of a recogniser agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from trio_codex.audio.extras import require
from trio_codex.audio.formats import AudioFormat, WholeSamples
from trio_codex.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode

Quality = Literal["LQ", "MQ", "HQ"]


class Resampler:
    """Stateful resampling of s16le mono audio; needs the extra `audio` (ConfigurationError without).

    `quality` buys a steeper filter with a longer wait: between 24 and 16 kHz about 6, 19 and 30 ms are held back
    until more audio or `last=True` comes (between 24 and 8 kHz twice that). The output keeps the input's time all the
    same, and its length is exact.
    """

    def __init__(self, from_rate: int, to_rate: int, *, quality: Quality = "HQ") -> None:
        self._samples = WholeSamples()
        self._stream: Any = None
        if from_rate != to_rate:
            self._np = require("numpy", extra="audio")
            soxr = require("soxr", extra="audio")
            self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality=quality)

    def feed(self, pcm: bytes, *, last: bool = False) -> bytes:
        """Return what is ready, often b"" at first; `last=True` gives the rest, and nothing may be fed after it."""
        pcm = self._samples.feed(pcm)
        if self._stream is None:
            return pcm
        np = self._np
        chunk = self._stream.resample_chunk(np.frombuffer(pcm, "<i2").astype(np.float32), last=last)
        samples: bytes = np.clip(np.rint(chunk), -32768, 32767).astype("<i2").tobytes()
        return samples


def resample(pcm: bytes, from_rate: int, to_rate: int) -> bytes:
    """Resample a whole s16le mono recording; needs the extra `audio` unless the rates are equal."""
    return Resampler(from_rate, to_rate).feed(pcm, last=True)


class Transcoder:
    """Stateful change from one format of the wire to another; needs the extra `audio` unless both are the same."""

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self._whole = WholeSamples(source.sample_width)
        self._resampler = Resampler(source.rate, target.rate, quality="MQ")
        self._decode, self._encode = (_DECODE[source], _ENCODE[target]) if source is not target else (bytes, bytes)

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        """Return what is ready in whole samples, often b"" at first; `last=True` gives the rest and ends it."""
        return self._encode(self._resampler.feed(self._decode(self._whole.feed(data)), last=last))


_DECODE: dict[AudioFormat, Callable[[bytes], bytes]] = {
    AudioFormat.PCM16: bytes,
    AudioFormat.PCMU: ulaw_decode,
    AudioFormat.PCMA: alaw_decode,
}
_ENCODE: dict[AudioFormat, Callable[[bytes], bytes]] = {
    AudioFormat.PCM16: bytes,
    AudioFormat.PCMU: ulaw_encode,
    AudioFormat.PCMA: alaw_encode,
}
