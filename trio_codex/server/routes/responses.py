"""`POST /v1/responses`: a turn of a text agent, with function calls, whole or as server-sent events.

The server's responder decides what is said, as in a realtime session.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trio_codex.grammar import Refusal
from trio_codex.logs import get_logger
from trio_codex.protocol import AnswerRequest
from trio_codex.server.answering import words_of
from trio_codex.server.routes.exchange import Body, HttpRefusal, Made, read_json
from trio_codex.server.service import Service
from trio_codex.server.text_requests import REQUEST, items_of, request_of
from trio_codex.server.text_responses import Event, TextResponse

logger: Final = get_logger("server")

LARGEST_BODY: Final = 8 << 20

Tell: TypeAlias = Callable[[Iterable[Event]], Awaitable[None]]


async def create_response(service: Service, request: Request) -> Response:
    """`POST /v1/responses`."""
    body = await read_json(request, REQUEST, LARGEST_BODY)
    asked = _asked(service, body)
    response = TextResponse(asked, body, int(time.time()))

    async def make(out: Body) -> Response | None:
        async def tell(events: Iterable[Event]) -> None:
            for event in events:
                await out.event(event, named=True)

        with service.working():
            await _make(service, asked, response, tell if body.get("stream") else _tell_nobody)
        _keep(service, body, asked, response)
        return None if body.get("stream") else _whole(response)

    return Made(make)


def _whole(response: TextResponse) -> Response:
    made = response.object()
    if made["error"] is not None:
        raise HttpRefusal(500, made["error"]["message"], "server_error", kind="server_error")
    return JSONResponse(made)


def _asked(service: Service, body: Mapping[str, Any]) -> AnswerRequest:
    previous = body.get("previous_response_id")
    before = service.store.conversation(previous) if previous else ()
    if before is None:
        message = f"Previous response with id '{previous}' not found."
        raise Refusal("previous_response_not_found", message, "previous_response_id")
    items = [*before, *items_of(body["input"], before, service.store.find)]
    return request_of(body, f"resp_{secrets.token_hex(12)}", items)


def _keep(service: Service, body: Mapping[str, Any], asked: AnswerRequest, response: TextResponse) -> None:
    if body.get("store") is not False:
        said = response.items()
        size = len(str(body["input"])) + sum(len(repr(item)) for item in said)
        service.store.keep(asked.response_id, [*asked.items, *said], size)


async def _make(service: Service, asked: AnswerRequest, response: TextResponse, tell: Tell) -> None:
    await tell(response.open())
    answer = _WrittenAnswer(response, tell)
    try:
        await service.engines.responder.respond(asked, answer)
    except Exhausted:
        await tell(response.close())
    except Exception as error:
        logger.exception("the responder failed")
        await tell(response.fail(f"The responder failed ({type(error).__name__})."))
    else:
        await tell(response.close())


async def _tell_nobody(events: Iterable[Event]) -> None:
    for _ in events:
        await trio.lowlevel.checkpoint()


class Exhausted(Exception):  # noqa: N818 - it ends a response and is no error
    """The response has used up its tokens."""


class _WrittenAnswer:
    """The `Answer` that a responder is given."""

    def __init__(self, response: TextResponse, tell: Tell) -> None:
        self._response = response
        self._tell = tell
        self._began = False

    async def say(self, text: str) -> None:
        for word in words_of(f" {text.strip()}" if self._began else text.strip()):
            self._began = True
            await self._tell(self._response.text(word))
            self._check()

    async def call(self, name: str, arguments: str | Mapping[str, Any]) -> None:
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        await self._tell(self._response.call(name, written))
        self._began = False
        self._check()

    def _check(self) -> None:
        if self._response.exhausted:
            raise Exhausted
