"""Recorded sound on its way from the audio thread to Trio.

The audio thread never waits: pieces go through a deque, whose operations are atomic, and the oldest piece gives way when a second of sound
is there already. What gave way is counted. Knows neither the device nor the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from trio_codex.audio import AudioFormat
from trio_codex.device.bell import Bell

CAPACITY_MS: Final = 1000
"""What is kept for a session that has no room: older words are no answer to anything."""

_PIECES: Final = CAPACITY_MS // 20


class Microphone:
    """Takes pieces (PCM16, 24 kHz, mono; about 20 ms each) from the audio thread and passes them on in Trio."""

    def __init__(self) -> None:
        self.dropped: int = 0
        """Pieces that were lost since `stream` began: there was no room, or the device had waited for us too long."""
        self.sent: int = 0
        """Bytes that were passed on since then."""
        self._pieces: deque[bytes] = deque()
        self._bell = Bell()

    @property
    def sent_s(self) -> float:
        """Seconds that were passed on."""
        return AudioFormat.PCM16.duration_ms(self.sent) / 1000

    def record(self, pcm: bytes) -> None:
        """Take a piece. For the audio thread: it never waits."""
        if len(self._pieces) >= _PIECES:
            with suppress(IndexError):  # all of them were taken just now
                self._pieces.popleft()
                self.dropped += 1
        self._pieces.append(pcm)
        self._bell.ring()

    def overflowed(self) -> None:
        """The device itself has lost some sound. For the audio thread."""
        self.dropped += 1

    async def stream(self, send_nowait: Callable[[bytes], None]) -> None:
        """Pass on what is recorded from now on, for ever; what there is no room for (trio.WouldBlock) waits for the next piece.

        Raises what else `send_nowait` raises. Cancelling it loses what was not passed on.
        """
        self._pieces.clear()
        self.dropped = self.sent = 0
        while True:
            await self._bell.wait()
            self._pass_on(send_nowait)

    def _pass_on(self, send_nowait: Callable[[bytes], None]) -> None:
        while self._pieces:
            piece = self._pieces.popleft()
            try:
                send_nowait(piece)
            except trio.WouldBlock:
                self._pieces.appendleft(piece)
                return
            self.sent += len(piece)
