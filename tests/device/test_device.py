"""A session through a sound device, in virtual time: the test is the audio thread."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_codex.device import SoundDevice
from trio_codex.errors import ConnectionLost, TrioCodexError
from trio_codex.events import AudioInterruptedEvent
from trio_codex.protocol import ConversationItemTruncate, InputAudioBufferAppend, ResponseCancel
from trio_codex.session import Session
from trio_codex.testing import Line, scripted_session

BLOCK = 960  # 20 ms


@asynccontextmanager
async def call() -> AsyncIterator[tuple[SoundDevice, Session, Line]]:
    device = SoundDevice()
    async with scripted_session() as (session, line), device.attach(session):
        await wait_all_tasks_blocked()
        yield device, session, line


async def begin(line: Line, response_id: str) -> None:
    await line.say("response.created", response={"id": response_id, "status": "in_progress", "conversation_id": "conv"})


async def deltas(line: Line, response_id: str, item_id: str, *pieces: bytes) -> None:
    where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    for piece in pieces:
        await line.say("response.output_audio.delta", **where, delta=piece)
    await wait_all_tasks_blocked()


async def end(line: Line, response_id: str, item_id: str, status: str = "completed") -> None:
    where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    await line.say("response.output_audio.done", **where)
    await line.say("response.done", response={"id": response_id, "status": status, "output": []})
    await wait_all_tasks_blocked()


async def listen(device: SoundDevice, ms: int) -> bytes:
    """The audio thread takes so much, at its pace."""
    heard = bytearray()
    for _ in range(ms // 20):
        heard += device.loudspeaker.take(BLOCK)
        await trio.sleep(0.02)
    return bytes(heard)


async def cut_in(line: Line) -> None:
    await line.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
    await wait_all_tasks_blocked()


async def test_the_microphone_is_heard(autojump_clock: MockClock) -> None:
    async with call() as (device, _, line):
        for number in range(5):
            device.microphone.record(bytes([number]) * BLOCK)
            assert (await line.expect(InputAudioBufferAppend)).audio == bytes([number]) * BLOCK
        assert device.microphone.sent_s == 0.1


async def test_a_server_that_does_not_read_costs_the_oldest_words_and_nothing_else(autojump_clock: MockClock) -> None:
    async with call() as (device, _, line):
        with line.deaf():
            for number in range(200):
                device.microphone.record(number.to_bytes(2, "little") * 480)
                await trio.sleep(0.02)
        for number in range(200, 210):
            await trio.sleep(0.02)
            device.microphone.record(number.to_bytes(2, "little") * 480)
        heard = []
        while not heard or heard[-1] != 209:
            heard.append(int.from_bytes((await line.expect(InputAudioBufferAppend)).audio[:2], "little"))
        assert device.microphone.dropped == 210 - len(heard) > 0
        assert heard == sorted(heard)
        assert heard[:60] == list(range(60))  # the session's room
        assert heard[-58:] == list(range(152, 210))  # the newest second


async def test_the_answer_sounds_and_was_heard(autojump_clock: MockClock) -> None:
    async with call() as (device, session, line):
        interruptions = session.subscribe({AudioInterruptedEvent})
        await begin(line, "resp")
        await deltas(line, "resp", "item", b"\1" * 4801, b"\1" * 4799)  # halves of samples come as they please
        await end(line, "resp", "item")
        assert await listen(device, 300) == b"\1" * 9600
        await cut_in(line)
        await line.expect_nothing()
        await session.aclose()
        assert [event async for event in interruptions] == []


async def test_cutting_in_is_heard_at_once_and_the_rest_is_forgotten(autojump_clock: MockClock) -> None:
    async with call() as (device, _, line):
        await begin(line, "resp")
        await deltas(line, "resp", "item", b"\1" * 48_000, b"\1" * 48_000)
        assert await listen(device, 400) == b"\1" * 48 * 400
        await cut_in(line)
        assert device.loudspeaker.take(BLOCK) == b""
        truncate = await line.expect(ConversationItemTruncate)
        assert (truncate.item_id, truncate.audio_end_ms) == ("item", 400)
        await deltas(line, "resp", "item", b"\1" * 4800)  # it was on its way
        assert await listen(device, 100) == b""


async def test_of_two_answers_the_one_that_sounds_is_cut(autojump_clock: MockClock) -> None:
    async with call() as (device, _, line):
        for number, item_id in enumerate(["one", "two", "three"]):
            await begin(line, f"resp_{item_id}")
            await deltas(line, f"resp_{item_id}", item_id, bytes([number]) * 9599)
            await end(line, f"resp_{item_id}", item_id)
        await listen(device, 300)
        await cut_in(line)
        cuts = [await line.expect(ConversationItemTruncate) for _ in range(2)]
        # `one` was heard to its end, at 199.96 ms; the second 100 ms are those of `two`.
        assert [(cut.item_id, cut.audio_end_ms) for cut in cuts] == [("two", 100), ("three", 0)]


async def test_the_next_answer_sounds_after_an_interruption(autojump_clock: MockClock) -> None:
    async with call() as (device, session, line):
        await begin(line, "resp")
        await deltas(line, "resp", "item", b"\1" * 48_000)
        await listen(device, 100)
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert device.loudspeaker.queued == 0
        await line.expect(ResponseCancel)
        assert (await line.expect(ConversationItemTruncate)).audio_end_ms == 100
        await end(line, "resp", "item", "cancelled")
        await begin(line, "resp_2")
        await deltas(line, "resp_2", "item_2", b"\2" * 48_000)
        assert await listen(device, 500) == b"\2" * 24_000
        await cut_in(line)
        assert (await line.expect(ConversationItemTruncate)).audio_end_ms == 500


async def test_a_device_that_stops_ends_the_block(autojump_clock: MockClock) -> None:
    with pytest.raises(TrioCodexError, match="sound device has stopped"):
        async with call() as (device, _, _):
            device.stopped.ring()
            await trio.sleep_forever()


async def test_an_error_of_the_body_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with call():
            raise error
    assert caught.value is error


async def test_the_end_of_the_connection_is_told_by_the_session(autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectionLost) as caught:
        async with call() as (device, session, line):
            await line.drop(1001, "time is up")
            async for _ in session:
                device.microphone.record(bytes(BLOCK))
    assert caught.value.code == 1001


async def test_a_session_that_closes_ends_quietly(autojump_clock: MockClock) -> None:
    async with call() as (device, session, _):
        await session.aclose()
        device.microphone.record(bytes(BLOCK))
        await wait_all_tasks_blocked()
        assert [event async for event in session] == []


async def test_nothing_goes_on_when_the_block_is_left(autojump_clock: MockClock) -> None:
    device = SoundDevice()
    async with scripted_session() as (session, line):
        await wait_all_tasks_blocked()  # what the opening needed has ended
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.move_on_after(1):
            async with device.attach(session):
                await begin(line, "resp")
                await deltas(line, "resp", "item", bytes(48_000))
                await trio.sleep_forever()
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert device.loudspeaker.take(BLOCK) == b""
        device.microphone.record(bytes(BLOCK))
        await line.expect_nothing()
