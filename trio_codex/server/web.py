"""Runs an ASGI application on a listening socket with hypercorn, under Trio.

Hypercorn's own loop shields each send, so that a client which does not read could hold up the end for ever; this one owns the
connections' streams and closes them when the time for an orderly end is over.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from trio_codex.errors import ConfigurationError
from trio_codex.logs import get_logger
from trio_codex.server.faults import FaultPlan
from trio_codex.server.faults.streams import Wrapped

logger: Final = get_logger("server.http")

GRACE_S = 1.0
"""How long HTTP requests may take to end after `stop`."""
LARGEST_FRAME = 24 << 20
"""A websocket frame with the 15 MiB of audio that the API allows, and room; the peer counts exactly."""


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket; raises ConfigurationError when that cannot be."""
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"cannot listen on {host}:{port}: a port lies between 0 and 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=128)
    except OSError as error:
        advice = "take another port; 0 lets the system choose" if error.errno == errno.EADDRINUSE else ""
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}", advice=advice) from error


class _Prompt(Wrapped):
    """A connection on which a websocket writes without a turn of the scheduler: with many sessions, turns are long.

    Not before it is open: hypercorn takes its time then, and relies on it, for clients that send a frame too early.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self.open: bool = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write. One task at a time."""
        sent = self._write(data) if self.open else 0
        if sent < len(data) or not data:
            await self.inner.send_all(memoryview(data)[sent:])
        self.open = self.open or (os.name == "posix" and bytes(data[:12]) == b"HTTP/1.1 101")

    def _write(self, data: bytes | bytearray | memoryview) -> int:
        """Give the system what it takes at once."""
        try:
            return os.write(self.socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError:
            raise trio.BrokenResourceError from None


class _PromptLock:
    """What keeps hypercorn's tasks from writing at the same time; costs no turn of the scheduler while nobody else does."""

    def __init__(self, stream: _Prompt) -> None:
        self._stream = stream
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        if self._stream.open and not self._lock.locked():
            self._lock.acquire_nowait()
        else:
            await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class WebServer:
    """Serves one application until `stop`."""

    def __init__(self, app: Any, faults: FaultPlan | None = None) -> None:
        self._faults = faults or FaultPlan()
        self._config = Config()
        self._config.accesslog = None
        self._config.errorlog = logger
        self._config.websocket_max_message_size = LARGEST_FRAME
        self._config.max_app_queue_size = 4
        self._config.keep_alive_timeout = 5
        self._app = wrap_app(app, self._config.wsgi_max_body_size, "asgi")
        self._context = WorkerContext(None)
        self._streams: set[trio.SocketStream] = set()
        self._ended = trio.lowlevel.ParkingLot()
        self._accepting = trio.CancelScope()

    async def serve(self, sock: socket.socket) -> None:
        """Accept and serve connections until `stop`, and close the socket."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        async with trio.open_nursery() as handlers:
            try:
                with self._accepting:
                    await trio.serve_listeners(self._handle, [listener], handler_nursery=handlers)
                await self._context.terminated.set()
                with trio.move_on_after(GRACE_S):
                    await self._idle()
            finally:
                handlers.cancel_scope.cancel()
                for stream in self._streams:
                    stream.socket.close()  # a send that hypercorn shields ends only so

    def stop(self) -> None:
        """Accept nothing more, let what runs end, close the rest."""
        self._accepting.cancel()

    async def _handle(self, stream: trio.SocketStream) -> None:
        self._streams.add(stream)
        try:
            prompt = _Prompt(stream)
            async with self._faults.around(prompt) as carried:
                if carried is not None:
                    # What has no handshake is taken as plain TCP.
                    server = TCPServer(self._app, self._config, self._context, ConnectionState({}), carried)
                    server.send_lock = _PromptLock(prompt)  # type: ignore[assignment] # as far as hypercorn uses it
                    await server.run()
        except Exception as error:
            logger.warning("a connection broke the rules: %r", error)  # hypercorn would end the whole server
        finally:
            self._streams.discard(stream)
            self._ended.unpark_all()

    async def _idle(self) -> None:
        while self._streams:
            await self._ended.park()
