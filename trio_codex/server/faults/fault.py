"""What a fault in the events of a session is: a pure transformation both ways, and what all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, TypeAlias

from trio_codex.protocol import (
    ClientEvent,
    Say,
    ServerEvent,
)

__all__ = ["EventFault", "Heard", "Values"]

Values: TypeAlias = Mapping[str, Any]
Heard: TypeAlias = ClientEvent | Say
"""What becomes of a client event: events for the peer, and answers that the peer knows nothing of."""


class EventFault:
    """A fault that changes nothing; the others change what they are about."""

    def __init__(self, values: Values, random: Random) -> None:
        self.values = values
        self.random = random
        self._met = 0

    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        """What an event of the client becomes."""
        return (event,)

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """What an event of the peer becomes."""
        return (event,)

    def is_due(self) -> bool:
        """Whether this one of its kind is the `nth`."""
        self._met += 1
        nth: int = self.values["nth"]
        return nth in (0, self._met)

    def new_id(self) -> str:
        """An id of no event of the peer."""
        self._met += 1
        return f"event_fault_{self._met:04}"
