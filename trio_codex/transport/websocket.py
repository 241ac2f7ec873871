"""The default transport: trio-websocket, with what it leaves undone.

It is given its stream by `streams`, so that each failure is reported as what it is and within the time limit; it watches the stream, so
that a peer that hangs up during the handshake is noticed at once; it keeps the library's reader in a nursery whose failures become the
end of the connection instead of an exception in somebody's task; a write that fails does not cost what the peer said before; and the
socket is closed by force at the end, whatever the peer does. Redirects are refused: a key goes only to the host that it is for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import trio
import trio_websocket

from trio_codex.errors import ConnectionFailed, ConnectionLost
from trio_codex.logs import get_logger
from trio_codex.secret import without
from trio_codex.transport import ABNORMAL, MAX_MESSAGE, NORMAL, Target, Transport
from trio_codex.transport.refusals import refused, why_not_opened
from trio_codex.transport.streams import host_of, open_stream

__all__ = ["open_websocket"]

_log = get_logger("transport")

_READ_BYTES: Final = 64 * 1024
_QUEUE: Final = 64  # frames; a full queue would keep trio-websocket from answering pings


@asynccontextmanager
async def open_websocket(target: Target, /) -> AsyncIterator[Transport]:
    """Connect to a ws:// or wss:// URL. Raises ConnectionFailed, ConfigurationError for a bad CA file; leaving the block closes at once."""
    with trio.CancelScope(deadline=trio.current_time() + target.timeout) as limit:
        stream = _WatchedStream(await open_stream(target))
    if limit.cancelled_caught:
        raise ConnectionFailed(f"no connection to {host_of(target.url)} within {target.timeout:g} s")
    try:
        async with trio.open_nursery() as nursery:
            reading = trio.CancelScope()
            try:
                with trio.CancelScope(deadline=limit.deadline) as limit:
                    transport = await nursery.start(_run, stream, target, reading)
                if limit.cancelled_caught:
                    raise stream.what_it_said(target)
                if isinstance(transport, ConnectionFailed):
                    raise transport
                yield transport
            finally:
                reading.cancel()
    except BaseExceptionGroup as group:
        failed, rest = group.split(ConnectionFailed)
        if failed is None or rest is not None:
            raise
        reason = _first(failed)
        raise reason from reason.__cause__
    finally:
        await trio.aclose_forcefully(stream)


