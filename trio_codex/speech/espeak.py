"""One of the synthesiser's engines, inside its worker: espeak-ng by ctypes, from the package espeakng-loader.

The library is GPLv3+, which is one reason why it is loaded in a process of its own and comes only with an extra. Its
state is global: one utterance at a time, every parameter set for each. Audio leaves through a callback, some 60 ms at
a time.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Any

from trio_codex.audio import Resampler, require
from trio_codex.speech.voices import espeak_voice
from trio_codex.speech.worker import Job

_SYNCHRONOUS, _UTF8 = 2, 1
_WORDS_PER_MINUTE, _PITCH = 1, 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """Turns one text into 24 kHz audio."""

    def __init__(self) -> None:
        loader = require("espeakng_loader", extra="local")
        require("soxr", extra="local")
        self._library = ctypes.CDLL(str(loader.get_library_path()))
        # From 160 characters on the path of the data is silently refused; so go there and give a short one.
        os.chdir(Path(loader.get_data_path()).parent)
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 60, b".", 0)
        if self._rate <= 0:
            raise OSError(f"espeak-ng does not start with the data in {loader.get_data_path()}")
        self._callback = _CALLBACK(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)
        self._utterance: _Utterance | None = None

    def run(self, job: Job) -> str:
        """Say the text, chunk by chunk."""
        text = _CONTROL.sub(" ", b"".join(job.pieces()).decode()).encode()
        voice = espeak_voice(job.settings["voice"])
        self._library.espeak_SetVoiceByName(voice.name.encode())
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._library.espeak_SetParameter(_WORDS_PER_MINUTE, round(voice.rate * job.settings["speed"]), 0)
        self._utterance = _Utterance(job, self._rate)
        self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None)
        self._utterance.end()
        return ""

    def _hear(self, samples: Any, count: int, _events: Any) -> int:
        if self._utterance is None:
            return 1
        return self._utterance.hear(ctypes.string_at(samples, 2 * count) if samples else b"")


class _Utterance:
    """The way of one utterance's audio out; no exception may leave a callback, so it is kept until the library has stopped."""

    def __init__(self, job: Job, rate: int) -> None:
        self._job = job
        self._resampler = Resampler(rate, 24_000)
        self._failure: Exception | None = None

    def hear(self, pcm: bytes, *, last: bool = False) -> int:
        """Send what there is; 1 tells the library to stop."""
        try:
            pcm = self._resampler.feed(pcm, last=last)
            if pcm:
                self._job.say(pcm)
        except Exception as error:  # raised again in `end`
            self._failure = error
        return int(self._failure is not None)

    def end(self) -> None:
        if self._failure is None:
            self.hear(b"", last=True)
        if self._failure is not None:
            raise self._failure
