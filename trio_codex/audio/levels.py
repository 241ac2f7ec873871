"""How loud audio is, where the voice ends in it, two tracks side by side. Standard library only."""

from __future__ import annotations

import math
import sys
from array import array

from trio_codex.audio.formats import RATE


def rms(pcm: bytes) -> float:
    """Return the root mean square of s16le samples, 0 (silence) to 1."""
    samples = _int16(pcm)
    if not samples:
        return 0.0
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32768


def voiced_end_ms(pcm: bytes, *, rate: int = RATE) -> int:
    """Return where the voice ends in a mono recording: the ms up to the end of the last loud 10 ms; 0 for silence.

    Loud is what lies less than 30 dB under the loudest 10 ms and above -60 dBFS.
    """
    step = 2 * (rate // 100)
    levels = [rms(pcm[start : start + step]) for start in range(0, len(pcm) - step + 1, step)]
    floor = max(max(levels, default=0.0) * 10 ** (-30 / 20), 1e-3)
    return max((10 * (index + 1) for index, level in enumerate(levels) if level >= floor), default=0)


def stereo(left: bytes, right: bytes) -> bytes:
    """Interleave two mono s16le tracks; the shorter one is filled up with silence."""
    length = max(len(left), len(right)) // 2
    both = array("h", bytes(4 * length))
    both[0 : 2 * (len(left) // 2) : 2] = array("h", left[: len(left) // 2 * 2])
    both[1 : 2 * (len(right) // 2) : 2] = array("h", right[: len(right) // 2 * 2])
    return both.tobytes()


def _int16(pcm: bytes) -> array[int]:
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
