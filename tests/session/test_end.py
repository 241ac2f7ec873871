from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from trio_codex import Agent, Session, SessionSettings
from trio_codex.errors import ConnectionLost
from trio_codex.events import ErrorEvent
from trio_codex.testing import scripted_session

CLOCK = "virtual"

PCM = b"\x00\x00" * 4800


async def nowait(session: Session) -> None:
    session.send_audio_nowait(PCM)


VERBS: dict[str, Callable[[Session], Awaitable[Any]]] = {
    "send_message": lambda session: session.send_message("hello"),
    "send_audio": lambda session: session.send_audio(PCM),
    "commit": lambda session: session.send_audio(PCM, commit=True),
    "send_audio_nowait": nowait,
    "respond": lambda session: session.respond(),
    "ask": lambda session: session.ask("hello?"),
    "ask out of band": lambda session: session.ask("hello?", out_of_band=True),
    "interrupt": lambda session: session.interrupt(),
    "update_session": lambda session: session.update_session(SessionSettings(speed=1.1)),
    "update_agent": lambda session: session.update_agent(Agent(name="Other")),
    "approve": lambda session: session.approve("call"),
    "reject": lambda session: session.reject("call"),
    "send_raw_event": lambda session: session.send_raw_event({"type": "input_audio_buffer.clear"}),
}
WAITING = ("ask", "ask out of band", "update_session", "update_agent")

ENDS = [
    (1000, ""),
    (1001, "the hour is over"),
    (1005, ""),
    (1006, ""),
    (1011, "oops"),
    (4000, "beta_api_shape_disabled"),
]


async def iteration_ends(session: Session) -> tuple[int, str] | None:
    """How iterating ends: None, or code and reason."""
    try:
        async for _ in session:
            pass
    except ConnectionLost as lost:
        return lost.code, lost.reason
    return None


@pytest.mark.parametrize(("code", "reason"), ENDS)
async def test_iteration(code: int, reason: str) -> None:
    async with scripted_session() as (session, line):
        with session.subscribe() as stream:
            await line.say("error", error={"type": "server_error", "message": "last words"})
            await line.drop(code, reason)
            assert isinstance(await anext(stream), ErrorEvent)
            for _ in range(2):
                assert await iteration_ends(session) == (None if code == 1000 else (code, reason))
            with pytest.raises(StopAsyncIteration if code == 1000 else ConnectionLost):
                await anext(stream)
            with pytest.raises(StopAsyncIteration if code == 1000 else ConnectionLost):
                await anext(session.audio)


@pytest.mark.parametrize("code", [1000, 1001])
async def test_session_expired(code: int) -> None:
    async with scripted_session() as (session, line):
        await line.say("error", error={"type": "invalid_request_error", "code": "session_expired", "message": "60 min"})
        await line.drop(code)
        assert await iteration_ends(session) == (code, "session_expired")


async def test_iteration_that_waits_is_told() -> None:
    async with scripted_session() as (session, line), trio.open_nursery() as nursery:

        async def drop_soon() -> None:
            await trio.sleep(5)
            await line.drop()

        nursery.start_soon(drop_soon)
        assert await iteration_ends(session) == (1006, "")


@pytest.mark.parametrize("verb", VERBS)
async def test_verbs_after_the_peers_end(verb: str) -> None:
    async with scripted_session() as (session, line):
        await line.drop(1001, "the hour is over")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(ConnectionLost) as caught:
                await VERBS[verb](session)
            assert (caught.value.code, caught.value.reason) == (1001, "the hour is over")


@pytest.mark.parametrize("verb", VERBS)
async def test_verbs_after_aclose(verb: str) -> None:
    async with scripted_session() as (session, _):
        await session.aclose()
        for _ in range(2):
            with pytest.raises(trio.ClosedResourceError):
                await VERBS[verb](session)


@pytest.mark.parametrize("verb", VERBS)
async def test_verbs_after_the_block(verb: str) -> None:
    async with scripted_session() as (session, _):
        pass
    with pytest.raises(trio.ClosedResourceError):
        await VERBS[verb](session)


@pytest.mark.parametrize("verb", WAITING)
async def test_verbs_that_wait_for_an_answer_are_told_of_the_end(verb: str) -> None:
    async with scripted_session(acknowledge=True) as (session, line):
        line.acknowledges = False
        async with trio.open_nursery() as nursery:

            async def drop_soon() -> None:
                await trio.sleep(1)
                await line.drop(1001)

            nursery.start_soon(drop_soon)
            with pytest.raises(ConnectionLost, match="1001"):
                await VERBS[verb](session)


@pytest.mark.parametrize("verb", WAITING)
async def test_verbs_that_wait_for_an_answer_are_told_of_aclose(verb: str) -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        async with trio.open_nursery() as nursery:

            async def close_soon() -> None:
                await trio.sleep(1)
                await session.aclose()

            nursery.start_soon(close_soon)
            with pytest.raises(trio.ClosedResourceError):
                await VERBS[verb](session)


async def test_what_stands_still_stands_after_the_end() -> None:
    async with scripted_session() as (session, line):
        item = {"id": "item_1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
        await line.say("conversation.item.added", item=item)
        await trio.testing.wait_all_tasks_blocked()
    assert [item.text for item in session.history] == ["hi"]
    assert session.session_id == "sess_scripted"
    assert session.current_agent.name == "Agent"
    assert session.usage.responses == 0
