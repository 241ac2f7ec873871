"""The lean transport without a session around it: what a session stands on, and so the floor of what it can cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson

from benchmarks.client import Client
from benchmarks.contestants.bare import RESPOND, UPDATE, answer_to, append, audio_in, message
from benchmarks.contestants.paced import Paced
from benchmarks.contestants.under_trio import UnderTrio
from trio_codex.transport import Target
from trio_codex.transport.lean import LeanTransport, open_lean


class FramesCall:
    """One connection; what the server says of the settings is not waited for."""

    def __init__(self, transport: LeanTransport) -> None:
        self._transport = transport

    async def say(self, text: str) -> None:
        """Send a message and ask for an answer."""
        await self._transport.send_many((message(text), RESPOND))

    async def send_audio(self, pcm: bytes) -> None:
        """Send audio."""
        await self._transport.send(append(pcm))

    async def listen(self, heard: Callable[[bytes], bool]) -> None:
        """Parse every frame, give audio to `heard`, answer calls."""
        while True:
            for frame in await self._transport.receive_many():
                event = orjson.loads(frame)
                audio = audio_in(event)
                if audio is not None and heard(audio):
                    return
                if answer := answer_to(event):
                    await self._transport.send_many(answer)


class FramesClient(UnderTrio):
    """Connections with a timer each."""

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[FramesCall]:
        """Connect and send the settings."""
        async with open_lean(Target(url=url)) as transport:
            assert isinstance(transport, LeanTransport)
            await transport.send(UPDATE)
            yield FramesCall(transport)


class PacedFramesClient(Paced, FramesClient):
    """The same on one timer for all."""


CLIENT: Client = FramesClient()
PACED: Client = PacedFramesClient()
