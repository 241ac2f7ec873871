from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
import trio
import trio.testing

from tests.session.test_audio import Together
from trio_codex import Agent, Session, ToolContext, open_realtime_session, tool
from trio_codex.errors import LocalProtocolError, ToolError
from trio_codex.events import ToolApprovalRequiredEvent, ToolEndEvent, ToolStartEvent
from trio_codex.protocol import ConversationItemCreate, FunctionCallOutput, ResponseCreate
from trio_codex.testing import Call, Line, answer, scripted_session
from trio_codex.testing.scripted import ScriptedPeer
from trio_codex.transport import Target, Transport

CLOCK = "virtual"


async def output(line: Line, *, within: float = 60) -> tuple[str, str]:
    """The next output of a call: its id and its text."""
    item = (await line.expect(ConversationItemCreate, within=within)).item
    assert isinstance(item, FunctionCallOutput)
    return item.call_id, item.output


async def cut_in(line: Line) -> None:
    await line.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)


# --- one call ------------------------------------------------------------------------------------------------------------


async def test_a_call_is_run_and_its_output_answered() -> None:
    seen: list[Any] = []

    @tool
    async def get_weather(city: str, context: ToolContext, units: Literal["C", "F"] = "C") -> dict[str, str]:
        """Tell the weather."""
        seen.append((city, units, context.context, context.agent.name, context.call_id))
        return {"sky": "clear"}

    agent = Agent(name="Greeter", tools=[get_weather])
    async with scripted_session(agent, context="ctx") as (session, line):
        with session.subscribe([ToolStartEvent, ToolEndEvent]) as events:
            await answer(line, calls=[Call("c1", "get_weather", '{"city":"Paris"}')])
            assert await output(line) == ("c1", '{"sky":"clear"}')
            await line.expect(ResponseCreate)
            assert seen == [("Paris", "C", "ctx", "Greeter", "c1")]
            started, ended = await anext(events), await anext(events)
            assert started == ToolStartEvent(agent, get_weather, "get_weather", "c1", '{"city":"Paris"}')
            assert isinstance(ended, ToolEndEvent)
            assert ended.output == '{"sky":"clear"}'


async def test_a_call_runs_before_what_came_with_it_is_looked_at() -> None:
    known: list[int] = []

    @tool
    async def look() -> str:
        known.append(session.usage.total_tokens)
        return "done"

    call = {
        "type": "function_call",
        "id": "i",
        "call_id": "c",
        "name": "look",
        "arguments": "{}",
        "status": "completed",
    }
    response = {"id": "r", "conversation_id": "c", "output": [call], "usage": {"total_tokens": 7}}
    transport = Together(
        [{"type": "session.updated", "session": {"type": "realtime"}}],
        [
            {"type": "response.created", "response": {**response, "output": [], "status": "in_progress"}},
            {"type": "response.output_item.done", "response_id": "r", "output_index": 0, "item": call},
            {"type": "response.done", "response": {**response, "status": "completed"}},
        ],
    )
    async with open_realtime_session(Agent(tools=[look]), transport=transport, api_key="sk-test") as session:
        transport.go.release()
        await trio.testing.wait_all_tasks_blocked()
        assert known == [0]
        assert session.usage.total_tokens == 7


