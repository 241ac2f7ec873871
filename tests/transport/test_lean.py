"""What the lean transport does beyond what every transport does."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import pytest
import trio

from trio_codex.errors import ConnectionLost
from trio_codex.testing import scripted_server
from trio_codex.transport import Eager, Target
from trio_codex.transport.frames import Frames
from trio_codex.transport.lean import LeanTransport, open_lean

Serve: TypeAlias = Callable[[Callable[[Any], Awaitable[None]]], AbstractAsyncContextManager[str]]

LIMIT_S = 60


async def test_pings_are_answered_by_whoever_receives(serve: Serve) -> None:
    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_frame(9, b"are you there?")
        assert await peer.read_frame() == (10, b"are you there?")
        await peer.say_text("good")
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, open_lean(Target(url=url)) as transport:
            assert await transport.receive() == "good"


async def test_a_send_that_is_cancelled_goes_out_whole_with_the_next(serve: Serve) -> None:
    read, all_read = trio.Event(), trio.Event()
    came: list[bytes] = []

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await read.wait()
        while len(came) < 3:
            came.append((await peer.read_frame())[1])
        all_read.set()
        await peer.wait_closed()

    large = "x" * 5_000_000
    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, open_lean(Target(url=url)) as transport:
            for frame in (large, "second"):
                with trio.move_on_after(0.05) as scope:
                    await transport.send(frame)
                assert scope.cancelled_caught
            read.set()
            await transport.send("third")
            await all_read.wait()
    assert came == [large.encode(), b"second", b"third"]


async def test_a_pong_that_the_system_would_not_take_goes_out_later(serve: Serve) -> None:
    full, read, answered = trio.Event(), trio.Event(), trio.Event()

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await full.wait()
        await peer.say_frame(9, b"?")
        await read.wait()
        while (frame := await peer.read_frame())[0] != 10:
            pass
        assert frame == (10, b"?")
        answered.set()
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, open_lean(Target(url=url)) as transport, trio.open_nursery() as nursery:
            assert isinstance(transport, Eager)
            while transport.send_nowait(["x" * 100_000]):
                pass
            full.set()
            nursery.start_soon(transport.receive)
            await trio.sleep(0.1)
            read.set()
            await answered.wait()
            nursery.cancel_scope.cancel()


async def test_two_may_receive_and_close_at_once() -> None:
    async def script(line: Any) -> None:
        for number in range(100):
            await line.say_frame(str(number))
        await line.expect_end()

    came: list[str | bytes] = []
    all_came = trio.Event()

    async def receive(transport: LeanTransport) -> None:
        try:
            while True:
                came.append(await transport.receive())
                if len(came) == 100:
                    all_came.set()
        except ConnectionLost as lost:
            assert lost.code == 1000

    with trio.fail_after(LIMIT_S):
        async with (
            scripted_server(script, acknowledge=False) as server,
            open_lean(Target(url=server.url)) as transport,
            trio.open_nursery() as nursery,
        ):
            assert isinstance(transport, LeanTransport)
            nursery.start_soon(receive, transport)
            nursery.start_soon(receive, transport)
            await all_came.wait()
            await transport.close()
    assert sorted(map(int, came)) == list(range(100))


async def test_many_frames_come_and_go_together(serve: Serve) -> None:
    came: list[bytes] = []

    async def handler(peer: Any) -> None:
        peer.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await peer.upgrade()
        while len(came) < 50:
            came.append((await peer.read_frame())[1])
        await peer.say(b"".join(b"\x81\x02" + f"{number:02}".encode() for number in range(50)))
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, open_lean(Target(url=url)) as transport:
            assert isinstance(transport, Eager)
            await transport.send_many([str(number) for number in range(25)])
            assert transport.send_nowait(["", *(str(number) for number in range(25, 50))])
            found: list[str | bytes] = []
            while len(found) < 50:
                found += await transport.receive_many()
    assert came == [str(number).encode() for number in range(50)]
    assert found == [f"{number:02}" for number in range(50)]


@pytest.mark.parametrize("name", ["Authorization", "api-key"])
@pytest.mark.parametrize("key", ["sk-very-secret", "nodashesinthiskey"])
async def test_keys_that_the_server_repeats_are_hidden(name: str, key: str, serve: Serve) -> None:
    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_text(f"your key is {key} - is it?")
        await peer.say_text("nothing of it")
        await peer.say_text(f"{key}!")
        await peer.say_text(f"again {key}")
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, open_lean(Target(url=url, headers=((name, key),))) as transport:
            assert await transport.receive() == "your key is … - is it?"
            assert await transport.receive() == "nothing of it"
            assert isinstance(transport, Eager)
            more: list[str | bytes] = []
            while len(more) < 2:
                more += await transport.receive_many()
            assert more == ["…!", "again …"]


class Flooded:
    """A wire with more to read than one takes at a time: each read is full, and gives so many texts."""

    full = True

    def __init__(self, texts: int) -> None:
        self.reads = 0
        self._read = b"\x81\x01!" * texts

    def write(self, data: bytes) -> bool:
        raise AssertionError("nothing is to be answered")

    def read(self) -> bytes:
        self.reads += 1
        return self._read

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_writable(self) -> None:
        raise AssertionError("nothing waits to be written")

    def close(self) -> None:
        raise AssertionError("nobody closes")


@pytest.mark.parametrize(("texts", "reads"), [(1, 2), (64, 2), (65, 1)])
async def test_a_flood_is_read_twice_in_a_turn_unless_it_is_many_messages(texts: int, reads: int) -> None:
    wire = Flooded(texts)
    transport = LeanTransport(wire, Frames())
    with trio.fail_after(LIMIT_S):
        assert len(await transport.receive_many()) == texts * reads
        assert wire.reads == reads
        assert len(await transport.receive_many()) == texts * reads
        assert wire.reads == 2 * reads
