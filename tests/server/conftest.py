"""A bare client for the local server: the codec over trio-websocket, and a deadline on everything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from trio_codex.protocol import (
    ClientEvent,
    ContentPart,
    ConversationItemCreate,
    InputAudioBufferAppend,
    RealtimeSession,
    ServerEvent,
    SessionUpdate,
    UserMessage,
    decode_server_event,
    encode_client_event,
    structure,
)
from trio_codex.server import LocalServer


class Client:
    """Sends client events and collects server events. `events` are all that have come."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket
        self.events: list[ServerEvent] = []

    async def send(self, *events: ClientEvent) -> None:
        for event in events:
            await self.websocket.send_message(encode_client_event(event))

    async def update(self, **session: Any) -> None:
        await self.send(SessionUpdate(session=structure({"type": "realtime", **session}, RealtimeSession)))
        await self.until("session.updated")

    async def say(self, text: str) -> None:
        item = UserMessage(content=(ContentPart(type="input_text", text=text),))
        await self.send(ConversationItemCreate(item=item))

    async def append(self, pcm: bytes, ms: int = 100) -> None:
        for start in range(0, len(pcm), 48 * ms):
            await self.send(InputAudioBufferAppend(audio=pcm[start : start + 48 * ms]))

    async def receive(self) -> ServerEvent:
        event = decode_server_event(await self.websocket.get_message())
        self.events.append(event)
        return event

    async def until(self, kind: str) -> list[ServerEvent]:
        """Everything up to and including the next event of this type."""
        came: list[ServerEvent] = []
        with trio.fail_after(60):
            while not came or came[-1].type != kind:
                came.append(await self.receive())
        return came


@asynccontextmanager
async def open_client(
    server: LocalServer, query: str = "model=gpt-realtime-2.1", *, first: str = "conversation.created", **options: Any
) -> AsyncIterator[Client]:
    # A stream of our own: trio-websocket does not close its own when the peer was faster.
    url = httpx.URL(server.http_url)
    options = {"max_message_size": 32 << 20, "message_queue_size": 64, **options}
    async with await trio.open_tcp_stream(url.host, url.port) as stream, trio.open_nursery() as nursery:
        websocket = await wrap_client_stream(nursery, stream, url.netloc.decode(), f"/v1/realtime?{query}", **options)
        client = Client(websocket)
        await client.until(first)
        try:
            yield client
        finally:
            with trio.move_on_after(1, shield=True):
                await websocket.aclose()
            nursery.cancel_scope.cancel()


@pytest.fixture
def connect() -> Callable[..., AbstractAsyncContextManager[Client]]:
    return open_client
