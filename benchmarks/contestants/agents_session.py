"""openai-agents: a `RealtimeSession`, as its documentation opens one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

from benchmarks.client import Client, Job

T = TypeVar("T")


@function_tool  # type: ignore[untyped-decorator, unused-ignore] # where agents is not installed
async def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"It is sunny in {city}."


AGENT = RealtimeAgent(name="Assistant", instructions="You are a helpful assistant.", tools=[get_weather])


class AgentsCall:
    """One session."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        """Send a message."""
        await self._session.send_message(text)

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio."""
        await self._session.send_audio(pcm)

    async def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Iterate over the session's events."""
        async for event in self._session:
            if event.type == "audio" and heard(event.audio.data):
                return


class AgentsClient:
    """Sessions under asyncio."""

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

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AgentsCall]:
        """Open a session at exactly this URL."""
        runner = RealtimeRunner(AGENT)
        async with await runner.run(model_config={"url": url, "api_key": "sk-of-nobody"}) as session:
            yield AgentsCall(session)


CLIENT: Client = AgentsClient()
