from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_codex.errors import ConfigurationError, ConnectionLost
from trio_codex.events import (
    AudioEvent,
    ErrorEvent,
    EventsLostEvent,
    RawModelEvent,
    SessionEvent,
    SpeechStartedEvent,
    TranscriptDeltaEvent,
)
from trio_codex.session.streams import MAX_BYTES, EventStream
from trio_codex.testing import Line, scripted_session

CLOCK = "virtual"

LARGE = MAX_BYTES // 4


async def trouble(line: Line, *messages: str) -> None:
    for message in messages:
        await line.say("error", error={"type": "server_error", "message": message})
    await trio.testing.wait_all_tasks_blocked()


async def audio(line: Line, *pieces: bytes) -> None:
    for piece in pieces:
        await line.say(
            "response.output_audio.delta",
            response_id="resp",
            item_id="item",
            output_index=0,
            content_index=0,
            delta=piece,
        )
    await trio.testing.wait_all_tasks_blocked()


async def words(line: Line, *deltas: str) -> None:
    where = {"response_id": "resp", "item_id": "item", "output_index": 0, "content_index": 0}
    for delta in deltas:
        await line.say("response.output_audio_transcript.delta", **where, delta=delta)
    await trio.testing.wait_all_tasks_blocked()


async def taken(stream: EventStream) -> list[Any]:
    """What a stream holds now, in short: messages, audio lengths, words, and ("lost", count)."""
    found: list[Any] = []
    with trio.move_on_after(1):
        async for event in stream:
            match event:
                case ErrorEvent(error):
                    found.append(error.message)
                case AudioEvent():
                    found.append(len(event.data))
                case TranscriptDeltaEvent(_, delta):
                    found.append(delta)
                case EventsLostEvent(count):
                    found.append(("lost", count))
                case _:
                    found.append(event)
    return found


# --- independent ---------------------------------------------------------------------------------------------------------


async def test_every_stream_gets_each_event_once() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe() as one, session.subscribe() as other:
            await trouble(line, "a", "b")
            with session.subscribe() as late:
                await trouble(line, "c")
                assert await taken(late) == ["c"]
            assert await taken(one) == ["a", "b", "c"]
            assert await taken(one) == []
            assert await taken(other) == ["a", "b", "c"]
        assert await taken(session.__aiter__()) == ["a", "b", "c"]


async def test_a_stream_that_nobody_reads_costs_nobody_anything() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe(buffer=1), session.subscribe() as other:
            for number in range(100):
                await trouble(line, str(number))
            assert await taken(other) == [str(number) for number in range(100)]


async def test_iterating_over_the_session_twice_goes_on_where_it_stopped() -> None:
    async with scripted_session() as (session, line):
        await trouble(line, "a", "b")
        async for event in session:
            assert isinstance(event, ErrorEvent)
            break
        assert await taken(session.__aiter__()) == ["b"]


async def test_two_tasks_at_one_stream() -> None:
    async with scripted_session() as (session, line):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(taken, session.__aiter__())
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                async for _ in session:
                    pass
            nursery.cancel_scope.cancel()
        await trouble(line, "a")
        assert await taken(session.__aiter__()) == ["a"]


async def test_cancelling_an_iteration_loses_nothing() -> None:
    async with scripted_session() as (session, line):
        found: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trouble, line, *map(str, range(30)))
            checkpoints = 0
            while len(found) < 30:
                checkpoints = (checkpoints + 1) % 4
                with trio.CancelScope() as scope:

                    async def cancel_after(count: int, scope: trio.CancelScope) -> None:
                        for _ in range(count):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel_after, checkpoints, scope)
                    async for event in session:
                        assert isinstance(event, ErrorEvent)
                        found.append(event.error.message)
        assert found == [str(number) for number in range(30)]


# --- kinds ---------------------------------------------------------------------------------------------------------------


async def test_kinds() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([SpeechStartedEvent]) as speech, session.subscribe({ErrorEvent, AudioEvent}) as rest:
            await audio(line, b"1234")
            await trouble(line, "a")
            await line.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=80)
            assert await taken(speech) == [SpeechStartedEvent("item_u", 80)]
            assert await taken(rest) == [4, "a"]


async def test_raw_events_come_first_and_only_to_who_names_them() -> None:
    async with scripted_session() as (session, line):
        with (
            session.subscribe([RawModelEvent, ErrorEvent]) as both,
            session.subscribe([SessionEvent]) as cooked,
            session.subscribe([RawModelEvent]) as raw,
        ):
            await trouble(line, "a")
            await line.say("brand.new", news=[1])
            await line.say_frame("not JSON")
            seen = await taken(both)
            assert [type(event).__name__ if isinstance(event, RawModelEvent) else event for event in seen] == [
                "RawModelEvent",
                "a",
                "RawModelEvent",
                "RawModelEvent",
                "not JSON @ $",
            ]
            assert seen[0].data["error"]["message"] == "a"
            assert seen[2].data["news"] == [1]
            assert seen[3].data == "not JSON"
            assert await taken(cooked) == ["a", "not JSON @ $"]
            assert len(await taken(raw)) == 3
        assert await taken(session.__aiter__()) == ["a", "not JSON @ $"]


