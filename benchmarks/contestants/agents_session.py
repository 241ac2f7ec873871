"""openai-agents: a `RealtimeSession`, as its documentation opens one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

from benchmarks.client import Client
from benchmarks.contestants.under_asyncio import UnderAsyncio


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


class AgentsClient(UnderAsyncio):
    """Sessions under asyncio."""

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AgentsCall]:
        """Open a session at exactly this URL."""
        runner = RealtimeRunner(AGENT)
        async with await runner.run(model_config={"url": url, "api_key": "sk-of-nobody"}) as session:
            yield AgentsCall(session)


CLIENT: Client = AgentsClient()
