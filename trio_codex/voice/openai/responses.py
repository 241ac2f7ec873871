"""What a text agent and `/responses` say to each other: the body of a request, and the events of a streamed answer.

Pure. An event that is not of its type is a RemoteProtocolError with the path to the fault; types that are of no use here, younger ones
among them, are passed over. Shapes: the API's description of `/responses`; the end of a stream is `[DONE]` or the end of the body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, TypeAlias, get_args

import attrs
import orjson

from trio_codex.agent import Handoff
from trio_codex.errors import RemoteProtocolError
from trio_codex.events import Usage
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import AssistantMessage, Briefing, FunctionCall, Wire, structure
from trio_codex.tools import Tool

__all__ = [
    "OutputItemAdded",
    "OutputItemDone",
    "RefusalDelta",
    "RefusalDone",
    "ResponseCompleted",
    "ResponseCreated",
    "ResponseFailed",
    "ResponseIncomplete",
    "StreamError",
    "StreamEvent",
    "TextDelta",
    "TextDone",
    "read_event",
    "read_items",
    "request_body",
    "usage_of",
]

# --- requests ------------------------------------------------------------------------------------------------------------


def request_body(
    model: str, briefing: Briefing, given: Iterable[Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The body of a request: who answers, what has been said so far, and `options`, which win."""
    body: dict[str, Any] = {
        "model": model,
        "instructions": briefing.instructions,
        "input": list(given),
        "truncation": "auto",  # as in realtime sessions: what is oldest goes when a conversation grows too long
    }
    if briefing.functions:
        body["tools"] = [_function(each) for each in briefing.functions]
    return {**body, **options}


def _function(given: Tool | HostedMcp | Handoff) -> dict[str, Any]:
    """A tool; `strict` must be said, and would forbid parameters with defaults."""
    schema = given.schema()
    return schema if isinstance(given, HostedMcp) else {**schema, "strict": False}


# --- events --------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, slots=False)
class ResponseCreated(Wire):
    """An answer begins."""

    type: ClassVar[str] = "response.created"
    response: Mapping[str, Any]


@attrs.frozen(kw_only=True, slots=False)
class TextDelta(Wire):
    """More words."""

    type: ClassVar[str] = "response.output_text.delta"
    item_id: str
    content_index: int
    delta: str


@attrs.frozen(kw_only=True, slots=False)
class RefusalDelta(Wire):
    """More words of a refusal, which is said like any other answer."""

    type: ClassVar[str] = "response.refusal.delta"
    item_id: str
    content_index: int
    delta: str


@attrs.frozen(kw_only=True, slots=False)
class TextDone(Wire):
    """All words of a part, once more."""

    type: ClassVar[str] = "response.output_text.done"
    item_id: str
    content_index: int
    text: str


@attrs.frozen(kw_only=True, slots=False)
class RefusalDone(Wire):
    """All words of a refusal, once more."""

    type: ClassVar[str] = "response.refusal.done"
    item_id: str
    content_index: int
    refusal: str


@attrs.frozen(kw_only=True, slots=False)
class OutputItemAdded(Wire):
    """An item begins: a message, a function call, something that the API does by itself."""

    type: ClassVar[str] = "response.output_item.added"
    item: Mapping[str, Any]


@attrs.frozen(kw_only=True, slots=False)
class OutputItemDone(Wire):
    """An item is whole."""

    type: ClassVar[str] = "response.output_item.done"
    item: Mapping[str, Any]


@attrs.frozen(kw_only=True, slots=False)
class ResponseCompleted(Wire):
    """The answer is whole."""

    type: ClassVar[str] = "response.completed"
    response: Mapping[str, Any]


@attrs.frozen(kw_only=True, slots=False)
class ResponseIncomplete(Wire):
    """The answer ends before its time: too many tokens, or a filter."""

    type: ClassVar[str] = "response.incomplete"
    response: Mapping[str, Any]


@attrs.frozen(kw_only=True, slots=False)
class ResponseFailed(Wire):
    """The answer failed; `response.error` says why."""

    type: ClassVar[str] = "response.failed"
    response: Mapping[str, Any]


@attrs.frozen(kw_only=True, slots=False)
class StreamError(Wire):
    """The stream failed."""

    type: ClassVar[str] = "error"
    message: str
    code: str | None = None


StreamEvent: TypeAlias = (
    ResponseCreated
    | TextDelta
    | RefusalDelta
    | TextDone
    | RefusalDone
    | OutputItemAdded
    | OutputItemDone
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
    | StreamError
)

_EVENTS: Final[Mapping[str, Any]] = {each.type: each for each in get_args(StreamEvent)}


def read_event(data: str) -> StreamEvent | None:
    """Read the data of one server-sent event; None for what is of no use here. Raises RemoteProtocolError."""
    if data.startswith("[DONE]"):
        return None
    try:
        body = orjson.loads(data)
    except ValueError:
        raise RemoteProtocolError("not JSON") from None
    if not isinstance(body, dict):
        raise RemoteProtocolError("expected an object")
    name = body.get("type")
    cls = _EVENTS.get(name) if isinstance(name, str) else None
    if cls is not None:
        event: StreamEvent = structure(body, cls)
        return event
    error = body.get("error")
    if isinstance(error, dict):  # how servers say it that have no event for it
        return StreamError(message=str(error.get("message")), code=_text(error.get("code")))
    return None


def read_items(response: Mapping[str, Any]) -> list[AssistantMessage | FunctionCall]:
    """The messages and function calls of a whole response. Raises RemoteProtocolError."""
    output = response.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise RemoteProtocolError("expected an array of objects", path="$.output")
    found: list[AssistantMessage | FunctionCall] = []
    for item in output:
        if item.get("type") == "message":
            found.append(structure(item, AssistantMessage))
        elif item.get("type") == "function_call":
            found.append(structure(item, FunctionCall))
    return found


def usage_of(response: Mapping[str, Any]) -> Usage | None:
    """What a response cost, if it says so."""
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("input_tokens_details")
    return Usage(
        total_tokens=_number(usage.get("total_tokens")),
        input_tokens=_number(usage.get("input_tokens")),
        output_tokens=_number(usage.get("output_tokens")),
        cached_tokens=_number(details.get("cached_tokens")) if isinstance(details, dict) else 0,
        responses=1,
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