# --- bounded -------------------------------------------------------------------------------------------------------------


async def test_the_oldest_goes_when_there_is_no_room_and_the_gap_is_told() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe(buffer=3) as stream:
            await trouble(line, "a", "b", "c", "d", "e")
            assert await taken(stream) == [("lost", 2), "c", "d", "e"]
            await trouble(line, "f")
            assert await taken(stream) == ["f"]


async def test_audio_and_deltas_go_first() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe(buffer=4) as stream:
            await trouble(line, "a")
            await audio(line, b"12")
            await trouble(line, "b")
            await words(line, "one", "two")
            await trouble(line, "c", "d")
            assert await taken(stream) == ["a", ("lost", 1), "b", ("lost", 2), "c", "d"]
            await audio(line, b"12", b"1234", b"123456", b"12345678", b"1234567890")
            assert await taken(stream) == [("lost", 1), 4, 6, 8, 10]


async def test_every_gap_is_told_in_its_place() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe(buffer=3) as stream:
            await audio(line, b"12")
            await trouble(line, "a")
            await audio(line, b"12")
            await trouble(line, "b")
            await audio(line, b"1234")
            assert await taken(stream) == [("lost", 1), "a", ("lost", 1), "b", 4]


async def test_losses_while_somebody_reads_slowly() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe(buffer=2) as stream:
            await trouble(line, "a", "b")
            assert isinstance(await anext(stream), ErrorEvent)
            await trouble(line, "c", "d")
            assert await taken(stream) == [("lost", 1), "c", "d"]


async def test_16_mib_are_the_limit_of_a_stream() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe() as stream:
            await trouble(line, "a")
            await audio(line, *[bytes(LARGE) for _ in range(9)])
            await trouble(line, "b")
            seen = await taken(stream)
            assert seen == ["a", ("lost", 6), LARGE, LARGE, LARGE, "b"]


async def test_one_event_beyond_the_limit_is_lost_and_told() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe() as stream:
            await trouble(line, "a")
            await audio(line, bytes(MAX_BYTES))
            await trouble(line, "b")
            assert await taken(stream) == ["a", ("lost", 1), "b"]


async def test_raw_events_are_weighed_too() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([RawModelEvent]) as stream:
            for _ in range(20):
                await line.say("news", text="x" * 1024 * 1024)
            await trio.testing.wait_all_tasks_blocked()
            seen = await taken(stream)
            assert seen[0] == ("lost", 5)
            assert len(seen) == 16


async def test_who_changes_a_raw_event_takes_no_room_from_others() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([RawModelEvent]) as log, session.subscribe([RawModelEvent]) as other:
            for _ in range(20):
                await line.say("news", text="x" * 1024 * 1024)
                await trio.testing.wait_all_tasks_blocked()
                [event] = await taken(log)
                event.data["text"] = "…"
                assert await taken(other) == [event]


async def test_the_sessions_own_stream_holds_1024_events() -> None:
    async with scripted_session() as (session, line):
        await trouble(line, *map(str, range(1030)))
        seen = await taken(session.__aiter__())
        assert seen[0] == ("lost", 6)
        assert seen[1:] == [str(number) for number in range(6, 1030)]


async def test_a_stream_holds_at_least_one_event() -> None:
    async with scripted_session() as (session, _):
        with pytest.raises(ConfigurationError, match="at least one event"):
            session.subscribe(buffer=0)


# --- closing -------------------------------------------------------------------------------------------------------------


async def test_closing_twice_and_late_is_harmless() -> None:
    async with scripted_session() as (session, line):
        stream = session.subscribe()
        async with stream:
            await trouble(line, "a")
        with stream:
            pass
        stream.close()
        await trouble(line, "b")
        assert [event async for event in stream] == []
        late = session.subscribe()
    late.close()
    with late:
        late.close()
    assert [event async for event in late] == []


async def test_closing_a_stream_ends_the_iteration_of_another_task() -> None:
    async with scripted_session() as (session, _):
        stream = session.subscribe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(taken, stream)
            await trio.testing.wait_all_tasks_blocked()
            started = trio.current_time()
            stream.close()
        assert trio.current_time() == started


async def test_what_a_stream_holds_can_be_taken_after_the_end() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe() as stream:
            await trouble(line, "a", "b")
            await session.aclose()
            assert await taken(stream) == ["a", "b"]
            assert [event async for event in stream] == []
        assert await taken(session.__aiter__()) == ["a", "b"]


async def test_a_stream_that_is_opened_after_the_end_has_ended() -> None:
    async with scripted_session() as (session, line):
        await line.drop(1001)
        await trio.testing.wait_all_tasks_blocked()
        with session.subscribe() as stream, pytest.raises(ConnectionLost, match="1001"):
            await anext(stream)


async def test_a_stream_that_was_closed_does_not_tell_of_the_end() -> None:
    async with scripted_session() as (session, line):
        stream = session.subscribe()
        await line.drop(1001)
        await trio.testing.wait_all_tasks_blocked()
        stream.close()
        assert [event async for event in stream] == []
