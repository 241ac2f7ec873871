"""Bytes over a socket without a needless turn of the scheduler: tried first, waited for only when that has to be.

A wire is read and written by plain functions; what the system does not take at once is kept and goes first the next time, so nothing
that is cancelled is ever half written. `TlsWire` is TLS over any wire, on the memory buffers of `ssl`: one record in, one out, where
`trio.SSLStream` takes locks and turns of the scheduler for each. Only one task may wait for reading, and one for writing.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Final, Protocol

import trio

__all__ = ["SocketWire", "TlsWire", "Wire"]

READ_BYTES: Final = 64 * 1024


class Wire(Protocol):
    """A connection that carries bytes. What breaks it raises OSError (of which ssl.SSLError is one)."""

    @property
    def full(self) -> bool:
        """Whether the last read took all that a read takes: more has come, most likely."""
        ...

    def write(self, data: bytes) -> bool:
        """Send, as far as it goes without waiting; says whether everything has gone. What has not is kept; b"" tries it again."""
        ...

    def read(self) -> bytes | None:
        """Give what has come: b"" is the end, None that nothing has come yet."""
        ...

    def wait_readable(self) -> Awaitable[None]:
        """Wait until `read` may give something. Cancel-safe."""
        ...

    def wait_writable(self) -> Awaitable[None]:
        """Wait until `write` may get further. Cancel-safe."""
        ...

    def close(self) -> None:
        """Free it at once; who waits gets trio.ClosedResourceError."""


class SocketWire:
    """A TCP connection, over a socket that does not block."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._kept = bytearray()
        self.full: bool = False

    def write(self, data: bytes) -> bool:
        """Send, as far as it goes without waiting."""
        if self._kept:
            self._kept += data
            del self._kept[: self._send(self._kept)]
        elif data and (sent := self._send(data)) < len(data):
            self._kept += memoryview(data)[sent:]
        return not self._kept

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def read(self) -> bytes | None:
        """Give what has come."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            data = None
        self.full = data is not None and len(data) == READ_BYTES
        return data

    def wait_readable(self) -> Awaitable[None]:
        """Wait until something has come."""
        if self.full:  # then more has come, most likely: others have their turn, and the system need not tell (1 µs a piece of a flood)
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - as below
        return trio.lowlevel.wait_readable(self._socket)  # noqa: ASYNC105 - by who waits: a frame here would be 0.2 KiB

    def wait_writable(self) -> Awaitable[None]:
        """Wait until the system takes more."""
        return trio.lowlevel.wait_writable(self._socket)  # noqa: ASYNC105 - the same

    def close(self) -> None:
        """Close the socket."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class TlsWire:
    """TLS over another wire. `handshake` comes first."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, host: str) -> None:
        self._wire = wire
        self._come, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._come, self._going, server_hostname=host)
        self._ended = False

    @property
    def full(self) -> bool:
        """Whether the last read took all that a read takes."""
        return self._wire.full

    async def handshake(self) -> None:
        """Agree on keys and check who the peer is. Raises OSError, ssl.SSLError among them."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._pass_on()
                await self._wire.wait_readable()
                self._take_in()
            except ssl.SSLError:
                self._wire.write(self._going.read())  # the alert says what is wrong with the peer
                raise
            else:
                break
        await self._pass_on()

    async def _pass_on(self) -> None:
        written = self._wire.write(self._going.read())
        while not written:
            await self._wire.wait_writable()
            written = self._wire.write(b"")

    def _take_in(self) -> bool:
        """Whether there was something to take."""
        data = self._wire.read()
        if data:
            self._come.write(data)
        elif data is not None:
            self._come.write_eof()
        return data is not None

    def write(self, data: bytes) -> bool:
        """Send, as far as it goes without waiting."""
        if data:
            self._tls.write(data)
        return self._wire.write(self._going.read())

    def read(self) -> bytes | None:
        """Give what has come; an end without TLS's goodbye is an end like any other, for websockets have their own."""
        if not self._ended and not self._take_in():
            return None
        came = b"".join(self._records())
        if self._going.pending:  # new keys, which the peer may ask for at any time, or what is wrong with a record
            with suppress(OSError):  # what has come counts, also of a peer that is gone
                self._wire.write(self._going.read())
        return came if came or self._ended else None

    def _records(self) -> Iterator[bytes]:
        some = False
        try:
            while data := self._tls.read(READ_BYTES):
                some = True
                yield data
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError:
            # What was said before it is still heard, which may be the goodbye; then the next read is the end.
            if not some:
                raise
        self._ended = True

    async def wait_readable(self) -> None:
        """Wait until something has come."""
        if self._ended:
            await trio.lowlevel.checkpoint()
        else:
            await self._wire.wait_readable()

    def wait_writable(self) -> Awaitable[None]:
        """Wait until the system takes more."""
        return self._wire.wait_writable()

    def close(self) -> None:
        """Close the wire below; no goodbye of TLS, as is the custom of HTTPS."""
        self._wire.close()
