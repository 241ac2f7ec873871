"""What a server that refuses the websocket said, as our error: with its status, code and ids, and without what must not be seen.

A server may repeat in its answer what it was sent: the values of headers that may hold a key are taken out of every text of its.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from trio_codex.errors import ConnectionFailed
from trio_codex.transport import Target
from trio_codex.transport.streams import host_of
from trio_codex.verdicts import code_in

__all__ = ["refused", "secrets_of", "without"]

_BODY_SHOWN: Final = 2000
_LEAST_SECRET: Final = 8
_HIDDEN: Final = "…"


def refused(target: Target, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> ConnectionFailed:
    """Give the error for a handshake that was answered with this HTTP status."""
    secrets = secrets_of(target)
    named = {name.lower(): without(secrets, value.decode("latin-1")) for name, value in headers}
    said = without(secrets, body[:_BODY_SHOWN].decode(errors="replace"))
    code = code_in(said)
    return ConnectionFailed(
        f"{host_of(target.url)} refused the websocket with HTTP status {status}{f' ({code})' if code else ''}",
        status=status,
        body=said,
        stage="handshake",
        request_id=named.get(b"x-request-id"),
        retry_after=_seconds(named.get(b"retry-after", "")),
    )


def secrets_of(target: Target) -> tuple[str, ...]:
    """What must not get into an event or a log when the server repeats it: the values of headers that may hold a key."""
    values = (value.removeprefix("Bearer ") for name, value in target.headers if name.lower() != "user-agent")
    return tuple(value for value in values if len(value) >= _LEAST_SECRET)


def without(secrets: Iterable[str], text: str) -> str:
    """Take secrets out of a text."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text


def _seconds(text: str) -> float | None:
    with suppress(ValueError):
        seconds = float(text)
        return seconds if 0 <= seconds < math.inf else None
    return None
