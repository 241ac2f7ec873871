"""`POST /v1/realtime/calls…`: the control of calls, as far as it needs no telephony; what does (WebRTC) is refused."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from trio_codex.grammar import Refusal, Rule, fields, number, one_of, text
from trio_codex.server.routes.exchange import HttpRefusal, read_json
from trio_codex.server.service import DEFAULT_MODEL, Service

LARGEST_BODY: Final = 1 << 20

_SESSION: Final = fields("type", others_pass=True, type=one_of("realtime"), model=text())
_REJECTION: Final = fields(status_code=number(300, 699, whole=True))
_REFERRAL: Final = fields("target_uri", target_uri=text(pattern=r"(tel|sips?):.+"))
_NOTHING: Final = fields()


async def create_call(_service: Service, _request: Request) -> Response:
    """`POST /v1/realtime/calls`: an SDP offer."""
    message = "This server has no WebRTC; open a websocket to /v1/realtime instead."
    raise Refusal("unsupported_transport", message)


async def accept_call(service: Service, request: Request) -> Response:
    """`POST /v1/realtime/calls/{call_id}/accept`."""
    call_id, session = await _call(service, request, _SESSION)
    service.peer("realtime", session.get("model") or DEFAULT_MODEL, session)
    service.calls.accept(call_id, session)
    return Response()


async def reject_call(service: Service, request: Request) -> Response:
    """`POST /v1/realtime/calls/{call_id}/reject`."""
    return await _end(service, request, _REJECTION)


async def refer_call(service: Service, request: Request) -> Response:
    """`POST /v1/realtime/calls/{call_id}/refer`."""
    return await _end(service, request, _REFERRAL)


async def hang_up_call(service: Service, request: Request) -> Response:
    """`POST /v1/realtime/calls/{call_id}/hangup`."""
    return await _end(service, request, _NOTHING)


async def _end(service: Service, request: Request, rule: Rule) -> Response:
    call_id, _ = await _call(service, request, rule)
    service.end_call(call_id)
    return Response()


async def _call(service: Service, request: Request, rule: Rule) -> tuple[str, dict[str, Any]]:
    call_id = request.path_params["call_id"]
    if service.calls.is_over(call_id):
        raise HttpRefusal(404, f"No active call found with id '{call_id}'.", "call_id_not_found", "call_id")
    return call_id, await read_json(request, rule, LARGEST_BODY)
