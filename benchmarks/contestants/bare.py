"""What programs say and hear that talk to the API without a library for it: JSON by orjson, base64 by the standard library."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final

import orjson

UPDATE: Final = orjson.dumps(
    {"type": "session.update", "session": {"type": "realtime", "instructions": "You are a helpful assistant."}}
).decode()
RESPOND: Final = orjson.dumps({"type": "response.create"}).decode()


def message(text: str) -> str:
    """The frame of a user's message."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return orjson.dumps({"type": "conversation.item.create", "item": item}).decode()


def append(pcm: bytes) -> str:
    """The frame of some of the user's audio."""
    return orjson.dumps({"type": "input_audio_buffer.append", "audio": b64encode(pcm).decode()}).decode()


def audio_in(event: dict[str, Any]) -> bytes | None:
    """The audio of an event of the server, if it has some."""
    return b64decode(event["delta"]) if event["type"] == "response.output_audio.delta" else None


def answer_to(event: dict[str, Any]) -> tuple[str, ...]:
    """The frames that answer an event of the server: what the one tool gives, if it is a call."""
    if event["type"] != "response.output_item.done" or event["item"]["type"] != "function_call":
        return ()
    item = {"type": "function_call_output", "call_id": event["item"]["call_id"], "output": "It is sunny in Boston."}
    return orjson.dumps({"type": "conversation.item.create", "item": item}).decode(), RESPOND
