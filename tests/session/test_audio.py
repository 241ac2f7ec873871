from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from trio_codex import Agent, Session, SessionSettings, open_realtime_session
from trio_codex.events import AudioEvent, AudioInterruptedEvent
from trio_codex.protocol import ConversationItemTruncate, ResponseCancel, ResponseCreate
from trio_codex.session.playback import Speaker
from trio_codex.testing import Line, answer, scripted_session
from trio_codex.transport import Target, Transport

CLOCK = "virtual"

SECOND = bytes(48_000)


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def begin(line: Line, response_id: str = "resp") -> None:
    await line.say("response.created", response={"id": response_id, "status": "in_progress", "conversation_id": "conv"})


async def deltas(line: Line, *pieces: bytes, response_id: str = "resp", item_id: str = "item") -> None:
    where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    for piece in pieces:
        await line.say("response.output_audio.delta", **where, delta=piece)
    await settle()


async def end(line: Line, response_id: str = "resp", item_id: str = "item", status: str = "completed") -> None:
    where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    await line.say("response.output_audio.done", **where)
    await line.say("response.done", response={"id": response_id, "status": status, "output": []})
    await settle()


async def waiting(speaker: Speaker) -> list[bytes]:
    """What the speaker holds now."""
    found = []
    with trio.move_on_after(0.001):
        async for pcm in speaker:
            found.append(pcm)
    return found


async def cut_in(line: Line) -> None:
    await line.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    await settle()


class Together:
    """A transport whose server says several things at once, each batch when it is told to."""

    def __init__(self, *batches: list[dict[str, Any]]) -> None:
        self._batches = [[json.dumps({"event_id": "e", **event}) for event in batch] for batch in batches]
        self.go = trio.Semaphore(1)

    @asynccontextmanager
    async def __call__(self, target: Target, /) -> AsyncIterator[Transport]:
        yield self

    async def receive(self) -> str:
        raise NotImplementedError

    async def receive_many(self) -> Sequence[str]:
        await self.go.acquire()
        return self._batches.pop(0)

    async def send(self, frame: str) -> None: ...

    async def send_many(self, frames: Sequence[str]) -> None: ...

    def send_nowait(self, frames: Sequence[str]) -> bool:
        return True

    async def close(self) -> None: ...


async def test_the_first_sound_of_an_answer_is_heard_before_what_came_with_it() -> None:
    place = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    sound = {"type": "response.output_audio.delta", **place, "delta": "AAAA"}
    response = {"id": "r", "conversation_id": "c", "output": [], "usage": {"total_tokens": 7}}
    transport = Together(
        [{"type": "session.updated", "session": {"type": "realtime"}}],
        [
            {"type": "response.created", "response": {**response, "status": "in_progress"}},
            sound,
            sound,
            {"type": "response.done", "response": {**response, "status": "completed"}},
        ],
    )
    known: list[int] = []

    async def listen(session: Session) -> None:
        async for event in session:
            if isinstance(event, AudioEvent):
                known.append(session.usage.total_tokens)

    async with (
        open_realtime_session(Agent(), transport=transport, api_key="sk-test") as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listen, session)
        await settle()
        transport.go.release()
        await settle()
        nursery.cancel_scope.cancel()
    assert known == [0, 7]


# --- what should sound ---------------------------------------------------------------------------------------------------


async def test_audio_comes_in_whole_samples() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, b"\1\2\3", b"\4\5", b"", b"\6")
        assert await waiting(session.audio) == [b"\1\2", b"\3\4", b"\5\6"]


async def test_g711_has_no_halves() -> None:
    async with scripted_session(settings=SessionSettings(output_format="g711_ulaw")) as (session, line):
        await begin(line)
        await deltas(line, b"\1\2\3", b"\4")
        assert await waiting(session.audio) == [b"\1\2\3", b"\4"]


async def test_the_audio_goes_on_with_the_next_answer() -> None:
    async with scripted_session() as (session, line):
        heard: list[bytes] = []

        async def speaker() -> None:
            async for pcm in session.audio:
                heard.append(pcm)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speaker)
            await answer(line, words="one", audio=b"\1\1")
            await answer(line, words="two", audio=b"\2\2")
            await settle()
            await session.aclose()
        assert heard == [b"\1\1", b"\2\2"]


async def test_barge_in_empties_the_speaker_at_once() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, b"\1\1", b"\2\2")
        assert await anext(session.audio) == b"\1\1"
        await cut_in(line)
        await deltas(line, b"\3\3")
        assert await waiting(session.audio) == []
        await end(line, status="cancelled")
        await begin(line, "resp_2")
        await deltas(line, b"\4\4", response_id="resp_2", item_id="item_2")
        assert await waiting(session.audio) == [b"\4\4"]


async def test_interrupt_empties_the_speaker_at_once() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, b"\1\1")
        await session.interrupt()
        await deltas(line, b"\2\2")
        assert await waiting(session.audio) == []


async def test_what_nobody_takes_is_dropped_when_the_next_answer_begins() -> None:
    async with scripted_session() as (session, line):
        await answer(line, words="one", audio=[b"\1\1", b"\1\1"])
        await answer(line, words="two", audio=[b"\2\2", b"\2\2"])
        await settle()
        assert await waiting(session.audio) == [b"\2\2", b"\2\2"]
        for _ in range(3):
            await answer(line, words="three", audio=b"\3\3")
        await settle()
        assert await waiting(session.audio) == [b"\3\3"]


