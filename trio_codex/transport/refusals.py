"""What a server that refuses the websocket said, as our error: with its status, code and ids, and without what must not be seen.

A server may repeat in its answer what it was sent: what may be a key in headers and query is taken out of every text of its.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from trio_codex.delays import retry_after
from trio_codex.errors import ConnectionFailed
from trio_codex.secret import without
from trio_codex.transport import Target
from trio_codex.transport.streams import host_of
from trio_codex.verdicts import code_in

__all__ = ["refused", "why_not_opened"]

_IN_THE_WAY: Final = "try again; if it goes on, a proxy or a firewall on the way may let no websockets through"
_ELSEWHERE: Final = "check the URL: something else listens there, or a proxy answers in its place"
_BODY_SHOWN: Final = 2000
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})")


def refused(target: Target, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> ConnectionFailed:
    """Give the error for a handshake that was answered with this HTTP status."""
    secrets = target.secrets
    named = {name.decode("latin-1").lower(): without(secrets, value.decode("latin-1")) for name, value in headers}
    said = without(secrets, body[:_BODY_SHOWN].decode(errors="replace"))
    code = code_in(said)
    return ConnectionFailed(
        f"{host_of(target.url)} refused the websocket with HTTP status {status}{f' ({code})' if code else ''}",
        status=status,
        body=said,
        stage="handshake",
        request_id=named.get("x-request-id"),
        retry_after=retry_after(named),
    )


def why_not_opened(target: Target, said: bytes, *, hung_up: bool) -> ConnectionFailed:
    """Why the handshake came to nothing, as far as can be told from what the peer said."""
    head, _, body = said.partition(b"\r\n\r\n")
    status = _STATUS_LINE.match(head)
    host = host_of(target.url)
    if status is not None and status[1] != b"101":
        return refused(target, int(status[1]), _headers(head), body)
    advice = _IN_THE_WAY
    if head:
        why, advice = "is not a websocket server: what it said is no websocket handshake", _ELSEWHERE
    elif hung_up:
        why = "hung up during the websocket handshake"
    else:
        why = f"did not answer the websocket handshake in {target.timeout:g} s"
    return ConnectionFailed(f"{host} {why}", stage="handshake", advice=advice)


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return [(name.strip(), value.strip()) for name, _, value in pairs]
