"""Bare websockets on asyncio with orjson: the floor of what a Python program does without any library of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import connect

from benchmarks.client import Client
from benchmarks.contestants.bare import RESPOND, UPDATE, answer_to, append, audio_in, message
from benchmarks.contestants.under_asyncio import UnderAsyncio


class SocketCall:
    """One connection."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def say(self, text: str) -> None:
        """Send a message and ask for an answer."""
        await self._socket.send(message(text))
        await self._socket.send(RESPOND)

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio."""
        await self._socket.send(append(pcm))

    async def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Parse every frame, give audio to `heard`, answer calls."""
        async for frame in self._socket:
            event = orjson.loads(frame)
            audio = audio_in(event)
            if audio is not None and heard(audio):
                return
            for answer in answer_to(event):
                await self._socket.send(answer)


class AsyncioClient(UnderAsyncio):
    """Connections under asyncio."""

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[SocketCall]:
        """Connect and send the settings."""
        async with connect(url, max_size=None, compression=None) as socket:
            await socket.send(UPDATE)
            yield SocketCall(socket)


CLIENT: Client = AsyncioClient()