async def test_the_output_is_sent_at_once_and_the_answer_is_asked_for_after_the_response() -> None:
    @tool
    async def quick() -> str:
        """Be quick."""
        return "done"

    async with scripted_session(Agent(tools=[quick])) as (_, line):
        await line.say("response.created", response={"id": "resp", "status": "in_progress", "conversation_id": "conv"})
        call = {"id": "f", "type": "function_call", "call_id": "c1", "name": "quick", "arguments": "{}"}
        await line.say(
            "response.output_item.done", response_id="resp", output_index=0, item={**call, "status": "completed"}
        )
        assert await output(line) == ("c1", "done")
        await line.expect_nothing(10)
        await line.say("response.done", response={"id": "resp", "status": "completed", "output": []})
        await line.expect(ResponseCreate)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ZeroDivisionError("division by zero"), "Error: division by zero"),
        (ToolError("Ask for the city first."), "Ask for the city first."),
        (ValueError(), "Error: ValueError"),
        (trio.TooSlowError(), "Error: TooSlowError"),
        (ExceptionGroup("two", [ValueError("one"), ExceptionGroup("more", [KeyError("two")])]), "Error: one; 'two'"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_tool_that_raises(error: Exception, text: str) -> None:
    @tool
    async def fail() -> str:
        """Fail."""
        await trio.sleep(1)
        raise error

    async with scripted_session(Agent(tools=[fail])) as (_, line):
        await answer(line, calls=[Call("c1", "fail")])
        assert await output(line) == ("c1", text)
        await line.expect(ResponseCreate)


async def test_a_tool_whose_nursery_fails() -> None:
    @tool
    async def fail() -> str:
        """Fail."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("inside")
        return "never"

    async with scripted_session(Agent(tools=[fail])) as (_, line):
        await answer(line, calls=[Call("c1", "fail")])
        assert await output(line) == ("c1", "Error: inside")


@pytest.mark.parametrize(
    ("call", "start"),
    [
        (Call("c1", "nobody_knows"), "Error: Unknown tool nobody_knows"),
        (Call("c1", "greet", '{"name": '), "Error: Invalid JSON arguments - "),
        (Call("c1", "greet", ""), "Error: Invalid JSON arguments - "),
        (Call("c1", "greet", '{"name": 5}'), "Error: Invalid arguments - "),
        (Call("c1", "secret"), "Error: "),
    ],
    ids=["unknown", "cut off", "empty", "wrong type", "bytes"],
)
async def test_calls_that_cannot_work(call: Call, start: str) -> None:
    @tool
    async def greet(name: str) -> str:
        """Greet."""
        return f"Hello {name}"

    @tool
    async def secret() -> bytes:
        """Give what cannot be sent."""
        return b"\xff"

    async with scripted_session(Agent(tools=[greet, secret])) as (_, line):
        await answer(line, calls=[call])
        call_id, text = await output(line)
        assert call_id == "c1"
        assert text.startswith(start)
        await line.expect(ResponseCreate)


async def test_a_tool_that_wants_no_answer() -> None:
    @tool(respond=False)
    async def note(text: str) -> str:
        """Take a note."""
        return "noted"

    async with scripted_session(Agent(tools=[note])) as (_, line):
        await answer(line, calls=[Call("c1", "note", '{"text": "x"}')])
        assert await output(line) == ("c1", "noted")
        await line.expect_nothing(20)


async def test_an_interrupt_by_a_tool_comes_out_bare() -> None:
    @tool
    async def leave() -> str:
        """Leave."""
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        async with scripted_session(Agent(tools=[leave])) as (_, line):
            await answer(line, calls=[Call("c1", "leave")])
            await trio.sleep_forever()
    assert caught.value.code == 3


# --- several at once -----------------------------------------------------------------------------------------------------


async def test_calls_run_at_the_same_time_and_are_answered_once() -> None:
    @tool
    async def wait(seconds: float) -> str:
        """Wait."""
        await trio.sleep(seconds)
        return f"{seconds} s"

    async with scripted_session(Agent(tools=[wait])) as (_, line):
        started = trio.current_time()
        await answer(line, calls=[Call(f"c{seconds}", "wait", f'{{"seconds": {seconds}}}') for seconds in (3, 1, 2)])
        assert [await output(line) for _ in range(3)] == [("c1", "1.0 s"), ("c2", "2.0 s"), ("c3", "3.0 s")]
        assert trio.current_time() - started == 3
        await line.expect(ResponseCreate)
        await line.expect_nothing(20)


@pytest.mark.deadline(24 * 3600)
async def test_a_tool_that_sleeps_for_an_hour_delays_nothing() -> None:
    @tool
    async def sleep_for_an_hour() -> str:
        """Sleep."""
        await trio.sleep(3600)
        return "good morning"

    async with scripted_session(Agent(tools=[sleep_for_an_hour])) as (session, line):
        await answer(line, calls=[Call("c1", "sleep_for_an_hour")])
        started = trio.current_time()
        for number in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.ask, str(number))
                await line.expect(ConversationItemCreate)
                await answer(line, await line.expect(ResponseCreate), "awake")
        assert trio.current_time() == started
        assert await output(line, within=3601) == ("c1", "good morning")
        await line.expect(ResponseCreate)


async def test_leaving_does_not_wait_for_a_tool_that_sleeps() -> None:
    @tool
    async def sleep_for_an_hour() -> str:
        """Sleep."""
        await trio.sleep(3600)
        return "good morning"

    started = trio.current_time()
    async with scripted_session(Agent(tools=[sleep_for_an_hour])) as (_, line):
        await answer(line, calls=[Call("c1", "sleep_for_an_hour")])
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == started


# --- time limits and interruptions ---------------------------------------------------------------------------------------


async def test_a_tool_that_takes_too_long() -> None:
    @tool(timeout=2.5)
    async def slow() -> str:
        """Be slow."""
        await trio.sleep(100)
        return "never"

    async with scripted_session(Agent(tools=[slow])) as (_, line):
        started = trio.current_time()
        await answer(line, calls=[Call("c1", "slow")])
        assert await output(line) == ("c1", "Error: The tool took longer than 2.5 s and was stopped")
        assert trio.current_time() - started == 2.5
        await line.expect(ResponseCreate)


async def test_on_interrupt() -> None:
    ended: list[str] = []

    @tool(on_interrupt="cancel")
    async def give_up() -> str:
        """Give up."""
        try:
            await trio.sleep(10)
        finally:
            ended.append("give_up")
        return "never"

    @tool
    async def go_on() -> str:
        """Go on."""
        await trio.sleep(10)
        ended.append("go_on")
        return "done"

    async with scripted_session(Agent(tools=[give_up, go_on])) as (_, line):
        await answer(line, calls=[Call("c1", "give_up"), Call("c2", "go_on")])
        await trio.sleep(1)
        await cut_in(line)
        assert await output(line) == ("c1", "Error: The call was cancelled before it was done")
        assert ended == ["give_up"]
        assert await output(line) == ("c2", "done")


async def test_a_tool_that_fails_while_it_is_cancelled_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    @tool(on_interrupt="cancel")
    async def fragile() -> str:
        """Break."""

        async def break_down() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("broken")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(break_down)
            nursery.start_soon(trio.sleep_forever)
        return "never"

    async with scripted_session(Agent(tools=[fragile])) as (session, line):
        await answer(line, calls=[Call("c1", "fragile")])
        await trio.testing.wait_all_tasks_blocked()
        await session.interrupt()
        assert await output(line) == ("c1", "Error: The call was cancelled before it was done")
        assert "fragile was cancelled and failed as it ended" in caplog.text
        caplog.clear()
        await answer(line, calls=[Call("c2", "fragile")])
        await trio.testing.wait_all_tasks_blocked()
    assert "fragile was cancelled and failed as it ended" in caplog.text


# --- approval ------------------------------------------------------------------------------------------------------------


def guarded(**options: Any) -> Agent:
    @tool(needs_approval=True, **options)
    async def launch(target: str) -> str:
        """Launch."""
        return f"launched {target}"

    return Agent(tools=[launch])


LAUNCH = Call("c1", "launch", '{"target":"moon"}')


async def asked(session: Session, line: Line) -> str:
    with session.subscribe([ToolApprovalRequiredEvent]) as requests:
        await answer(line, calls=[LAUNCH])
        request = await anext(requests)
        assert isinstance(request, ToolApprovalRequiredEvent)
        assert request.arguments == LAUNCH.arguments
        await line.expect_nothing(1)
        return request.call_id


async def test_approve() -> None:
    async with scripted_session(guarded()) as (session, line):
        await session.approve(await asked(session, line))
        assert await output(line) == ("c1", "launched moon")
        await line.expect(ResponseCreate)


@pytest.mark.parametrize(
    ("message", "text"), [(None, "Error: The call was not approved"), ("Not today.", "Not today.")]
)
async def test_reject(message: str | None, text: str) -> None:
    async with scripted_session(guarded()) as (session, line):
        await session.reject(await asked(session, line), message)
        assert await output(line) == ("c1", text)
        await line.expect(ResponseCreate)


@pytest.mark.parametrize(
    ("default", "text"), [("reject", "Error: Nobody approved the call in time"), ("approve", "launched moon")]
)
async def test_nobody_decides(default: str, text: str) -> None:
    async with scripted_session(guarded(approval_timeout=7.0, approval_default=default)) as (session, line):
        started = trio.current_time()
        call_id = await asked(session, line)
        assert await output(line) == ("c1", text)
        assert trio.current_time() - started == 7
        with pytest.raises(LocalProtocolError, match="decided by its deadline"):
            await session.approve(call_id)


async def test_a_decision_is_made_once() -> None:
    async with scripted_session(guarded()) as (session, line):
        call_id = await asked(session, line)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.reject, call_id)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(LocalProtocolError):
                await session.approve(call_id)
        assert await output(line) == ("c1", "Error: The call was not approved")
        with pytest.raises(LocalProtocolError, match="no tool call 'other' waits"):
            await session.approve("other")


async def test_the_time_of_the_decision_does_not_count_as_the_tools() -> None:
    async with scripted_session(guarded(timeout=1.0)) as (session, line):
        call_id = await asked(session, line)
        await trio.sleep(10)
        await session.approve(call_id)
        assert await output(line) == ("c1", "launched moon")


async def test_approval_may_depend_on_the_arguments() -> None:
    async def check(context: ToolContext, arguments: dict[str, Any]) -> bool:
        await trio.sleep(1)
        return arguments["target"] != "park"

    async with scripted_session(guarded_by(check)) as (session, line):
        await answer(line, calls=[Call("c0", "launch", '{"target":"park"}')])
        assert await output(line) == ("c0", "launched park")
        await answer(line, await line.expect(ResponseCreate))
        await session.approve(await asked(session, line))
        assert await output(line) == ("c1", "launched moon")


def guarded_by(check: Any) -> Agent:
    @tool(needs_approval=check)
    async def launch(target: str) -> str:
        """Launch."""
        return f"launched {target}"

    return Agent(tools=[launch])


async def test_arguments_are_checked_before_anybody_is_asked() -> None:
    async with scripted_session(guarded()) as (session, line):
        with session.subscribe([ToolApprovalRequiredEvent]) as requests:
            await answer(line, calls=[Call("c1", "launch", '{"target":5}')])
            assert (await output(line))[1].startswith("Error: Invalid arguments")
            await session.aclose()
            assert [event async for event in requests] == []


# --- sync tools ----------------------------------------------------------------------------------------------------------


async def test_sync_tools_run_inline_in_virtual_time() -> None:
    threads: list[threading.Thread] = []

    @tool
    def where() -> str:
        """Tell the thread."""
        threads.append(threading.current_thread())
        return "here"

    async with scripted_session(Agent(tools=[where])) as (_, line):
        await answer(line, calls=[Call("c1", "where")])
        assert await output(line) == ("c1", "here")
        assert threads[-1] is threading.main_thread()


async def test_so_they_do_whatever_the_connector() -> None:
    @tool
    def where() -> str:
        """Tell the thread."""
        return threading.current_thread().name

    peer = ScriptedPeer(Line())

    @asynccontextmanager
    async def connect(target: Target, /) -> AsyncIterator[Transport]:
        async with peer(target) as transport:
            yield transport

    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.line.carry, peer.far)
        async with open_realtime_session(Agent(tools=[where]), transport=connect, api_key="sk-test"):
            await answer(peer.line, calls=[Call("c1", "where")])
            assert await output(peer.line) == ("c1", threading.main_thread().name)


async def test_the_peer_brings_the_runner() -> None:
    assert callable(ScriptedPeer(Line()).run_sync)


# --- what the user cuts off ----------------------------------------------------------------------------------------------


async def test_an_answer_that_is_cut_off_is_not_followed_up_but_its_calls_have_outputs() -> None:
    @tool
    async def quick() -> str:
        """Be quick."""
        return "done"

    async with scripted_session(Agent(tools=[quick])) as (_, line):
        await line.say("response.created", response={"id": "resp", "status": "in_progress", "conversation_id": "conv"})
        call = {"id": "f", "type": "function_call", "call_id": "c1", "name": "quick", "arguments": "{}"}
        await line.say(
            "response.output_item.done", response_id="resp", output_index=0, item={**call, "status": "completed"}
        )
        assert await output(line) == ("c1", "done")
        await cut_in(line)
        details = {"type": "cancelled", "reason": "turn_detected"}
        await line.say("response.done", response={"id": "resp", "status": "cancelled", "status_details": details})
        await line.expect_nothing(20)


async def test_a_call_that_was_cut_off_is_not_run() -> None:
    @tool
    async def quick() -> str:
        """Be quick."""
        raise AssertionError

    async with scripted_session(Agent(tools=[quick])) as (_, line):
        await line.say("response.created", response={"id": "resp", "status": "in_progress", "conversation_id": "conv"})
        call = {"id": "f", "type": "function_call", "call_id": "c1", "name": "quick", "arguments": '{"a'}
        await line.say(
            "response.output_item.done", response_id="resp", output_index=0, item={**call, "status": "incomplete"}
        )
        await line.say("response.done", response={"id": "resp", "status": "cancelled", "output": []})
        await line.expect_nothing(20)
