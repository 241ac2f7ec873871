"""Speech on this machine, without a server, a key or the network: the engines of `trio_codex.speech` as models of a pipeline.

Their worker processes start with a run of a pipeline and end with it. All of it needs the extra `local`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Literal

import trio

from trio_codex.speech import RecognitionStream, Recognizer, Synthesizer, open_recognizer, open_synthesizer
from trio_codex.voice.models import Heard, SpeechStarted, STTSettings, Transcript, TTSSettings
from trio_codex.voice.turns import Cut, Cutter, Utterance, detector_for

__all__ = ["LocalSTT", "LocalTTS"]

_ROOM: Final = 16


class LocalSTT:
    """Speech-to-text with pocketsphinx: English, modest, and while somebody speaks, so that little is left to do when they stop.

    Of the settings only `turn_detection` counts. `workers` is how many processes a run may have.
    """

    def __init__(self, *, workers: int = 1) -> None:
        self._workers = workers

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenLocalSTT]:
        """Start the recogniser. Raises ConfigurationError without the extra `local`."""
        async with open_recognizer(workers=self._workers) as recognizer:
            yield OpenLocalSTT(recognizer)

    async def transcribe(self, pcm: bytes, settings: STTSettings) -> Transcript:
        """Return what is said in a recording, by a process started for it. Raises VoiceError, ConfigurationError."""
        async with self.open() as model:
            return await model.transcribe(pcm, settings)


class OpenLocalSTT:
    """A LocalSTT whose recogniser runs."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    async def transcribe(self, pcm: bytes, settings: STTSettings) -> Transcript:
        """Return what is said in a recording. Raises VoiceError."""
        text = await self._recognizer.transcribe(pcm)
        return Transcript(text, language="en", duration_s=len(pcm) / 48_000)

    @asynccontextmanager
    async def open_stream(self, settings: STTSettings) -> AsyncIterator[LocalStream]:
        """Open a stream; the turns in it are found by `trio_codex.speech.TurnDetector`."""
        async with AsyncExitStack() as utterance:
            yield LocalStream(self._recognizer, Cutter(detector_for(settings.turn_detection)), utterance)


class LocalStream:
    """A stream of audio; each utterance in it is recognised while it is spoken."""

    def __init__(self, recognizer: Recognizer, cutter: Cutter, utterance: AsyncExitStack) -> None:
        self._recognizer = recognizer
        self._cutter = cutter
        self._utterance = utterance
        self._recognition: RecognitionStream | None = None
        self._length = 0
        self._tell, self._heard = trio.open_memory_channel[Heard](_ROOM)

    async def send(self, pcm: bytes) -> None:
        """Hear more; waits while the recogniser is behind. Raises VoiceError."""
        for cut in self._cutter.feed(pcm):
            await self._take(cut)

    async def end(self) -> None:
        """Say that no more comes. Raises VoiceError."""
        for cut in self._cutter.finish():
            await self._take(cut)
        self._tell.close()

    def __aiter__(self) -> trio.MemoryReceiveChannel[Heard]:
        return self._heard

    async def _take(self, cut: Cut) -> None:
        if isinstance(cut, SpeechStarted):
            await self._tell.send(cut)
            self._recognition = await self._utterance.enter_async_context(self._recognizer.stream())
            self._length = 0
            return
        assert self._recognition is not None
        if isinstance(cut, Utterance):
            self._length += len(cut.pcm)
            await self._recognition.feed(cut.pcm)
        else:
            await self._tell.send(cut)
            text = await self._recognition.finish()
            await self._utterance.aclose()
            await self._tell.send(Transcript(text, language="en", duration_s=self._length / 48_000))


class LocalTTS:
    """Text-to-speech with flite or espeak-ng (`engine` None: flite where its command is there).

    Of the settings `voice` and `speed` count; any name is a voice, one of those of `trio_codex.speech.VOICES`. `workers` is how many
    sentences are said at the same time.
    """

    def __init__(self, *, workers: int = 1, engine: Literal["flite", "espeak-ng"] | None = None) -> None:
        self._workers = workers
        self._engine: Literal["flite", "espeak-ng"] | None = engine

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenLocalTTS]:
        """Start the synthesiser. Raises ConfigurationError without the extra `local` or the engine."""
        async with open_synthesizer(workers=self._workers, engine=self._engine) as synthesizer:
            yield OpenLocalTTS(synthesizer)

    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text, by a process started for it. Raises VoiceError, ConfigurationError."""
        async with self.open() as model, model.speak(text, settings) as speech:
            yield speech


class OpenLocalTTS:
    """A LocalTTS whose synthesiser runs."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer

    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text. Raises VoiceError."""
        voice = settings.voice if isinstance(settings.voice, str) else settings.voice.get("id", "")
        speed = 1.0 if settings.speed is None else settings.speed
        async with self._synthesizer.speak(text, voice=voice, speed=speed) as speech:
            yield speech
