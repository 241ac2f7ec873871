"""The server's end of a connection, in the hands of a test: expect client events, say server events, hang up.

A line reads all the time, so that the session never waits for the script (`deaf` is for when it should), and answers what every
conversation begins with, `session.update`, unless it is told not to. What does not go as the script wants is a `ScriptFailed`, which says
what was expected, what came, and the last frames of both sides.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, overload

import attrs
import orjson
import trio

from trio_codex.errors import ConnectionLost, RemoteProtocolError
from trio_codex.protocol import (
    ClientEvent,
    Say,
    ServerEvent,
    SessionUpdate,
    decode_client_event,
    decode_server_event,
    encode_server_event,
    unstructure,
)
from trio_codex.server.faults import EventFaults
from trio_codex.transport import ABNORMAL, NORMAL, Transport

__all__ = ["FarEnd", "Line", "ScriptFailed"]

E = TypeVar("E")

_FRAMES_SHOWN: Final = 12
_WIDTH: Final = 160


class ScriptFailed(AssertionError):  # noqa: N818 - it tells what happened, as assertions do
    """The session did not do what the script expected."""


class FarEnd(Transport, Protocol):
    """The transport that a line speaks over: it says why it closes, and it can just vanish."""

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye with this code and reason, and wait for the peer's."""

    def drop(self) -> None:
        """Vanish without a goodbye."""


