"""One timer for all streams of a process, instead of one for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.contestants.under_trio import UnderTrio
from trio_codex.audio import Pacer


class Paced(UnderTrio):
    """What clients share that speak at the turns of a pacer."""

    _pacer: Pacer | None = None

    async def every(self, first: float, period: float, do: Callable[[], Awaitable[bool]]) -> None:
        """Await `do` once in every period of the pacer."""
        await self.sleep_until(first)
        self._pacer = self._pacer or Pacer(period)
        async for _ in self._pacer.ticks():
            if not await do():
                return
