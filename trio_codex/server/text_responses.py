"""A text response in the making, as `POST /v1/responses` shows it: its events in the API's order, its object, what it costs. Pure.

The same verbs as a realtime response (`text`, `call`, `close`), other events: no ids of events but numbers, parts that are
`output_text`. Invariants: `sequence_number` counts up from 0, indices too; the deltas of a part add up to its text; one item is open
at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, TypeAlias

from trio_codex.protocol import AnswerRequest, AssistantMessage, ContentPart, FunctionCall, Item, tokens_of, unstructure

Event: TypeAlias = dict[str, Any]

MOST_STORED: Final = 1000
MOST_CHARACTERS: Final = 16 << 20
ARGUMENTS_PER_DELTA: Final = 24


class TextResponse:
    """A response between `response.created` and its end. `exhausted`: it has used up its tokens."""

    def __init__(self, request: AnswerRequest, body: Mapping[str, Any], created_at: int) -> None:
        self._request = request
        self._body = body
        self._created_at = created_at
        self._numbers = count()
        self._status = "in_progress"
        self._error: dict[str, Any] | None = None
        self._output: list[dict[str, Any]] = []
        self._pieces: list[str] | None = None  # of the message that is open
        self._tokens = 0

    @property
    def exhausted(self) -> bool:
        """Whether it has used up its tokens."""
        limit = self._body.get("max_output_tokens")
        return limit is not None and self._tokens >= limit

    # --- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> Iterator[Event]:
        """The response exists."""
        yield self._event("response.created", response=self.object())
        yield self._event("response.in_progress", response=self.object())

    def text(self, delta: str) -> Iterator[Event]:
        """More of a message."""
        if self._pieces is None:
            self._pieces = []
            item = {
                "id": self._id("msg"),
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
            yield self._item_added(item)
            yield self._event("response.content_part.added", **self._place(), content_index=0, part=_part(""))
        self._pieces.append(delta)
        self._tokens += tokens_of(delta)
        yield self._event("response.output_text.delta", **self._place(), content_index=0, delta=delta, logprobs=[])

    def end_message(self, status: str = "completed") -> Iterator[Event]:
        """The message is complete."""
        if self._pieces is None:
            return
        said, self._pieces = "".join(self._pieces), None
        yield self._event("response.output_text.done", **self._place(), content_index=0, text=said, logprobs=[])
        yield self._event("response.content_part.done", **self._place(), content_index=0, part=_part(said))
        yield self._item_done(status=status, content=[_part(said)])

    def call(self, name: str, arguments: str) -> Iterator[Event]:
        """A function call; `arguments` is JSON text."""
        yield from self.end_message()
        call_id = self._id("call")
        call = {
            "id": self._id("fc"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
        }
        yield self._item_added({**call, "arguments": ""})
        self._tokens += tokens_of(name + arguments)
        for start in range(0, len(arguments), ARGUMENTS_PER_DELTA):
            delta = arguments[start : start + ARGUMENTS_PER_DELTA]
            yield self._event("response.function_call_arguments.delta", **self._place(), delta=delta)
        yield self._event("response.function_call_arguments.done", **self._place(), arguments=arguments, name=name)
        yield self._item_done(status="completed", arguments=arguments)

    def close(self) -> Iterator[Event]:
        """The response is over: completed, or incomplete when its tokens ran out."""
        self._status = "incomplete" if self.exhausted else "completed"
        yield from self.end_message(self._status)
        yield self._event(f"response.{self._status}", response=self.object())

    def fail(self, message: str) -> Iterator[Event]:
        """The response could not be made."""
        yield from self.end_message("incomplete")
        self._status, self._error = "failed", {"code": "server_error", "message": message}
        yield self._event("response.failed", response=self.object())

    # --- what it is ----------------------------------------------------------------------------------------------------

    def object(self) -> dict[str, Any]:
        """The response object of the wire."""
        body, over = self._body, self._status != "in_progress"
        return {
            "id": self._request.response_id,
            "object": "response",
            "created_at": self._created_at,
            "status": self._status,
            "background": False,
            "error": self._error,
            "incomplete_details": {"reason": "max_output_tokens"} if self._status == "incomplete" else None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "model": body.get("model") or "gpt-5",
            "output": [dict(item) for item in self._output] if over else [],
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "reasoning": {"effort": None, "summary": None},
            "store": body.get("store") is not False,
            "temperature": body.get("temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": body.get("top_p", 1.0),
            "truncation": body.get("truncation") or "disabled",
            "usage": self._usage() if over else None,
            "user": body.get("user"),
            "metadata": body.get("metadata") or {},
        }

    def items(self) -> list[Item]:
        """What it said and called, for the conversation that goes on."""
        return [_item(entry) for entry in self._output if entry["status"] == "completed"]

    def _usage(self) -> dict[str, Any]:
        request = self._request
        read = tokens_of(request.instructions) + sum(tokens_of(str(tool)) for tool in request.tools)
        read += sum(tokens_of(str(unstructure(item))) for item in request.items)
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self._tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + self._tokens,
        }

    # --- pieces --------------------------------------------------------------------------------------------------------

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "sequence_number": next(self._numbers), **fields}

    def _id(self, kind: str) -> str:
        return f"{kind}_{self._request.response_id.removeprefix('resp_')}_{len(self._output)}"

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._output[-1]["id"], "output_index": len(self._output) - 1}

    def _item_added(self, item: dict[str, Any]) -> Event:
        self._output.append(item)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=dict(item))

    def _item_done(self, **changes: Any) -> Event:
        self._output[-1] = {**self._output[-1], **changes}
        index = len(self._output) - 1
        return self._event("response.output_item.done", output_index=index, item=dict(self._output[-1]))


def _part(said: str) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}


def _item(entry: Mapping[str, Any]) -> Item:
    if entry["type"] == "function_call":
        return FunctionCall(**{name: entry[name] for name in ("id", "status", "call_id", "name", "arguments")})
    said = entry["content"][0]["text"]
    return AssistantMessage(
        id=entry["id"], status=entry["status"], content=(ContentPart(type="output_text", text=said),)
    )


class ResponseStore:
    """The conversations that responses ended with, so that a later one can go on from there; the oldest are forgotten."""

    def __init__(self) -> None:
        self._stored: OrderedDict[str, tuple[Item, ...]] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def keep(self, response_id: str, items: Sequence[Item], size: int) -> None:
        """Remember a conversation, to which this response has added about `size` characters."""
        self._stored[response_id], self._sizes[response_id] = tuple(items), size
        while len(self._stored) > MOST_STORED or (
            len(self._stored) > 1 and sum(self._sizes.values()) > MOST_CHARACTERS
        ):
            oldest, _ = self._stored.popitem(last=False)
            del self._sizes[oldest]

    def conversation(self, response_id: str) -> tuple[Item, ...] | None:
        """The conversation up to and with a response."""
        return self._stored.get(response_id)

    def find(self, item_id: str) -> Item | None:
        """An item of any of them."""
        every = (item for items in reversed(self._stored.values()) for item in items)
        return next((item for item in every if getattr(item, "id", None) == item_id), None)