class Line:
    """One connection, seen from the server. `frames` are the last frames, `>` from the session and `<` to it.

    While it `acknowledges`, `session.created` is said as the session connects, and each `session.update` is answered by a
    `session.updated` that repeats the settings; `expect` then never sees the updates. `settings` are those so far, merged.
    """

    def __init__(self, *, acknowledge: bool = True, faults: EventFaults | None = None) -> None:
        self._faults = faults
        self.frames: deque[str] = deque(maxlen=_FRAMES_SHOWN)
        self.settings: dict[str, Any] = {"type": "realtime", "object": "realtime.session", "id": "sess_scripted"}
        self.acknowledges = acknowledge
        self._transport: FarEnd | None = None
        self._connected = trio.Event()
        self._ended = ConnectionLost(ABNORMAL, "there is no connection")
        self._came, self._coming = trio.open_memory_channel[ClientEvent](math.inf)
        self._count = 0  # what ids are made of
        self._receiving = trio.CancelScope()
        self._hears = trio.Event()
        self._hears.set()

    # --- what a script does ----------------------------------------------------------------------------------------

    @overload
    async def expect(self, kind: type[E], *, within: float = 60.0) -> E: ...
    @overload
    async def expect(self, kind: str, *, within: float = 60.0) -> Any: ...
    async def expect(self, kind: type[E] | str, *, within: float = 60.0) -> Any:
        """Give the session's next event, which must be of this class (or wire type), and come within so many seconds.

        Raises ScriptFailed. Cancel-safe.
        """
        wanted = kind if isinstance(kind, str) else kind.__name__
        with trio.move_on_after(within):
            try:
                event = await self._coming.receive()
            except trio.EndOfChannel:
                raise self._failure(f"expected {wanted}, but the session hung up ({self._ended})") from None
            if event.type == kind if isinstance(kind, str) else isinstance(event, kind):
                return event
            raise self._failure(f"expected {wanted}, but {type(event).__name__} came: {_short(repr(event))}")
        raise self._failure(f"expected {wanted}, but nothing came for {within:g} s")

    async def expect_nothing(self, seconds: float = 1.0) -> None:
        """Make sure that the session says nothing for so long; its hanging up is fine. Raises ScriptFailed."""
        with trio.move_on_after(seconds):
            try:
                event = await self._coming.receive()
            except trio.EndOfChannel:
                return
            raise self._failure(f"expected nothing, but {type(event).__name__} came: {_short(repr(event))}")

    async def expect_end(self, *, within: float = 60.0) -> ConnectionLost:
        """Wait until the session has hung up, having said nothing more; gives code and reason. Raises ScriptFailed."""
        with trio.move_on_after(within):
            async for event in self._coming:
                raise self._failure(f"expected the end, but {type(event).__name__} came: {_short(repr(event))}")
            return self._ended
        raise self._failure(f"expected the end, but the session is still there after {within:g} s")

    def __aiter__(self) -> Line:
        return self

    async def __anext__(self) -> ClientEvent:
        """The session's next event; iteration ends when the session has hung up."""
        try:
            return await self._coming.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def say(self, event: ServerEvent | Mapping[str, Any] | str, **fields: Any) -> None:
        """Say an event: a value, a JSON object, or its wire type and fields; `event_id` is filled in.

        Raises ScriptFailed when the session has hung up.
        """
        await self.say_frame(self._frame({"type": event, **fields} if isinstance(event, str) else event))

    def _frame(self, event: ServerEvent | Mapping[str, Any]) -> str:
        if not isinstance(event, Mapping):
            return encode_server_event(event)
        return orjson.dumps({"event_id": self.new_id("event"), **event}, default=_plain).decode()

    def new_id(self, kind: str) -> str:
        """A fresh id, such as `item_s3`."""
        self._count += 1
        return f"{kind}_s{self._count}"

    async def say_frame(self, frame: str) -> None:
        """Say anything, also what is not the protocol. Raises ScriptFailed when the session has hung up."""
        try:
            await self._say(frame)
        except ConnectionLost as lost:
            raise self._failure(f"wanted to say {_short(frame)}, but the session hung up ({lost})") from None

    async def _say(self, frame: str) -> None:
        await self._connected.wait()
        for said in self._faulty(frame):
            await self._write(said)

    def _faulty(self, frame: str) -> list[str]:
        """What the faults make of a frame; nothing of one that is not the protocol."""
        if self._faults is None:
            return [frame]
        try:
            event = decode_server_event(frame)
        except RemoteProtocolError:
            return [frame]
        return [encode_server_event(said) for said in self._faults.say(event)]

    async def _write(self, frame: str) -> None:
        assert self._transport is not None
        await self._transport.send(frame)
        self.frames.append(f"< {_short(frame)}")

    async def drop(self, code: int = ABNORMAL, reason: str = "") -> None:
        """End the connection: with a goodbye of this code and reason, or, with 1006, without one, as if the link broke."""
        await self._connected.wait()
        assert self._transport is not None
        if code == ABNORMAL:
            self._transport.drop()
        else:
            await self._transport.close(code, reason)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """While in this block nothing is read, so that what the session says piles up on its side."""
        self._hears = trio.Event()
        self._receiving.cancel()
        try:
            yield
        finally:
            self._hears.set()

    # --- what carries it -------------------------------------------------------------------------------------------

    async def carry(self, transport: FarEnd) -> None:
        """Be the far end of this connection until it ends."""
        self._transport = transport
        self._connected.set()
        with self._came:
            try:
                if self.acknowledges:
                    await self._say(self._frame({"type": "session.created", "session": self.settings}))
                while True:
                    while not self._hears.is_set():
                        await self._hears.wait()
                    frame: str | bytes | None = None
                    with trio.CancelScope() as self._receiving:
                        frame = await transport.receive()
                    if frame is not None:
                        await self._hear(frame)
            except ConnectionLost as lost:
                self._ended = lost

    async def _hear(self, frame: str | bytes) -> None:
        event = decode_client_event(frame)
        self.frames.append(f"> {_short(str(frame))}")
        for heard in [event] if self._faults is None else self._faults.hear(event):
            if isinstance(heard, Say):
                await self._write(encode_server_event(heard.event))
            elif self.acknowledges and isinstance(heard, SessionUpdate):
                await self.acknowledge(heard)
            else:
                self._came.send_nowait(heard)

    async def acknowledge(self, update: SessionUpdate) -> None:
        """Answer an update as a server does that agrees. Raises ConnectionLost."""
        _merge(self.settings, unstructure(update.session))
        await self._say(self._frame({"type": "session.updated", "session": self.settings}))

    def _failure(self, message: str) -> ScriptFailed:
        frames = "\n  ".join(self.frames) or "(none)"
        return ScriptFailed(f"{message}\nthe last frames (> from the session, < from the script):\n  {frames}")


def _merge(settings: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        old = settings.get(name)
        if isinstance(old, dict) and isinstance(value, Mapping):
            settings[name] = dict(old)
            _merge(settings[name], value)
        else:
            settings[name] = value


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _plain(value: Any) -> Any:
    """Wire objects and audio may stand in what a script says."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if attrs.has(type(value)):
        return unstructure(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
