"""What all clients under asyncio share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from benchmarks.client import Job, Timers

T = TypeVar("T")


class UnderAsyncio(Timers):
    """Tasks and time."""

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run asyncio."""
        return asyncio.run(cast("Coroutine[Any, Any, T]", main()))

    async def sleep_until(self, when: float) -> None:
        """Sleep, on the clock of the system."""
        await asyncio.sleep(max(0.0, when - time.monotonic()))

    async def at_once(self, jobs: Sequence[Job]) -> None:
        """Run jobs in a task group."""
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(cast("Coroutine[Any, Any, None]", job()))
