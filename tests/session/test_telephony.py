"""A sink that is far away: a telephone line takes frames of 20 ms ahead of time and says later what was heard of them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from tests.session.test_audio import cut_in, deltas, end, settle
from trio_codex import Agent, Guardrail, Session, SessionSettings
from trio_codex.events import AudioEvent, AudioInterruptedEvent
from trio_codex.protocol import ConversationItemTruncate
from trio_codex.testing import Line, scripted_session

CLOCK = "virtual"

FRAME = 160
"""Bytes of G.711 in 20 ms."""

LATENCY_S = 0.3
"""How much later than sent the line tells that a frame was played."""


@attrs.define
class Telephone:
    """Plays at the pace of speech what it is sent ahead of time, and marks each frame as played, a network later."""

    session: Session
    frames: deque[tuple[str, int, bytes]] = attrs.field(factory=deque)
    heard: bytearray = attrs.field(factory=bytearray)
    cleared: int = 0

    async def send(self) -> None:
        """Take the events as they come, cut into frames; a cut clears the line's buffer."""
        with self.session.subscribe([AudioEvent, AudioInterruptedEvent]) as stream:
            async for event in stream:
                if isinstance(event, AudioEvent):
                    for at in range(0, len(event.data), FRAME):
                        self.frames.append((event.item_id, event.content_index, event.data[at : at + FRAME]))
                else:
                    self.frames.clear()
                    self.cleared += 1

    async def play(self, nursery: trio.Nursery) -> None:
        while True:
            await trio.sleep(0.02)
            if self.frames:
                item_id, content_index, frame = self.frames.popleft()
                self.heard += frame
                nursery.start_soon(self.mark, item_id, content_index, len(frame))

    async def mark(self, item_id: str, content_index: int, nbytes: int) -> None:
        await trio.sleep(LATENCY_S)
        self.session.playback.played(item_id, content_index, nbytes)


@asynccontextmanager
async def call(agent: Agent | None = None) -> AsyncIterator[tuple[Session, Line, Telephone]]:
    """A session in G.711 with somebody at the far end of a telephone line."""
    settings = SessionSettings(output_format="g711_ulaw")
    async with scripted_session(agent or Agent(), settings=settings) as (session, line), trio.open_nursery() as nursery:
        telephone = Telephone(session)
        session.playback.played("", 0, 0)  # from now on reports count
        nursery.start_soon(telephone.send)
        nursery.start_soon(telephone.play, nursery)
        await settle()
        yield session, line, telephone
        nursery.cancel_scope.cancel()


async def answers(line: Line, *numbers: int) -> None:
    """Answers of a second each, which come at once; the first is `resp_1` with `item_1`."""
    for number in numbers:
        response = {"id": f"resp_{number}", "status": "in_progress", "conversation_id": "conv"}
        await line.say("response.created", response=response)
        name = {"response_id": f"resp_{number}", "item_id": f"item_{number}"}
        await deltas(line, *[bytes([number]) * 800] * 10, **name)
        await end(line, **name)


async def truncations(line: Line, count: int) -> list[tuple[str, int]]:
    cuts = [await line.expect(ConversationItemTruncate) for _ in range(count)]
    return [(cut.item_id, cut.audio_end_ms) for cut in cuts]


async def test_the_cut_is_where_the_line_says_it_was_heard() -> None:
    async with call() as (_, line, telephone):
        await answers(line, 1)
        await trio.sleep(0.711)
        assert len(telephone.heard) == 35 * FRAME
        await cut_in(line)
        assert await truncations(line, 1) == [("item_1", 400)], "20 frames were marked as played by now"
        await trio.sleep(1)
        assert len(telephone.heard) == 35 * FRAME, "the line was cleared"
        assert telephone.cleared == 1


async def test_marks_that_come_after_the_cut_do_not_count_for_the_next_answer() -> None:
    async with call() as (session, line, _):
        await answers(line, 1, 2)
        await trio.sleep(1.511)
        await session.interrupt()
        assert await truncations(line, 1) == [("item_2", 200)], "the first one was heard to its end"
        await answers(line, 3)
        await trio.sleep(0.3)
        await session.interrupt()
        assert await truncations(line, 1) == [("item_3", 0)]


async def test_a_guardrail_stops_the_line_too() -> None:
    async def check(text: str) -> bool:
        await trio.sleep(0.511)
        return "bad" in text

    agent = Agent(guardrails=[Guardrail(check, every=1)])
    async with call(agent) as (_, line, telephone):
        response = {"id": "resp_1", "status": "in_progress", "conversation_id": "conv"}
        await line.say("response.created", response=response)
        place = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        await line.say("response.output_audio_transcript.delta", **place, delta="bad")
        await deltas(line, bytes(8000), response_id="resp_1", item_id="item_1")
        await end(line, "resp_1", "item_1")
        assert await truncations(line, 1) == [("item_1", 200)]
        await trio.sleep(1)
        assert len(telephone.heard) <= 26 * FRAME
