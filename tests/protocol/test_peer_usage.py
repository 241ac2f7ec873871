"""What a response costs."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.protocol.client import Client
from trio_codex.protocol import tokens_heard, tokens_of, tokens_spoken


def read_by(items: list[dict[str, Any]], **response: Any) -> dict[str, Any]:
    """The input tokens of a response to these items, and nothing else."""
    client = Client(settings={"type": "realtime", "instructions": ""})
    response_id = client.respond(input=items, **response)
    for item in client.others():
        if item_id := getattr(item, "item_id", None):
            client.peer.transcribed(item_id, "twelve chars")
    usage = client.take(client.peer.finish(response_id))[-1]["response"]["usage"]
    details: dict[str, Any] = usage["input_token_details"]
    assert usage["input_tokens"] == sum(details[kind] for kind in ("text_tokens", "audio_tokens", "image_tokens"))
    del details["cached_tokens"], details["cached_tokens_details"]
    return {kind: tokens for kind, tokens in details.items() if tokens}


def message(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(content)}


TEXT = {"type": "input_text", "text": "12345678"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
AUDIO = {"type": "input_audio", "audio": base64.b64encode(bytes(48 * 250)).decode()}


@pytest.mark.parametrize(
    ("items", "tokens"),
    [
        ([], {}),
        ([message(TEXT)], {"text_tokens": 2}),
        ([message(TEXT, TEXT)], {"text_tokens": 5}),
        ([message(TEXT), message(TEXT)], {"text_tokens": 4}),
        ([message(AUDIO)], {"audio_tokens": 3}),
        ([message(AUDIO), message(AUDIO, TEXT)], {"text_tokens": 2, "audio_tokens": 6}),
        ([message(IMAGE)], {"image_tokens": 256}),
        ([message(IMAGE, IMAGE), message(IMAGE)], {"image_tokens": 768}),
        ([{"type": "function_call", "name": "four", "arguments": "{ }"}], {"text_tokens": 2}),
        ([{"type": "function_call_output", "call_id": "c", "output": "four5"}], {"text_tokens": 2}),
    ],
)
def test_what_was_read_and_heard(items: list[dict[str, Any]], tokens: dict[str, int]) -> None:
    assert read_by(items) == tokens


def test_instructions_and_tools_are_read() -> None:
    assert read_by([message(TEXT)], instructions="Nine char") == {"text_tokens": 5}
    tools = [{"type": "function", "name": name} for name in "fg"]
    assert read_by([], tools=tools) == {"text_tokens": sum(tokens_of(str(tool)) for tool in tools)}


@pytest.mark.parametrize(
    ("count", "amount", "tokens"),
    [
        (tokens_of, 0, 0),
        (tokens_of, 4, 1),
        (tokens_of, 5, 2),
        (tokens_heard, 100, 1),
        (tokens_heard, 101, 2),
        (tokens_spoken, 50, 1),
        (tokens_spoken, 51, 2),
    ],
)
def test_tokens_are_counted_upwards(count: Any, amount: int, tokens: int) -> None:
    assert count("x" * amount if count is tokens_of else amount) == tokens
