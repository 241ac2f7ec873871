"""Models and workflows of voice pipelines that are watched: they do what those inside them do, and make spans of it.

Optional methods (`open`, `open_stream`, `on_start`, `on_interrupted`) are there exactly if the one inside has them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from trio_codex.telemetry.telemetry import Telemetry
from trio_codex.voice import STTModel, STTSettings, TTSModel, TTSSettings, Workflow
from trio_codex.voice.models import Send, SpeechStopped, Transcript

__all__ = ["WatchedSTT", "WatchedTTS", "WatchedWorkflow"]


class _Watched:
    """One that is watched, and what is made of it when it is opened for a run."""

    def __init__(self, telemetry: Telemetry, inner: Any) -> None:
        self._telemetry = telemetry
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._open if name == "open" else found

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Any]:
        async with self._inner.open() as opened:
            yield type(self)(self._telemetry, opened)


class WatchedSTT(_Watched):
    """Speech to text: a span for each transcription, of a stream for each turn, from its last word to its transcript."""

    def __init__(self, telemetry: Telemetry, model: STTModel) -> None:
        super().__init__(telemetry, model)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return self._open_stream if name == "open_stream" else found

    async def transcribe(self, pcm: bytes, settings: STTSettings, /) -> Transcript:
        """Transcribe."""
        attributes = {"gen_ai.request.model": settings.model, "trio_codex.audio_s": len(pcm) / 48_000}
        async with self._telemetry.operation("stt", attributes, trio.current_time) as span:
            self._telemetry.sounded(span, "audio", pcm)
            transcript: Transcript = await self._inner.transcribe(pcm, settings)
            self._telemetry.said(span, "transcript", transcript.text)
            return transcript

    @asynccontextmanager
    async def _open_stream(self, settings: STTSettings, /) -> AsyncIterator[_WatchedStream]:
        async with self._inner.open_stream(settings) as stream:
            yield _WatchedStream(self._telemetry, stream, settings.model)


class _WatchedStream(_Watched):
    def __init__(self, telemetry: Telemetry, stream: Any, model: str) -> None:
        super().__init__(telemetry, stream)
        self._model = model
        self._stopped: tuple[Any, float] | None = None

    def __aiter__(self) -> _WatchedStream:
        self._heard = aiter(self._inner)
        return self

    async def __anext__(self) -> Any:
        heard = await anext(self._heard)
        match heard:
            case SpeechStopped():
                self._begin()
            case Transcript(text=text):
                self._begin()
                self._end(text)
        return heard

    def _begin(self) -> None:
        if self._stopped is None:
            span = self._telemetry.start("stt", {"gen_ai.request.model": self._model})
            self._stopped = span, trio.current_time()

    def _end(self, text: str) -> None:
        assert self._stopped is not None
        (span, began), self._stopped = self._stopped, None
        self._telemetry.said(span, "transcript", text)
        self._telemetry.took("stt", trio.current_time() - began)
        span.end()


class WatchedTTS(_Watched):
    """Text to speech: a span for each sentence."""

    def __init__(self, telemetry: Telemetry, model: TTSModel) -> None:
        super().__init__(telemetry, model)

    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings, /) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text."""
        attributes = {"gen_ai.request.model": settings.model, "trio_codex.characters": len(text)}
        began = trio.current_time()
        async with self._telemetry.operation("tts", attributes, trio.current_time) as span:
            self._telemetry.said(span, "text", text)
            async with self._inner.speak(text, settings) as speech:
                first = lambda: self._telemetry.first_audio(span, trio.current_time() - began, "tts")  # noqa: E731
                sounds = _Sounds(speech, first, keep=self._telemetry.keeps_audio)
                yield sounds
                self._telemetry.sounded(span, "audio", b"".join(sounds.kept))


class _Sounds:
    """Audio as it passes, whose first piece is noticed."""

    def __init__(self, speech: AsyncIterator[bytes], first: Callable[[], None], *, keep: bool) -> None:
        self._speech = speech
        self._first: Callable[[], None] | None = first
        self._keep = keep
        self.kept: list[bytes] = []

    def __aiter__(self) -> _Sounds:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._speech)
        if piece and self._first is not None:
            self._first()
            self._first = None
        if self._keep:
            self.kept.append(piece)
        return piece


class WatchedWorkflow(_Watched):
    """A workflow: a span for each turn."""

    def __init__(self, telemetry: Telemetry, workflow: Workflow) -> None:
        super().__init__(telemetry, workflow)

    async def run(self, transcript: Transcript, send: Send, /) -> None:
        """Answer one turn."""
        words: list[str] = []

        async def heard(text: str) -> None:
            words.append(text)
            await send(text)

        async with self._telemetry.operation("workflow", {}, trio.current_time) as span:
            self._telemetry.said(span, "transcript", transcript.text)
            try:
                await self._inner.run(transcript, heard)
            finally:
                self._telemetry.said(span, "words", "".join(words))
