"""The pace of speech for many streams on a few timers: `Pacer`.

A process that speaks for a hundred callers would otherwise set five thousand timers a second, which is up to half of its work. There is no
task behind a pacer: of those who wait for the same moment one, the leader, sleeps for all, and the next who waits there leads after it.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from trio_codex.audio.formats import AudioFormat
from trio_codex.errors import ConfigurationError
from trio_codex.waiters import Waiters, wait_among, wake_all, wake_first

__all__ = ["PacedAudio", "Pacer", "Ticks"]

_FORGOTTEN_S: Final = 0.5
"""A stream that is later than this goes on from now, instead of catching up in one burst."""


class Pacer:
    """A few timers for many streams, without drift; share one in a process.

    ::

        pacer = Pacer()
        async for chunk in pacer.audio(pcm):        # 20 ms each, one every 20 ms
            await session.send_audio(chunk)

    Every stream gets a turn in each period (seconds). Streams are spread over `slots` moments of the period, so that they do not all
    speak at once; each moment is one timer. Time is Trio's, so it runs under a virtual clock as well. A pacer belongs to one `trio.run`.
    Raises ConfigurationError for a period or a number of slots that is not positive.
    """

    def __init__(self, period: float = 0.02, *, slots: int = 4) -> None:
        if not (0 < period < math.inf) or slots < 1:
            raise ConfigurationError(f"a pacer needs a period and slots above 0, not {period} s and {slots}")
        self.period: float = period
        began = trio.current_time()
        self._slots = [_Slot(began + number * period / slots, period) for number in range(1, slots + 1)]
        self._streams = 0

    def ticks(self) -> Ticks:
        """A stream of bare turns, one in each period."""
        slot = self._slots[self._streams % len(self._slots)]
        self._streams += 1
        return Ticks(slot)

    def audio(self, pcm: bytes, audio_format: AudioFormat = AudioFormat.PCM16) -> PacedAudio:
        """A stream of audio in pieces of one period; the last one may be shorter."""
        return PacedAudio(self.ticks(), memoryview(pcm).tobytes(), audio_format.nbytes(round(self.period * 1000)))


class _Slot:
    """A moment of each period and who waits for it. Nobody is ahead of the clock, so all wait for the same turn."""

    def __init__(self, first: float, period: float) -> None:
        self._first = first
        self._period = period
        self._due = 0  # how many turns have come, as far as somebody has looked
        self._waiting: Waiters = []
        self._led = False

    def next_turn(self) -> int:
        """The number of the turn that comes next, by the clock."""
        self._look()
        return self._due

    async def wait(self, turn: int) -> int:
        """Wait until this turn has come; gives the number of the stream's next one. Cancel-safe. Always a checkpoint."""
        if turn < self._due:
            await trio.lowlevel.checkpoint()
        while turn >= self._due:
            if self._led:
                await wait_among(self._waiting)
            else:
                await self._lead(turn)
        late = self._due - 1 - turn
        return turn + 1 if late * self._period <= _FORGOTTEN_S else self._due

    async def _lead(self, turn: int) -> None:
        """Sleep until this turn, for all."""
        self._led = True
        try:
            await trio.sleep_until(self._first + turn * self._period)
        finally:
            self._led = False
            self._look()
            wake_first(self._waiting)  # who still waits, because the leader was cancelled, has to be led

    def _look(self) -> None:
        """Look at the clock and, if a turn has come, wake those who wait for it."""
        # A clock that is woken at a moment may be a rounding error before it.
        due = math.floor((trio.current_time() - self._first) / self._period + 1e-6) + 1
        if due > self._due:
            self._due = due
            wake_all(self._waiting)


class Ticks:
    """A stream's turns: `async for _ in pacer.ticks()`. One task at a time; it never ends by itself."""

    def __init__(self, slot: _Slot) -> None:
        self._slot = slot
        self._next = slot.next_turn()

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> None:
        """Wait for the next turn. Cancel-safe: a turn is taken or it stays; one who is late catches up."""
        self._next = await self._slot.wait(self._next)


class PacedAudio:
    """Audio at the pace of speech: an async iterator of pieces of one period. Cancel-safe: a piece is given or it stays."""

    def __init__(self, ticks: Ticks, pcm: bytes, nbytes: int) -> None:
        self._ticks = ticks
        self._pcm = pcm
        self._nbytes = nbytes
        self._at = 0

    def __aiter__(self) -> PacedAudio:
        return self

    async def __anext__(self) -> bytes:
        if self._at >= len(self._pcm):
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        await self._ticks.__anext__()
        piece = self._pcm[self._at : self._at + self._nbytes]
        self._at += self._nbytes
        return piece
