"""Frames of text to events and back, for both halves of the protocol.

Four functions serve realtime, transcription and translation sessions. A frame of the peer that breaks the protocol raises
`RemoteProtocolError` with the path to the fault, and nothing else; an event of ours that cannot be said raises
`LocalProtocolError`. Decoding and encoding again gives the same JSON value. Knows no order of events and does no I/O.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, overload

import orjson
from pybase64 import b64encode_as_string

from trio_codex.errors import LocalProtocolError, RemoteProtocolError
from trio_codex.protocol.client_events import CLIENT_EVENTS, ClientEvent, InputAudioBufferAppend
from trio_codex.protocol.convert import converter, structure_hook
from trio_codex.protocol.quick import LONG, QUICK_DECODERS, QuickDecoder, long_audio
from trio_codex.protocol.server_events import SERVER_EVENTS, ServerEvent
from trio_codex.protocol.wire import Misfit, UnknownEvent

__all__ = [
    "decode_client_event",
    "decode_server_event",
    "encode_client_event",
    "encode_server_event",
    "structure",
    "unstructure",
]

T = TypeVar("T")
Decoders = Mapping[str, Callable[[Any], Any]]
Encoders = Mapping[type, Callable[[Any], dict[str, Any]]]

MAX_DEPTH = 250
"""How deep arrays and objects may be nested: orjson writes 254 levels."""

EXACT = 2.0**63
"""From here on, a float may be an integer that orjson rounded."""


def decode_server_event(frame: str | bytes) -> ServerEvent:
    """Turn a frame that a server sent into an event; an unknown type gives an `UnknownEvent`.

    Raises RemoteProtocolError, whose `path` leads to the fault, if the frame breaks the protocol.
    """
    if len(frame) > LONG and type(frame) is str and (audio := long_audio(frame)) is not None:
        return audio
    event: ServerEvent = decode(frame, SERVER_DECODERS, QUICK_DECODERS)
    return event


def decode_client_event(frame: str | bytes) -> ClientEvent:
    """Turn a frame that a client sent into an event; an unknown type gives an `UnknownEvent`.

    Raises RemoteProtocolError, whose `path` leads to the fault, if the frame breaks the protocol.
    """
    event: ClientEvent = decode(frame, CLIENT_DECODERS)
    return event


def encode_server_event(event: ServerEvent) -> str:
    """Turn a server event into a frame. Raises LocalProtocolError if it is none or holds what JSON cannot say."""
    return encode(event, SERVER_ENCODERS)


def encode_client_event(event: ClientEvent) -> str:
    """Turn a client event into a frame. Raises LocalProtocolError if it is none or holds what JSON cannot say."""
    if (
        type(event) is InputAudioBufferAppend
        and type(event.audio) is bytes
        and not event.extra
        and (event.event_id is None or (event.event_id.isascii() and event.event_id.isidentifier()))
    ):
        # The hot frame (50 a second for every speaker) is written as it stands: base64 and plain ids need no escapes.
        event_id = "" if event.event_id is None else f'"event_id":"{event.event_id}",'
        return f'{{"type":"input_audio_buffer.append",{event_id}"audio":"{b64encode_as_string(event.audio)}"}}'
    return encode(event, CLIENT_ENCODERS)


@overload
def structure(value: Any, cls: type[T]) -> T: ...
@overload
def structure(value: Any, cls: Any) -> Any: ...
def structure(value: Any, cls: Any) -> Any:
    """Turn a JSON value (dicts, lists, scalars) into a wire object of a class or union of classes.

    Raises RemoteProtocolError with the path.
    """
    try:
        return converter.structure(value, cls)
    except Misfit as misfit:
        raise RemoteProtocolError(misfit.reason, path=misfit.path) from None


def unstructure(value: Any) -> Any:
    """Turn a wire object into the JSON value that it stands for. Raises LocalProtocolError with the path."""
    try:
        return converter.unstructure(value)
    except Misfit as misfit:
        raise LocalProtocolError(f"{misfit.reason} @ {misfit.path}") from None


# --- frames to events --------------------------------------------------------------------------------------------------

structure_unknown: Callable[[Any], Any] = structure_hook(UnknownEvent)
SERVER_DECODERS: Decoders = {name: structure_hook(cls) for name, cls in SERVER_EVENTS.items()}
CLIENT_DECODERS: Decoders = {name: structure_hook(cls) for name, cls in CLIENT_EVENTS.items()}
NOTHING_QUICK: Mapping[str, QuickDecoder] = {}


def decode(frame: str | bytes, decoders: Decoders, quick: Mapping[str, QuickDecoder] = NOTHING_QUICK) -> Any:
    try:
        try:
            body = orjson.loads(frame)
        except ValueError:
            body = parse_slowly(frame)
        if type(body) is not dict:
            raise Misfit.expected("an object", body)
        name = body.get("type")
        if type(name) is not str:
            return structure_unknown(looked_at(body, frame))
        if name in quick and (event := quick[name](body)) is not None:
            return event
        return decoders.get(name, structure_unknown)(looked_at(body, frame))
    except Misfit as misfit:
        raise RemoteProtocolError(misfit.reason, path=misfit.path) from None


def looked_at(body: dict[str, Any], frame: str | bytes) -> dict[str, Any]:
    """The body, parsed anew if there is anything in it that orjson may have rounded. Refuses too deep a nesting."""
    if not survey(body):
        return body
    exact: dict[str, Any] = parse_slowly(frame)
    return exact


def parse_slowly(frame: str | bytes) -> Any:
    """Parse what orjson refuses or rounds: lone surrogates, integers of more than 64 bits."""
    try:
        frame = frame if isinstance(frame, str) else bytes(frame).decode()
    except UnicodeDecodeError:
        raise Misfit("not UTF-8") from None
    try:
        return json.loads(frame, parse_constant=refused, parse_float=finite)
    except RecursionError:
        raise Misfit("nested too deeply") from None
    except ValueError:
        raise Misfit("not JSON") from None


def refused(constant: str) -> NoReturn:
    raise Misfit(f"{constant} is not JSON")


def finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Misfit("a number is out of range")
    return number


def survey(body: dict[str, Any]) -> bool:
    """Whether a float in there needs a closer look: a rounded integer, or no number at all. Refuses too deep a nesting."""
    wide = False
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for whole in level:
            for item in whole.values() if type(whole) is dict else whole:
                kind = type(item)
                if kind is dict or kind is list or kind is tuple:
                    deeper.append(item)
                elif kind is float and not -EXACT < item < EXACT:
                    wide = True
        if not deeper:
            return wide
        level = deeper
    raise Misfit("nested too deeply")


# --- events to frames --------------------------------------------------------------------------------------------------

SERVER_ENCODERS: Encoders = {c: converter.get_unstructure_hook(c) for c in (*SERVER_EVENTS.values(), UnknownEvent)}
CLIENT_ENCODERS: Encoders = {c: converter.get_unstructure_hook(c) for c in (*CLIENT_EVENTS.values(), UnknownEvent)}
# Subclasses take the slow way, so that `survey` can go by exact types.
OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def encode(event: object, encoders: Encoders) -> str:
    encoder = encoders.get(type(event))
    if encoder is None:
        raise LocalProtocolError(f"{type(event).__name__} is not an event that this side sends")
    try:
        body = encoder(event)
        try:
            text = orjson.dumps(body, option=OPTIONS)
        except TypeError:
            return encode_slowly(body)
        # Most frames are too short to be nested too deeply, and hold no null, which orjson writes for NaN and the infinities (1.5 µs).
        if (len(text) > 2 * MAX_DEPTH or b"null" in text) and survey(body):
            check_json(body)
    except Misfit as misfit:
        raise LocalProtocolError(f"{misfit.reason} @ {misfit.path}") from None
    return text.decode()


def encode_slowly(body: dict[str, Any]) -> str:
    """Write what orjson refuses: lone surrogates, integers of more than 64 bits."""
    check_json(body)
    try:
        return json.dumps(body, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise Misfit("cannot be written as JSON") from None


def check_json(body: dict[str, Any]) -> None:
    """Refuse what JSON cannot say, and nesting that the peer could not read."""
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        # By identity, so that an object that holds itself twice does not double at each level.
        deeper: dict[int, Any] = {}
        for whole in level:
            if isinstance(whole, dict) and not all(isinstance(key, str) for key in whole):
                raise Misfit("the keys of an object have to be strings")
            for item in whole.values() if isinstance(whole, dict) else whole:
                if isinstance(item, dict | list | tuple):
                    deeper[id(item)] = item
                elif not (
                    item is None or isinstance(item, str | int) or (isinstance(item, float) and math.isfinite(item))
                ):
                    raise Misfit(f"not JSON: {item if isinstance(item, float) else type(item).__name__}")
        if not deeper:
            return
        level = list(deeper.values())
    raise Misfit("nested too deeply")
