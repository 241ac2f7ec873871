from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from typing import Any

import pytest
import trio

from trio_codex import Agent, Session, open_realtime_session, tool
from trio_codex.errors import ConnectionLost, InternalError
from trio_codex.protocol import ConversationItemCreate, InputAudioBufferAppend, ResponseCreate
from trio_codex.testing import Call, answer, scripted, scripted_session
from trio_codex.transport import Target, Transport

CLOCK = "virtual"


# --- the body's own exception --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ValueError("mine"),
        KeyboardInterrupt(),
        SystemExit(3),
        StopAsyncIteration(),
        StopIteration(),
        ConnectionLost(4711),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_the_body_raises_comes_out_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        async with scripted_session():
            raise error
    assert caught.value is error
    assert error.__context__ is None


async def test_a_group_that_the_body_raises_comes_out_as_it_is() -> None:
    group: BaseExceptionGroup[Any] | None = None
    with pytest.raises(ExceptionGroup) as caught:
        async with scripted_session():
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    raise ValueError("mine")
            except BaseExceptionGroup as error:
                group = error
                raise
    assert caught.value is group
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


async def test_the_bodys_nursery_may_fail_while_it_is_cancelled_from_outside() -> None:
    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("mine")

    with pytest.raises(ExceptionGroup) as caught, trio.move_on_after(5):
        async with scripted_session(), trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)
    assert caught.group_contains(ValueError, depth=1)
    assert not caught.group_contains(trio.Cancelled)


async def test_an_error_beside_a_cancellation_is_not_lost() -> None:
    error = ValueError("mine")
    with trio.CancelScope() as scope:
        with pytest.raises(ValueError) as caught:
            async with scripted_session():
                scope.cancel()
                raise error
        assert caught.value is error
        await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_cancelling_from_outside_and_inside() -> None:
    async with scripted_session() as (session, line):
        with trio.move_on_after(1) as inner:
            async for _ in session:
                pass
        assert inner.cancelled_caught
        await session.send_message("still here", respond=False)
        await line.expect(ConversationItemCreate)
    async with scripted() as peer:
        with trio.move_on_after(1) as outer:
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
                await session.send_message("last words", respond=False)
                await trio.sleep_forever()
        assert outer.cancelled_caught
        assert (await peer.line.expect(ConversationItemCreate)).item.content[0].text == "last words"
        assert (await peer.line.expect_end()).code == 1000


async def test_a_deadline_inside_the_body_is_still_too_slow() -> None:
    with pytest.raises(trio.TooSlowError):
        async with scripted_session():
            with trio.fail_after(1):
                await trio.sleep_forever()


async def test_a_deadline_around_the_session_is_still_too_slow() -> None:
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        async with scripted_session():
            await trio.sleep_forever()


# --- in order ------------------------------------------------------------------------------------------------------------


async def test_what_was_accepted_is_written_and_then_comes_the_goodbye() -> None:
    async with scripted() as peer:
        async with open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
            for number in range(50):
                await session.send_message(str(number), respond=False)
        for number in range(50):
            assert (await peer.line.expect(ConversationItemCreate)).item.content[0].text == str(number)
        assert (await peer.line.expect_end()).code == 1000


