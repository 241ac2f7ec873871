"""Connecting to a machine that is named by its address, which goes past names and the choice between addresses."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import trio
import trio.testing

from trio_codex.errors import ConnectionFailed
from trio_codex.transport import Target
from trio_codex.transport.streams import connect, open_stream

OPTIONS = ("TCP_NODELAY", "TCP_NOTSENT_LOWAT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")


def listening(family: socket.AddressFamily, host: str, stack: ExitStack, backlog: int = 5) -> socket.socket:
    listener = stack.enter_context(socket.socket(family))
    listener.bind((host, 0))
    listener.listen(backlog)
    return listener


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "localhost"), (socket.AF_INET6, "::1")],
)
async def test_addresses_and_names_give_the_same_kind_of_socket(family: socket.AddressFamily, host: str) -> None:
    with ExitStack() as stack:
        try:
            listener = listening(family, host, stack)
        except OSError as error:
            pytest.skip(f"no {family.name} here: {error}")
        tcp = stack.enter_context(await connect(host, listener.getsockname()[1]))
        assert not tcp.getblocking()
        assert tcp.getpeername() == listener.getsockname()
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        by_name = stack.enter_context(socket.socket(family))
        for option in OPTIONS:
            number = getattr(socket, option, None)
            if number is not None:
                set_to = tcp.getsockopt(socket.IPPROTO_TCP, number)
                assert set_to != by_name.getsockopt(socket.IPPROTO_TCP, number), option


async def test_a_stream_to_an_address_carries_bytes() -> None:
    with ExitStack() as stack:
        listener = listening(socket.AF_INET, "127.0.0.1", stack)
        async with await open_stream(Target(url=f"ws://127.0.0.1:{listener.getsockname()[1]}/")) as stream:
            peer = stack.enter_context(listener.accept()[0])
            peer.send(b"hello")
            assert await stream.receive_some() == b"hello"


async def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConnectionFailed, match=re.escape(f"cannot reach 127.0.0.1:{port}: ")) as failed:
            await connect("127.0.0.1", port)
    assert failed.value.stage == "tcp"


@pytest.fixture
def full() -> Iterator[socket.socket]:
    """A listener that lets nobody in before somebody is let out."""
    with ExitStack() as stack:
        listener = listening(socket.AF_INET, "127.0.0.1", stack, backlog=0)
        stack.enter_context(socket.create_connection(listener.getsockname()))
        yield listener


async def test_waiting_for_an_address_can_be_given_up(full: socket.socket) -> None:
    with trio.move_on_after(0.02) as limit:
        await connect("127.0.0.1", full.getsockname()[1])
    assert limit.cancelled_caught


async def test_an_address_that_answers_late(full: socket.socket) -> None:
    async def let_in() -> None:
        await trio.testing.wait_all_tasks_blocked(0.01)
        full.accept()[0].close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(let_in)
        (await connect("127.0.0.1", full.getsockname()[1])).close()


async def test_who_is_cancelled_already_does_not_connect() -> None:
    with ExitStack() as stack, trio.CancelScope() as scope:
        listener = listening(socket.AF_INET, "127.0.0.1", stack)
        listener.setblocking(False)
        scope.cancel()
        try:
            await connect("127.0.0.1", listener.getsockname()[1])
        finally:
            with pytest.raises(BlockingIOError):
                listener.accept()
    assert scope.cancelled_caught
