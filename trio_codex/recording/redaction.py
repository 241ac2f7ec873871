"""What of a JSON value may be written down: no secret ever, no audio unless asked.

Works on the wire's JSON, whatever event it is in. Audio becomes its length, `{"$audio": bytes}`, from which silence of the same length
can be made again; what opens an MCP server, and ephemeral keys, become "…". Whoever talks to us may use that name as well: each time such a
value is written, the name gets one more "$" in front, and loses it when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import pybase64

AUDIO: Final = "$audio"
HIDDEN: Final = "…"

_AUDIO_DELTAS: Final = frozenset({"response.output_audio.delta", "response.audio.delta", "session.output_audio.delta"})
_SECRET_NAMES: Final = frozenset({"authorization", "client_secret", "api_key"})


def redacted(value: Any, *, audio: bool = False, told: Callable[[Any], Any] | None = None) -> Any:
    """Give the value as it may be written down; with `audio`, the audio stays. `told` tells what is no JSON."""
    if isinstance(value, Mapping):
        hears = audio or value.get("type") not in _AUDIO_DELTAS
        return {
            _quoted(str(name)): _member(name, item, audio=audio, hears=hears and name != "audio", told=told)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item, audio=audio, told=told) for item in value]
    return value if told is None else told(value)


def restored(value: Any) -> Any:
    """Give the value with silence where audio was left out."""
    if isinstance(value, Mapping):
        if AUDIO in value:
            return pybase64.b64encode_as_string(bytes(value[AUDIO]))
        return {_unquoted(name): restored(item) for name, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    return value


def _member(name: str, item: Any, *, audio: bool, hears: bool, told: Callable[[Any], Any] | None) -> Any:
    if name in _SECRET_NAMES and item is not None:
        return HIDDEN
    if name == "headers" and isinstance(item, Mapping):
        return {_quoted(str(each)): HIDDEN for each in item}
    if name == "server_url" and isinstance(item, str):
        return _place(item)
    if isinstance(item, str) and not audio and (name == "audio" or (name == "delta" and not hears)):
        return {AUDIO: _decoded_length(item)}
    return redacted(item, audio=audio, told=told)


def _quoted(name: str) -> str:
    return f"${name}" if _looks_like_ours(name) else name


def _unquoted(name: str) -> str:
    return name[1:] if _looks_like_ours(name) else name


def _looks_like_ours(name: str) -> bool:
    return name[:1] == "$" and name.lstrip("$") == AUDIO[1:]


def _decoded_length(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def _place(url: str) -> str:
    """Scheme and host of an address: what follows may be a token. Nothing of what is no address."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return HIDDEN
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{port}/{HIDDEN}" if parts.path.strip("/") or parts.query else url
