"""Scripted speech: engines that are fast, deterministic and need no extra.

`ScriptedSTT` gives prepared transcripts, one for each utterance, whatever was heard; `ToneTTS` hums for as long as a text would take.
Both fit the local server (`open_local_server(stt=…, tts=…)`).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio

from trio_codex.errors import VoiceError

__all__ = ["ScriptedSTT", "ToneTTS"]

_PERIOD = array("h", [8000 if at < 27 else -8000 for at in range(54)]).tobytes()  # about 444 Hz at 24 kHz


class ScriptedSTT:
    """A recogniser that knows what it will hear.

    Each utterance takes the next transcript when it begins; an exception among them is raised at its end, and when there are none left,
    nothing is said. `heard` is the length of each finished utterance in bytes; `delay_s` is how long it thinks at the end of one.
    """

    def __init__(self, transcripts: Iterable[str | VoiceError] = (), *, delay_s: float = 0) -> None:
        self._transcripts = deque(transcripts)
        self._delay_s = delay_s
        self.heard: list[int] = []

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[ScriptedUtterance]:
        """Open one utterance."""
        transcript = self._transcripts.popleft() if self._transcripts else ""
        yield ScriptedUtterance(transcript, self._delay_s, self.heard)


class ScriptedUtterance:
    """An utterance of a `ScriptedSTT`."""

    def __init__(self, transcript: str | VoiceError, delay_s: float, heard: list[int]) -> None:
        self._transcript = transcript
        self._delay_s = delay_s
        self._heard = heard
        self._length = 0

    async def feed(self, pcm: bytes) -> None:
        """Hear more; only its length counts."""
        await trio.lowlevel.checkpoint()
        self._length += len(pcm)

    async def finish(self) -> str:
        """End the utterance."""
        await trio.sleep(self._delay_s)
        self._heard.append(self._length)
        if isinstance(self._transcript, VoiceError):
            raise self._transcript
        return self._transcript


class ToneTTS:
    """A synthesiser that hums, `ms_per_character` for each character of a text, in chunks of `chunk_ms`.

    `delay_s` passes before each chunk, so that an answer can be interrupted. `said` are the texts it was given.
    """

    def __init__(self, *, ms_per_character: int = 20, chunk_ms: int = 100, delay_s: float = 0) -> None:
        self._ms_per_character = ms_per_character
        self._chunk_ms = chunk_ms
        self._delay_s = delay_s
        self.said: list[str] = []

    @asynccontextmanager
    async def speak(
        self, text: str, *, voice: str = "alloy", speed: float = 1.0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text."""
        self.said.append(text)
        yield _Tone(round(len(text) * self._ms_per_character / speed), self._chunk_ms, self._delay_s)


class _Tone:
    def __init__(self, total_ms: int, chunk_ms: int, delay_s: float) -> None:
        self._left_ms = total_ms
        self._chunk_ms = chunk_ms
        self._delay_s = delay_s

    def __aiter__(self) -> _Tone:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(self._delay_s)
        if self._left_ms <= 0:
            raise StopAsyncIteration
        length = 48 * min(self._chunk_ms, self._left_ms)
        self._left_ms -= self._chunk_ms
        return (_PERIOD * (length // len(_PERIOD) + 1))[:length]
