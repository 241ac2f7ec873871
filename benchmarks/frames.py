"""What the scripted server says: the frames of an answer, ready for the wire.

The first eight bytes of each piece of audio are a number: when it was sent (`time.monotonic_ns`, which is one clock for all processes
of a machine), or whatever else the script has to report.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

DELTA_MS: Final = 100
DELTA_BYTES: Final = 48 * DELTA_MS
DELTAS_PER_ANSWER: Final = 50
"""Of an answer at the pace of speech: five seconds."""

LONGEST_BYTES: Final = 48 * 200_000
"""Of an answer in a flood: 200 s, a little less than the 4,096 tokens that the API allows."""

_NUMBER_BYTES: Final = 12  # eight and some zeros: sixteen characters of base64


def _sound(size: int) -> bytes:
    """So many bytes of sound but for its number, as the wire writes them."""
    return b64encode((bytes(range(1, 241)) * (size // 240 + 1))[_NUMBER_BYTES:size])


_SOUND: Final = _sound(DELTA_BYTES)

WORDS: Final = " sunny"
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


def framed(data: bytes) -> bytes:
    """A websocket frame of text, as a server sends it."""
    size = len(data)
    if size < 126:
        return bytes((0x81, size)) + data
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data


def event(type_: str, **fields: Any) -> bytes:
    """The text of an event."""
    return json.dumps({"type": type_, "event_id": "event_CPagu2kO7l", **fields}, separators=(",", ":")).encode()


def item_frames(item: dict[str, Any], previous: str | None) -> bytes:
    """The conversation has a new item of the client's, which is complete."""
    item = {"object": "realtime.item", "status": "completed", **item}
    return b"".join(
        framed(event(f"conversation.item.{what}", previous_item_id=previous, item=item)) for what in ("added", "done")
    )


class Answer:
    """The frames of one response: spoken, or a function call.

    They are prepared; only the number of the response and the item before its own are put in.
    """

    def __init__(self, number: int, previous: str | None) -> None:
        self.item_id = f"item_{number}"
        self._number = str(number).encode()
        self._previous = json.dumps(previous).encode()

    def _frames(self, *prepared: bytes) -> bytes:
        number, previous = self._number, self._previous
        return b"".join(framed(text.replace(_NUMBER, number).replace(_PREVIOUS, previous)) for text in prepared)

    def audio(self, number: int, size: int = DELTA_BYTES) -> bytes:
        """Sound (a tenth of a second of it) which begins with this number."""
        stamp = b64encode(number.to_bytes(_NUMBER_BYTES, "little"))
        sound = _SOUND if size == DELTA_BYTES else _sound(size)
        return framed(_BEFORE_SOUND.replace(_NUMBER, self._number) + stamp + sound + _AFTER_SOUND)

    def words(self) -> bytes:
        """Some more words of the transcript."""
        return self._frames(_WORDS)

    def begins(self) -> bytes:
        """Everything before the first sound."""
        return self._frames(*_SPEECH_BEGINS)

    def ends(self) -> bytes:
        """Everything after the last sound."""
        return self._frames(*_SPEECH_ENDS)

    def call_begins(self) -> bytes:
        """A function call, but for its end."""
        return self._frames(*_CALL_BEGINS)

    def call_ends(self) -> bytes:
        """The frames with which a function call becomes complete."""
        return self._frames(*_CALL_ENDS)


# --- prepared ------------------------------------------------------------------------------------------------------

_NUMBER: Final = b"NUMBER"
_PREVIOUS: Final = b'"PREVIOUS"'
_ITEM: Final = "item_NUMBER"
_PLACE: Final = {"response_id": "resp_NUMBER", "output_index": 0}
_PART: Final = {**_PLACE, "item_id": _ITEM, "content_index": 0}
_FUNCTION: Final = {**_PLACE, "item_id": _ITEM, "call_id": "call_NUMBER"}
_ARGUMENTS: Final = '{"city":"Boston"}'


def _response(status: str, *output: dict[str, Any]) -> bytes:
    response = {
        "object": "realtime.response",
        "id": "resp_NUMBER",
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


def _item(what: str, item: dict[str, Any]) -> tuple[bytes, bytes]:
    return (
        event(f"response.output_item.{what}", **_PLACE, item=item),
        event(f"conversation.item.{what}", previous_item_id="PREVIOUS", item=item),
    )


def _message(status: str, *content: dict[str, Any]) -> dict[str, Any]:
    message = {"id": _ITEM, "object": "realtime.item", "type": "message", "status": status}
    return message | {"role": "assistant", "content": content}


def _call(status: str, arguments: str) -> dict[str, Any]:
    call = {"id": _ITEM, "object": "realtime.item", "type": "function_call", "status": status}
    return call | {"call_id": "call_NUMBER", "name": "get_weather", "arguments": arguments}


def _prepare_sound() -> tuple[bytes, bytes]:
    sound = b64encode(bytes(_NUMBER_BYTES)) + _SOUND
    whole = event("response.output_audio.delta", **_PART, delta=sound.decode())
    before, after = whole.split(sound)
    return before, after


_BEFORE_SOUND, _AFTER_SOUND = _prepare_sound()
_SAID: Final = _message("completed", {"type": "output_audio", "transcript": TRANSCRIPT})
_CALLED: Final = _call("completed", _ARGUMENTS)
_WORDS: Final = event("response.output_audio_transcript.delta", **_PART, delta=WORDS)
_SPEECH_BEGINS: Final = (
    _response("in_progress"),
    *_item("added", _message("in_progress")),
    event("response.content_part.added", **_PART, part={"type": "audio", "transcript": ""}),
    _WORDS,
)
_SPEECH_ENDS: Final = (
    event("response.output_audio.done", **_PART),
    event("response.output_audio_transcript.done", **_PART, transcript=TRANSCRIPT),
    event("response.content_part.done", **_PART, part={"type": "audio", "transcript": TRANSCRIPT}),
    *_item("done", _SAID),
    _response("completed", _SAID),
)
_CALL_BEGINS: Final = (
    _response("in_progress"),
    *_item("added", _call("in_progress", "")),
    event("response.function_call_arguments.delta", **_FUNCTION, delta=_ARGUMENTS),
)
_CALL_ENDS: Final = (
    event("response.function_call_arguments.done", **_FUNCTION, name="get_weather", arguments=_ARGUMENTS),
    *_item("done", _CALLED),
    _response("completed", _CALLED),
)
