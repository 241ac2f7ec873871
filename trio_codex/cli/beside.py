"""Tasks beside a body: they end with it, and what the body or a task raises comes out as it is, without an exception group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def beside(*tasks: Callable[[], Awaitable[None]]) -> AsyncIterator[trio.CancelScope]:
    """Run the tasks while the block runs; gives the cancel scope that they and the body are in."""
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
            try:
                yield nursery.cancel_scope
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _first(group) from None
    if failure is not None:
        raise failure


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure in it; the group itself when there are only cancellations."""
    _, failures = group.split(trio.Cancelled)
    if failures is None:
        return group
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
