"""Models and audio for these tests: prompt, deterministic, and they keep count of what is asked of them."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import attrs
import trio

from trio_codex.voice import (
    Heard,
    SpeechStarted,
    SpeechStopped,
    STTSettings,
    Transcript,
    TTSSettings,
    VoicePipeline,
    VoiceResult,
    VoiceStreamEvent,
    VoiceStreamEventAudio,
    VoiceStreamEventError,
    VoiceStreamEventLifecycle,
)
from trio_codex.voice.inputs import Input

TURN = ["turn_started", "audio", "turn_ended"]

_PERIOD = array("h", [9000 if at < 27 else -9000 for at in range(54)]).tobytes()


def tone(ms: int) -> bytes:
    """Somebody speaks, as far as loudness goes."""
    return (_PERIOD * (48 * ms // len(_PERIOD) + 1))[: 48 * ms]


def silence(ms: int) -> bytes:
    return bytes(48 * ms)


class STT:
    """Gives its transcripts in turn; an exception among them is raised."""

    def __init__(self, *transcripts: str | Exception, delay: float = 0.05) -> None:
        self._transcripts = list(transcripts)
        self._delay = delay
        self.heard: list[bytes] = []
        self.active = 0

    async def transcribe(self, pcm: bytes, settings: STTSettings) -> Transcript:
        self.heard.append(pcm)
        self.active += 1
        try:
            await trio.sleep(self._delay)
        finally:
            self.active -= 1
        given = self._transcripts.pop(0) if self._transcripts else ""
        if isinstance(given, Exception):
            raise given
        return Transcript(given)


@attrs.define
class TTS:
    """Says every character in `ms_per_character`, in chunks of odd sizes, at `speed` times real time after `delay`."""

    delay: float = 0.1
    speed: float = 2.0
    ms_per_character: int = 20
    chunk: int = 1023
    before: Callable[[str], None] = lambda text: None
    said: list[str] = attrs.field(factory=list)
    active: int = 0
    most: int = 0

    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings) -> AsyncIterator[AsyncIterator[bytes]]:
        self.said.append(text)
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            await trio.sleep(self.delay)
            self.before(text)
            yield _Speech(tone(self.ms_per_character * len(text)), self.chunk, self.speed)
        finally:
            self.active -= 1


class _Speech:
    def __init__(self, pcm: bytes, chunk: int, speed: float) -> None:
        self._pcm = pcm
        self._chunk = chunk
        self._speed = speed

    def __aiter__(self) -> _Speech:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(self._chunk / 48_000 / self._speed)
        chunk, self._pcm = self._pcm[: self._chunk], self._pcm[self._chunk :]
        if not chunk:
            raise StopAsyncIteration
        return chunk


class StreamingSTT(STT):
    """Hears turns by itself: loud audio is speech, and each quiet piece after it ends a turn."""

    @asynccontextmanager
    async def open_stream(self, settings: STTSettings) -> AsyncIterator[_Stream]:
        yield _Stream(self, settings)


class _Stream:
    def __init__(self, model: StreamingSTT, settings: STTSettings) -> None:
        self._model = model
        self._settings = settings
        self._heard, self._things = trio.open_memory_channel[Heard](100)
        self._ms = 0
        self._utterance = b""

    async def send(self, pcm: bytes) -> None:
        loud = any(pcm)
        if loud and not self._utterance:
            await self._heard.send(SpeechStarted(self._ms))
        self._ms += len(pcm) // 48
        if loud:
            self._utterance += pcm
        else:
            await self.end_of_turn()

    async def end_of_turn(self) -> None:
        if self._utterance:
            utterance, self._utterance = self._utterance, b""
            await self._heard.send(SpeechStopped(self._ms))
            await self._heard.send(await self._model.transcribe(utterance, self._settings))

    async def end(self) -> None:
        await self.end_of_turn()
        self._heard.close()

    def __aiter__(self) -> AsyncIterator[Heard]:
        return self._things


@attrs.define
class Course:
    """What came of a run, with the time of each event."""

    result: VoiceResult
    events: list[VoiceStreamEvent] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)

    @property
    def names(self) -> list[str]:
        """The events by name; audio only once in a row."""
        found: list[str] = []
        for event in self.events:
            match event:
                case VoiceStreamEventAudio():
                    name = "audio"
                case VoiceStreamEventError():
                    name = "error"
                case VoiceStreamEventLifecycle(event=name, interrupted=interrupted):
                    name += " interrupted" if interrupted else ""
            if name != "audio" or found[-1:] != ["audio"]:
                found.append(name)
        return found

    @property
    def errors(self) -> list[Exception]:
        return [event.error for event in self.events if isinstance(event, VoiceStreamEventError)]

    @property
    def audio(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, VoiceStreamEventAudio))

    def time_of(self, name: str, number: int = 1) -> float:
        """When the event came for the so manyth time."""
        return [time for event, time in zip(self.events, self.times, strict=True) if name_of(event) == name][number - 1]


def name_of(event: VoiceStreamEvent) -> str:
    match event:
        case VoiceStreamEventAudio():
            return "audio"
        case VoiceStreamEventError():
            return "error"
        case VoiceStreamEventLifecycle(event=name):
            return name


async def course(pipeline: VoicePipeline, audio: Input, *, played: bool = False) -> Course:
    """Run a pipeline to its end; `played` takes as long for audio as it lasts."""
    begin = trio.current_time()
    async with pipeline.run(audio) as result:
        found = Course(result)
        async for event in result:
            found.events.append(event)
            found.times.append(trio.current_time() - begin)
            if played and isinstance(event, VoiceStreamEventAudio):
                await trio.sleep(len(event.data) / 48_000)
    return found


async def paced(*parts: bytes, step_ms: int = 100) -> AsyncIterator[bytes]:
    """Audio as a microphone gives it."""
    for part in parts:
        for at in range(0, len(part), 48 * step_ms):
            piece = part[at : at + 48 * step_ms]
            await trio.sleep(len(piece) / 48_000)
            yield piece


def words(texts: Iterable[str]) -> list[str]:
    return " ".join(texts).split()
