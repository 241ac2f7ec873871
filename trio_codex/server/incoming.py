"""Bodies that nobody has read when the answer is there: read and thrown away, so that the client gets to read why.

A client that is still sending does not listen, and what it sends would stand in the way of its next request. Who sends too much or too
slowly is not waited for: its connection is closed after the answer.
"""

from __future__ import annotations

from typing import Final

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READ_IN_VAIN: Final = 64 << 20
WITHIN_S: Final = 5.0


def reading_to_the_end(app: ASGIApp) -> ASGIApp:
    """The same application; before it answers, what is left of the request is read."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        incoming = _Incoming(receive)

        async def send_afterwards(message: Message) -> None:
            if message["type"] == "http.response.start" and not await incoming.read_rest():
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await app(scope, incoming.receive, send_afterwards)

    return wrapped


class _Incoming:
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        return message

    async def read_rest(self) -> bool:
        """Read what is left, up to a bound; gives whether that was all."""
        read = 0
        with trio.move_on_after(WITHIN_S):
            while not self._ended and read < READ_IN_VAIN:
                read += len((await self.receive()).get("body", b""))
        return self._ended
