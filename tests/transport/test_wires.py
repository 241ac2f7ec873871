from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from trio_codex.transport.wires import READ_BYTES, SocketWire


@contextmanager
def both_ends() -> Iterator[tuple[SocketWire, socket.socket]]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, 4 * READ_BYTES)
    wire = SocketWire(ours)
    with theirs:
        yield wire, theirs
        wire.close()


async def test_after_a_full_read_others_have_their_turn_and_the_rest_is_read() -> None:
    with both_ends() as (wire, theirs):
        theirs.sendall(bytes(READ_BYTES + 5))
        assert len(wire.read() or b"") == READ_BYTES
        ran: list[str] = []

        async def other() -> None:
            ran.append("other")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await wire.wait_readable()
            await trio.lowlevel.checkpoint()  # the order within a turn is by chance
            ran.append("we")
        assert ran == ["other", "we"]
        assert wire.read() == bytes(5)


async def test_a_full_read_that_was_the_last_one_is_followed_by_waiting() -> None:
    with both_ends() as (wire, theirs):
        theirs.sendall(bytes(READ_BYTES))
        assert len(wire.read() or b"") == READ_BYTES
        await wire.wait_readable()
        assert wire.read() is None
        with trio.move_on_after(0.01) as limit:
            await wire.wait_readable()
        assert limit.cancelled_caught
        theirs.sendall(b"more")
        await wire.wait_readable()
        assert wire.read() == b"more"


async def test_waiting_after_a_full_read_can_be_cancelled() -> None:
    with both_ends() as (wire, theirs):
        theirs.sendall(bytes(READ_BYTES) + b"more")
        assert len(wire.read() or b"") == READ_BYTES
        with trio.CancelScope() as scope:
            scope.cancel()
            await wire.wait_readable()
        assert scope.cancelled_caught
        assert wire.read() == b"more"
