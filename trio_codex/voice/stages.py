"""Stages: tasks between a receive and a send channel, joined by `|`.

A stage knows nothing of its neighbours. The end of what it receives is the end of its work, and what it sends ends with it;
when nobody receives any more, it is over as well. Channels are bounded, so a slow stage slows the ones before it down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import trio

from trio_codex.body import is_cancellation

__all__ = ["Stage", "run_stages"]

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
Next = TypeVar("Next")

_ROOM = 4
"""How many items may wait between two stages."""


class Stage(Generic[In_contra, Out_co]):
    """A task which makes something of what comes in: `await run(receive, send)` works until `receive` ends.

    ::

        @Stage
        async def shout(receive: trio.MemoryReceiveChannel[str], send: trio.MemorySendChannel[str]) -> None:
            async for text in receive:
                await send.send(text.upper())

    `a | b` is a stage as well, whose `parts` are both. What `run` raises ends the pipeline: what it sent before is still spoken, then
    the failure is delivered as the pipeline's error.
    """

    def __init__(
        self, run: Callable[[trio.MemoryReceiveChannel[In_contra], trio.MemorySendChannel[Out_co]], Awaitable[object]]
    ) -> None:
        self.run = run
        self.parts: tuple[Stage[Any, Any], ...] = (self,)

    def __or__(self, after: Stage[Out_co, Next]) -> Stage[In_contra, Next]:
        parts = (*self.parts, *after.parts)

        async def run(receive: trio.MemoryReceiveChannel[In_contra], send: trio.MemorySendChannel[Next]) -> None:
            await run_stages(parts, receive, send)

        both = Stage(run)
        both.parts = parts
        return both

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stage[In_contra, Out_co]]:
        """Give the stage to use for the length of a run; one that needs a connection or a process opens it here."""
        yield self

    def __repr__(self) -> str:
        if len(self.parts) > 1:
            return " | ".join(map(repr, self.parts))
        return f"Stage({getattr(self.run, '__qualname__', self.run)})"


async def run_stages(
    stages: tuple[Stage[Any, Any], ...], receive: trio.MemoryReceiveChannel[Any], send: trio.MemorySendChannel[Any]
) -> None:
    """Run stages one after the other, each in a task of its own, between two channels, which are closed in the end.

    Returns when all have ended. One that fails cancels those before it; those behind it do their work with what it gave them, and
    then its failure is raised, also when they are cancelled meanwhile.
    """
    failures: list[Exception] = []
    scopes = [trio.CancelScope() for _ in stages]

    async def run(at: int, receive: trio.MemoryReceiveChannel[Any], send: trio.MemorySendChannel[Any]) -> None:
        try:
            with scopes[at]:
                await _run(stages[at], receive, send)
        except Exception as error:
            failures.append(error)
            for before in scopes[:at]:
                before.cancel(reason="a stage behind it failed")

    try:
        async with trio.open_nursery() as nursery:
            for at, stage in enumerate(stages[:-1]):
                sender, receiver = trio.open_memory_channel[Any](_ROOM)
                nursery.start_soon(run, at, receive, sender, name=f"voice {stage}")
                receive = receiver
            nursery.start_soon(run, len(stages) - 1, receive, send, name=f"voice {stages[-1]}")
    except (BaseExceptionGroup, trio.Cancelled) as ended:  # noqa: ASYNC103 - a failure takes its place
        if not failures or not is_cancellation(ended):
            raise
    if failures:
        raise failures[0]


async def _run(
    stage: Stage[Any, Any], receive: trio.MemoryReceiveChannel[Any], send: trio.MemorySendChannel[Any]
) -> None:
    with receive, send:
        try:
            await stage.run(receive, send)
        except* trio.BrokenResourceError:
            if send.statistics().open_receive_channels:  # it is not about nobody receiving any more
                raise
