"""Faults of a connection: streams around the socket that the web server reads and writes, one for each fault.

Each looks like a plain socket stream. Those that care for websocket frames see them whole, once the connection has been upgraded. None
outlives its connection: whatever they wait for ends when the client closes its socket or the server is stopped.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

import trio

__all__ = ["STREAM_FAULTS", "Frames", "Replayed", "Wrapped"]

_CLOSE: Final = 8
_PING: Final = b"\x89\x00"
_SLICE: Final = 4096
_WAITING: Final = 256
"""Writes that may wait for their time."""


class Wrapped(trio.abc.HalfCloseableStream):
    """A stream that passes everything on."""

    def __init__(self, stream: Any) -> None:
        self.inner = stream

    @property
    def socket(self) -> Any:
        """The socket under it all."""
        return self.inner.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read."""
        data: bytes | bytearray = await self.inner.receive_some(max_bytes)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write."""
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until writing might not wait."""
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End the writing."""
        await self.inner.send_eof()

    async def aclose(self) -> None:
        """Close."""
        await self.inner.aclose()


class Replayed(Wrapped):
    """A stream whose beginning has been read already."""

    def __init__(self, stream: Any, read: bytes) -> None:
        super().__init__(stream)
        self._read = read

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read; what was read before comes first."""
        if not self._read:
            return await super().receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        data, self._read = self._read[: max_bytes or None], self._read[max_bytes:] if max_bytes else b""
        return data


class Frames:
    """Cuts one direction of a websocket into its frames, each with its header."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Give the frames that are complete now."""
        self._data += data
        frames: list[bytes] = []
        while (size := self._size()) is not None and len(self._data) >= size:
            frames.append(bytes(self._data[:size]))
            del self._data[:size]
        return frames

    def _size(self) -> int | None:
        """How long the first frame is, as soon as that can be told."""
        data = self._data
        if len(data) < 2:
            return None
        masked, size = data[1] >> 7, data[1] & 0x7F
        head = 2 + {126: 2, 127: 8}.get(size, 0)
        if len(data) < head:
            return None
        if head > 2:
            size = int.from_bytes(data[2:head], "big")
        return head + 4 * masked + size


def opcode(frame: bytes) -> int:
    """What kind of frame it is."""
    return frame[0] & 0x0F


