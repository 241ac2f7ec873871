"""Faults in what is said: pure transformations of the events of one session, both ways.

An `EventFault` sees every event of the client before the peer does and every event of the peer before the client does. Deterministic: all
chance comes from the generator that it is given. Whatever is held back comes with a later event of the same response, so nothing needs
a clock. What comes out of one fault goes through the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, Protocol

from trio_codex.errors import RemoteProtocolError
from trio_codex.protocol import (
    ClientEvent,
    Peer,
    PeerEffect,
    Say,
    ServerEvent,
    decode_client_event,
)
from trio_codex.server.faults.courses import CutArguments, ErrorEvent, Expiry, FailedResponse, RejectUpdate, VadRace
from trio_codex.server.faults.fault import EventFault, Heard, Values
from trio_codex.server.faults.registry import Fault
from trio_codex.server.faults.shapes import BetaSession, HugeItem, MalformedEvents, UnknownEvents
from trio_codex.server.faults.streaming import DuplicateDeltas, OddBytes, ReorderDeltas, Transcripts

__all__ = ["EVENT_FAULTS", "EventFaults"]


class EventFaults:
    """The faults of one session, in the order in which they were asked for."""

    def __init__(self, faults: Sequence[Fault], *, seed: str) -> None:
        wanted = [fault for fault in faults if fault.name in EVENT_FAULTS]
        self._faults = [
            EVENT_FAULTS[fault.name](fault.values, Random(f"{seed} {at} {fault.name}"))  # noqa: S311 - not for secrets
            for at, fault in enumerate(wanted)
        ]

    def hear(self, event: ClientEvent) -> list[Heard]:
        """What an event of the client becomes: events for the peer, and answers to the client, in order."""
        return self._hear(event, 0)

    def _hear(self, event: ClientEvent, at: int) -> list[Heard]:
        if at == len(self._faults):
            return [event]
        heard: list[Heard] = []
        for given in self._faults[at].hear(event):
            heard += [given] if isinstance(given, Say) else self._hear(given, at + 1)
        return heard

    def say(self, event: ServerEvent) -> list[ServerEvent]:
        """What an event of the peer becomes."""
        events = [event]
        for fault in self._faults:
            events = [said for each in events for said in fault.say(each)]
        return events

    def receive_frame(self, peer: Peer, frame: str | bytes) -> list[PeerEffect]:
        """Hand a frame of the client to its peer; the effects are those of the peer and those of the faults."""
        try:
            event = decode_client_event(frame)
        except RemoteProtocolError:
            return peer.receive_frame(frame)
        effects: list[PeerEffect] = []
        for heard in self.hear(event):
            effects += [heard] if isinstance(heard, Say) else peer.receive(heard)
        return effects


class MakesFault(Protocol):
    """What makes a fault of one kind for one session."""

    def __call__(self, values: Values, random: Random, /) -> EventFault: ...


EVENT_FAULTS: Final[Mapping[str, MakesFault]] = {
    "expiry": Expiry,
    "reject-update": RejectUpdate,
    "vad-race": VadRace,
    "error-event": ErrorEvent,
    "failed-response": FailedResponse,
    "cut-arguments": CutArguments,
    "transcripts": Transcripts,
    "duplicate-deltas": DuplicateDeltas,
    "reorder-deltas": ReorderDeltas,
    "odd-bytes": OddBytes,
    "huge-item": HugeItem,
    "unknown-events": UnknownEvents,
    "malformed-events": MalformedEvents,
    "beta-session": BetaSession,
}
