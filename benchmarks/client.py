"""What a scenario asks of a library: open a call, speak, listen; run tasks and sleep, on whatever event loop it has.

A scenario awaits nothing but these, so one text serves libraries on Trio and on asyncio. Implementations add nothing that costs: what is
measured is the library's own event loop, session and events, used as its documentation shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")

Job = Callable[[], Awaitable[None]]


class Call(Protocol):
    """One open session, its settings acknowledged or on their way."""

    async def say(self, text: str) -> None:
        """Send a message and ask for an answer."""

    async def send_audio(self, pcm: bytes) -> None:
        """Send some of the user's audio."""

    async def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Iterate over the session's events, and give the data of each audio event to `heard` until that gives True."""


class Timers:
    """What a client has that knows nothing better than to sleep until each of many times."""

    async def sleep_until(self, when: float) -> None:
        """Sleep until this time of `time.monotonic`."""
        raise NotImplementedError

    async def every(self, first: float, period: float, do: Callable[[], Awaitable[bool]]) -> None:
        """Await `do` at `first` and then once in every period, until it gives False."""
        due = first
        await self.sleep_until(due)
        while await do():
            due += period
            await self.sleep_until(due)


class Client(Protocol):
    """A library under test. Every session has an agent with one async tool, `get_weather(city)`."""

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run the event loop."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Sleep until this time of `time.monotonic`, and let others run in any case."""

    async def every(self, first: float, period: float, do: Callable[[], Awaitable[bool]]) -> None:
        """Await `do` at `first` and then once in every period, on the clock of `time.monotonic`, until it gives False."""

    async def at_once(self, jobs: Sequence[Job]) -> None:
        """Run all jobs at the same time, until the last one ends."""

    def open(self, url: str) -> AbstractAsyncContextManager[Call]:
        """Open a session with the server at this `ws://` URL."""
        ...
