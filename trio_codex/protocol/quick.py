"""The short way for what a server says a hundred times for everything else: pieces of speech and of its words.

A body that has exactly the fields of such an event, each of the very type that the wire has, becomes the event as it stands: nothing of it
needs a closer look, as `codec` gives all others. Anything else, the smallest oddity among them, is left to the long way, and a test holds
both against each other. For 4,800 bytes of audio with words 5 µs against 12.5 µs.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import orjson
import pybase64

from trio_codex.protocol.response_events import (
    OfPart,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
)
from trio_codex.protocol.strict import re_encodes
from trio_codex.protocol.wire import new, set_state

__all__ = ["LONG", "QUICK_DECODERS", "QuickDecoder", "long_audio"]

E = TypeVar("E", bound=OfPart)

QuickDecoder: TypeAlias = Callable[[dict[str, Any]], OfPart | None]
"""Gives the event and takes the body for itself; or gives None and leaves the body as it is."""

LONG: Final = 1000
"""Characters of a frame from which on `long_audio` is worth a try."""

_HEAD: Final = 500
_BEFORE_AUDIO, _AFTER_AUDIO = '"delta":"', '"}'
_FIELDS: Final = 7


def _is_plain(body: dict[str, Any]) -> bool:
    try:
        return (
            len(body) == _FIELDS
            and type(body["event_id"]) is str
            and type(body["response_id"]) is str
            and type(body["item_id"]) is str
            and type(body["output_index"]) is int
            and type(body["content_index"]) is int
            and type(body["delta"]) is str
        )
    except KeyError:
        return False


def _made_of(cls: type[E], body: dict[str, Any]) -> E:
    """What `cls(**body)` does, without the arguments' way through a call; the body is not needed any more."""
    del body["type"]
    body["extra"] = {}
    event = new(cls)
    set_state(event, body)
    return event


def long_audio(frame: str) -> ResponseOutputAudioDelta | None:
    """A piece of audio whose base64 is the last thing in its frame: the parser need not see it, for base64 is JSON as it stands.

    The parser is given the frame without the base64, so all that it would have found wrong it still finds (2.1 µs of 4.5 µs less).
    """
    start = frame.find(_BEFORE_AUDIO, 0, _HEAD) + len(_BEFORE_AUDIO)
    if start < len(_BEFORE_AUDIO) or not frame.endswith(_AFTER_AUDIO):
        return None
    try:
        body = orjson.loads(frame[:start] + _AFTER_AUDIO)
    except ValueError:
        return None
    if body.get("type") != ResponseOutputAudioDelta.type or body.get("delta") != "":
        return None
    body["delta"] = frame[start : -len(_AFTER_AUDIO)]
    return _audio(body)


def _audio(body: dict[str, Any]) -> ResponseOutputAudioDelta | None:
    if not _is_plain(body):
        return None
    text = body["delta"]
    try:
        audio = pybase64.b64decode(text, validate=True)
    except ValueError:
        return None
    if not re_encodes(text):
        return None
    body["delta"] = audio
    return _made_of(ResponseOutputAudioDelta, body)


def _spoken(body: dict[str, Any]) -> OfPart | None:
    return _made_of(ResponseOutputAudioTranscriptDelta, body) if _is_plain(body) else None


def _written(body: dict[str, Any]) -> OfPart | None:
    return _made_of(ResponseOutputTextDelta, body) if _is_plain(body) else None


QUICK_DECODERS: Final[dict[str, QuickDecoder]] = {
    ResponseOutputAudioDelta.type: _audio,
    ResponseOutputAudioTranscriptDelta.type: _spoken,
    ResponseOutputTextDelta.type: _written,
}
