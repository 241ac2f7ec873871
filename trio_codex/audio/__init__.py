"""Audio as bytes: formats, bytes and milliseconds, whole samples, levels, WAV, G.711, resampling.

Unless a format says otherwise audio is s16le mono PCM at 24 kHz (`RATE`). The stateful parts (`WholeSamples`,
`Resampler`, `Transcoder`) give the same bytes for any chunking of the same input. Formats, cutting, levels and 16-bit
WAV files need only the standard library; other WAV encodings, mixing down, G.711 and resampling import numpy and soxr
when they are first used (extra `audio`; ConfigurationError without). Nothing here knows of agents or the wire's events, nothing but
`Pacer` (imported when it is first used) of Trio, and nothing but `read_wav` and `write_wav` does I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_codex.audio.extras import require
from trio_codex.audio.formats import RATE, AudioFormat, WholeSamples
from trio_codex.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode
from trio_codex.audio.levels import rms, stereo, voiced_end_ms
from trio_codex.audio.resampling import Resampler, Transcoder, resample
from trio_codex.audio.wav import Wav, encode_wav, read_wav, write_wav

if TYPE_CHECKING:
    from trio_codex.audio.pacer import Pacer

__all__ = [
    "RATE",
    "AudioFormat",
    "Pacer",
    "Resampler",
    "Transcoder",
    "Wav",
    "WholeSamples",
    "alaw_decode",
    "alaw_encode",
    "encode_wav",
    "read_wav",
    "require",
    "resample",
    "rms",
    "stereo",
    "ulaw_decode",
    "ulaw_encode",
    "voiced_end_ms",
    "write_wav",
]


def __getattr__(name: str) -> Any:
    if name != "Pacer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trio_codex.audio.pacer import Pacer

    return Pacer
