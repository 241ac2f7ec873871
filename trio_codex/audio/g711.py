"""G.711: a table per law and direction, exact for every input. Needs numpy (extra `audio`)."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from trio_codex.audio.extras import require

Law = Literal["a", "u"]


def ulaw_decode(data: bytes) -> bytes:
    """Turn G.711 µ-law into s16le at the same rate; needs the extra `audio`."""
    return _decode(data, "u")


def ulaw_encode(pcm: bytes) -> bytes:
    """Turn s16le into G.711 µ-law at the same rate; an odd last byte is left out; needs the extra `audio`."""
    return _encode(pcm, "u")


def alaw_decode(data: bytes) -> bytes:
    """Turn G.711 A-law into s16le at the same rate; needs the extra `audio`."""
    return _decode(data, "a")


def alaw_encode(pcm: bytes) -> bytes:
    """Turn s16le into G.711 A-law at the same rate; an odd last byte is left out; needs the extra `audio`."""
    return _encode(pcm, "a")


def _decode(data: bytes, law: Law) -> bytes:
    np = require("numpy", extra="audio")
    pcm: bytes = _decoding_table(law)[np.frombuffer(data, "u1")].tobytes()
    return pcm


def _encode(pcm: bytes, law: Law) -> bytes:
    np = require("numpy", extra="audio")
    codes: bytes = _encoding_table(law)[np.frombuffer(pcm[: len(pcm) // 2 * 2], "<u2")].tobytes()
    return codes


@cache
def _decoding_table(law: Law) -> Any:
    np = require("numpy", extra="audio")
    code = np.arange(256) ^ (0xFF if law == "u" else 0x55)
    segment, step = (code & 0x70) >> 4, code & 0x0F
    if law == "u":
        magnitude = (((step << 3) + 0x84) << segment) - 0x84
        negative = code & 0x80 != 0
    else:
        magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
        negative = code & 0x80 == 0
    return np.where(negative, -magnitude, magnitude).astype("<i2")


@cache
def _encoding_table(law: Law) -> Any:
    # Indexed by the sample's bits read as unsigned. µ-law works on 14 bits, A-law on 13.
    np = require("numpy", extra="audio")
    sample = np.arange(65536).astype("<u2").view("<i2").astype(np.int32) >> (2 if law == "u" else 3)
    negative = sample < 0
    if law == "u":
        biased = np.minimum(np.where(negative, -sample, sample), 8158) + 33
        segment = np.searchsorted([0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF], biased)
        code = (segment << 4) | ((biased >> (segment + 1)) & 0x0F)
        return (code ^ np.where(negative, 0x7F, 0xFF)).astype("u1")
    magnitude = np.where(negative, -sample - 1, sample)
    segment = np.searchsorted([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF], magnitude)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    return (code ^ np.where(negative, 0x55, 0xD5)).astype("u1")
