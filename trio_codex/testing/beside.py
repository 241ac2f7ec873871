"""Tasks beside a test: they end with it, and what the test raises comes out first and as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from trio_codex.body import Body

__all__ = ["tasks_beside"]


@asynccontextmanager
async def tasks_beside(end: Callable[[], None] | None = None) -> AsyncIterator[trio.Nursery]:
    """Give a nursery for the length of the block.

    Afterwards `end` is called and the tasks may finish; without it, and after a failure, they are cancelled.
    """
    body = Body()
    ended: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            with body:
                yield nursery
            if end is not None:
                end()
            if end is None or body.raised is not None:
                nursery.cancel_scope.cancel(reason="the test is over")
    except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
        ended = error
    if (outcome := body.outcome(ended, partial(_first, body.raised))) is not None:
        raise outcome


def _first(raised: BaseException | None, failures: Sequence[BaseException]) -> BaseException:
    """The test's own failure; that of a task is then a consequence, or a note."""
    if raised is None:
        return failures[0]
    raised.add_note(f"what runs beside the test failed as well: {failures[0]!r}")
    return raised
