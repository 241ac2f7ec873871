"""One run of a pipeline: the task that hears, and the turns one after the other.

The first stage hears the whole input; each thing it hears is answered by a turn: the other stages, run anew in a scope of their own.
Cancelling that scope is barge-in: the workflow, the requests for speech and the audio nobody has taken go at once. A turn that
begins while somebody speaks is interrupted at once, for the same reason. What fails ends the run: an error event, then the closing
lifecycle events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from trio_codex.audio import WholeSamples
from trio_codex.body import leaves
from trio_codex.voice.events import (
    VoiceStreamEvent,
    VoiceStreamEventAudio,
    VoiceStreamEventError,
    VoiceStreamEventLifecycle,
)
from trio_codex.voice.inputs import Input, Pace, checked, pieces, pump
from trio_codex.voice.models import SpeechStarted, SpeechStopped, Transcript, TranscriptDelta
from trio_codex.voice.mouth import SentenceEnded, SentenceStarted
from trio_codex.voice.result import Turn, VoiceResult
from trio_codex.voice.stages import Stage, run_stages
from trio_codex.voice.workflows import Answering, saying

__all__ = ["Conversation", "Silence"]

_ROOM: Final = 4
_TURNS_WAITING: Final = 8
"""Of a recording that is sent as a stream, so many turns may be understood before they are answered."""


@attrs.frozen
class Silence:
    """What is said when nobody has spoken for `after` seconds; the function is told how many times in a row."""

    function: Callable[..., Any]
    after: float


class Conversation:
    """A run in progress."""

    def __init__(
        self,
        source: Input,
        hear: Stage[Any, Any],
        answer: tuple[Stage[Any, Any], ...],
        *,
        streamed: bool,
        barge_in: bool,
        silence: Silence | None,
    ) -> None:
        self._source = source
        self._hear = hear
        self._answer = answer
        self._mind = next((stage for stage in answer if isinstance(stage, Answering)), None)
        self._mouth = answer[answer.index(self._mind) + 1 :] if self._mind is not None else ()
        self._streamed = streamed
        self._barge_in = barge_in and streamed
        self._silence = silence if streamed else None
        self._pace = Pace()
        self._events, events = trio.open_memory_channel[VoiceStreamEvent](_ROOM)
        self.result: VoiceResult = VoiceResult(events)
        self._scope: trio.CancelScope | None = None  # of the turn that speaks
        self._open: Turn | None = None  # its beginning was told, its end not yet
        self._somebody_speaks = False
        self._input_over = False
        self._quiet_since = trio.current_time()

    async def run(self) -> None:
        """Run to the end of the input, or until something fails; the last event is `session_ended`."""
        with self._events:
            failure = await self._converse()
            if failure is not None:
                await self._events.send(VoiceStreamEventError(failure))
            if self._open is not None:
                await self._end(self._open)
            await self._events.send(VoiceStreamEventLifecycle("session_ended", len(self.result.turns)))

    async def _converse(self) -> Exception | None:
        """Hear and answer; gives what failed, None at the end of the input."""
        to_hear, audio = trio.open_memory_channel[bytes](_ROOM)
        heard, things = trio.open_memory_channel[Any](_ROOM)
        to_answer, cues = trio.open_memory_channel[Any](_TURNS_WAITING)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear_all, to_hear, audio, heard, name="voice ears")
                nursery.start_soon(self._listen, things, to_answer, name="voice listening")
                nursery.start_soon(self._take_turns, cues, name="voice turns")
        except BaseExceptionGroup as group:
            return first_failure(group)
        return None

    async def _hear_all(
        self,
        to_hear: trio.MemorySendChannel[bytes],
        audio: trio.MemoryReceiveChannel[bytes],
        heard: trio.MemorySendChannel[Any],
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, to_hear, name="voice input")
            await run_stages((self._hear,), audio, heard)
            nursery.cancel_scope.cancel()  # nobody hears what else comes

    async def _pump(self, to_hear: trio.MemorySendChannel[bytes]) -> None:
        await pump(self._source, self._pace, to_hear)
        self._input_over = True
        self._somebody_speaks = False  # or nobody would tell that they stopped

    async def _listen(self, things: trio.MemoryReceiveChannel[Any], to_answer: trio.MemorySendChannel[Any]) -> None:
        with things, to_answer:
            async for thing in things:
                match thing:
                    case SpeechStarted(audio_ms=audio_ms):
                        self._quiet_since = math.inf
                        if self._barge_in and self._pace.is_live(audio_ms):
                            self._somebody_speaks = not self._input_over
                            self._interrupt()
                    case SpeechStopped():
                        self._quiet_since = trio.current_time()
                        self._somebody_speaks = False
                    case TranscriptDelta(delta=delta):
                        self.result.partial_transcript += delta
                    case Transcript(text=text):
                        self.result.partial_transcript = ""
                        if text.strip() or not self._streamed:
                            await to_answer.send(thing)
                    case _:
                        await to_answer.send(thing)

    def _interrupt(self) -> None:
        if self._scope is not None and not self._scope.cancel_called:
            self.result.turns[-1].interrupted = True
            self._scope.cancel(reason="somebody speaks")

    # --- turns -----------------------------------------------------------------------------------------------------------

    async def _take_turns(self, cues: trio.MemoryReceiveChannel[Any]) -> None:
        silences = 0
        with cues:
            greeting = self._mind.greeting if self._mind is not None and self._streamed else None
            if greeting is not None:
                await self._turn((greeting, *self._mouth))
            while True:
                try:
                    cue = await self._next(cues)
                except trio.EndOfChannel:
                    return
                if cue is None:
                    assert self._silence is not None
                    silences += 1
                    await self._turn((saying(self._silence.function, silences), *self._mouth))
                else:
                    silences = 0
                    await self._turn(self._answer, cue)

    async def _next(self, cues: trio.MemoryReceiveChannel[Any]) -> Any:
        """Wait for the next cue; gives None when nobody has spoken for so long that a word is due."""
        while self._silence is not None:
            due = self._quiet_since + self._silence.after
            with trio.move_on_at(min(due, trio.current_time() + self._silence.after)):
                return await cues.receive()
            if trio.current_time() >= self._quiet_since + self._silence.after:
                return None
        return await cues.receive()

    async def _turn(self, stages: tuple[Stage[Any, Any], ...], cue: Any = None) -> None:
        turn = self.result.begin(cue if isinstance(cue, Transcript) else None)
        await self._events.send(VoiceStreamEventLifecycle("turn_started", turn.number))
        self._open = turn
        self._scope = trio.CancelScope()
        if self._somebody_speaks:
            self._interrupt()
        with self._scope:
            await self._say(turn, stages, cue)
            await self.result.wait_heard(turn)
        self._scope = None
        self._quiet_since = max(self._quiet_since, trio.current_time())
        if turn.interrupted and self._mind is not None:
            self._mind.interrupted(turn.text_heard)
        await self._end(turn)

    async def _end(self, turn: Turn) -> None:
        await self._events.send(VoiceStreamEventLifecycle("turn_ended", turn.number, turn.interrupted))
        self._open = None

    async def _say(self, turn: Turn, stages: tuple[Stage[Any, Any], ...], cue: Any) -> None:
        to_answer, cues = trio.open_memory_channel[Any](1)
        spoken, sounds = trio.open_memory_channel[Any](0)
        if cue is not None:
            to_answer.send_nowait(cue)
        to_answer.close()
        samples = WholeSamples()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_stages, stages, cues, spoken, name=f"voice turn {turn.number}")
            with sounds:
                async for sound in sounds:
                    match sound:
                        case SentenceStarted(text=text):
                            turn.begin(text)
                        case SentenceEnded():
                            turn.end()
                        case _:
                            await self._sound(turn, samples.feed(checked(sound)))

    async def _sound(self, turn: Turn, pcm: bytes) -> None:
        for piece in pieces(pcm):
            turn.add(len(piece))
            await self._events.send(VoiceStreamEventAudio(piece, turn.number))


def first_failure(group: BaseExceptionGroup[BaseException]) -> Exception:
    """Give the exception that ended a nursery: a closed channel never is, where there is another. Interrupts are raised on."""
    failures = [leaf for leaf in leaves(group) if not isinstance(leaf, trio.Cancelled)]
    if not failures or not all(isinstance(failure, Exception) for failure in failures):
        raise group
    causes = [failure for failure in failures if not isinstance(failure, trio.BrokenResourceError)]
    found = (causes or failures)[0]
    assert isinstance(found, Exception)
    return found
