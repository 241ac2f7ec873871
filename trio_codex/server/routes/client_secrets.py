"""`POST /v1/realtime/client_secrets`: an ephemeral key for a session whose settings are checked now and hold when it opens."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trio_codex.grammar import an_object, fields, number, one_of, tagged, text
from trio_codex.server.routes.exchange import read_json
from trio_codex.server.service import DEFAULT_MODEL, Service

LARGEST_BODY: Final = 1 << 20
LASTS_S: Final = 600

_ORDER: Final = fields(
    expires_after=fields(anchor=one_of("created_at"), seconds=number(10, 7200, whole=True)),
    session=tagged(realtime=fields(others_pass=True, model=text()), transcription=an_object),
)


async def create_client_secret(service: Service, request: Request) -> Response:
    """`POST /v1/realtime/client_secrets`."""
    order = await read_json(request, _ORDER, LARGEST_BODY)
    settings = order.get("session", {"type": "realtime"})
    model = settings.get("model") or DEFAULT_MODEL
    peer = service.peer(settings["type"], model, settings)
    secret = service.keys.give(
        settings["type"], model, settings, order.get("expires_after", {}).get("seconds", LASTS_S)
    )
    session = {**peer.session, "expires_at": 0}  # it has not begun
    return JSONResponse({"value": secret.value, "expires_at": secret.expires_at, "session": session})
