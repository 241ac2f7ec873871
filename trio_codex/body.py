"""What comes out of a block that runs tasks of its own: the body's exception, the failure of a task, or a cancellation.

What the body raises is set aside at the `yield` and raised again, the same object, after the nursery has closed, so that no exception
group is ever put around a user's error. `Cancelled` is never set aside: it goes through the nursery, and Trio absorbs it where it
belongs; beside an error of the body it is dropped, for it comes again at the next checkpoint. When a task failed, that is the cause:
it is raised, with the body's own error as its context (Python sees to that: the body's error is being handled then).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType

import trio


class Body:
    """`with body: yield …` inside a nursery, `outcome` once the nursery has closed."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, GeneratorExit) or is_cancellation(error):
            return False
        self.raised = error
        return True

    def outcome(
        self, ended: BaseException | None, choose: Callable[[Sequence[BaseException]], BaseException]
    ) -> BaseException | None:
        """What is to be raised, when the nursery raised `ended`; `choose` gives one for the failures of tasks."""
        if ended is None:
            return self.raised
        failures = [leaf for leaf in leaves(ended) if not isinstance(leaf, trio.Cancelled)]
        if not failures:
            return self.raised or ended
        return choose(failures)


@asynccontextmanager
async def open_services(reason: str) -> AsyncIterator[trio.Nursery]:
    """Open a nursery for tasks that serve the block: `reason` is why they are cancelled when it is left.

    The body's exception comes out as it is, unless a task failed, whose exception then is the one.
    """
    body = Body()
    ended: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                with body:
                    yield nursery
            finally:
                nursery.cancel_scope.cancel(reason=reason)
    except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
        ended = error
    if (outcome := body.outcome(ended, lambda failures: failures[0])) is not None:
        raise outcome


def is_cancellation(error: BaseException) -> bool:
    """Whether nothing but `Cancelled` is in it; a nursery of the body puts a group around it."""
    return all(isinstance(leaf, trio.Cancelled) for leaf in leaves(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group of groups, or the one that is no group."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from leaves(member)
    else:
        yield error
