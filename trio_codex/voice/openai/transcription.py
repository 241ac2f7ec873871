"""Speech to text by `/audio/transcriptions`: a recording goes out as a WAV in a form, its words come back whole or as they are found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import attrs

from trio_codex.audio import encode_wav
from trio_codex.errors import VoiceError
from trio_codex.http import ServerSentEvents
from trio_codex.transport import Connector, Target
from trio_codex.transport.dialing import connector_for, resolve_target
from trio_codex.voice.models import STTSettings, Transcript, TranscriptDelta, TranscriptionStream
from trio_codex.voice.openai.client import Client, told
from trio_codex.voice.openai.streaming import open_stream
from trio_codex.voice.openai.transcripts import Reading, read_transcript

__all__ = ["OpenAISTT", "TranscriptParts"]

_WHAT: Final = "speech to text"
_PATH: Final = "audio/transcriptions"

CONNECTED_IN_S: Final = 10.0


@attrs.frozen(kw_only=True)
class OpenAISTT(Client):
    """A StreamingSTTModel: recordings by `/audio/transcriptions`, streams by a realtime transcription session.

    `open` keeps its connections for a run; used without, each recording has a connection of its own. `transport` is what streams are
    carried by, None for a websocket.
    """

    transport: str | Connector | None = None

    async def transcribe(self, pcm: bytes, settings: STTSettings, /) -> Transcript:
        """Return what is said in s16le mono 24 kHz. Cancel-safe: the request ends. Raises VoiceError; a service may limit the length."""
        async with self._service() as api:
            with told(_WHAT):
                response = await api.request("POST", _PATH, data=form(settings), files=_files(pcm))
                return read_transcript(response.text, settings.response_format)

    def open_stream(self, settings: STTSettings, /) -> AbstractAsyncContextManager[TranscriptionStream]:
        """Open a stream with the service's own turn detection; leaving the block ends it at once.

        A lost connection is opened again without losing audio that is not transcribed yet. Raises ConfigurationError when the block is
        entered (no key); what fails for good is raised by the iteration, as a VoiceError.
        """

        async def dial() -> Target:
            return await resolve_target(self.endpoint, self.api_key, intent="transcription", timeout=CONNECTED_IN_S)

        return open_stream(dial, connector_for(self.transport), settings)

    @asynccontextmanager
    async def transcribe_in_parts(self, pcm: bytes, settings: STTSettings, /) -> AsyncIterator[TranscriptParts]:
        """The same as it is found: an async iterator of TranscriptDelta, and of the Transcript at the end.

        Leaving the block ends the request. whisper-1 does not stream: its transcript comes in one piece. Raises VoiceError.
        """
        content = {"data": {**form(settings), "stream": "true"}, "files": _files(pcm)}
        async with self._answer(_WHAT, _PATH, **content) as answer:
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                yield TranscriptParts(answer.events())
                return
            with told(_WHAT):
                body = b"".join([chunk async for chunk in answer]).decode(errors="replace")
                whole = read_transcript(body, settings.response_format)
            yield TranscriptParts(None, whole)


class TranscriptParts:
    """A transcript on its way: an async iterator that ends with the whole. Raises VoiceError when it breaks off before."""

    def __init__(self, events: ServerSentEvents | None, whole: Transcript | None = None) -> None:
        self._events = events
        self._whole = whole
        self._reading = Reading()

    def __aiter__(self) -> TranscriptParts:
        return self

    async def __anext__(self) -> TranscriptDelta | Transcript:
        if self._whole is not None:
            whole, self._whole = self._whole, None
            return whole
        if self._events is None or self._reading.done:
            raise StopAsyncIteration
        with told(_WHAT):
            async for event in self._events:
                if (part := self._reading.take(event.data)) is not None:
                    return part
        raise VoiceError(f"{_WHAT} failed: the answer ended before the transcript was whole")


def form(settings: STTSettings) -> dict[str, Any]:
    """The text parts of the form; a list is a part that is repeated."""
    detailed = settings.response_format == "diarized_json"
    fields: dict[str, Any] = {
        "model": settings.model,
        "response_format": settings.response_format,
        "language": settings.language,
        "languages[]": list(settings.languages),
        "prompt": settings.prompt,
        "keywords[]": list(settings.keywords),
        "temperature": None if settings.temperature is None else f"{settings.temperature:g}",
        "timestamp_granularities[]": list(settings.timestamp_granularities),
        "include[]": ["logprobs"] if settings.logprobs else [],
        "known_speaker_names[]": list(settings.known_speakers),
        "known_speaker_references[]": list(settings.known_speakers.values()),
        "chunking_strategy": "auto" if detailed else None,  # recordings of more than 30 s need one to be diarised
    }
    return {name: value for name, value in fields.items() if value is not None and value != []}


def _files(pcm: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {"file": ("audio.wav", encode_wav(pcm), "audio/wav")}
