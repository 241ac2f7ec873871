"""One answer on its way: what a responder says becomes speech and deltas.

A text is spoken sentence by sentence, so that the first sound does not wait for the last word; a word of the transcript
goes out with each piece of audio, the rest with the end of its sentence. As fast as the engine speaks and the client
takes it, which is faster than real time. Knows the peer's progress verbs and nothing of the connection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from trio_codex.audio import AudioFormat, Transcoder
from trio_codex.protocol import AnswerRequest
from trio_codex.server.engines import TextToSpeech

DELTA_MS = 100
"""At most so much audio is in one delta."""


class Progress(Protocol):
    """Who is told; the peer, through the session that performs its effects."""

    def answer_text(self, response_id: str, delta: str) -> None:
        """More text or transcript."""

    def answer_audio(self, response_id: str, data: bytes) -> None:
        """More audio."""

    def answer_call(self, response_id: str, name: str, arguments: str) -> None:
        """A function call."""


class SpokenAnswer:
    """The `Answer` that a responder is given."""

    def __init__(
        self, request: AnswerRequest, progress: Progress, tts: TextToSpeech, room: Callable[[], Awaitable[None]]
    ) -> None:
        self._request = request
        self._progress = progress
        self._tts = tts
        self._room = room
        self._began = False

    async def say(self, text: str) -> None:
        """Say something, aloud or in writing."""
        for sentence in sentences(text):
            lead = " " if self._began else ""
            self._began = True
            if self._request.modality == "audio":
                await self._speak(lead, sentence)
            else:
                await self._write(lead + sentence)

    async def call(self, name: str, arguments: str | Mapping[str, Any]) -> None:
        """Call a function of the client."""
        await self._room()
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        self._progress.answer_call(self._request.response_id, name, text)
        self._began = False

    async def _write(self, text: str) -> None:
        for word in words_of(text):
            await self._room()
            self._progress.answer_text(self._request.response_id, word)

    async def _speak(self, lead: str, sentence: str) -> None:
        request = self._request
        words = words_of(lead + sentence)
        encoder = Transcoder(AudioFormat.PCM16, request.audio_format)
        async with self._tts.speak(sentence, voice=request.voice, speed=request.speed) as speech:
            async for pcm in speech:
                await self._utter(words, encoder.feed(pcm))
        await self._utter(words, encoder.feed(b"", last=True))
        while words:
            self._progress.answer_text(request.response_id, words.pop(0))

    async def _utter(self, words: list[str], data: bytes) -> None:
        size = self._request.audio_format.nbytes(DELTA_MS)
        for start in range(0, len(data), size):
            await self._room()
            if words:
                self._progress.answer_text(self._request.response_id, words.pop(0))
            self._progress.answer_audio(self._request.response_id, data[start : start + size])


def sentences(text: str) -> list[str]:
    """Cut a text after each full stop, question or exclamation mark, or line; none of them is empty."""
    return [sentence for part in re.split(r"(?<=[.!?])\s+|\n+", text) if (sentence := part.strip())]


def words_of(text: str) -> list[str]:
    """Cut a text into words that add up to it, each with the space before it."""
    return re.findall(r"\s*\S+", text)
