"""What the scripted server says: the frames of an answer, ready for the wire.

The first eight bytes of each piece of audio are a number: when it was sent (`time.monotonic_ns`, which is one clock for all processes
of a machine), or whatever else the script has to report. Ids are of one length, so that frames can be prepared.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

DELTA_MS: Final = 100
DELTA_BYTES: Final = 48 * DELTA_MS
_NUMBER_BYTES: Final = 12  # eight and some zeros: sixteen characters of base64
_SOUND: Final = b64encode((bytes(range(1, 241)) * (DELTA_BYTES // 240))[_NUMBER_BYTES:])

TRANSCRIPT: Final = "Of course. It is sunny in Boston, "
SESSION: Final = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_CPagtUXS9c7IcCoWDdYjp",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": "You are a helpful assistant.",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "prompt": None,
    "expires_at": 1893456000,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}
_USAGE: Final = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {"text_tokens": 119, "audio_tokens": 13, "cached_tokens": 64},
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


def framed(text: str | bytes) -> bytes:
    """A websocket frame of text, as a server sends it."""
    data = text if isinstance(text, bytes) else text.encode()
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data


def event(type_: str, **fields: Any) -> bytes:
    """The frame of an event."""
    return framed(json.dumps({"type": type_, "event_id": "event_CPagu2kO7l", **fields}, separators=(",", ":")))


def item_events(item: dict[str, Any], number: int, previous: int) -> bytes:
    """The conversation has a new item of the client's, which is complete."""
    item = {"id": f"item_{number:08}", "object": "realtime.item", "status": "completed", **item}
    place = f"item_{previous:08}" if previous else None
    return b"".join(event(f"conversation.item.{what}", previous_item_id=place, item=item) for what in ("added", "done"))


class Answer:
    """The frames of one response: spoken, or a function call.

    Prepared once; then only its number, and that of the item before its own, are put in.
    """

    def __init__(self, number: int, previous: int) -> None:
        self._number, self._previous = b"_%08d" % number, b"_%08d" % previous

    def _numbered(self, prepared: bytes) -> bytes:
        return prepared.replace(_NUMBER, self._number).replace(_PREVIOUS, self._previous)

    def audio(self, number: int) -> bytes:
        """A tenth of a second of sound which begins with this number."""
        return self._numbered(_BEFORE_SOUND) + b64encode(number.to_bytes(_NUMBER_BYTES, "little")) + _SOUND + _AFTER_SOUND

    def begins(self) -> bytes:
        """Everything before the first sound."""
        return self._numbered(_SPEECH_BEGINS)

    def ends(self) -> bytes:
        """Everything after the last sound."""
        return self._numbered(_SPEECH_ENDS)

    def call_begins(self) -> bytes:
        """A function call, but for its end."""
        return self._numbered(_CALL_BEGINS)

    def call_ends(self) -> bytes:
        """The frames with which a function call becomes complete."""
        return self._numbered(_CALL_ENDS)


# --- prepared ------------------------------------------------------------------------------------------------------

_NUMBER: Final = b"_--number"
_PREVIOUS: Final = b"_previous"
_ITEM: Final = "item_--number"
_PLACE: Final = {"response_id": "resp_--number", "output_index": 0}
_PART: Final = {**_PLACE, "item_id": _ITEM, "content_index": 0}
_CALLED: Final = {**_PLACE, "item_id": _ITEM, "call_id": "call_--number"}
_ARGUMENTS: Final = '{"city":"Boston"}'


def _response(status: str, *output: dict[str, Any]) -> bytes:
    response = {
        "object": "realtime.response",
        "id": "resp_--number",
        "status": status,
        "status_details": None,
        "output": output,
        "conversation_id": "conv_CPagtvTUVFWJNzxNAe7Xw",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        "usage": _USAGE if output else None,
        "metadata": None,
    }
    return event("response.done" if output else "response.created", response=response)


def _item(what: str, item: dict[str, Any]) -> bytes:
    return event(f"response.output_item.{what}", **_PLACE, item=item) + event(
        f"conversation.item.{what}", previous_item_id="item_previous", item=item
    )


def _message(status: str, *content: dict[str, Any]) -> dict[str, Any]:
    message = {"id": _ITEM, "object": "realtime.item", "type": "message", "status": status}
    return message | {"role": "assistant", "content": content}


def _call(status: str, arguments: str) -> dict[str, Any]:
    call = {"id": _ITEM, "object": "realtime.item", "type": "function_call", "status": status}
    return call | {"call_id": "call_--number", "name": "get_weather", "arguments": arguments}


def _prepare_sound() -> tuple[bytes, bytes]:
    sound = b64encode(bytes(_NUMBER_BYTES)) + _SOUND
    whole = event("response.output_audio.delta", **_PART, delta=sound.decode())
    before, after = whole.split(sound)
    return before, after


_BEFORE_SOUND, _AFTER_SOUND = _prepare_sound()
_SPEECH_BEGINS: Final = (
    _response("in_progress")
    + _item("added", _message("in_progress"))
    + event("response.content_part.added", **_PART, part={"type": "audio", "transcript": ""})
    + event("response.output_audio_transcript.delta", **_PART, delta=TRANSCRIPT)
)
_SAID: Final = _message("completed", {"type": "output_audio", "transcript": TRANSCRIPT})
_SPEECH_ENDS: Final = (
    event("response.output_audio.done", **_PART)
    + event("response.output_audio_transcript.done", **_PART, transcript=TRANSCRIPT)
    + event("response.content_part.done", **_PART, part={"type": "audio", "transcript": TRANSCRIPT})
    + _item("done", _SAID)
    + _response("completed", _SAID)
)
_CALL_BEGINS: Final = (
    _response("in_progress")
    + _item("added", _call("in_progress", ""))
    + event("response.function_call_arguments.delta", **_CALLED, delta=_ARGUMENTS)
)
_COMPLETE_CALL: Final = _call("completed", _ARGUMENTS)
_CALL_ENDS: Final = (
    event("response.function_call_arguments.done", **_CALLED, name="get_weather", arguments=_ARGUMENTS)
    + _item("done", _COMPLETE_CALL)
    + _response("completed", _COMPLETE_CALL)
)
