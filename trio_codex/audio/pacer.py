"""The pace of speech for many streams on one timer: `Pacer`.

A process that speaks for a hundred callers would otherwise set five thousand timers a second, which is up to half of its work. There is no
task behind a pacer: one of those who wait sleeps for all of them, and leaves that to another when it goes.
"""

from __future__ import annotations

import math
from typing import Final

import trio

from trio_codex.audio.formats import AudioFormat
from trio_codex.errors import ConfigurationError

__all__ = ["PacedAudio", "Pacer", "Ticks"]

_FORGOTTEN_S: Final = 0.5
"""A stream that is later than this goes on from now, instead of catching up in one burst."""


class Pacer:
    """One timer for many streams, without drift; share one in a process.

    ::

        pacer = Pacer()
        async for chunk in pacer.audio(pcm):        # 20 ms each, one every 20 ms
            await session.send_audio(chunk)

    Every stream gets a turn in each period (seconds). Streams are spread over `slots` moments of the period, so that they do not all
    speak at once. Time is Trio's, so it runs under a virtual clock as well. A pacer belongs to one `trio.run`. Raises
    ConfigurationError for a period or a number of slots that is not positive.
    """

    def __init__(self, period: float = 0.02, *, slots: int = 4) -> None:
        if not (0 < period < math.inf) or slots < 1:
            raise ConfigurationError(f"a pacer needs a period and slots above 0, not {period} s and {slots}")
        self.period: float = period
        self._step = period / slots
        self._began = trio.current_time()
        self._tick = 0  # the last one that has passed
        self._waiting = [trio.lowlevel.ParkingLot() for _ in range(slots)]
        self._streams = 0
        self._sleeps = False  # somebody sleeps for all
        self._heir: trio.lowlevel.Task | None = None  # who has been woken to do so

    def ticks(self) -> Ticks:
        """A stream of bare turns, one in each period."""
        self._streams += 1
        return Ticks(self, self._streams % len(self._waiting))

    def audio(self, pcm: bytes, audio_format: AudioFormat = AudioFormat.PCM16) -> PacedAudio:
        """A stream of audio in pieces of one period; the last one may be shorter."""
        return PacedAudio(self.ticks(), memoryview(pcm).tobytes(), audio_format.nbytes(round(self.period * 1000)))

    def first(self, slot: int) -> int:
        """The number of the slot's next tick."""
        self._look()
        return self._tick + 1 + (slot - self._tick - 1) % len(self._waiting)

    async def wait(self, slot: int, tick: int) -> int:
        """Wait until the slot's tick has passed; gives the number of its next one. Cancel-safe. Always a checkpoint."""
        self._look()
        if self._tick >= tick:
            await trio.lowlevel.checkpoint()
        try:
            while self._tick < tick:
                if not self._sleeps:
                    await self._sleep()
                    continue
                await self._waiting[slot].park()
                self._accept()
        finally:
            self._accept()
            if not self._sleeps:
                self._bequeath()
        late = (self._tick - tick) * self._step
        return tick + len(self._waiting) if late <= _FORGOTTEN_S else self.first(slot)

    async def _sleep(self) -> None:
        """Sleep until the next tick, for all."""
        self._sleeps = True
        try:
            await trio.sleep_until(self._began + (self._tick + 1) * self._step)
        finally:
            self._sleeps = False
            self._look()

    def _look(self) -> None:
        """Look at the clock and wake those whose tick has passed."""
        # A clock that is woken at a moment may be a rounding error before it.
        now = int((trio.current_time() - self._began) / self._step + 1e-6)
        for tick in range(max(self._tick + 1, now + 1 - len(self._waiting)), now + 1):
            self._waiting[tick % len(self._waiting)].unpark_all()
        self._tick = max(self._tick, now)

    def _bequeath(self) -> None:
        """Leave the sleeping to somebody who still waits."""
        for lot in self._waiting:
            if lot:
                [self._heir] = lot.unpark()
                self._sleeps = True
                return

    def _accept(self) -> None:
        if self._heir is trio.lowlevel.current_task():
            self._heir, self._sleeps = None, False


class Ticks:
    """A stream's turns: `async for _ in pacer.ticks()`. One task at a time; it never ends by itself."""

    def __init__(self, pacer: Pacer, slot: int) -> None:
        self._pacer = pacer
        self._slot = slot
        self._next = pacer.first(slot)

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> None:
        """Wait for the next turn. Cancel-safe: a turn is taken or it stays; one who is late catches up."""
        self._next = await self._pacer.wait(self._slot, self._next)


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