class Framed(Wrapped):
    """A stream that hands the websocket's frames to `client_frame` and `server_frame`, which pass them on or do not."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream)
        self.values = values
        self._upgraded = False
        self._theirs, self._ours = Frames(), Frames()
        self._writing = trio.Lock()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read whole frames; `max_bytes` counts only before the upgrade."""
        while True:
            data = await self.inner.receive_some(max_bytes)
            if not self._upgraded or not data:
                return bytes(data)
            passed = b"".join([await self.client_frame(frame) for frame in self._theirs.feed(data)])
            if passed:
                return passed

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write; frames only when they are whole."""
        frames = bytes(data)
        if not self._upgraded and frames.startswith(b"HTTP/1.1 101"):
            self._upgraded = True
            head, end, frames = frames.partition(b"\r\n\r\n")
            await self.write(head + end)
        if not self._upgraded:
            await self.write(frames)
            return
        for frame in self._ours.feed(frames):
            await self.server_frame(frame)

    async def write(self, data: bytes) -> None:
        """Write to the client; several tasks may."""
        async with self._writing:
            await self.inner.send_all(data)

    async def client_frame(self, frame: bytes) -> bytes:
        """Give what the server is to read of a frame."""
        return frame

    async def server_frame(self, frame: bytes) -> None:
        """Write a frame."""
        await self.write(frame)


class Drop(Framed):
    """Ends in the middle of a frame."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream, values)
        self._said = 0

    async def server_frame(self, frame: bytes) -> None:
        """Write it, or half of it and no more."""
        self._said += 1
        if self._said <= self.values["after"]:
            await self.write(frame)
            return
        if self._said == self.values["after"] + 1:
            await self.write(frame[: max(len(frame) // 2, 1)])
            if self.values["how"] == "reset":
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await trio.aclose_forcefully(self.inner)
        raise trio.BrokenResourceError


class HalfOpen(Framed):
    """Neither reads nor writes any more."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream, values)
        self._said = 0
        self._dead = trio.Event()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read until it is over, then never."""
        data: bytes | bytearray = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._when_dead, nursery.cancel_scope)
            data = await super().receive_some(max_bytes)
            nursery.cancel_scope.cancel()
        if self._dead.is_set():
            await trio.sleep_forever()
        return data

    async def _when_dead(self, scope: trio.CancelScope) -> None:
        await self._dead.wait()
        scope.cancel()

    async def server_frame(self, frame: bytes) -> None:
        """Write it, or nothing."""
        self._said += 1
        if self._said <= self.values["after"]:
            await self.write(frame)
        else:
            self._dead.set()


class NoCloseReply(Framed):
    """Falls silent at the client's close frame, and waits until the client hangs up."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream, values)
        self._silent = False

    async def client_frame(self, frame: bytes) -> bytes:
        """Hand on all but what comes with and after the close frame."""
        self._silent = self._silent or opcode(frame) == _CLOSE
        return b"" if self._silent else frame

    async def server_frame(self, frame: bytes) -> None:
        """Write it, or nothing."""
        if not self._silent:
            await self.write(frame)


class KeepsTcpOpen(Framed):
    """Does not close the connection once a close frame has been said; the client has to."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream, values)
        self._closing = False

    async def server_frame(self, frame: bytes) -> None:
        """Write it."""
        self._closing = self._closing or opcode(frame) == _CLOSE
        await self.write(frame)

    async def send_eof(self) -> None:
        """Do nothing while it closes."""
        if not self._closing:
            await self.inner.send_eof()

    async def aclose(self) -> None:
        """Wait until the client has closed it."""
        try:
            while self._closing and await self.inner.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass
        finally:
            await trio.aclose_forcefully(self.inner)


class PingStorm(Framed):
    """Pings many times before the server sees the client's close frame."""

    async def client_frame(self, frame: bytes) -> bytes:
        """Hand it on."""
        if opcode(frame) == _CLOSE:
            for _ in range(self.values["count"]):
                await self.write(_PING)
        return frame


class CutAnswer(Wrapped):
    """Closes the connection in the middle of an answer's body."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream)
        self._left: int = values["after"]
        self._head: bytes | None = b""  # as far as it has been written; None once it is over

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write, as far as it goes."""
        data = bytes(data)
        if self._head is not None:
            self._head += data
            if self._head.startswith(b"HTTP/1.1 101") or b"\r\n\r\n" not in self._head:
                await self.inner.send_all(data)
                return
            body = len(self._head.partition(b"\r\n\r\n")[2])
            self._head = None
            await self.inner.send_all(data[: len(data) - body])
            data = data[len(data) - body :]
        await self.inner.send_all(data[: self._left])
        if len(data) >= self._left:
            await trio.aclose_forcefully(self.inner)
            raise trio.BrokenResourceError
        self._left -= len(data)


class SlowReading(Wrapped):
    """Reads little at a time."""

    def __init__(self, stream: Any, values: Mapping[str, Any]) -> None:
        super().__init__(stream)
        self._rate = max(values["rate"], 1.0)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read, and rest."""
        data = await super().receive_some(min(max_bytes or _SLICE, _SLICE))
        await trio.sleep(len(data) / self._rate)
        return data


class Latency(Wrapped):
    """Writes later than it is asked to, in order; `deliver` is the task that does it."""

    def __init__(self, stream: Any, values: Mapping[str, Any], random: Random) -> None:
        super().__init__(stream)
        self._values = values
        self._random = random
        self._due = 0.0
        self._send, self._receive = trio.open_memory_channel[tuple[float, bytes]](_WAITING)
        self._over = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Let it be written in a while."""
        late_s = (self._values["ms"] + self._random.random() * self._values["jitter"]) / 1000
        self._due = max(self._due, trio.current_time() + late_s)
        await self._send.send((self._due, bytes(data)))

    async def deliver(self) -> None:
        """Write what is due."""
        try:
            with self._receive:
                async for due, data in self._receive:
                    await trio.sleep_until(due)
                    await self.inner.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._over.set()

    async def _written(self) -> None:
        self._send.close()
        await self._over.wait()

    async def send_eof(self) -> None:
        """Write what waits, then end."""
        await self._written()
        await self.inner.send_eof()

    async def aclose(self) -> None:
        """Write what waits, then close."""
        try:
            await self._written()
        finally:
            await trio.aclose_forcefully(self.inner)


STREAM_FAULTS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], Wrapped]]] = {
    "drop": Drop,
    "half-open": HalfOpen,
    "no-close-reply": NoCloseReply,
    "close-without-tcp-close": KeepsTcpOpen,
    "ping-storm": PingStorm,
    "slow-reading": SlowReading,
    "cut-answer": CutAnswer,
}
"""`latency` is not among them: it runs a task."""
