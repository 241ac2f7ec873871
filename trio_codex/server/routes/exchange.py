"""How the endpoints read requests and write answers: bounded bodies, JSON and forms, refusals, streams.

Owns the API's shape of an error and of server-sent events. What a client sends is bounded before it is kept; what it is sent is made
as fast as it takes it, and no further when it has gone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import attrs
import orjson
import trio
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from trio_codex.errors import VoiceError
from trio_codex.grammar import Refusal, Rule
from trio_codex.logs import get_logger

logger: Final = get_logger("server")

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
FIELD_BYTES: Final = 64 << 10
"""A field of a form that is no file."""
READ_WITHIN_S: Final = 60.0
"""How long a client may take to send its body."""


class HttpRefusal(Refusal):
    """A request that is refused with another status than 400; `retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        *,
        kind: str = "invalid_request_error",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, param, kind=kind)
        self.status = status
        self.retry_after = retry_after


def error_body(refusal: Refusal) -> dict[str, Any]:
    """An error as the API shows it."""
    return {
        "message": refusal.message,
        "type": refusal.kind,
        "param": refusal.param or None,
        "code": refusal.code,
    }


def refused(error: Exception) -> Response:
    """The answer to a request that went wrong: what is no refusal is a defect, which is logged and not told."""
    match error:
        case HttpRefusal(status=status, retry_after=retry_after):
            headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
            return JSONResponse({"error": error_body(error)}, status, headers)
        case Refusal():
            return JSONResponse({"error": error_body(error)}, 400)
        case HTTPException(status_code=status, detail=detail):
            return refused(HttpRefusal(status, detail))
        case VoiceError():
            return refused(HttpRefusal(500, f"The speech engine failed: {error}", "speech_failed", kind="server_error"))
        case ClientDisconnect():
            return Response(status_code=499)  # nobody reads it
        case _:
            logger.error("a request failed", exc_info=error)
            message = f"The server had an error while processing your request ({type(error).__name__})."
            return refused(HttpRefusal(500, message, kind="server_error"))


# --- reading -----------------------------------------------------------------------------------------------------------


def bounded(request: Request, at_most: int) -> Request:
    """The same request, whose body may have `at_most` bytes; more raises HttpRefusal (413)."""
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        if read > at_most:
            raise HttpRefusal(
                413, f"The request is too large: at most {at_most} bytes are accepted.", "request_too_large"
            )
        return message

    return Request(request.scope, receive)


async def read_json(request: Request, rule: Rule, at_most: int) -> dict[str, Any]:
    """The JSON object in a body of bounded size, checked; an empty body is an empty object. Raises Refusal."""
    with _in_time():
        raw = await bounded(request, at_most).body()
    try:
        body = orjson.loads(raw or b"{}")
    except ValueError:
        raise Refusal(None, "We could not parse the JSON body of your request.") from None
    rule(body, "")
    return dict(body)


@asynccontextmanager
async def read_form(request: Request, at_most: int) -> AsyncIterator[FormData]:
    """The fields of a multipart body of bounded size. Raises Refusal."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal(None, "The body must be multipart/form-data.")
    with _in_time():
        form = await bounded(request, at_most).form(max_files=4, max_fields=100, max_part_size=FIELD_BYTES)
    try:
        yield form
    finally:
        with trio.move_on_after(1, shield=True):
            await form.close()


@contextmanager
def _in_time() -> Iterator[None]:
    try:
        with trio.fail_after(READ_WITHIN_S):
            yield
    except trio.TooSlowError:
        raise HttpRefusal(408, f"The request did not come within {READ_WITHIN_S:g} s.", "request_timeout") from None


# --- streams -----------------------------------------------------------------------------------------------------------


@attrs.define
class Body:
    """The body of an answer that is being made."""

    _send: Send
    _headers: list[tuple[bytes, bytes]]
    begun: bool = False

    async def write(self, data: bytes) -> None:
        """Send more of it; waits while the client is behind."""
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def event(self, data: Mapping[str, Any], *, named: bool = False) -> None:
        """Send a server-sent event; `named` puts its type into a line of its own."""
        name = f"event: {data['type']}\n".encode() if named else b""
        await self.write(name + b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n")


class Made(Response):
    """An answer that is made while the client waits for it, and no longer than it does.

    `make` writes the body while it makes it, or returns another answer instead. What fails before the first byte is refused; later, the
    body is cut off.
    """

    def __init__(self, make: Callable[[Body], Awaitable[Response | None]], media_type: str = EVENT_STREAM) -> None:
        super().__init__(media_type=media_type)
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the answer and send it; stop when the client is gone."""
        body = Body(send, [(name, value) for name, value in self.raw_headers if name != b"content-length"])
        instead: Response | None = None
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_await_disconnect, receive, nursery.cancel_scope)
            try:
                instead = await self._make(body)
                if instead is None:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None and body.begun:
            raise failure
        if failure is not None:
            instead = refused(failure)
        if instead is not None:
            instead.headers.update({name: value for name, value in self.headers.items() if name.startswith("x-")})
            await instead(scope, receive, send)


async def _await_disconnect(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
