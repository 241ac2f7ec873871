"""Nothing is left, whatever happens at whichever step of a conversation: it is cancelled, left, interrupted, or a task of ours fails."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
import trio._core._run as scheduler
from trio.testing import MockClock

from tests.session.test_everywhere import leaves, living_tasks, open_files
from tests.voice.scripted import TTS, StreamingSTT, name_of, silence, tone
from trio_codex.testing import Steps
from trio_codex.voice import (
    AudioInput,
    Send,
    StreamedAudioInput,
    Transcript,
    VoicePipeline,
    VoiceResult,
    VoiceStreamEventAudio,
    VoiceStreamEventLifecycle,
)
from trio_codex.voice.inputs import Input


class Mind:
    """A workflow with everything that one may have."""

    def __init__(self) -> None:
        self.open_now = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Mind]:
        self.open_now += 1
        try:
            await trio.lowlevel.checkpoint()
            yield self
        finally:
            self.open_now -= 1

    async def on_start(self, send: Send) -> None:
        await send("Hello.")

    async def run(self, transcript: Transcript, send: Send) -> None:
        for word in f"You said {transcript}. And more.".split():
            await send(word + " ")
            await trio.sleep(0.01)

    def on_interrupted(self, heard: str) -> None:
        assert isinstance(heard, str)


@attrs.define
class Run:
    """One conversation: the scopes by which it can be ended, and what can be looked at afterwards."""

    recording: bool = False
    whole: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    body: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    stt: StreamingSTT = attrs.field(factory=lambda: StreamingSTT("one", "two", delay=0.02))
    tts: TTS = attrs.field(factory=lambda: TTS(delay=0.02, speed=20, chunk=4801))
    mind: Mind = attrs.field(factory=Mind)
    result: VoiceResult | None = None
    seen: list[str] = attrs.field(factory=list)
    survivors: list[str] = attrs.field(factory=list)
    error: BaseException | None = None

    async def main(self) -> None:
        with self.whole:
            try:
                await self.converse()
            finally:
                self.survivors = [name for name in living_tasks() if name.startswith("voice")]

    async def converse(self) -> None:
        audio = StreamedAudioInput(room=3)
        pipeline = VoicePipeline(self.mind, stt_model=self.stt, tts_model=self.tts)
        heard: Input = AudioInput(tone(200)) if self.recording else audio
        async with pipeline.run(heard) as self.result:
            with self.body:
                async with trio.open_nursery() as nursery:
                    if not self.recording:
                        nursery.start_soon(self.talk, audio)
                    async for event in self.result:
                        self.seen.append(name_of(event))
                        if isinstance(event, VoiceStreamEventAudio):
                            await trio.sleep(len(event.data) / 48_000)

    async def talk(self, audio: StreamedAudioInput) -> None:
        with suppress(trio.BrokenResourceError):  # the run was ended by an error
            for part in (silence(300), tone(200), silence(400), tone(200), silence(100)):
                for at in range(0, len(part), 4800):
                    await trio.sleep(0.1)
                    await audio.send(part[at : at + 4800])
        await audio.aclose()

    def start(self, seed: int, steps: Steps) -> Run:
        scheduler._r.seed(seed)
        files = open_files()
        try:
            trio.run(self.main, clock=MockClock(autojump_threshold=0), instruments=[steps])
        except BaseException as error:
            self.error = error
        assert self.survivors == []
        assert open_files() == files
        assert (self.stt.active, self.tts.active, self.mind.open_now) == (0, 0, 0)
        assert self.tts.most <= 3
        return self


def steps_of(of: Callable[[trio.lowlevel.Task], bool] | None = None, **options: Any) -> range:
    """The steps of a conversation that nothing happens to."""
    steps = Steps(of=of)
    run = Run(**options).start(1, steps)
    if run.error is not None:
        raise run.error
    assert run.seen[-1] == "session_ended"
    assert run.result is not None
    assert run.result.transcripts == (["one"] if run.recording else ["one", "two"])
    assert [turn.interrupted for turn in run.result.turns] == ([False] if run.recording else [False, True, False])
    return range(1, steps.count + 1)


@pytest.mark.parametrize("recording", [False, True])
@pytest.mark.parametrize("what", ["whole", "body"])
def test_it_is_cancelled_or_left_at_every_step(what: str, recording: bool) -> None:
    for at in steps_of(recording=recording):
        run = Run(recording=recording)
        scope: trio.CancelScope = getattr(run, what)
        run.start(1, Steps(at, lambda task, scope=scope: scope.cancel()))  # type: ignore[misc]
        assert leaves(run.error) == [], f"at step {at}"


class BoomError(Exception):
    pass


def boom() -> None:
    raise BoomError


INSIDE = [
    "voice hearing",
    "voice input",
    "voice synthesis",
    "voice order of sentences",
    "voice listening",
    "voice turns",
]


@pytest.mark.parametrize("name", INSIDE)
def test_each_task_fails_at_each_of_its_steps(name: str) -> None:
    """An error of any part is one error event, the turn and the session end, and the block is left as ever."""

    def of(task: trio.lowlevel.Task) -> bool:
        return task.name == name

    failed = 0
    for at in steps_of(of):
        injected: list[bool] = []

        def fail(task: trio.lowlevel.Task, injected: list[bool] = injected) -> None:
            if task._abort_func is not None:  # it waits, and not for the last time
                task._attempt_abort(boom)
                injected.append(True)

        run = Run().start(1, Steps(at, fail, of=of))
        assert run.error is None, f"at step {at}"
        assert run.seen[-1] == "session_ended"
        assert run.seen.count("turn_started") == run.seen.count("turn_ended")
        if injected and "error" in run.seen:
            failed += 1
            assert run.seen.count("error") == 1
            assert run.seen[run.seen.index("error") + 1 :] in (["turn_ended", "session_ended"], ["session_ended"])
    assert failed


@pytest.mark.parametrize(("recording", "stride"), [(True, 1), (False, 5)])
def test_ctrl_c_at_many_steps(recording: bool, stride: int) -> None:
    for at in steps_of(recording=recording)[::stride]:
        run = Run(recording=recording).start(1, Steps(at, lambda task: signal.raise_signal(signal.SIGINT)))
        assert {type(leaf) for leaf in leaves(run.error)} <= {KeyboardInterrupt}, f"at step {at}"


def test_the_body_raises_at_every_event() -> None:
    async def main(at: int) -> bool:
        error = BoomError()
        run = Run()
        pipeline = VoicePipeline(run.mind, stt_model=run.stt, tts_model=run.tts)
        try:
            async with pipeline.run(AudioInput(tone(200))) as result:
                count = 0
                async for event in result:
                    count += 1
                    if count == at:
                        raise error
                    last = event
        except BoomError as raised:
            assert raised is error
            assert (run.stt.active, run.tts.active, run.mind.open_now) == (0, 0, 0)
            return True
        assert last == VoiceStreamEventLifecycle("session_ended", 1)
        return False

    at = 1
    while trio.run(main, at, clock=MockClock(autojump_threshold=0)):
        at += 1
    assert at > 5
