from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from trio_codex.errors import ConnectionLost
from trio_codex.session.outbox import ROOM, Outbox, OutgoingFrame


class Wire:
    """Takes frames without waiting: all (True), in part (False), or has ended (None)."""

    def __init__(self, takes: bool | None) -> None:
        self.takes = takes
        self.written: list[str] = []

    def send_nowait(self, frames: Sequence[str]) -> bool:
        if self.takes is None:
            raise ConnectionLost(1006)
        self.written += frames
        return self.takes

    async def send_many(self, frames: Sequence[str]) -> None:
        self.written += frames

    async def send(self, frame: str) -> None:
        self.written.append(frame)

    async def receive(self) -> str | bytes:
        raise ConnectionLost(1006)

    async def receive_many(self) -> Sequence[str | bytes]:
        raise ConnectionLost(1006)

    async def close(self) -> None:
        pass


async def writer(outbox: Outbox, taken: list[list[OutgoingFrame]]) -> None:
    while frames := outbox.take():
        taken.append(frames)


async def said(wire: Wire, *moments: Sequence[str]) -> tuple[list[list[OutgoingFrame]], Outbox]:
    """Say frames at each moment, half a second apart, while no writer runs; gives what the writers got."""
    outbox = Outbox()
    outbox.eager = wire
    taken: list[list[OutgoingFrame]] = []
    async with trio.open_nursery() as nursery:
        for texts in moments:
            await trio.sleep(0.5)
            for text in texts:
                await outbox.wait_room()
                outbox.put(text, room=True)
                if outbox.send():
                    nursery.start_soon(writer, outbox, taken)
    outbox.close()
    return taken, outbox


async def test_a_lone_frame_goes_out_at_once_and_gives_its_room_back(autojump_clock: trio.abc.Clock) -> None:
    wire = Wire(True)
    taken, outbox = await said(wire, ["one"], ["two"])
    assert wire.written == ["one", "two"]
    assert taken == []
    for _ in range(ROOM + 1):  # closing lets one more in
        outbox.take_room_nowait()
    with pytest.raises(trio.WouldBlock):
        outbox.take_room_nowait()


async def test_a_crowd_is_left_to_the_writer_in_order(autojump_clock: trio.abc.Clock) -> None:
    wire = Wire(True)
    taken, _ = await said(wire, ["one", "two", "three", "four"], ["five", "six"])
    assert wire.written == ["one", "two", "five", "six"]
    assert taken == [[("three", True), ("four", True)]]


async def test_what_the_transport_has_kept_is_finished_by_the_writer(autojump_clock: trio.abc.Clock) -> None:
    wire = Wire(False)
    taken, _ = await said(wire, ["one"])
    assert wire.written == ["one"]
    assert taken == [[("", True)]]


async def test_the_end_is_for_the_writer_to_meet(autojump_clock: trio.abc.Clock) -> None:
    taken, _ = await said(Wire(None), ["one"])
    assert taken == [[("one", True)]]


def test_nothing_is_put_after_the_end() -> None:
    outbox = Outbox()
    outbox.close()
    assert not outbox.put("late", room=False)
    assert outbox.take() == []
