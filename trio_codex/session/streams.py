"""How events reach the user: bounded streams that never make the session wait.

Every stream is independent and gets each event once. It holds at most `buffer` events and 16 MiB; when it is full, the oldest audio and
delta events go first, then the oldest of all, and an `EventsLostEvent` is delivered where each gap is. Entries are numbered, so a
gap is a number that is missing. The end of the session is the end of every stream: iteration stops, or raises ConnectionLost when
the connection broke.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, TypeAlias

import trio

from trio_codex.errors import ConfigurationError
from trio_codex.events import (
    AudioEvent,
    EventsLostEvent,
    HistoryUpdatedEvent,
    RawModelEvent,
    SessionEvent,
    TextDeltaEvent,
    TranscriptDeltaEvent,
)
from trio_codex.waiters import Waiters, wait_among, wake_first

MAX_BYTES: Final = 16 * 1024 * 1024

Over: TypeAlias = Callable[[], BaseException]
"""Makes the exception that ends an iteration: a new one each time, or it would collect the tracebacks of all."""

_LIGHT: Final = frozenset((AudioEvent, TranscriptDeltaEvent, TextDeltaEvent))
_NOMINAL_BYTES: Final = 256


class _Wanted(dict[type[SessionEvent], bool]):
    """Which classes a stream wants, by look-up; asked before anything is kept of an event."""

    def __init__(self, kinds: tuple[type[SessionEvent], ...] | None) -> None:
        self._kinds = kinds

    def __missing__(self, kind: type[SessionEvent]) -> bool:
        self[kind] = wanted = self._kinds is None or issubclass(kind, self._kinds)
        return wanted


_ANY: Final = _Wanted(None)


class EventStream:
    """A stream of a session's events: an async iterator, and a context manager (`with` or `async with`) that closes it.

    Iteration is cancel-safe: an event is taken or it stays. Taking one that is there gives way to nobody, for those are bounded. A second
    `async for` at the same time raises trio.BusyResourceError.
    """

    def __init__(self, kinds: Iterable[type[SessionEvent]] | None, buffer: int, feeds: Feeds) -> None:
        if buffer < 1:
            raise ConfigurationError(f"buffer is {buffer}; a stream holds at least one event")
        self.kinds: tuple[type[SessionEvent], ...] | None = None if kinds is None else _classes(kinds)
        self.raw: bool = self.kinds is not None and RawModelEvent in self.kinds
        self._buffer = buffer
        self._feeds = feeds
        self._wanted = _ANY if self.kinds is None else _Wanted(self.kinds)
        # By number, oldest first; each with what it weighed when it came, for whoever takes a raw event may change what is in it.
        self._entries: dict[int, tuple[SessionEvent, int]] = {}
        self._light: dict[int, None] = {}  # the numbers of those that go first
        self._bytes = 0
        self._next = 0  # the number of the next event to deliver
        self._count = 0  # the number of the next event to come
        self._over: Over | None = None
        # Where the one who iterates waits; events need no channel of Trio's, which would cost two turns of the scheduler for each.
        self._reader: Waiters = []
        self._busy = False

    def put(self, event: SessionEvent) -> None:
        """Take an event, dropping old ones for it if there is no room."""
        kind = type(event)
        if self._over is not None or not (self.raw if kind is RawModelEvent else self._wanted[kind]):
            return
        number = self._count
        self._count += 1
        measure = _SIZES.get(kind)
        size = _NOMINAL_BYTES if measure is None else _NOMINAL_BYTES + measure(event)
        self._entries[number] = event, size
        self._bytes += size
        if kind in _LIGHT:
            self._light[number] = None
        while len(self._entries) > self._buffer or self._bytes > MAX_BYTES:
            self._drop_one()
        if self._reader:
            wake_first(self._reader)

    def finish(self, over: Over) -> None:
        """No more events will come; what is held can still be taken, then iteration raises what `over` gives."""
        if self._over is None:
            self._over = over
            wake_first(self._reader)

    def close(self) -> None:
        """Stop listening; what is held is dropped. Harmless when done twice or after the session's end."""
        self._entries.clear()
        self._light.clear()
        self._bytes = 0
        self._next = self._count
        self._over = StopAsyncIteration
        wake_first(self._reader)
        self._feeds.forget(self)

    def _drop_one(self) -> None:
        number = next(iter(self._light or self._entries))
        self._light.pop(number, None)
        self._bytes -= self._entries.pop(number)[1]

    def _take(self) -> SessionEvent | None:
        entry = self._entries.pop(self._next, None)
        if entry is None:
            return self._gap()
        event, size = entry
        self._light.pop(self._next, None)
        self._bytes -= size
        self._next += 1
        return event

    def _gap(self) -> SessionEvent | None:
        lost = 0
        while self._next < self._count and self._next not in self._entries:
            self._next += 1
            lost += 1
        return EventsLostEvent(lost) if lost else None

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> SessionEvent:
        if self._busy:
            raise trio.BusyResourceError("another task iterates over this stream; give each task a subscription")
        self._busy = True
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            while (event := self._take()) is None:
                if self._over is not None:
                    await trio.lowlevel.checkpoint()
                    raise self._over()
                await wait_among(self._reader)
            return event
        finally:
            self._busy = False

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> EventStream:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Feeds:
    """All streams of a session."""

    def __init__(self) -> None:
        self.raw: bool = False  # whether some stream wants raw events
        self._streams: list[EventStream] = []
        self._over: Over | None = None

    def open(self, kinds: Iterable[type[SessionEvent]] | None, buffer: int) -> EventStream:
        """One more stream; it has ended already when the session has. Raises ConfigurationError for what is no event class."""
        stream = EventStream(kinds, buffer, self)
        if self._over is not None:
            stream.finish(self._over)
        else:
            self._streams.append(stream)
            self.raw = self.raw or stream.raw
        return stream

    def put(self, event: SessionEvent) -> None:
        """Give an event to every stream that wants it."""
        for stream in self._streams:
            stream.put(event)

    def finish(self, over: Over) -> None:
        """The session is over; `over` makes the exception that says how."""
        self._over = over
        for stream in self._streams:
            stream.finish(over)

    def forget(self, stream: EventStream) -> None:
        """A stream is closed."""
        if stream in self._streams:
            self._streams.remove(stream)
            self.raw = any(other.raw for other in self._streams)


def _classes(kinds: Any) -> tuple[type[SessionEvent], ...]:
    classes = (kinds,) if isinstance(kinds, type) else tuple(kinds)
    for kind in classes:
        if not (isinstance(kind, type) and issubclass(kind, SessionEvent)):
            raise ConfigurationError(f"kinds: {kind!r} is not an event class; they are in trio_codex.events")
    return classes


def _raw_size(data: Any) -> int:
    """Without recursion: the server may nest what it says more deeply than Python calls functions."""
    size, values = 0, [data]
    while values:
        match values.pop():
            case str() | bytes() as text:
                size += len(text)
            case dict() as fields:
                size += len(fields) * _NOMINAL_BYTES // 4
                values += fields.values()
            case list() as elements:
                values += elements
            case _:
                size += 8
    return size


# By class, not by `match`, which asks each event eight questions: 0.1 µs against 0.7 µs for each event.
_SIZES: Final[dict[type, Callable[[Any], int]]] = {
    AudioEvent: lambda event: len(event.audio.data),
    TranscriptDeltaEvent: lambda event: len(event.delta),
    TextDeltaEvent: lambda event: len(event.delta),
    HistoryUpdatedEvent: lambda event: 8 * len(event.history),  # the items themselves are shared
    RawModelEvent: lambda event: _raw_size(event.data),
}
