"""The HTTP and websocket faces of the server: which path leads where, and what every request has in common.

Every request shows its key, and gets an id of its own and errors in the API's shape. Knows nothing of sockets and of how the app is run.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from trio_codex.server.incoming import reading_to_the_end
from trio_codex.server.routes.calls import accept_call, create_call, hang_up_call, refer_call, reject_call
from trio_codex.server.routes.client_secrets import create_client_secret
from trio_codex.server.routes.exchange import HttpRefusal, refused
from trio_codex.server.routes.models import list_models, show_model
from trio_codex.server.routes.realtime import realtime
from trio_codex.server.routes.responses import create_response
from trio_codex.server.routes.speech import create_speech
from trio_codex.server.routes.transcriptions import create_transcription
from trio_codex.server.service import Service

__all__ = ["Service", "application"]

Endpoint: TypeAlias = Callable[[Service, Request], Awaitable[Response]]


def application(service: Service) -> ASGIApp:
    """The ASGI application of a service."""

    def route(method: str, path: str, endpoint: Endpoint) -> Route:
        async def answer(request: Request) -> Response:
            try:
                service.keys.check(request)
                response = await endpoint(service, request)
            except Exception as error:
                response = refused(error)
            return _identified(response)

        return Route(f"/v1{path}", answer, methods=[method])

    async def converse(websocket: WebSocket) -> None:
        await realtime(service, websocket)

    app = Starlette(
        routes=[
            WebSocketRoute("/v1/realtime", converse),
            route("GET", "/models", list_models),
            route("GET", "/models/{model}", show_model),
            route("POST", "/audio/transcriptions", create_transcription),
            route("POST", "/audio/speech", create_speech),
            route("POST", "/responses", create_response),
            route("POST", "/realtime/client_secrets", create_client_secret),
            route("POST", "/realtime/calls", create_call),
            route("POST", "/realtime/calls/{call_id}/accept", accept_call),
            route("POST", "/realtime/calls/{call_id}/reject", reject_call),
            route("POST", "/realtime/calls/{call_id}/refer", refer_call),
            route("POST", "/realtime/calls/{call_id}/hangup", hang_up_call),
        ],
        exception_handlers={404: _no_such_route, 405: _no_such_route},
    )
    return reading_to_the_end(app)


async def _no_such_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return _identified(refused(HttpRefusal(status, f"Invalid URL ({request.method} {request.url.path})")))


def _identified(response: Response) -> Response:
    response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
    return response
