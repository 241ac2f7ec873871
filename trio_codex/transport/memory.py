"""A connection in memory: two transports, back to back, for virtual time.

Frames cross a memory channel of bounded length, so a peer that does not read makes the other wait, as a socket would. An end that
reads the other's goodbye answers it by itself, as websockets do; `close` waits for that answer. Either end may also just `drop`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from trio_codex.errors import ConnectionLost
from trio_codex.transport import ABNORMAL, NORMAL, Connector, Target, Transport

__all__ = ["MemoryTransport", "memory_connector", "memory_pair"]


class MemoryTransport:
    """One end of a connection in memory."""

    def __init__(
        self, outgoing: trio.MemorySendChannel[str | bytes], incoming: trio.MemoryReceiveChannel[str | bytes]
    ) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._peer = self
        self._end: ConnectionLost | None = None
        self._hung_up = trio.Event()

    async def send(self, frame: str | bytes) -> None:
        """Write one frame; waits while the peer does not read. Raises ConnectionLost."""
        try:
            await self._outgoing.send(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise self._lost() from None

    async def receive(self) -> str | bytes:
        """Give the next frame. Cancel-safe. Raises ConnectionLost, after all frames that came before the end."""
        try:
            return await self._incoming.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            self._hang_up()
            raise self._lost() from None

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye and wait until the peer has read it; the caller sets the time limit. Harmless when done twice."""
        self._agree_on(ConnectionLost(code, reason))
        self._hang_up()
        await self._peer._hung_up.wait()

    def drop(self, code: int = ABNORMAL, reason: str = "") -> None:
        """End the connection at once: the peer sees this code and reason after what was sent. Harmless when done twice."""
        self._agree_on(ConnectionLost(code, reason))
        self._hang_up()

    def _hang_up(self) -> None:
        self._outgoing.close()
        self._incoming.close()
        self._hung_up.set()

    def _agree_on(self, end: ConnectionLost) -> None:
        for transport in (self, self._peer):
            if transport._end is None:
                transport._end = end

    def _lost(self) -> ConnectionLost:
        end = self._end or ConnectionLost(ABNORMAL)
        return ConnectionLost(end.code, end.reason)


def memory_pair(size: float = math.inf) -> tuple[MemoryTransport, MemoryTransport]:
    """Make two ends of one connection; each direction holds at most `size` frames that were not read."""
    there_in, there_out = trio.open_memory_channel[str | bytes](size)
    back_in, back_out = trio.open_memory_channel[str | bytes](size)
    one, other = MemoryTransport(there_in, back_out), MemoryTransport(back_in, there_out)
    one._peer, other._peer = other, one
    return one, other


def memory_connector(transport: MemoryTransport) -> Connector:
    """Make a connector that gives this end, once; leaving the block drops it."""

    @asynccontextmanager
    async def connect(target: Target, /) -> AsyncIterator[Transport]:
        try:
            yield transport
        finally:
            transport.drop()

    return connect
