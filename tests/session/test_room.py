from __future__ import annotations

import pytest
import trio

from trio_codex import Agent, open_realtime_session
from trio_codex.errors import ConnectionLost, LocalProtocolError
from trio_codex.protocol import ConversationItemCreate, InputAudioBufferAppend, ResponseCreate
from trio_codex.session.outbox import ROOM
from trio_codex.testing import Line, scripted, scripted_session

CLOCK = "virtual"

PIECE = b"\x00\x00" * 480


async def fill(session: object, line: Line) -> int:
    """Send until there is no room."""
    count = 0
    while True:
        try:
            session.send_audio_nowait(PIECE)  # type: ignore[attr-defined]
        except trio.WouldBlock:
            return count
        count += 1


async def test_send_audio_nowait_says_when_there_is_no_room() -> None:
    async with scripted_session() as (session, line):
        with line.deaf():
            assert await fill(session, line) == ROOM
            with pytest.raises(trio.WouldBlock):
                session.send_audio_nowait(PIECE)
        for _ in range(ROOM):
            await line.expect(InputAudioBufferAppend)
        await line.expect_nothing(1)
        assert await fill(session, line) == ROOM


async def test_send_audio_waits_for_room() -> None:
    async with scripted_session() as (session, line):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(3 * ROOM):
                await session.send_audio(PIECE)
                sent += 1

        async with trio.open_nursery() as nursery:
            with line.deaf():
                nursery.start_soon(send)
                await trio.sleep(20)
                assert sent == ROOM
            for _ in range(3 * ROOM):
                await line.expect(InputAudioBufferAppend)
        assert sent == 3 * ROOM


@pytest.mark.parametrize("verb", ["send_audio", "send_message", "respond", "ask", "send_raw_event"])
async def test_a_verb_that_waits_for_room_can_be_cancelled_and_nothing_has_happened(verb: str) -> None:
    arguments = {
        "send_audio": (PIECE,),
        "send_message": ("hello",),
        "ask": ("hello?",),
        "send_raw_event": ({"type": "input_audio_buffer.clear"},),
    }
    async with scripted_session() as (session, line):
        with line.deaf():
            await fill(session, line)
            with trio.move_on_after(1) as scope:
                await getattr(session, verb)(*arguments.get(verb, ()))
            assert scope.cancelled_caught
        for _ in range(ROOM):
            await line.expect(InputAudioBufferAppend)
        await line.expect_nothing(20)
        assert await fill(session, line) == ROOM


async def test_verbs_without_an_effect_leave_the_room_as_it_was() -> None:
    async with scripted_session() as (session, line):
        for _ in range(2 * ROOM):
            await session.send_audio(b"")
        await line.say("response.created", response={"id": "resp", "status": "in_progress", "conversation_id": "conv"})
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2 * ROOM):
            await session.respond()  # each waits its turn, which takes no frame
        with line.deaf():
            assert await fill(session, line) == ROOM


async def test_a_verb_that_raises_leaves_the_room_as_it_was() -> None:
    async with scripted_session() as (session, line):
        for _ in range(2 * ROOM):
            with pytest.raises(LocalProtocolError):
                await session.send_raw_event({"type": "nonsense", "event_id": object()})
        with line.deaf():
            assert await fill(session, line) == ROOM


async def test_room_is_given_in_order() -> None:
    async with scripted_session() as (session, line):
        async with trio.open_nursery() as nursery:
            with line.deaf():
                await fill(session, line)
                for number in range(10):
                    nursery.start_soon(_say, session, str(number))
                    await trio.testing.wait_all_tasks_blocked()
            for _ in range(ROOM):
                await line.expect(InputAudioBufferAppend)
            said = [(await line.expect(ConversationItemCreate)).item.content[0].text for _ in range(10)]  # type: ignore[union-attr,index]
        assert said == [str(number) for number in range(10)]


async def _say(session: object, text: str) -> None:
    await session.send_message(text, respond=False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["peer", "ours"])
async def test_who_waits_for_room_is_told_of_the_end(end: str) -> None:
    expected = ConnectionLost if end == "peer" else trio.ClosedResourceError
    told = 0

    async def send() -> None:
        nonlocal told
        with pytest.raises(expected):
            await session.send_audio(PIECE)
        told += 1

    async with scripted() as peer, open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
        async with trio.open_nursery() as nursery:
            with peer.line.deaf():
                await fill(session, peer.line)
                for _ in range(5):
                    nursery.start_soon(send)
                await trio.testing.wait_all_tasks_blocked()
                if end == "peer":
                    await peer.line.drop()
                else:
                    nursery.start_soon(session.aclose)
                await trio.testing.wait_all_tasks_blocked()
                assert told == 5
        if end == "peer":
            with pytest.raises(ConnectionLost):
                await session.respond()


async def test_a_peer_that_stops_reading_is_given_up_after_a_while() -> None:
    async with scripted_session() as (session, line):
        started = trio.current_time()
        with line.deaf():
            await session.send_audio(PIECE)
            with pytest.raises(ConnectionLost, match="1006: the peer stopped reading"):
                async for _ in session:
                    pass
        assert 30 <= trio.current_time() - started < 31


@pytest.mark.deadline(3600)
async def test_a_large_frame_has_more_time() -> None:
    async with scripted_session() as (session, line):
        started = trio.current_time()
        with line.deaf():
            await session.send_message("x" * (3 * 1024 * 1024), respond=False)
            with pytest.raises(ConnectionLost):
                async for _ in session:
                    pass
        assert trio.current_time() - started > 200


async def test_what_the_core_says_by_itself_needs_no_room() -> None:
    async with scripted_session() as (session, line):
        with line.deaf():
            await fill(session, line)
            await session.interrupt()
            await line.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await session.respond()
        async for event in line:
            if isinstance(event, ResponseCreate):
                break
