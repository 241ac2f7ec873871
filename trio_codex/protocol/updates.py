"""Sequencing of `session.update`: one in flight, the others wait their turn.

`session.updated` does not say which update it answers, so there may be only one that it can mean. An `error` with the update's
event id answers it too, and so does the time limit. Raw updates take part. The queue knows why each update was sent (`Purpose`); what
follows from the answer is the conversation's business.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trio_codex.errors import TrioCodexError
from trio_codex.protocol.client_events import SessionUpdate
from trio_codex.protocol.codec import structure
from trio_codex.protocol.effects import Effects, Settle, StartTimer
from trio_codex.protocol.sessions import RealtimeSession
from trio_codex.protocol.settings import SessionSettings

TIME_LIMIT_S: Final = 10.0
LATE: Final = f"the server did not acknowledge the settings in {TIME_LIMIT_S:g} s"


class Purpose(enum.Enum):
    """Why an update was sent."""

    OPENING = "opening"
    USER = "user"
    HANDOFF = "handoff"
    RAW = "raw"


@attrs.frozen(kw_only=True)
class Update:
    """One update, waiting or in flight. `settings` are the user's overrides once it is acknowledged."""

    event: SessionUpdate
    purpose: Purpose
    settings: SessionSettings | None = None

    @property
    def event_id(self) -> str:
        """The id it is sent under, which is also the ticket of who waits for it."""
        return self.event.event_id or ""


class Updates:
    """The queue of updates; every method may cause effects."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._in_flight: Update | None = None
        self._waiting: list[Update] = []

    @property
    def idle(self) -> bool:
        """Whether an update would be sent at once."""
        return self._in_flight is None

    def submit(self, session: Mapping[str, Any], purpose: Purpose, settings: SessionSettings | None = None) -> str:
        """Send a partial session object as soon as it is its turn; gives its event id."""
        event = SessionUpdate(session=structure(session, RealtimeSession), event_id=self._effects.new_id("event"))
        return self.submit_event(event, purpose, settings)

    def submit_event(self, event: SessionUpdate, purpose: Purpose, settings: SessionSettings | None = None) -> str:
        """The same for an event that has its id already."""
        update = Update(event=event, purpose=purpose, settings=settings)
        self._waiting.append(update)
        self._next()
        return update.event_id

    def acknowledged(self) -> Update | None:
        """The server applied settings: the update that this answers."""
        return self._answered()

    def refused(self, event_id: str | None) -> Update | None:
        """The server, or the clock, refused this event: the update, if it was the one in flight."""
        if self._in_flight is None or self._in_flight.event_id != event_id:
            return None
        return self._answered()

    def settle(self, update: Update, error: TrioCodexError | None = None) -> None:
        """Tell who waits for an update; a handoff's and a raw one's answer are nobody's ticket."""
        if update.purpose in (Purpose.OPENING, Purpose.USER):
            self._effects.add(Settle(update.event_id, error=error))

    def _answered(self) -> Update | None:
        answered, self._in_flight = self._in_flight, None
        self._next()
        return answered

    def _next(self) -> None:
        if self._in_flight is None and self._waiting:
            self._in_flight = self._waiting.pop(0)
            self._effects.send(self._in_flight.event)
            self._effects.add(StartTimer(self._in_flight.event_id, TIME_LIMIT_S))
