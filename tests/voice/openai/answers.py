"""Streamed answers of `/responses`, as a service says them."""

from __future__ import annotations

from itertools import count
from typing import Any

_ids = count(1)


def created() -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}, "sequence_number": 0}


def message(*deltas: str) -> list[dict[str, Any]]:
    """A message of the agent, piece by piece."""
    item_id = f"msg_{next(_ids)}"
    text = "".join(deltas)
    item = {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    place = {"item_id": item_id, "content_index": 0, "output_index": 0}
    return [
        {"type": "response.output_item.added", "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {}},
        *({"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []} for delta in deltas),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.output_item.done", "item": item},
    ]


def call(name: str, arguments: str = "{}", call_id: str | None = None) -> list[dict[str, Any]]:
    """A function call of the agent."""
    item = {
        "id": f"fc_{next(_ids)}",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id or f"call_{next(_ids)}",
        "name": name,
        "arguments": arguments,
    }
    return [
        {"type": "response.output_item.added", "item": {**item, "arguments": "", "status": "in_progress"}},
        {"type": "response.function_call_arguments.done", "item_id": item["id"], "arguments": arguments},
        {"type": "response.output_item.done", "item": item},
    ]


def reasoning() -> list[dict[str, Any]]:
    return [
        {"type": "response.output_item.done", "item": {"id": f"rs_{next(_ids)}", "type": "reasoning", "summary": []}}
    ]


def completed(kind: str = "completed", **response: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
        "input_tokens_details": {"cached_tokens": 1},
    }
    return {"type": f"response.{kind}", "response": {"id": "resp_1", "status": kind, "usage": usage, **response}}


def failed(code: str = "server_error") -> dict[str, Any]:
    return {
        "type": "response.failed",
        "response": {"id": "resp_1", "error": {"code": code, "message": "Out of order."}},
    }


def answer(*parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A whole answer."""
    return [created(), *(event for part in parts for event in part), completed()]
