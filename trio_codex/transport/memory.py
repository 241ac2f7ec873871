"""A connection in memory: two transports, back to back, for virtual time.

Frames cross a memory channel of bounded length, so a peer that does not read makes the other wait, as a socket would. An end that
reads the other's goodbye answers it by itself, as websockets do; `close` waits for that answer. Either end may also just `drop`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from trio_codex.errors import ConnectionLost
from trio_codex.transport import ABNORMAL, NORMAL, Connector, Target, Transport

__all__ = ["MemoryTransport", "memory_connector", "memory_pair"]


@attrs.define
class _End:
    """How a connection ended, as both of its ends tell it: whoever hangs up first says it."""

    code: int | None = None
    reason: str = ""

    def agree_on(self, code: int, reason: str) -> None:
        if self.code is None:
            self.code, self.reason = code, reason


class MemoryTransport:
    """One end of a connection in memory."""

    def __init__(
        self,
        outgoing: trio.MemorySendChannel[str | bytes],
        incoming: trio.MemoryReceiveChannel[str | bytes],
        end: _End,
    ) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._end = end

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
            self.drop()  # this is what answers the peer's goodbye
            raise self._lost() from None

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye and wait for the peer's; the caller sets the time limit. Never raises, may be called twice."""
        self._end.agree_on(code, reason)
        self._outgoing.close()
        with suppress(ConnectionLost):
            while True:
                await self.receive()

    def drop(self, code: int = ABNORMAL, reason: str = "") -> None:
        """End the connection at once; the peer reads what was sent, then sees this code and reason. May be called twice."""
        self._end.agree_on(code, reason)
        self._outgoing.close()
        self._incoming.close()

    def _lost(self) -> ConnectionLost:
        code = self._end.code
        return ConnectionLost(ABNORMAL if code is None else code, self._end.reason)


def memory_pair(size: float = math.inf) -> tuple[MemoryTransport, MemoryTransport]:
    """Make two ends of one connection; each direction holds at most `size` frames that were not read."""
    there_in, there_out = trio.open_memory_channel[str | bytes](size)
    back_in, back_out = trio.open_memory_channel[str | bytes](size)
    end = _End()
    return MemoryTransport(there_in, back_out, end), MemoryTransport(back_in, there_out, end)


def memory_connector(transport: MemoryTransport) -> Connector:
    """Make a connector that gives this end, once; leaving the block drops it."""

    @asynccontextmanager
    async def connect(target: Target, /) -> AsyncIterator[Transport]:
        try:
            yield transport
        finally:
            transport.drop()

    return connect