async def test_tools_are_cancelled_first_and_have_no_output() -> None:
    ends: list[str] = []

    @tool
    async def wait() -> str:
        """Wait."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.2)
            ends.append("tool")
        return "never"

    async with scripted() as peer:
        async with open_realtime_session(Agent(tools=[wait]), transport=peer, api_key="sk-test") as session:
            await answer(peer.line, calls=[Call("c1", "wait")])
            await trio.testing.wait_all_tasks_blocked()
            await session.send_message("bye", respond=False)
        ends.append("block")
        assert isinstance((await peer.line.expect(ConversationItemCreate)).item.content, tuple)
        await peer.line.expect_end()
    assert ends == ["tool", "block"]


async def test_a_tool_that_ends_while_the_session_is_left_has_no_output_either() -> None:
    @tool
    async def stubborn() -> str:
        """Be stubborn."""
        with trio.CancelScope(shield=True):
            await trio.sleep(0.5)
        return "done"

    async with scripted() as peer:
        async with open_realtime_session(Agent(tools=[stubborn]), transport=peer, api_key="sk-test"):
            await answer(peer.line, calls=[Call("c1", "stubborn")])
            await trio.testing.wait_all_tasks_blocked()
        assert (await peer.line.expect_end()).code == 1000


async def test_a_call_that_comes_while_the_session_is_left_is_not_begun() -> None:
    begun = 0

    @tool
    async def count() -> str:
        """Count."""
        nonlocal begun
        begun += 1
        return "counted"

    @tool
    async def linger() -> str:
        """Linger."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
        return "never"

    async with scripted_session(Agent(tools=[count, linger])) as (session, line):
        await answer(line, calls=[Call("c1", "linger")])
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.aclose)
            await trio.sleep(0.1)
            await line.say("response.created", response={"id": "r", "status": "in_progress"})
            call = {"type": "function_call", "id": "f", "call_id": "c2", "name": "count", "arguments": "{}"}
            await line.say(
                "response.output_item.done", response_id="r", output_index=0, item={**call, "status": "completed"}
            )
    assert begun == 0


async def test_nothing_is_said_twice_when_the_block_is_left_after_aclose() -> None:
    async with scripted_session() as (session, line):
        await session.aclose()
        await session.aclose()
        assert (await line.expect_end()).code == 1000
        with pytest.raises(trio.ClosedResourceError):
            await session.send_message("too late")


# --- aclose from anywhere ------------------------------------------------------------------------------------------------


async def test_aclose_from_another_task_ends_the_iteration() -> None:
    async with scripted_session() as (session, _), trio.open_nursery() as nursery:

        async def close_soon() -> None:
            await trio.sleep(1)
            await session.aclose()

        nursery.start_soon(close_soon)
        events = [event async for event in session]
    assert events == []


async def test_aclose_from_a_tool() -> None:
    cancelled = trio.Event()

    async def hang_up(session: list[Session]) -> str:
        try:
            await session[0].aclose()
        except trio.Cancelled:
            cancelled.set()
            raise
        return "never"

    sessions: list[Session] = []

    @tool
    async def bye() -> str:
        """Hang up."""
        return await hang_up(sessions)

    started = trio.current_time()
    async with scripted_session(Agent(tools=[bye])) as (session, line):
        sessions.append(session)
        await session.send_message("last words", respond=False)
        await answer(line, calls=[Call("c1", "bye")])
        async for _ in session:
            pass
        assert cancelled.is_set()
        await line.expect(ConversationItemCreate)
        assert (await line.expect_end()).code == 1000
    assert trio.current_time() == started


async def test_aclose_from_a_tool_that_shields_itself() -> None:
    sessions: list[Session] = []

    @tool
    async def bye() -> str:
        """Hang up."""
        with trio.CancelScope(shield=True):
            await sessions[0].aclose()
        return "done"

    started = trio.current_time()
    async with scripted_session(Agent(tools=[bye])) as (session, line):
        sessions.append(session)
        await session.send_message("last words", respond=False)
        await answer(line, calls=[Call("c1", "bye")])
        async for _ in session:
            pass
        await line.expect(ConversationItemCreate)
        assert (await line.expect_end()).code == 1000
    assert trio.current_time() - started == 1  # the tools' half of the patience


