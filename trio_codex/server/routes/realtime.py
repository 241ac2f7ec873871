"""`/v1/realtime`: a session per websocket.

`?intent=transcription`, or a model that transcribes, opens a session that only writes down; a client secret brings its own session
along; `?call_id=` joins a call that was accepted. Turns a websocket into a `Line`.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any, Final

import trio
from starlette.websockets import WebSocket, WebSocketDisconnect

from trio_codex.grammar import Refusal
from trio_codex.logs import get_logger
from trio_codex.protocol import Error, ErrorDetails, Peer, encode_server_event
from trio_codex.server.routes.exchange import HttpRefusal, refused
from trio_codex.server.service import DEFAULT_MODEL, Service

logger: Final = get_logger("server")

SUBPROTOCOL: Final = "realtime"
BETA_IS_OVER: Final = "beta_api_shape_disabled"
INTENTS: Final = ("realtime", "transcription")


async def realtime(service: Service, websocket: WebSocket) -> None:
    """`/v1/realtime`."""
    with ExitStack() as room:
        try:
            room.enter_context(service.conversing())
            peer = _admit(service, websocket)
        except Refusal as refusal:
            response = refused(refusal)
            response.headers["connection"] = "close"  # hypercorn ends it, and does not say so
            await websocket.send_denial_response(response)
        else:
            await _converse(service, peer, websocket)


async def _converse(service: Service, peer: Peer, websocket: WebSocket) -> None:
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
    line = _WebSocketLine(websocket)
    if websocket.headers.get("openai-beta") == "realtime=v1":
        message = "The beta of the realtime API is no longer spoken here: send no OpenAI-Beta header."
        error = ErrorDetails(type="invalid_request_error", code=BETA_IS_OVER, message=message)
        await line.send(encode_server_event(Error(event_id="event_beta", error=error)))
        await line.close(4000, f"invalid_request_error.{BETA_IS_OVER}")
        return
    if fault := service.faults.refusal:
        await line.send(encode_server_event(fault.event))
        await line.close(fault.code, fault.reason)
        return
    try:
        await service.converse(peer, line, websocket.query_params.get("call_id"))
    except Exception:
        logger.exception("a session failed")
        await line.close(1011, "The server had an error.")


def _admit(service: Service, websocket: WebSocket) -> Peer:
    """The session that a client may have; raises Refusal."""
    secret = service.keys.admit(websocket)
    query = websocket.query_params
    model = query.get("model")
    intent = query.get("intent") or (secret.kind if secret else "transcription" if _writes(model) else "realtime")
    if intent not in INTENTS:
        supported = " and ".join(f"'{name}'" for name in INTENTS)
        raise Refusal("invalid_value", f"Invalid value: '{intent}'. Supported values are: {supported}.", "intent")
    if secret is not None:
        if intent != secret.kind:
            raise Refusal("invalid_value", f"This client secret opens a session of type '{secret.kind}'.", "intent")
        return service.peer(secret.kind, model or secret.model, secret.settings)
    if "call_id" in query:
        settings = service.calls.session_of(query["call_id"])
        if settings is None:
            raise HttpRefusal(404, "No call with this id has been accepted.", "call_id_not_found", "call_id")
        return service.peer("realtime", settings.get("model") or DEFAULT_MODEL, settings)
    if intent == "transcription" and _writes(model):
        return service.peer(intent, DEFAULT_MODEL, _writing_with(model))
    return service.peer(intent, model or DEFAULT_MODEL)


def _writes(model: str | None) -> bool:
    """Whether a model writes down, and does not speak."""
    return model is not None and ("transcribe" in model or "whisper" in model)


def _writing_with(model: str | None) -> dict[str, Any]:
    ears: dict[str, Any] = {"transcription": {"model": model}}
    if model == "gpt-realtime-whisper":
        ears["turn_detection"] = None  # it has none
    return {"type": "transcription", "audio": {"input": ears}}


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
