from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from trio_codex import Agent, Session, Tool, open_realtime_session, tool
from trio_codex.protocol import ConversationItemCreate, ResponseCreate
from trio_codex.testing import Call, Line, answer, scripted
from trio_codex.tool_running import THREADS
from trio_codex.transport import Target, Transport

CLOCK = "real"

LIMIT_S = 60


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What sync tools of these tests wait for; open at the end, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


@asynccontextmanager
async def threaded_session(*tools: Tool) -> AsyncIterator[tuple[Session, Line]]:
    """A scripted session whose sync tools run in threads, as they do outside of tests."""
    async with scripted() as peer:

        @asynccontextmanager
        async def connect(target: Target, /) -> AsyncIterator[Transport]:
            async with peer(target) as transport:
                yield transport

        async with open_realtime_session(Agent(tools=tools), transport=connect, api_key="sk-test") as session:
            yield session, peer.line


async def output(line: Line) -> str:
    item = (await line.expect(ConversationItemCreate, within=LIMIT_S)).item
    assert item.type == "function_call_output"
    return item.output  # type: ignore[union-attr,return-value]


async def test_sync_tools_run_in_threads_at_the_same_time() -> None:
    together = threading.Barrier(3)

    @tool
    def meet() -> str:
        """Meet the others."""
        together.wait(LIMIT_S)
        return str(threading.get_ident())

    async with threaded_session(meet) as (_, line):
        await answer(line, calls=[Call(f"c{number}", "meet") for number in range(3)])
        threads = {await output(line) for _ in range(3)}
        assert len(threads) == 3
        assert str(threading.get_ident()) not in threads
        await line.expect(ResponseCreate)


async def test_a_sync_tool_that_raises() -> None:
    @tool
    def fail() -> str:
        """Fail."""
        raise ValueError("in a thread")

    async with threaded_session(fail) as (_, line):
        await answer(line, calls=[Call("c1", "fail")])
        assert await output(line) == "Error: in a thread"


async def test_a_sync_tool_may_come_back_to_trio() -> None:
    @tool
    def ask() -> str:
        """Ask the event loop."""
        return str(trio.from_thread.run_sync(lambda: 42))

    async with threaded_session(ask) as (_, line):
        await answer(line, calls=[Call("c1", "ask")])
        assert await output(line) == "42"


async def test_a_sync_tool_may_close_the_session() -> None:
    sessions: list[Session] = []

    @tool
    def hang_up() -> str:
        """Hang up."""
        trio.from_thread.run(sessions[0].aclose)
        return "never"

    with trio.fail_after(LIMIT_S):
        async with threaded_session(hang_up) as (session, line):
            sessions.append(session)
            await answer(line, calls=[Call("c1", "hang_up")])
            async for _ in session:
                pass
            assert (await line.expect_end()).code == 1000


async def test_a_sync_tool_that_takes_too_long_is_abandoned_by_name(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    @tool(timeout=0.05)
    def stuck() -> str:
        """Be stuck."""
        gate.wait(10)
        return "never"

    async with threaded_session(stuck) as (_, line):
        await answer(line, calls=[Call("c1", "stuck")])
        assert await output(line) == "Error: The tool took longer than 0.05 s and was stopped"
        await line.expect(ResponseCreate)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "the sync tool stuck was abandoned: its thread runs on until the function returns"
    ]


async def test_leaving_does_not_wait_for_sync_tools(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    @tool
    def stuck() -> str:
        """Be stuck."""
        begun.set()
        gate.wait(10)
        return "never"

    with trio.fail_after(LIMIT_S):
        async with threaded_session(stuck) as (session, line):
            await answer(line, calls=[Call("c1", "stuck")])
            async for _ in session:
                break
            while not begun.is_set():  # noqa: ASYNC110 - threads do not set Trio's events
                await trio.sleep(0.01)
    assert "the sync tool stuck was abandoned" in caplog.text


async def test_a_sync_tool_that_never_began_is_not_abandoned_and_never_runs(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    @tool
    def stuck(name: str) -> str:
        """Be stuck."""
        begun.append(name)
        gate.wait(10)
        return "never"

    async with threaded_session(stuck) as (_, line):
        calls = [Call(f"c{number}", "stuck", f'{{"name": "{number}"}}') for number in range(THREADS + 4)]
        await answer(line, calls=calls)
        with trio.fail_after(LIMIT_S):
            while len(begun) < THREADS:  # noqa: ASYNC110 - threads do not set Trio's events
                await trio.sleep(0.01)
    gate.set()
    await trio.sleep(0.05)
    assert len(begun) == THREADS
    assert caplog.text.count("was abandoned") == THREADS


async def test_a_busy_sync_tool_does_not_stop_the_session() -> None:
    @tool
    def compute() -> str:
        """Keep a thread busy."""
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            pass
        return "done"

    async with threaded_session(compute) as (session, line):
        await answer(line, calls=[Call("c1", "compute")])
        for number in range(5):
            await session.send_message(str(number), respond=False)
            assert (await line.expect(ConversationItemCreate, within=LIMIT_S)).item.type == "message"
        assert await output(line) == "done"
