"""The openai package: its realtime connection, as its documentation opens one."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI

from benchmarks.client import Client
from benchmarks.contestants.under_asyncio import UnderAsyncio


class ConnectionCall:
    """One connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def say(self, text: str) -> None:
        """Send a message and ask for an answer."""
        content = [{"type": "input_text", "text": text}]
        await self._connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await self._connection.response.create()

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio."""
        await self._connection.input_audio_buffer.append(audio=b64encode(pcm).decode())

    async def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Iterate over the server's events."""
        async for event in self._connection:
            if event.type == "response.output_audio.delta" and heard(b64decode(event.delta)):
                return


class OpenAIClient(UnderAsyncio):
    """Connections under asyncio."""

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[ConnectionCall]:
        """Connect and send the settings."""
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}/v1"
        client = AsyncOpenAI(api_key="sk-of-nobody", base_url=base.replace("ws", "http", 1), websocket_base_url=base)
        async with client.realtime.connect(model="scripted") as connection:
            await connection.session.update(
                session={"type": "realtime", "instructions": "You are a helpful assistant."}
            )
            yield ConnectionCall(connection)


CLIENT: Client = OpenAIClient()
