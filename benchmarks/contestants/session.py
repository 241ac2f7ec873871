"""trio_codex: a session on the default transport."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from benchmarks.client import Client, Job
from trio_codex import Agent, Endpoint, Session, events, open_realtime_session, tool

T = TypeVar("T")


@tool
async def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


AGENT = Agent(name="Assistant", instructions="You are a helpful assistant.", tools=[get_weather])


class SessionCall:
    """One session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        """Send a message."""
        await self._session.send_message(text)

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio."""
        await self._session.send_audio(pcm)

    async def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Iterate over the session's own stream."""
        async for event in self._session:
            if isinstance(event, events.AudioEvent) and heard(event.data):
                return


class SessionClient:
    """Sessions under Trio."""

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

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[SessionCall]:
        """Open a session at exactly this URL."""
        endpoint = Endpoint.custom(url.replace("ws", "http", 1), realtime_url=url)
        async with open_realtime_session(AGENT, endpoint=endpoint, api_key="sk-of-nobody") as session:
            yield SessionCall(session)


CLIENT: Client = SessionClient()
