"""Scripted models and a scripted workflow for a voice pipeline: `VoicePipeline(workflow, stt_model=…, tts_model=…)`.

::

    workflow = ScriptedWorkflow({"hello": ["Hello ", "to you."]})
    stt, tts = ScriptedSTTModel(["hello"]), ScriptedTTSModel()

They are fast, deterministic and need no extra. What a model was asked is kept (`heard`, `said`, `transcripts`), and an exception in a
script is raised in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import trio

from trio_codex.protocol import SemanticVAD
from trio_codex.speech import SpeechStarted as Started
from trio_codex.testing.voices import BYTES_PER_MS, CHUNK_MS, SimulatedDetector, SimulatedTTS, understood
from trio_codex.voice.models import (
    Heard,
    Send,
    SpeechStarted,
    SpeechStopped,
    STTSettings,
    Transcript,
    TTSSettings,
)

__all__ = ["ScriptedSTTModel", "ScriptedTTSModel", "ScriptedWorkflow"]

Scripted: TypeAlias = str | Transcript | Exception

_KEPT: Final = 2000 * BYTES_PER_MS
"""What is kept of the audio while nobody speaks."""
_DEFAULTS: Final = {"silence_duration_ms": 500, "prefix_padding_ms": 300, "eagerness": "auto"}


class ScriptedSTTModel:
    """A StreamingSTTModel that knows what it will hear, one transcript for each turn; without a script it understands simulated speech.

    Turns of a stream are found by loudness. `delay_s` is how long it thinks about a turn; `heard` are the turns' audio and settings.
    """

    def __init__(self, transcripts: Iterable[Scripted] | None = None, *, delay_s: float = 0) -> None:
        self._transcripts = None if transcripts is None else deque(transcripts)
        self._delay_s = delay_s
        self.heard: list[tuple[bytes, STTSettings]] = []

    async def transcribe(self, pcm: bytes, settings: STTSettings, /) -> Transcript:
        """Give the next transcript, an empty one after the last. Raises what the script has in its place."""
        self.heard.append((pcm, settings))
        await trio.sleep(self._delay_s)
        if self._transcripts is None:
            return Transcript(understood(pcm))
        scripted = self._transcripts.popleft() if self._transcripts else ""
        if isinstance(scripted, Exception):
            raise scripted
        return scripted if isinstance(scripted, Transcript) else Transcript(scripted)

    @asynccontextmanager
    async def open_stream(self, settings: STTSettings, /) -> AsyncIterator[ScriptedStream]:
        """Open a stream."""
        yield ScriptedStream(self, settings)


class ScriptedStream:
    """A stream of a `ScriptedSTTModel`."""

    def __init__(self, model: ScriptedSTTModel, settings: STTSettings) -> None:
        self._model = model
        self._settings = settings
        kind = "semantic_vad" if isinstance(settings.turn_detection, SemanticVAD) else "server_vad"
        given = {name: value for name, value in _set(settings.turn_detection).items() if name in _DEFAULTS}
        self._detector = SimulatedDetector({"type": kind, **_DEFAULTS, **given}, 0)
        self._pcm = bytearray()
        self._dropped = 0  # bytes before `_pcm`
        self._turn: int | None = None  # where it begins, in bytes of all audio
        # Unbounded: what is told of a stream is far less than the stream.
        self._tell, self._told = trio.open_memory_channel[SpeechStarted | SpeechStopped | bytes](float("inf"))

    async def send(self, pcm: bytes, /) -> None:
        """Hear more."""
        await trio.lowlevel.checkpoint()
        for at in range(0, len(pcm), CHUNK_MS * BYTES_PER_MS):
            self._hear(pcm[at : at + CHUNK_MS * BYTES_PER_MS])

    def _hear(self, piece: bytes) -> None:
        self._pcm += piece
        if self._turn is None and len(self._pcm) > _KEPT:
            self._dropped += len(self._pcm) - _KEPT
            del self._pcm[:-_KEPT]
        for event in self._detector.feed(piece):
            if isinstance(event, Started):
                self._turn = event.audio_start_ms * BYTES_PER_MS
                self._tell.send_nowait(SpeechStarted(event.audio_start_ms))
            else:
                self._stop(event.audio_end_ms)

    def _stop(self, end_ms: int) -> None:
        self._tell.send_nowait(SpeechStopped(end_ms))
        begin = (self._turn or 0) - self._dropped
        self._tell.send_nowait(bytes(self._pcm[max(begin, 0) : end_ms * BYTES_PER_MS - self._dropped]))
        self._turn = None

    async def end(self) -> None:
        """Say that no more comes; a turn in progress is over."""
        await trio.lowlevel.checkpoint()
        if self._turn is not None:
            self._stop(self._detector.position_ms)
        self._tell.close()

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> Heard:
        """What is heard next."""
        try:
            heard = await self._told.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        return await self._model.transcribe(heard, self._settings) if isinstance(heard, bytes) else heard


def _set(detection: Any) -> dict[str, Any]:
    return {name: value for name in _DEFAULTS if isinstance(value := getattr(detection, name, None), int | str)}


class ScriptedTTSModel:
    """A TTSModel that says simulated speech, `pace` times as fast as it sounds.

    `failures` are raised at the end of these texts' speech, once each. `said` are the texts and settings it was given.
    """

    def __init__(self, *, pace: float = 1.0, failures: Mapping[str, Exception] | None = None) -> None:
        self._voice = SimulatedTTS(pace=pace)
        self._failures = dict(failures or {})
        self.said: list[tuple[str, TTSSettings]] = []

    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings, /) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text."""
        self.said.append((text, settings))
        async with self._voice.speak(text, speed=settings.speed or 1.0) as speech:
            yield _Failing(speech, self._failures.pop(text, None))


