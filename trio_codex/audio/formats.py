"""The audio formats of the wire, bytes and milliseconds, whole samples.

Standard library only. Time is counted in whole samples; ms are derived from them and rounded down, so that sums never
drift.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from trio_codex.errors import ConfigurationError

RATE = 24_000
"""Samples per second wherever nothing else is said."""


class AudioFormat(enum.Enum):
    """The audio formats of the wire, a closed set: 16-bit PCM at 24 kHz and the two laws of G.711 at 8 kHz; mono."""

    PCM16 = "audio/pcm"
    PCMU = "audio/pcmu"
    PCMA = "audio/pcma"

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> AudioFormat:
        """Read `{"type": "audio/pcm", "rate": 24000}`, `{"type": "audio/pcmu"}`, …; ConfigurationError for others."""
        try:
            audio_format = cls(value.get("type"))
        except ValueError:
            known = ", ".join(each.value for each in cls)
            raise ConfigurationError(f"unknown audio format {value.get('type')!r}; there are {known}") from None
        if value.get("rate", audio_format.rate) != audio_format.rate:
            raise ConfigurationError(f"{audio_format.value} has {audio_format.rate} Hz, not {value['rate']!r}")
        return audio_format

    def to_wire(self) -> dict[str, Any]:
        """Write the wire's object; only PCM says its rate."""
        return {"type": self.value, "rate": RATE} if self is AudioFormat.PCM16 else {"type": self.value}

    @property
    def rate(self) -> int:
        """Samples per second."""
        return RATE if self is AudioFormat.PCM16 else 8_000

    @property
    def sample_width(self) -> int:
        """Bytes per sample."""
        return 2 if self is AudioFormat.PCM16 else 1

    @property
    def bytes_per_ms(self) -> int:
        """48 for PCM, 8 for G.711."""
        return self.rate * self.sample_width // 1000

    def duration_ms(self, nbytes: int) -> int:
        """Return the whole ms that lie in `nbytes`."""
        return nbytes // self.sample_width * 1000 // self.rate

    def nbytes(self, ms: int) -> int:
        """Return how many bytes `ms` milliseconds take."""
        return ms * self.bytes_per_ms


class WholeSamples:
    """Cuts a stream of bytes at sample boundaries; `rest` is what waits for its other half."""

    def __init__(self, width: int = 2) -> None:
        self._width = width
        self.rest: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Return the whole samples that are there now, b"" if none is."""
        if not self.rest and len(data) % self._width == 0:
            return data
        data = self.rest + data
        whole = len(data) - len(data) % self._width
        self.rest = data[whole:]
        return data[:whole]
