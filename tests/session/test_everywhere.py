"""Nothing is left, whatever happens at whichever step of a conversation: it is cancelled, left, interrupted, or a task of ours fails."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio._core._run as scheduler
from trio.testing import MockClock

from trio_codex import Agent, Guardrail, Session, SessionSettings, open_realtime_session, tool
from trio_codex.errors import InternalError
from trio_codex.protocol import InputAudioBufferCommit, ResponseCreate
from trio_codex.testing import Call, Line, ScriptedPeer, ScriptFailed, Steps, answer, scripted

RECORDED = False  # every step is a case here, and those of the recorder are not the session's

OURS = ("session ", "tool ", "handoff ", "guardrail ", "timer")
PIECE = bytes(9600)


# --- the conversation ----------------------------------------------------------------------------------------------------


@tool
async def look_up(name: str) -> str:
    """Look a name up."""
    await trio.sleep(0.1)
    return f"{name} is here"


@tool
def note(text: str) -> str:
    """Take a note."""
    return "noted"


@tool
async def search_for_ever() -> str:
    """Search for ever."""
    await trio.sleep_forever()
    return "never"


async def swearing(text: str) -> bool:
    await trio.sleep(0.05)
    return "damned" in text


EXPERT = Agent(name="Expert", tools=[note])
SUPPORT = Agent(name="Support", tools=[note], guardrails=[Guardrail(swearing, hold="sentence")])
GREETER = Agent(name="Greeter", tools=[look_up, note, search_for_ever, EXPERT.as_tool()], handoffs=[SUPPORT])


async def serve(line: Line) -> None:
    """A server that answers whatever the session says, and does not mind when it hangs up."""
    turns: Iterator[dict[str, Any]] = iter(
        [
            {"calls": [Call("c1", "look_up", '{"name":"Ada"}'), Call("c2", "expert", '{"input":"Ada"}')]},
            {"words": "Noted."},
            {"calls": [Call("c3", "transfer_to_support")]},
            {"words": "Support speaking.", "audio": PIECE},
            {"words": "I heard the damned thing.", "audio": PIECE},
            {"words": "I heard you.", "audio": PIECE},
        ]
    )
    with contextlib.suppress(ScriptFailed):
        async for event in line:
            if isinstance(event, InputAudioBufferCommit):
                await line.say("input_audio_buffer.committed", item_id="item_u")
            elif isinstance(event, ResponseCreate):
                if turn := next(turns, None):
                    await answer(line, event, **turn)
                else:
                    response = {"id": "resp_last", "conversation_id": "conv", "status": "in_progress"}
                    await line.say("response.created", response=response)


@attrs.define
class Run:
    """One conversation: the scopes by which it can be ended, and what can be looked at afterwards."""

    whole: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    user: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    body: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    peer: ScriptedPeer | None = None
    session: Session | None = None
    survivors: list[str] = attrs.field(factory=list)
    goodbye: int | None = None
    error: BaseException | None = None

    async def main(self) -> None:
        with self.whole:
            async with scripted(serve) as self.peer:
                with self.user:
                    try:
                        await self.converse(self.peer)
                    finally:
                        self.survivors = [name for name in living_tasks() if name.startswith(OURS)]
                await trio.testing.wait_all_tasks_blocked()
                self.goodbye = self.peer.line._ended.code

    async def converse(self, peer: ScriptedPeer) -> None:
        async with open_realtime_session(GREETER, transport=peer, api_key="sk-test") as self.session:
            with self.body:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.listen, self.session)
                    nursery.start_soon(self.play, self.session)
                    await self.talk(self.session)
                    nursery.cancel_scope.cancel()

    async def talk(self, session: Session) -> None:
        reply = await session.ask("Is Ada here?")
        assert reply.transcript == "Support speaking."
        await session.send_audio(PIECE + PIECE, commit=True)
        await trio.sleep(0.3)
        await session.update_session(SessionSettings(speed=1.1))
        await session.respond()
        await trio.sleep(0.1)
        await session.interrupt()
        await session.send_message("Good-bye", respond=False)
        with session.subscribe():
            await session.aclose()

    async def listen(self, session: Session) -> None:
        async for _ in session:
            pass

    async def play(self, session: Session) -> None:
        async for pcm in session.audio:
            await trio.sleep(len(pcm) / 48_000)
            session.playback.played("item", 0, len(pcm))

    def start(self, seed: int, steps: Steps) -> Run:
        scheduler._r.seed(seed)
        files, threads = open_files(), threading.active_count()
        try:
            trio.run(self.main, clock=MockClock(autojump_threshold=0), instruments=[steps])
        except BaseException as error:
            self.error = error
        assert self.survivors == []
        assert open_files() == files
        assert threading.active_count() <= threads  # threads of earlier tests, which Trio keeps for a while, may end
        self.check_channels()
        return self

    def check_channels(self) -> None:
        assert self.peer is not None
        for end in (self.peer.near,):
            for channel in (end._outgoing, end._incoming):
                assert channel.statistics().tasks_waiting_send == channel.statistics().tasks_waiting_receive == 0
        if self.session is not None:
            shell = self.session._shell
            assert shell.outbox.closed
            assert not shell.outbox.take()
            assert shell.outbox.waiting == 0
            assert not shell._waiting
            assert not self.session._stream._busy
            assert not shell.speaker._busy


def living_tasks() -> list[str]:
    found = []
    tasks = [trio.lowlevel.current_root_task()]
    while tasks:
        task = tasks.pop()
        if task is not None:
            found.append(task.name)
            tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def steps_of(seed: int, of: Callable[[trio.lowlevel.Task], bool] | None = None) -> range:
    """The steps of a conversation that nothing happens to."""
    steps = Steps(of=of)
    run = Run().start(seed, steps)
    if run.error is not None:
        raise run.error
    assert run.goodbye == 1000
    assert run.session is not None
    assert run.session.current_agent is SUPPORT
    return range(1, steps.count + 1)


def leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in leaves(member)]
    return [] if error is None else [error]


# --- and what happens to it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1])  # one order of the scheduler; each costs some 400 conversations
def test_the_users_task_is_cancelled_at_every_step(seed: int) -> None:
    for at in steps_of(seed):
        run = Run()
        run.start(seed, Steps(at, lambda task, run=run: run.user.cancel()))  # type: ignore[misc]
        assert leaves(run.error) == [], f"at step {at}"
        assert run.goodbye == (1000 if run.session else 1006), f"at step {at}"


@pytest.mark.parametrize("seed", [1])  # one order of the scheduler; each costs some 400 conversations
def test_everything_is_cancelled_at_every_step(seed: int) -> None:
    for at in steps_of(seed):
        run = Run()
        run.start(seed, Steps(at, lambda task, run=run: run.whole.cancel()))  # type: ignore[misc]
        assert leaves(run.error) == [], f"at step {at}"


@pytest.mark.parametrize("seed", [1])  # one order of the scheduler; each costs some 400 conversations
def test_the_block_is_left_at_every_step(seed: int) -> None:
    for at in steps_of(seed):
        run = Run()
        run.start(seed, Steps(at, lambda task, run=run: run.body.cancel()))  # type: ignore[misc]
        assert leaves(run.error) == [], f"at step {at}"
        assert run.goodbye == 1000, f"at step {at}"


class BoomError(Exception):
    pass


def boom() -> None:
    raise BoomError


SERVICES = ["session reader", "session writer", "session leaving", "timer"]


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_fails_at_each_of_its_steps(service: str) -> None:
    def of(task: trio.lowlevel.Task) -> bool:
        return task.name == service

    failed = 0
    for at in steps_of(1, of):
        injected: list[bool] = []

        def fail(task: trio.lowlevel.Task, injected: list[bool] = injected) -> None:
            if task._abort_func is not None:  # it waits, and not for the last time
                task._attempt_abort(boom)
                injected.append(True)

        run = Run().start(1, Steps(at, fail, of=of))
        if injected:
            failed += 1
            [error] = leaves(run.error)
            assert isinstance(error, InternalError), f"at step {at}: {error!r}"
            assert isinstance(error.__cause__, BoomError)
    assert failed


def test_ctrl_c_at_every_step() -> None:
    for at in steps_of(1):
        run = Run().start(1, Steps(at, lambda task: signal.raise_signal(signal.SIGINT)))
        assert {type(leaf) for leaf in leaves(run.error)} <= {KeyboardInterrupt}, f"at step {at}"
