"""A service over HTTP that says exactly what a test wants, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from email.parser import BytesParser
from functools import partial
from typing import Any, TypeAlias

import attrs
import pytest
import trio

from trio_codex import Endpoint

KEY = "sk-test-of-nobody"


@attrs.frozen
class Request:
    """What was asked."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def parts(self) -> list[tuple[str, bytes]]:
        """The parts of a form, by name, in their order."""
        message = BytesParser().parsebytes(
            b"content-type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + self.body
        )
        assert message.is_multipart()
        found = []
        for part in message.get_payload():
            assert not isinstance(part, str)
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            found.append((str(part.get_param("name", header="content-disposition")), payload))
        return found


class Said:
    """The server's end of one connection while it answers."""

    def __init__(self, stream: trio.SocketStream, hung_up: trio.Event) -> None:
        self._stream = stream
        self.hung_up = hung_up

    async def whole(self, status: int, body: object = b"", *headers: str) -> None:
        """Answer in one piece: bytes, or a JSON value."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"HTTP/1.1 {status} Said", f"content-length: {len(content)}", *headers]
        await self._stream.send_all("\r\n".join(head).encode() + b"\r\n\r\n" + content)

    async def begin(self, kind: str = "audio/pcm", status: int = 200) -> None:
        """Begin an answer that comes in pieces."""
        head = f"HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        await self._stream.send_all(head.encode())

    async def piece(self, data: bytes) -> None:
        await self._stream.send_all(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, data: object, name: str | None = None) -> None:
        """A server-sent event: a JSON value, or a text as it is."""
        text = data if isinstance(data, str) else json.dumps(data)
        await self.piece((f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode())

    async def events(self, *events: object) -> None:
        """A whole streamed answer."""
        await self.begin("text/event-stream")
        for each in events:
            await self.event(each)
        await self.end()

    async def end(self) -> None:
        await self._stream.send_all(b"0\r\n\r\n")

    async def die(self) -> None:
        """Break off in the middle."""
        await self._stream.aclose()


Script: TypeAlias = Callable[[Request, Said], Awaitable[None]]


class Service:
    """Answers each request by the next script, the last one again and again."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = scripts
        self.asked: list[Request] = []
        self.connections = 0
        self.all_hung_up = trio.Event()
        self.url = ""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.custom(self.url)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            async with stream, trio.open_nursery() as nursery:
                hung_up = trio.Event()
                said = Said(stream, hung_up)
                sender, incoming = trio.open_memory_channel[bytes](100)
                nursery.start_soon(self._receive, stream, sender, hung_up)
                await self._answer(incoming, said)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.connections -= 1
            if not self.connections:
                self.all_hung_up.set()

    async def _receive(
        self, stream: trio.SocketStream, sender: trio.MemorySendChannel[bytes], hung_up: trio.Event
    ) -> None:
        with sender:
            try:
                async for data in stream:
                    await sender.send(data)
            finally:
                hung_up.set()

    async def _answer(self, incoming: trio.MemoryReceiveChannel[bytes], said: Said) -> None:
        buffer = b""
        async for data in incoming:
            buffer += data
            head, found, rest = buffer.partition(b"\r\n\r\n")
            if not found:
                continue
            first, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                continue
            request, buffer = Request(first.split()[1], headers, rest[:length]), rest[length:]
            self.asked.append(request)
            await self.scripts[min(len(self.asked), len(self.scripts)) - 1](request, said)


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[Service]:
    service = Service(scripts)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, service.serve, 0, host="127.0.0.1"))
        service.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        yield service
        nursery.cancel_scope.cancel()


@pytest.fixture(name="serving")
def serving_fixture(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`async with serving(script, …) as service`."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return serving