class _Failing:
    def __init__(self, speech: AsyncIterator[bytes], failure: Exception | None) -> None:
        self._speech = speech
        self._failure = failure

    def __aiter__(self) -> _Failing:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._speech)
        except StopAsyncIteration:
            if self._failure is not None:
                raise self._failure from None
            raise


Answers: TypeAlias = str | Sequence[str | Exception] | Exception


class ScriptedWorkflow:
    """A Workflow whose answers are written down: by what is said, in order, or by a function of the words.

    An answer is a text, its pieces, or an exception, which is raised where it stands. What no script knows is answered by nothing.
    `transcripts` are the turns that it answered, `interruptions` what was heard of turns that were cut short.
    """

    def __init__(
        self,
        answers: Mapping[str, Answers] | Iterable[Answers] | Callable[[str], Answers],
        *,
        greeting: str | None = None,
        delay_s: float = 0,
    ) -> None:
        self._answers = answers if isinstance(answers, Mapping) or callable(answers) else deque(answers)
        self._greeting = greeting
        self._delay_s = delay_s
        self.transcripts: list[Transcript] = []
        self.interruptions: list[str] = []

    async def on_start(self, send: Send, /) -> None:
        """Greet, if there is a greeting."""
        if self._greeting is not None:
            await send(self._greeting)

    async def run(self, transcript: Transcript, send: Send, /) -> None:
        """Answer a turn."""
        self.transcripts.append(transcript)
        answer = self._answer_to(transcript.text)
        for piece in [answer] if isinstance(answer, str | Exception) else answer:
            await trio.sleep(self._delay_s)
            if isinstance(piece, Exception):
                raise piece
            await send(piece)

    def _answer_to(self, words: str) -> Answers:
        if isinstance(self._answers, deque):
            return self._answers.popleft() if self._answers else ()
        return self._answers(words) if callable(self._answers) else self._answers.get(words, ())

    def on_interrupted(self, heard: str) -> None:
        """A turn was cut short."""
        self.interruptions.append(heard)
