from __future__ import annotations

import threading

import trio
from trio.testing import wait_all_tasks_blocked

from trio_codex.device import Microphone
from trio_codex.device.microphone import CAPACITY_MS

PIECES = CAPACITY_MS // 20


class Server:
    """Takes pieces while it has room."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.heard: list[bytes] = []

    def send_nowait(self, pcm: bytes) -> None:
        if len(self.heard) >= self.room:
            raise trio.WouldBlock
        self.heard.append(pcm)


def pieces(first: int, last: int) -> list[bytes]:
    return [number.to_bytes(2, "little") * 480 for number in range(first, last)]


async def test_pieces_come_in_order_from_another_thread() -> None:
    microphone, server = Microphone(), Server()
    recorded = pieces(0, 500)

    def audio_thread() -> None:
        for piece in recorded:
            microphone.record(piece)
            sent.wait(0.0005)

    sent = threading.Event()  # never set: a pause that needs no clock of its own
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(microphone.stream, server.send_nowait)
            await wait_all_tasks_blocked()
            await trio.to_thread.run_sync(audio_thread)
            await wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    assert microphone.dropped + len(server.heard) == 500
    assert server.heard == [piece for piece in recorded if piece in server.heard]
    assert microphone.sent == 960 * len(server.heard)


async def test_the_oldest_gives_way_when_there_is_no_room() -> None:
    microphone, server = Microphone(), Server(room=3)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(microphone.stream, server.send_nowait)
            await wait_all_tasks_blocked()
            for piece in pieces(0, 3 + PIECES + 7):
                microphone.record(piece)
                await wait_all_tasks_blocked()
            assert server.heard == pieces(0, 3)
            assert microphone.dropped == 7
            server.room = 1000
            await wait_all_tasks_blocked()
            assert server.heard == pieces(0, 3)  # the next piece is the occasion
            microphone.record(b"\1\1")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert server.heard[3:] == [*pieces(3 + 8, 3 + PIECES + 7), b"\1\1"]
    assert microphone.dropped == 8


async def test_what_was_said_before_anybody_listened_is_not_sent() -> None:
    microphone, server = Microphone(), Server()
    for piece in pieces(0, 200):
        microphone.record(piece)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(microphone.stream, server.send_nowait)
            await wait_all_tasks_blocked()
            microphone.record(b"\1\1")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert server.heard == [b"\1\1"]
    assert microphone.dropped == 0


def test_the_audio_thread_may_outlive_the_run() -> None:
    async def main() -> Microphone:
        return Microphone()

    microphone = trio.run(main)
    microphone.record(b"\1\1")
