"""trio_codex: sessions on both transports over sockets, with a timer each or on the pacer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from benchmarks.client import Client
from benchmarks.contestants.paced import Paced
from benchmarks.contestants.under_trio import UnderTrio
from trio_codex import Agent, Endpoint, Session, events, open_realtime_session, tool


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


class SessionClient(UnderTrio):
    """Sessions on a transport."""

    def __init__(self, transport: str) -> None:
        self._transport = transport

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[SessionCall]:
        """Open a session at exactly this URL."""
        endpoint = Endpoint.custom(url.replace("ws", "http", 1), realtime_url=url)
        async with open_realtime_session(
            AGENT, endpoint=endpoint, api_key="sk-of-nobody", transport=self._transport
        ) as session:
            yield SessionCall(session)


class PacedClient(Paced, SessionClient):
    """The same on one timer for all."""


LEAN: Client = SessionClient("lean")
LEAN_PACED: Client = PacedClient("lean")
TRIO_WEBSOCKET: Client = SessionClient("trio-websocket")
TRIO_WEBSOCKET_PACED: Client = PacedClient("trio-websocket")
