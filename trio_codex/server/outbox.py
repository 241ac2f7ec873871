"""The frames that wait to be written to one client.

Putting a frame never waits, so that performing effects has no checkpoint; whoever produces waits for room before it
produces more. So a slow client holds up its own answers and, at the hard bound, the reading of what it sends; it cannot
grow memory.
"""

from __future__ import annotations

from collections import deque

import trio

ROOM = 1 << 20
"""Answers are generated while less than this waits: a quarter of a minute of audio."""
FULL = 16 << 20
"""Nothing more is read from a client that has let this much pile up."""


class Outbox:
    """A queue of frames that knows its size in bytes."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._size = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    def put(self, frame: str) -> None:
        """Queue a frame."""
        self._frames.append(frame)
        self._size += len(frame)
        self._changed.unpark_all()

    def close(self) -> None:
        """Nothing more comes: `take` ends when all has been taken."""
        self._closed = True
        self._changed.unpark_all()

    async def room(self, size: int = ROOM) -> None:
        """Wait until less than `size` bytes wait. Cancel-safe."""
        await (
            trio.lowlevel.checkpoint_if_cancelled()
        )  # a turn of the scheduler for every delta would make all of them late
        while self._size >= size:
            await self._changed.park()

    async def take(self) -> str:
        """Wait for the next frame; raises trio.EndOfChannel after the last one. Cancel-safe."""
        while not self._frames:
            if self._closed:
                raise trio.EndOfChannel
            await self._changed.park()
        frame = self._frames.popleft()
        self._size -= len(frame)
        self._changed.unpark_all()
        return frame
