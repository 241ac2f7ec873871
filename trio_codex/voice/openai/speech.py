"""Text to speech by `/audio/speech`: the samples as they come, and a request that ends with its block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs

from trio_codex.errors import VoiceError
from trio_codex.http import Answer
from trio_codex.voice.models import TTSSettings
from trio_codex.voice.openai.client import Client, told

__all__ = ["OpenAITTS"]

_WHAT = "text to speech"


@attrs.frozen(kw_only=True)
class OpenAITTS(Client):
    """A TTSModel by `/audio/speech`. `open` keeps its connections for a run; used without, each text has a connection of its own."""

    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings, /) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text of at most 4,096 characters: an async iterator of s16le mono 24 kHz, in any chunking.

        Leaving the block, however, ends the request at once. Raises VoiceError: a refusal, no connection, an answer that breaks off or
        is no audio, `timeout` seconds of silence.
        """
        async with self._answer(_WHAT, "audio/speech", json=speech_request(text, settings)) as answer:
            kind = answer.headers.get("content-type", "")
            if kind.startswith(("text/", "application/json")):  # a proxy's page would be played as noise
                raise VoiceError(f"{_WHAT} failed: the server sent {kind} in the place of audio", status=answer.status)
            yield _Chunks(answer)


def speech_request(text: str, settings: TTSSettings) -> dict[str, Any]:
    """The body of the request. tts-1 and tts-1-hd take no instructions, so they get none."""
    voice = dict(settings.voice) if isinstance(settings.voice, Mapping) else settings.voice
    body: dict[str, Any] = {"model": settings.model, "input": text, "voice": voice, "response_format": "pcm"}
    if settings.instructions and not settings.model.startswith("tts-1"):
        body["instructions"] = settings.instructions
    if settings.speed is not None:
        body["speed"] = settings.speed
    return body


class _Chunks:
    """The body of an answer, with failures told as VoiceErrors."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        with told(_WHAT):
            return await anext(self._answer)
