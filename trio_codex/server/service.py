"""What the endpoints share: the engines, the keys, the sessions that run, and the room for requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import attrs
import trio

from trio_codex.protocol import Peer
from trio_codex.server.admission import Keys
from trio_codex.server.calls import Calls
from trio_codex.server.connection import Engines, Line, RealtimeConnection
from trio_codex.server.faults import FaultPlan
from trio_codex.server.routes.exchange import HttpRefusal
from trio_codex.server.text_responses import ResponseStore

DEFAULT_MODEL: Final = "gpt-realtime-2.1"
GOODBYE: Final = "The server is shutting down."


@attrs.define(eq=False)
class Service:
    """The engines, the keys, the sessions that run; at most so many sessions, and requests that keep an engine busy, at once."""

    engines: Engines
    api_key: str | None = attrs.field(default=None, repr=False)
    max_sessions: int = 64
    max_requests: int = 32
    session_s: float = 3600
    faults: FaultPlan = attrs.field(factory=FaultPlan)
    keys: Keys = attrs.field(init=False)
    store: ResponseStore = attrs.field(factory=ResponseStore, init=False)
    calls: Calls = attrs.field(factory=Calls, init=False)
    _stopping: bool = attrs.field(default=False, init=False)
    _sessions: int = attrs.field(default=0, init=False)
    _requests: int = attrs.field(default=0, init=False)
    _connections: dict[RealtimeConnection, str | None] = attrs.field(factory=dict, init=False)
    """Each with the call that it joined."""
    _ended: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)
    _labels: Any = attrs.field(factory=lambda: count(1), init=False)

    def __attrs_post_init__(self) -> None:
        self.keys = Keys(self.api_key)

    def label(self) -> str:
        """Something that tells the ids of one session or response from those of all others."""
        return f"{next(self._labels):x}"

    def peer(self, kind: str, model: str, settings: Mapping[str, Any] | None = None) -> Peer:
        """A new session; `model` wins over that of the settings. Raises Refusal for settings that are wrong."""
        if settings and kind == "realtime":
            settings = {**settings, "model": model}
        expires_at = int(time.time() + self.faults.lifetime_s(self.session_s))
        return Peer(kind=kind, model=model, label=self.label(), expires_at=expires_at, settings=settings)

    @contextmanager
    def conversing(self) -> Iterator[None]:
        """Count a session, or refuse it."""
        if self._stopping:
            raise HttpRefusal(503, GOODBYE, "server_shutting_down", kind="server_error")
        if self._sessions >= self.max_sessions:
            raise _too_many(f"This server runs at most {self.max_sessions} sessions at once.")
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a request that keeps an engine busy, or refuse it."""
        if self._requests >= self.max_requests:
            raise _too_many(f"This server works on at most {self.max_requests} requests at once.")
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def converse(self, peer: Peer, line: Line, call_id: str | None = None) -> None:
        """Run a session on a line until it is over, which may be that of a call."""
        lifetime_s, faults = self.faults.lifetime_s(self.session_s), self.faults.session()
        connection = RealtimeConnection(peer, line, self.engines, lifetime_s=lifetime_s, faults=faults)
        self._connections[connection] = call_id
        if self._stopping:
            connection.stop(1001, GOODBYE)
        try:
            await connection.serve()
        finally:
            del self._connections[connection]
            self._ended.unpark_all()

    def end_call(self, call_id: str) -> None:
        """A call is over, and so are the sessions that joined it."""
        self.calls.end(call_id)
        for connection, call in self._connections.items():
            if call == call_id:
                connection.stop(1000, "The call has ended.")

    async def stop(self) -> None:
        """End all sessions in order, and let none begin: what waits is written, then the line is closed."""
        self._stopping = True
        for connection in self._connections:
            connection.stop(1001, GOODBYE)
        while self._connections:
            await self._ended.park()


def _too_many(message: str) -> HttpRefusal:
    return HttpRefusal(429, message, "rate_limit_exceeded", kind="rate_limit_error", retry_after=1)
