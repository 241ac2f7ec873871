"""What all clients under Trio share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from benchmarks.client import Job, Timers

T = TypeVar("T")


class UnderTrio(Timers):
    """Tasks and time."""

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run Trio."""
        return trio.run(main)

    async def sleep_until(self, when: float) -> None:
        """Sleep, on the clock of the system."""
        await trio.sleep(max(0.0, when - time.monotonic()))

    async def at_once(self, jobs: Sequence[Job]) -> None:
        """Run jobs in a nursery."""
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(job)
