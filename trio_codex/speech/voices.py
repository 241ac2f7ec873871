"""Which voice of an engine stands for which voice name of the API, and the numbers that make it sound different.

The names are only names here: nothing of the originals is imitated. A name that is not known gets one of these
voices, always the same one. Plain data; read by the workers.
"""

from __future__ import annotations

import zlib

import attrs

__all__ = ["VOICES", "EspeakVoice", "FliteVoice", "espeak_voice", "flite_voice"]


@attrs.frozen
class FliteVoice:
    """A voice of flite, `pitch` and `stretch` as factors (the voice rms knows no pitch)."""

    name: str
    pitch: float = 1.0
    stretch: float = 1.0


@attrs.frozen
class EspeakVoice:
    """A variant of espeak-ng's voices, `pitch` 0 to 99, `rate` in words per minute."""

    name: str
    pitch: int = 50
    rate: int = 165


_VOICES = {
    "alloy": (FliteVoice("slt"), EspeakVoice("en-us+f3", 45)),
    "ash": (FliteVoice("rms"), EspeakVoice("en-us+m3", 40)),
    "ballad": (FliteVoice("awb"), EspeakVoice("en-gb+m7", 45)),
    "cedar": (FliteVoice("rms", stretch=1.1), EspeakVoice("en-us+m1", 30, 155)),
    "coral": (FliteVoice("slt", 1.12), EspeakVoice("en-us+f2", 60)),
    "echo": (FliteVoice("awb", 0.85), EspeakVoice("en-us+m2", 45)),
    "fable": (FliteVoice("awb", 1.15), EspeakVoice("en-gb+m5", 60)),
    "marin": (FliteVoice("slt", 0.92, 1.05), EspeakVoice("en-us+f4", 50)),
    "nova": (FliteVoice("slt", 1.06, 0.95), EspeakVoice("en-us+f5", 55, 175)),
    "onyx": (FliteVoice("kal16", 0.9), EspeakVoice("en-us+m4", 20, 160)),
    "sage": (FliteVoice("slt", 0.86), EspeakVoice("en-gb+f3", 50)),
    "shimmer": (FliteVoice("slt", 1.2), EspeakVoice("en-us+f1", 70)),
    "verse": (FliteVoice("kal16", 1.2), EspeakVoice("en-us+m6", 55)),
}

VOICES = tuple(_VOICES)
"""The voice names of the API, each with a voice of its own."""


def flite_voice(name: str) -> FliteVoice:
    """Return flite's voice for a name of the API."""
    return _VOICES[_known(name)][0]


def espeak_voice(name: str) -> EspeakVoice:
    """Return espeak-ng's voice for a name of the API."""
    return _VOICES[_known(name)][1]


def _known(name: str) -> str:
    return name if name in _VOICES else VOICES[zlib.crc32(name.encode()) % len(VOICES)]
