"""A service that answers requests as a test tells it to, over a real socket, and keeps what it was asked."""

from __future__ import annotations

import email
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import trio

from trio_codex import Endpoint


@attrs.define
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@attrs.define
class Service:
    endpoint: Endpoint
    answers: list[tuple[int, Any, dict[str, str]]] = attrs.field(factory=list)
    asked: list[Asked] = attrs.field(factory=list)

    def will_answer(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    async def serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        content = b""
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return
        assert request
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.asked.append(Asked(request.method.decode(), request.target.decode(), headers, _read(headers, content)))
        status, body, more = self.answers.pop(0)
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = [("content-length", str(len(data))), ("connection", "close"), *more.items()]
        await stream.send_all(connection.send(h11.Response(status_code=status, headers=head)) or b"")
        await stream.send_all((connection.send(h11.Data(data)) or b"") + (connection.send(h11.EndOfMessage()) or b""))


def _read(headers: dict[str, str], content: bytes) -> Any:
    """The body as what it says it is; of a form, all parts by their names, with their types."""
    kind = headers.get("content-type", "")
    if kind == "application/json":
        return json.loads(content)
    if not kind.startswith("multipart/form-data"):
        return content or None
    form = email.message_from_bytes(f"content-type: {kind}\r\n\r\n".encode() + content)
    return {
        str(part.get_param("name", header="content-disposition")): (part.get_content_type(), part.get_payload())
        for part in form.walk()
        if not part.is_multipart()
    }


@asynccontextmanager
async def serving() -> AsyncIterator[Service]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    service = Service(Endpoint.custom(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, service.serve, [listener])
        yield service
        nursery.cancel_scope.cancel()
