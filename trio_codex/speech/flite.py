"""One of the synthesiser's engines, inside its worker: the command `flite`, where it is installed.

It is preferred for its voices. The command gives its audio only at the end, so it is run once per sentence, which
takes it some tens of ms: the first sentence can sound while the next is made. It reads ASCII; other letters are
brought to it as far as they go.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
import unicodedata
from collections.abc import Iterator

from trio_codex.audio import RATE, Resampler, read_wav, require
from trio_codex.errors import ConfigurationError
from trio_codex.speech.voices import FliteVoice, flite_voice
from trio_codex.speech.worker import Job

__all__ = ["COMMAND", "Flite"]

COMMAND = "flite"

_CHUNK = RATE * 2 // 10
_LONGEST = 300  # characters in one go, for texts without an end to their sentences
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]+")
_QUOTES = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ", "\u2026": "..."}
)


class Flite:
    """Turns one text into 24 kHz audio."""

    def __init__(self) -> None:
        require("soxr", extra="local")
        command = shutil.which(COMMAND)
        if command is None:
            raise ConfigurationError(f"the command {COMMAND} is not on PATH")
        self._command = command

    def run(self, job: Job) -> str:
        """Say the text, sentence by sentence."""
        voice = flite_voice(job.settings["voice"])
        resampler: Resampler | None = None
        for sentence in sentences(b"".join(job.pieces()).decode()):
            wav = read_wav(self._speak(sentence, voice, job.settings["speed"]))
            resampler = resampler or Resampler(wav.rate, RATE)
            _say(job, resampler.feed(wav.samples))
        if resampler is not None:
            _say(job, resampler.feed(b"", last=True))
        return ""

    def _speak(self, sentence: str, voice: FliteVoice, speed: float) -> bytes:
        factors = {"duration_stretch": voice.stretch / speed, "f0_shift": voice.pitch}
        settings = [word for name, factor in factors.items() for word in ("--setf", f"{name}={factor:.3f}")]
        command = [self._command, "-voice", voice.name, *settings, "-t", sentence, "-o", "/dev/stdout"]
        # No shell, and the text is one argument.
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=30).stdout  # noqa: S603


def sentences(text: str) -> Iterator[str]:
    """Cut a text into what flite can say, each piece not too long; nothing is given for what has no letter or digit."""
    ascii_text = unicodedata.normalize("NFKD", text.translate(_QUOTES)).encode("ascii", "ignore").decode()
    for sentence in _SENTENCE_END.split(_CONTROL.sub(" ", ascii_text)):
        for piece in textwrap.wrap(sentence, _LONGEST):
            if any(character.isalnum() for character in piece):
                yield piece


def _say(job: Job, pcm: bytes) -> None:
    for at in range(0, len(pcm), _CHUNK):
        job.say(pcm[at : at + _CHUNK])
