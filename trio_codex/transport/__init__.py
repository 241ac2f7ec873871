"""The seam between a session and the network: frames of text, one connection, one owner.

A connector is called with a `Target` and gives an async context manager around a `Transport`. One task sends, one task receives; a
transport knows nothing of the protocol. The trio-websocket one is the default; the memory one serves tests and the testing kit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

import attrs

from trio_codex.secret import secrets_in

__all__ = ["ABNORMAL", "MAX_MESSAGE", "NORMAL", "Connector", "Eager", "Target", "Transport"]

NORMAL = 1000
ABNORMAL = 1006

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of a message; a longer one ends the connection with code 1009."""


@attrs.frozen(kw_only=True)
class Target:
    """Where to connect, with which headers, in at most `timeout` seconds. Headers and query may hold a key, so they are not shown."""

    url: str = attrs.field(repr=lambda url: repr(url.partition("?")[0]))
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    timeout: float = 10.0

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be seen of headers and query when the server repeats it."""
        return secrets_in([*self.headers, *_query_of(self.url)])


@lru_cache(maxsize=16)
def _query_of(url: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(urlsplit(url).query))


@runtime_checkable
class Transport(Protocol):
    """One open connection. `ConnectionLost` says that it is over, whoever ended it, also with code 1000."""

    async def send(self, frame: str) -> None:
        """Write one frame. Cancelling it breaks the connection. Raises ConnectionLost."""

    async def receive(self) -> str | bytes:
        """Give the next frame. Cancel-safe. Raises ConnectionLost, after all frames that came before the end."""
        ...

    async def close(self) -> None:
        """Say goodbye and wait for the peer's; the caller sets the time limit. Never raises, may be called twice."""


@runtime_checkable
class Eager(Transport, Protocol):
    """A transport that spares the scheduler: frames that wait go out together, need not wait if nothing is in their way, come together."""

    async def receive_many(self) -> Sequence[str | bytes]:
        """Give the next frames, at least one. Cancel-safe. Raises ConnectionLost, after all frames that came before the end."""
        ...

    async def send_many(self, frames: Sequence[str]) -> None:
        """Write frames, in order, after all that `send_nowait` has kept. Empty ones do not count. Raises ConnectionLost."""

    def send_nowait(self, frames: Sequence[str]) -> bool:
        """Write frames, while nobody else sends; False when something is left, which is kept for `send_many`. Raises ConnectionLost."""
        ...


class Connector(Protocol):
    """What makes connections. Raises ConnectionFailed when none comes about; leaving the block frees everything at once."""

    def __call__(self, target: Target, /) -> AbstractAsyncContextManager[Transport]:
        """Connect to the target."""
        ...
