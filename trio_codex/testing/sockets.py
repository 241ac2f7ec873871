"""Scripted peers over a real socket: a websocket server on the loopback that takes one connection.

For tests of what only sockets do. Real sockets and a clock that jumps do not mix: the kernel's work looks like idleness to it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
import trio_websocket

from trio_codex.credentials import Endpoint
from trio_codex.errors import ConnectionLost
from trio_codex.testing.line import Line
from trio_codex.testing.scripted import Script, beside
from trio_codex.transport import ABNORMAL, NORMAL

__all__ = ["ScriptedServer", "SocketFarEnd", "accepted", "scripted_server"]

_MAX_FRAME = 128 * 1024 * 1024


@attrs.frozen
class ScriptedServer:
    """Where a script listens: `endpoint` for a session, `url` for a transport, `line` for the test."""

    line: Line
    url: str

    @property
    def endpoint(self) -> Endpoint:
        """The server as a session's endpoint."""
        return Endpoint.custom(self.url.replace("ws", "http", 1), realtime_url=self.url)


class SocketFarEnd:
    """The server's end of a websocket; the same face as a memory transport's."""

    def __init__(self, websocket: trio_websocket.WebSocketConnection, tcp: trio.SocketStream) -> None:
        self._websocket = websocket
        self._tcp = tcp
        self._closing: trio.Event | None = None  # set when the goodbyes are exchanged

    async def send(self, frame: str) -> None:
        """Write one frame. Raises ConnectionLost."""
        try:
            await self._websocket.send_message(frame)
        except trio_websocket.ConnectionClosed:
            raise self._lost() from None

    async def receive(self) -> str | bytes:
        """Give the next frame. Cancel-safe. Raises ConnectionLost."""
        try:
            message: str | bytes = await self._websocket.get_message()
        except trio_websocket.ConnectionClosed:
            if self._closing is not None:  # trio-websocket says so before the peer has answered
                await self._closing.wait()  # noqa: ASYNC120 - cancelled, it has nothing to say
            raise self._lost() from None
        return message

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye with this code and reason, and wait for the peer's."""
        self._closing = trio.Event()
        try:
            await self._websocket.aclose(code, reason or None)
        finally:
            self._closing.set()

    def drop(self) -> None:
        """Close the socket without a goodbye."""
        self._tcp.socket.close()

    def _lost(self) -> ConnectionLost:
        closed = self._websocket.closed
        return ConnectionLost(closed.code, closed.reason or "") if closed else ConnectionLost(ABNORMAL)


@asynccontextmanager
async def scripted_server(
    script: Script | None = None, *, acknowledge: bool = True, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """Run a script as the server of one session, on a port of the loopback that the system chooses (wss with `tls`).

    When the block is left, the script is given its time to end. Raises what the script raises, ScriptFailed above all.
    """
    line = Line(acknowledge=acknowledge)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        server = ScriptedServer(line, f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/v1/realtime")
        listening = trio.CancelScope()

        async def carry() -> None:
            tcp: trio.SocketStream | None = None
            with listening:
                tcp = await listener.accept()
            if tcp is not None:
                async with accepted(tcp, tls) as far:
                    await line.carry(far)

        async with beside(script, line, carry, listening.cancel):
            yield server


@asynccontextmanager
async def accepted(tcp: trio.SocketStream, tls: ssl.SSLContext | None = None) -> AsyncIterator[SocketFarEnd]:
    """Accept a websocket on a connection; leaving the block closes the socket."""
    stream = tcp if tls is None else trio.SSLStream(tcp, tls, server_side=True, https_compatible=True)
    try:
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(
                nursery, stream, message_queue_size=64, max_message_size=_MAX_FRAME, receive_buffer_size=65536
            )
            websocket = await request.accept()
            yield SocketFarEnd(websocket, tcp)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(tcp)
