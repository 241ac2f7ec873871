"""`GET /v1/models` and `/v1/models/{model}`."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trio_codex.server.routes.exchange import HttpRefusal
from trio_codex.server.service import DEFAULT_MODEL, Service

MODELS: Final = (
    DEFAULT_MODEL,
    "gpt-realtime",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "whisper-1",
    "gpt-4o-mini-tts",
    "tts-1",
    "gpt-5",
)
"""Names that clients look for. Any other name works as well: all of them are the same engines."""


async def list_models(_service: Service, _request: Request) -> Response:
    """`GET /v1/models`."""
    return JSONResponse({"object": "list", "data": [_model(name) for name in MODELS]})


async def show_model(_service: Service, request: Request) -> Response:
    """`GET /v1/models/{model}`."""
    name = request.path_params["model"]
    if name not in MODELS:
        raise HttpRefusal(404, f"The model '{name}' does not exist.", "model_not_found", "model")
    return JSONResponse(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "trio_codex"}
