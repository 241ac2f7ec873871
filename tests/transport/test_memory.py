from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from trio_codex.errors import ConnectionLost
from trio_codex.testing import check_transport
from trio_codex.transport import Target, Transport
from trio_codex.transport.memory import MemoryTransport, memory_connector, memory_pair


@pytest.mark.parametrize("size", [0, 1, 1000])
async def test_memory_transports_conform(size: float, autojump_clock: trio.abc.Clock) -> None:
    @asynccontextmanager
    async def connect_pair() -> AsyncIterator[tuple[MemoryTransport, MemoryTransport]]:
        yield memory_pair(size)

    await check_transport(connect_pair)


def test_they_are_transports() -> None:
    assert all(isinstance(end, Transport) for end in memory_pair())


async def test_a_peer_that_does_not_read_makes_the_other_wait(autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_pair(2)
    with trio.fail_after(10):
        await near.send("one")
        await near.send("two")
        with trio.move_on_after(5) as waiting:
            await near.send("three")
        assert waiting.cancelled_caught
        assert [await far.receive(), await far.receive()] == ["one", "two"]


async def test_close_waits_for_a_peer_that_never_answers_as_long_as_it_is_let(autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_pair()
    started = trio.current_time()
    with trio.move_on_after(3):
        await near.close()
    assert trio.current_time() - started == 3
    with pytest.raises(ConnectionLost, match="1000"):
        await far.receive()


async def test_a_sender_that_waits_is_told_that_the_peer_has_gone(autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_pair(0)

    async def send() -> None:
        with pytest.raises(ConnectionLost, match="1011: tired"):
            await near.send("hello?")

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            far.drop(1011, "tired")


async def test_leaving_the_connectors_block_drops_the_connection(autojump_clock: trio.abc.Clock) -> None:
    near, far = memory_pair()
    with trio.fail_after(10):
        async with memory_connector(near)(Target(url="ws://localhost/")) as transport:
            await transport.send("hello")
        assert await far.receive() == "hello"
        with pytest.raises(ConnectionLost, match="1006"):
            await far.receive()
