"""Peers that misbehave, byte by byte, and the check that none of them costs us a socket."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from trio_codex.transport import Connector
from trio_codex.transport.dialing import connector_for

Handler: TypeAlias = Callable[["RawPeer"], Awaitable[None]]
Serve: TypeAlias = Callable[[Handler], AbstractAsyncContextManager[str]]


class RawPeer:
    """A TCP connection on which a test says what it likes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.unread = b""

    async def read_request(self) -> bytes:
        """The client's handshake."""
        while b"\r\n\r\n" not in self.unread:
            data = await self.stream.receive_some()
            assert data, "the client hung up before its handshake was through"
            self.unread += data
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        return head

    async def upgrade(self) -> None:
        """Answer the handshake as a server should."""
        head = await self.read_request()
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        await self.say(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    async def say(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def say_frame(self, opcode: int, payload: bytes = b"") -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
        await self.say(head + payload)

    async def say_text(self, text: str) -> None:
        await self.say_frame(1, text.encode())

    async def say_close(self, code: int | None = None, reason: str = "") -> None:
        await self.say_frame(8, b"" if code is None else struct.pack("!H", code) + reason.encode())

    async def read_frame(self) -> tuple[int, bytes]:
        """One (masked, unfragmented) frame of the client: opcode and payload."""
        first, second = await self._read(2)
        size = second & 0x7F
        if size == 126:
            [size] = struct.unpack("!H", await self._read(2))
        elif size == 127:
            [size] = struct.unpack("!Q", await self._read(8))
        mask = await self._read(4)
        payload = await self._read(size)
        return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    async def _read(self, count: int) -> bytes:
        while len(self.unread) < count:
            data = await self.stream.receive_some()
            if not data:
                raise EOFError
            self.unread += data
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    async def wait_closed(self) -> None:
        """Read until the client has closed the socket."""
        try:
            while await self.stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass


@asynccontextmanager
async def _serve(handler: Handler) -> AsyncIterator[str]:
    """Let `handler` answer each connection; gives the URL. What it raises fails the test, unless the client just hung up."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def answer(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await handler(RawPeer(stream))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/v1/realtime"
        await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()


@pytest.fixture
def serve() -> Serve:
    return _serve


def open_sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that the listing itself used
            found.add(str(descriptor.readlink()))
    return {target for target in found if target.startswith("socket:")}


@pytest.fixture(params=["trio-websocket", "lean"])
def dial(request: pytest.FixtureRequest) -> Connector:
    """The connectors that work over sockets, in turn."""
    return connector_for(request.param)


@pytest.fixture(autouse=True)
def no_socket_is_left() -> Iterator[None]:
    before = open_sockets()
    yield
    assert open_sockets() <= before
