"""The HTTP and websocket faces of the server: routes, keys, refusals in the API's shape.

Turns a websocket into a `Line` and hands it to a `RealtimeConnection`. Knows nothing of sockets and of how the app is run.
"""

from __future__ import annotations

import hmac
import logging
import time
from contextlib import suppress
from itertools import count
from typing import Any, Final

import attrs
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from trio_codex.protocol import Peer, encode_server_event
from trio_codex.server.connection import Engines, RealtimeConnection
from trio_codex.server.faults import FaultPlan

logger: Final = logging.getLogger("trio_codex.server")

DEFAULT_MODEL: Final = "gpt-realtime-2.1"
MODELS: Final = (DEFAULT_MODEL, "gpt-realtime", "gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-tts", "gpt-5")
SUBPROTOCOL: Final = "realtime"
KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."


@attrs.frozen
class Refused(Exception):  # noqa: N818 - an answer, not a defect
    """A request that is answered with an error of the API."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"

    def response(self) -> JSONResponse:
        """The error in the API's shape."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, self.status)


@attrs.define
class Service:
    """What the routes share: the engines, the key and the sessions that run."""

    engines: Engines
    api_key: str | None = attrs.field(default=None, repr=False)
    max_sessions: int = 64
    session_s: float = 3600
    faults: FaultPlan = attrs.field(factory=FaultPlan)
    _connections: set[RealtimeConnection] = attrs.field(factory=set, init=False)
    _ended: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)
    _labels: Any = attrs.field(factory=lambda: count(1), init=False)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                WebSocketRoute("/v1/realtime", self.realtime),
                Route("/v1/models", self.models),
            ],
            exception_handlers={404: _no_such_route, 405: _no_such_route},
        )

    async def stop(self) -> None:
        """End all sessions in order: what waits is written, then the line is closed."""
        for connection in self._connections:
            connection.stop(1001, "The server is shutting down.")
        while self._connections:
            await self._ended.park()

    # --- routes ----------------------------------------------------------------------------------------------------

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        try:
            self._check_key(request)
        except Refused as refused:
            return refused.response()
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "trio_codex"} for name in MODELS]
        return JSONResponse({"object": "list", "data": entries})

    async def realtime(self, websocket: WebSocket) -> None:
        """`/v1/realtime`: a realtime session per websocket."""
        try:
            self._check_key(websocket)
            model = self._admit(websocket)
        except Refused as refused:
            response = refused.response()
            response.headers["connection"] = "close"  # hypercorn ends it, and does not say so
            await websocket.send_denial_response(response)
            return
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
        line = _WebSocketLine(websocket)
        if refusal := self.faults.refusal:
            await line.send(encode_server_event(refusal.event))
            await line.close(refusal.code, refusal.reason)
            return
        session_s = self.faults.lifetime_s(self.session_s)
        peer = Peer(model=model, label=f"{next(self._labels):x}", expires_at=int(time.time() + session_s))
        faults = self.faults.session()
        connection = RealtimeConnection(peer, line, self.engines, lifetime_s=session_s, faults=faults)
        self._connections.add(connection)
        try:
            await connection.serve()
        except Exception:
            logger.exception("a session failed")
            await line.close(1011, "The server had an error.")
        finally:
            self._connections.discard(connection)
            self._ended.unpark_all()

    # --- admission -------------------------------------------------------------------------------------------------

    def _check_key(self, connection: HTTPConnection) -> None:
        if self.api_key is None:
            return
        given = _key_of(connection)
        if given is None:
            message = "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'."
            raise Refused(401, message, None)
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            raise Refused(401, "Incorrect API key provided.", "invalid_api_key")

    def _admit(self, websocket: WebSocket) -> str:
        query = websocket.query_params
        if query.get("intent", "realtime") != "realtime":
            raise Refused(400, f"This server has no sessions with intent={query['intent']}.", "invalid_value", "intent")
        if "call_id" in query:
            raise Refused(404, "This server has no telephone calls to join.", "invalid_value", "call_id")
        if len(self._connections) >= self.max_sessions:
            message = f"This server runs at most {self.max_sessions} sessions at once."
            raise Refused(429, message, "rate_limit_exceeded", type="rate_limit_error")
        return query.get("model") or DEFAULT_MODEL


def _key_of(connection: HTTPConnection) -> str | None:
    """The key that a client shows: as a bearer token, as Azure's header, or as browsers do among the subprotocols."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if "api-key" in connection.headers:
        return connection.headers["api-key"]
    offered = connection.scope.get("subprotocols") or ()
    return next((each.removeprefix(KEY_SUBPROTOCOL) for each in offered if each.startswith(KEY_SUBPROTOCOL)), None)


async def _no_such_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return Refused(status, f"Invalid URL ({request.method} {request.url.path})").response()


class _WebSocketLine:
    """A starlette websocket as a `Line`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise trio.EndOfChannel
        frame: str | bytes = message["bytes"] if message.get("text") is None else message["text"]
        return frame

    async def send(self, frame: str) -> None:
        try:
            await self._websocket.send_text(frame)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise trio.BrokenResourceError from error

    async def close(self, code: int, reason: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # the client was faster
            await self._websocket.close(code, reason)