class WebSocketTransport:
    """A connection over trio-websocket, of either side. `over` is set once nothing is read any more."""

    def __init__(
        self,
        websocket: trio_websocket.WebSocketConnection,
        stream: _WatchedStream,
        over: trio.Event,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._secrets = secrets
        self._websocket = websocket
        self._stream = stream
        self._over = over

    async def send(self, frame: str) -> None:
        """Write one frame. Raises ConnectionLost, with the peer's own reason if it gave one before it went."""
        try:
            await self._websocket.send_message(frame)
        except (trio_websocket.ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._lost() from None
        if self._stream.broken:
            await self._over.wait()
            raise self._lost()

    async def receive(self) -> str | bytes:
        """Give the next frame. Cancel-safe. Raises ConnectionLost."""
        try:
            message: str | bytes = await self._websocket.get_message()
        except trio_websocket.ConnectionClosed:
            raise self._lost() from None
        return self._without_secrets(message) if isinstance(message, str) else message

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Exchange close frames. Never raises; set a time limit, for the peer may never answer."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._say_goodbye, code, reason, nursery.cancel_scope)
            # trio-websocket itself would wait on when its reader fails, as it does when a ping comes now.
            await self._over.wait()
            nursery.cancel_scope.cancel()

    async def _say_goodbye(self, code: int, reason: str, scope: trio.CancelScope) -> None:
        try:
            await self._websocket.aclose(code, reason or None)
        except Exception as error:  # whatever breaks here, the socket is closed by force right after
            _log.debug("the closing handshake failed: %r", error)
        scope.cancel()

    def _lost(self) -> ConnectionLost:
        closed = self._websocket.closed
        return (
            ConnectionLost(closed.code, self._without_secrets(closed.reason or ""))
            if closed
            else ConnectionLost(ABNORMAL)
        )

    def _without_secrets(self, text: str) -> str:
        return without(self._secrets, text)


async def _run(
    stream: _WatchedStream,
    target: Target,
    reading: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[WebSocketTransport | ConnectionFailed],
) -> None:
    """Read until `reading` is cancelled: once it is open, who is cancelled around the connection still says goodbye over it."""
    with reading:
        await _read(stream, target, reading, task_status)


async def _read(
    stream: _WatchedStream,
    target: Target,
    reading: trio.CancelScope,
    task_status: trio.TaskStatus[WebSocketTransport | ConnectionFailed],
) -> None:
    """Own trio-websocket's reader: its failures end the connection, and a failed handshake is the answer."""
    over = trio.Event()
    opened = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_over, stream, nursery.cancel_scope)
            parts = urlsplit(target.url)
            websocket = await trio_websocket.wrap_client_stream(
                nursery,
                stream,  # type: ignore[arg-type] # any stream will do
                parts.netloc,
                f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}",
                extra_headers=[(name.encode(), value.encode()) for name, value in target.headers],
                message_queue_size=_QUEUE,
                max_message_size=MAX_MESSAGE,
                receive_buffer_size=_READ_BYTES,
            )
            opened = True
            stream.opened()
            reading.shield = True
            task_status.started(WebSocketTransport(websocket, stream, over, target.secrets))
    except BaseExceptionGroup as group:
        cancelled, failed = group.split(trio.Cancelled)
        if not isinstance(failed, Exception | None):
            raise
        if not opened and failed is not None:
            task_status.started(_not_opened(stream, target, _first(failed)))
            return
        if failed is not None:
            _log.debug("the websocket reader failed: %r", failed)
        if cancelled is not None:
            raise cancelled from None
    finally:
        over.set()
    if not opened:
        task_status.started(stream.what_it_said(target))


def _not_opened(stream: _WatchedStream, target: Target, error: BaseException) -> ConnectionFailed:
    if isinstance(error, trio_websocket.ConnectionRejected):
        return refused(target, error.status_code, error.headers or (), error.body or b"")
    failed = stream.what_it_said(target)
    failed.__cause__ = error
    return failed


async def _cancel_when_over(stream: _WatchedStream, scope: trio.CancelScope) -> None:
    """A peer that hangs up during the handshake would leave trio-websocket waiting for ever."""
    if not await stream.wait_over():
        scope.cancel()


class _WatchedStream(trio.abc.Stream):
    """A stream that remembers what a peer said before the handshake was through, and notices when it hangs up by then.

    Once it is open, a write that fails is only noted (`broken`): trio-websocket would otherwise stop reading, and what the peer said
    before it hung up, its close frame above all, would be lost.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._said: bytearray | None = bytearray()
        self._over = trio.Event()
        self._hung_up = False
        self.broken: bool = False

    async def wait_over(self) -> bool:
        """Wait until the handshake is through (True) or the peer has hung up (False)."""
        await self._over.wait()
        return self._said is None

    def opened(self) -> None:
        self._said = None
        self._over.set()

    def _hang_up(self) -> None:
        self._hung_up = True
        self._over.set()

    def what_it_said(self, target: Target) -> ConnectionFailed:
        """Why the handshake came to nothing, as far as can be told from what the peer said."""
        return why_not_opened(target, bytes(self._said or b""), hung_up=self._hung_up)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._hang_up()
            raise
        if not data:
            self._hang_up()
        elif self._said is not None and len(self._said) < _READ_BYTES:
            self._said += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.broken:
            return
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self.broken = True

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        self._hang_up()
        await self._stream.aclose()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