async def test_cancelling_aclose_does_not_stop_it() -> None:
    @tool
    async def linger() -> str:
        """Linger."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
        return "never"

    async with scripted_session(Agent(tools=[linger])) as (session, line):
        await answer(line, calls=[Call("c1", "linger")])
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.1) as scope:
            await session.aclose()
        assert scope.cancelled_caught
        assert (await line.expect_end()).code == 1000
        await session.aclose()


# --- patience ------------------------------------------------------------------------------------------------------------


async def test_a_peer_that_never_answers_the_goodbye() -> None:
    async with scripted() as peer:
        with ExitStack() as ears:
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test", patience=3):
                ears.enter_context(peer.line.deaf())
                started = trio.current_time()
            assert trio.current_time() - started == 3


async def test_a_peer_that_never_reads() -> None:
    async with scripted() as peer:
        with ExitStack() as ears, pytest.raises(ConnectionLost, match="1006"):
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test", patience=3) as session:
                ears.enter_context(peer.line.deaf())
                for number in range(10):
                    await session.send_message(str(number), respond=False)
                started = trio.current_time()
        assert trio.current_time() - started == 3


async def test_a_peer_that_never_reads_does_not_hide_the_bodys_error() -> None:
    async with scripted() as peer:
        with ExitStack() as ears, pytest.raises(ZeroDivisionError):
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
                ears.enter_context(peer.line.deaf())
                await session.send_message("hello")
                raise ZeroDivisionError


async def test_a_tool_that_takes_its_time_leaves_half_the_patience_to_what_was_said() -> None:
    @tool
    async def stubborn() -> str:
        """Be stubborn."""
        with trio.CancelScope(shield=True):
            await trio.sleep(2.5)
        return "done"

    async with scripted() as peer:
        async with open_realtime_session(
            Agent(tools=[stubborn]), transport=peer, api_key="sk-test", patience=4
        ) as session:
            await answer(peer.line, calls=[Call("c1", "stubborn")])
            await trio.testing.wait_all_tasks_blocked()
            await session.send_message("last words", respond=False)
            started = trio.current_time()
        assert trio.current_time() - started == 2.5
        assert (await peer.line.expect(ConversationItemCreate)).item.content[0].text == "last words"
        assert (await peer.line.expect_end()).code == 1000


async def test_no_patience_at_all() -> None:
    async with scripted_session(patience=0) as (session, _):
        await session.aclose()


# --- what leaving has to tell --------------------------------------------------------------------------------------------


async def test_leaving_tells_of_a_lost_verb_if_nobody_was_told() -> None:
    async with scripted() as peer:
        with pytest.raises(ConnectionLost) as caught, ExitStack() as ears:
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
                ears.enter_context(peer.line.deaf())
                await session.send_message("one", respond=False)
                peer.far.drop(1001, "the hour is over")
    assert (caught.value.code, caught.value.reason) == (1001, "the hour is over")


@pytest.mark.parametrize("verb", ["respond", "raw", "audio"])
async def test_every_verb_that_is_accepted_counts(verb: str) -> None:
    with pytest.raises(ConnectionLost):
        async with scripted_session() as (session, line):
            with line.deaf():
                if verb == "respond":
                    await session.respond()
                elif verb == "raw":
                    await session.send_raw_event({"type": "input_audio_buffer.clear"})
                else:
                    session.send_audio_nowait(b"\x00\x00" * 2400)
                await trio.testing.wait_all_tasks_blocked()
                await line.drop()


async def test_leaving_tells_when_the_connection_breaks_only_then() -> None:
    async with scripted() as peer:
        with pytest.raises(ConnectionLost, match="1006"):
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
                await trio.testing.wait_all_tasks_blocked()
                peer.far.drop()
                session.send_audio_nowait(b"\x00\x00" * 2400)


async def test_leaving_says_nothing_when_nothing_was_lost() -> None:
    async with scripted_session() as (session, line):
        await session.send_message("one", respond=False)
        await line.expect(ConversationItemCreate)
        await line.drop(1001, "the hour is over")


async def test_leaving_says_nothing_when_a_verb_has_told() -> None:
    async with scripted_session() as (session, line):
        with line.deaf():
            await session.send_message("one", respond=False)
            await line.drop()
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost, match="1006"):
            await session.send_message("two")


@pytest.mark.parametrize("code", [1000, 1001])
async def test_leaving_says_nothing_when_the_iteration_has_told(code: int) -> None:
    async with scripted() as peer, open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
        with peer.line.deaf():
            await session.send_message("one", respond=False)
            peer.far.drop(code)
        with pytest.raises(ConnectionLost) if code != 1000 else nullcontext():
            async for _ in session:
                pass


async def test_leaving_in_time_for_the_answer_to_a_verb_is_no_loss() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
    await line.expect(ResponseCreate)


# --- services that fail --------------------------------------------------------------------------------------------------


class DefectError(Exception):
    pass


class Faulty:
    """A transport that fails as no transport should: `receive` after so many frames, or `send`."""

    def __init__(self, transport: Transport, *, receives: float = float("inf"), sends: float = float("inf")) -> None:
        self._transport = transport
        self._receives = receives
        self._sends = sends

    async def send(self, frame: str) -> None:
        self._sends -= 1
        if self._sends < 0:
            raise DefectError("send")
        await self._transport.send(frame)

    async def receive(self) -> str | bytes:
        self._receives -= 1
        if self._receives < 0:
            await trio.sleep(1)
            raise DefectError("receive")
        return await self._transport.receive()

    async def close(self) -> None:
        await self._transport.close()


@asynccontextmanager
async def faulty_session(**faults: float) -> AsyncIterator[Session]:
    async with scripted() as peer:

        @asynccontextmanager
        async def connect(target: Target, /) -> AsyncIterator[Transport]:
            async with peer(target) as transport:
                yield Faulty(transport, **faults)

        async with open_realtime_session(Agent(), transport=connect, api_key="sk-test") as session:
            yield session


async def test_a_reader_that_fails() -> None:
    with pytest.raises(InternalError, match="DefectError") as caught:
        async with faulty_session(receives=2):
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, DefectError)


async def test_a_writer_that_fails() -> None:
    with pytest.raises(InternalError) as caught:
        async with faulty_session(sends=1) as session:
            await session.send_message("hello")
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, DefectError)


@pytest.mark.parametrize("receives", [0, 1])
async def test_a_reader_that_fails_during_the_opening(receives: int) -> None:
    with pytest.raises(InternalError) as caught:
        async with faulty_session(receives=receives):
            raise AssertionError
    assert isinstance(caught.value.__cause__, DefectError)


async def test_a_service_that_fails_while_the_body_raises() -> None:
    error = ValueError("mine")
    with pytest.raises(InternalError) as caught:
        async with faulty_session(receives=2):
            try:
                await trio.sleep_forever()
            finally:
                raise error
    assert isinstance(caught.value.__cause__, DefectError)
    assert caught.value.__context__ is error


async def test_a_service_that_fails_while_a_verb_waits() -> None:
    with pytest.raises(InternalError) as caught:
        async with faulty_session(receives=2) as session:
            await session.ask("hello?")
    assert isinstance(caught.value.__cause__, DefectError)


async def test_a_service_that_fails_while_everything_is_cancelled() -> None:
    with trio.move_on_after(1) as scope:
        with pytest.raises(InternalError):
            async with faulty_session(receives=2):
                await trio.sleep_forever()
        await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_service_that_fails_while_the_peer_does_not_read() -> None:
    started = trio.current_time()
    async with scripted() as peer:

        @asynccontextmanager
        async def connect(target: Target, /) -> AsyncIterator[Transport]:
            async with peer(target) as transport:
                yield Faulty(transport, receives=2)

        with ExitStack() as ears, pytest.raises(InternalError):
            async with open_realtime_session(Agent(), transport=connect, api_key="sk-test") as session:
                ears.enter_context(peer.line.deaf())
                await session.send_message("hello")
                await trio.sleep_forever()
    assert trio.current_time() - started == 1


async def test_no_key_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted_session(api_key="sk-very-secret") as (session, line):
        await session.send_audio(b"\x00\x00" * 4800, commit=True)
        await line.expect(InputAudioBufferAppend)
        await line.drop(1011, "oops")
    assert "sk-very-secret" not in caplog.text
