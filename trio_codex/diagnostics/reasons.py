"""What an error says: whether it is a known reason to skip a demonstration, and which session the service should look into.

Errors come as texts, JSON of the wire, exceptions and events; all are read the same way: as the texts in them that tell what went
wrong, codes and types as well as messages, wherever the service put them. Any shape will do; one that says nothing gives no reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

__all__ = ["UPSTREAM", "extract_session_id", "skip_reason_for_error"]

UPSTREAM: Final = "realtime_upstream_server_error"

_REASONS: Final = (  # the first that fits counts
    (re.compile("insufficient_quota"), "insufficient_quota"),
    (re.compile("model_not_found|do not have access"), "realtime_model_unavailable"),
    (re.compile("(unknown|unexpected|unrecognized)[ _](parameter|field)"), "realtime_protocol_incompatible"),
)
_SERVER_ERROR: Final = "server_error"
_SESSION_ID: Final = re.compile("(?<![A-Za-z0-9])sess_[A-Za-z0-9]+")

_TELLING: Final = ("message", "code", "reason", "body", "error", "status_details", "response")
_NAMING: Final = ("type", "kind", "session_id")
_WITHIN: Final = ("exceptions", "__cause__")
_DEPTH: Final = 8  # of nesting; a cause may lead back to where it came from


def skip_reason_for_error(error: object) -> str | None:
    """Give the reason why an error is none of the program's doing, None if it may well be.

    `error` is a text, a mapping of the wire, an exception, an ErrorEvent or its error, or a Probe. The reasons: `insufficient_quota`,
    `realtime_model_unavailable`, `realtime_protocol_incompatible` (the service does not know a field), and
    `realtime_upstream_server_error`, with ` (session_id=sess_…)` where one is named.
    """
    said = _said(error)
    lowered = said.lower()
    for pattern, reason in _REASONS:
        if pattern.search(lowered):
            return reason
    if _SERVER_ERROR not in lowered:
        return None
    session_id = extract_session_id(said)
    return f"{UPSTREAM} (session_id={session_id})" if session_id else UPSTREAM


def extract_session_id(error: object) -> str | None:
    """Give the first session id (`sess_…`) that an error names, as it is spelled there. Takes what `skip_reason_for_error` does."""
    found = _SESSION_ID.search(_said(error))
    return found[0] if found else None


def _said(error: object) -> str:
    return "\n".join(_texts(error, _DEPTH))


def _texts(value: object, depth: int) -> Iterator[str]:
    """Everything in a value that tells what went wrong, in its own spelling."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield value.decode(errors="replace")
    elif depth:
        for part in _parts(value):
            yield from _texts(part, depth - 1)


def _parts(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        telling = [value[name] for name in _TELLING if value.get(name)]
        # A shape that is not known may tell it anywhere.
        return [value.get(name) for name in _NAMING] + telling if telling else list(value.values())
    if isinstance(value, BaseException):
        return [str(value), *_attributes(value, _NAMING + _TELLING + _WITHIN)]
    if attrs.has(type(value)):
        return _attributes(value, _NAMING + _TELLING)
    return list(value) if isinstance(value, list | tuple) else []


def _attributes(value: object, names: tuple[str, ...]) -> list[Any]:
    return [getattr(value, name, None) for name in names]