async def test_a_speaker_that_is_behind_loses_nothing() -> None:
    async with scripted_session() as (session, line):
        heard: list[bytes] = []

        async def speaker() -> None:
            async for pcm in session.audio:
                heard.append(pcm)
                await trio.sleep(len(pcm) / 48_000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speaker)
            for number in range(4):
                await answer(line, words="…", audio=[bytes([number]) * 4800] * 10)
                await trio.sleep(0.7)
            await trio.sleep(10)
            await session.aclose()
        assert len(heard) == 40


async def test_a_speaker_that_is_far_behind_goes_on_with_the_last_answer_but_one() -> None:
    async with scripted_session() as (session, line):
        for number in range(50):
            await answer(line, words="…", audio=[bytes([number]) * 4800] * 10)
            await settle()
            assert (await anext(session.audio))[:1] == bytes([max(number - 1, 0)])
            assert len(session.audio._queue) < 20


async def test_two_speakers() -> None:
    async with scripted_session() as (session, _), trio.open_nursery() as nursery:
        nursery.start_soon(waiting, session.audio)
        await settle()
        with pytest.raises(trio.BusyResourceError):
            await anext(session.audio)


async def test_cancelling_a_speaker_loses_nothing() -> None:
    async with scripted_session() as (session, line):
        with trio.move_on_after(1):
            await anext(session.audio)
        with trio.CancelScope() as scope:
            scope.cancel()
            await begin(line)
        await begin(line)
        await deltas(line, b"\1\1")
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(session.audio)
        assert await waiting(session.audio) == [b"\1\1"]


async def test_what_is_queued_at_the_end_can_still_be_taken() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, b"\1\1", b"\2\2")
        await session.aclose()
        assert [pcm async for pcm in session.audio] == [b"\1\1", b"\2\2"]


async def test_an_hour_of_answers_that_nobody_hears_takes_no_memory() -> None:
    async with scripted_session() as (session, line):
        for _ in range(100):
            await answer(line, words="…", audio=SECOND)
        assert len(session.audio._queue) <= 1


# --- what was heard ------------------------------------------------------------------------------------------------------


async def heard_ms(line: Line, *, cancelled: bool = False) -> list[tuple[str, int]]:
    """The truncations that an interruption causes."""
    if cancelled:
        await line.expect(ResponseCancel)
    found = []
    with trio.move_on_after(1):
        while True:
            cut: Any = await line.expect(ConversationItemTruncate)
            found.append((cut.item_id, cut.audio_end_ms))
    return found


async def test_what_was_taken_counts_as_heard() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, bytes(4800), bytes(4800), bytes(4800))
        await anext(session.audio)
        await anext(session.audio)
        await trio.sleep(60)
        await session.interrupt()
        assert await heard_ms(line, cancelled=True) == [("item", 200)]


async def test_without_a_speaker_it_is_estimated_by_the_time() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([AudioInterruptedEvent]) as cuts:
            await begin(line)
            await deltas(line, SECOND)
            await trio.sleep(0.4)
            await cut_in(line)
            assert await heard_ms(line) == [("item", 400)]
            assert await anext(cuts) == AudioInterruptedEvent("item", 0, 400)


async def test_never_more_than_was_received() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, SECOND)
        await trio.sleep(60)
        await session.interrupt()
        assert await heard_ms(line, cancelled=True) == [("item", 1000)]


async def test_nothing_received_means_no_truncation() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await settle()
        await session.interrupt()
        assert await heard_ms(line, cancelled=True) == []


async def test_nothing_heard_is_cut_to_nothing() -> None:
    async with scripted_session() as (session, line):
        session.playback.played("nothing", 0, 0)  # a sink that reports
        await begin(line)
        await deltas(line, SECOND)
        await trio.sleep(0.4)
        await session.interrupt()
        assert await heard_ms(line, cancelled=True) == [("item", 0)]


async def test_reports_win_once_there_is_one() -> None:
    async with scripted_session() as (session, line):
        await begin(line)
        await deltas(line, SECOND, SECOND)
        await anext(session.audio)
        session.playback.played("item", 0, 4800)
        session.playback.played("item", 0, 4800)
        await anext(session.audio)
        await session.interrupt()
        assert await heard_ms(line, cancelled=True) == [("item", 200)]


async def test_several_items_are_queued_when_the_user_cuts_in() -> None:
    async with scripted_session() as (_, line):
        for number in (1, 2, 3):
            name = {"response_id": f"resp_{number}", "item_id": f"item_{number}"}
            await begin(line, name["response_id"])
            await deltas(line, SECOND, **name)
            await end(line, **name)
        await trio.sleep(1.5)
        await cut_in(line)
        assert await heard_ms(line) == [("item_2", 500), ("item_3", 0)]


async def test_what_has_sounded_to_its_end_is_not_cut() -> None:
    async with scripted_session() as (session, line):
        await answer(line, words="…", audio=SECOND)
        await settle()
        await trio.sleep(2)
        await session.interrupt()
        assert await heard_ms(line) == []


async def test_history_keeps_what_was_heard() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        create = await line.expect(ResponseCreate)
        await answer(line, create, "one two three four five six seven eight nine ten", audio=SECOND)
        await settle()
        await trio.sleep(0.5)
        await session.interrupt()
        [item] = session.history
        assert item.interrupted_at_ms == 500
        assert item.text_heard is not None
        assert item.text.startswith(item.text_heard)
        assert 0 < len(item.text_heard) < len(item.text)


async def test_the_speaker_and_the_events_get_the_same_audio() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([AudioEvent]) as events:
            await begin(line)
            await deltas(line, b"\1\2", b"\3\4")
            assert [(await anext(events)).data for _ in range(2)] == await waiting(session.audio)  # type: ignore[attr-defined]
