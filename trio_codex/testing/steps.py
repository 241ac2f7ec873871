"""Steps of the scheduler: what a test needs to do something at every checkpoint of a program, once each.

::

    steps = Steps()
    trio.run(program, clock=MockClock(autojump_threshold=0), instruments=[steps])       # how many are there?
    for at in range(1, steps.count + 1):
        scope = trio.CancelScope()
        steps = Steps(at, lambda task: scope.cancel())
        trio.run(program, scope, clock=MockClock(autojump_threshold=0), instruments=[steps])

A step is what a task does between two checkpoints; after each one, every task waits somewhere. The order of steps depends on Trio's
random numbers, so whoever counts them has to fix the seed.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

__all__ = ["Steps"]


class Steps(trio.abc.Instrument):
    """Counts the steps of the tasks that `of` admits, and calls `then` with the task after step number `at`."""

    def __init__(
        self,
        at: int | None = None,
        then: Callable[[trio.lowlevel.Task], object] | None = None,
        *,
        of: Callable[[trio.lowlevel.Task], bool] | None = None,
    ) -> None:
        self.count: int = 0
        self._at = at
        self._then = then
        self._of = of

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Trio calls this."""
        if self._of is not None and not self._of(task):
            return
        self.count += 1
        if self.count == self._at and self._then is not None:
            self._then(task)
