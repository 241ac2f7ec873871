"""Faults in the shape of what is said: huge, unknown, malformed, of another age."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from random import Random
from typing import Any

import attrs

from trio_codex.protocol import (
    ContentPart,
    ConversationItemAdded,
    ConversationItemDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    UnknownEvent,
    UserMessage,
)
from trio_codex.server.faults.fault import EventFault, Values

__all__ = ["BetaSession", "HugeItem", "MalformedEvents", "UnknownEvents"]


class HugeItem(EventFault):
    """Puts a huge message into the conversation, once."""

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        if not isinstance(event, SessionUpdated) or self._met:
            return (event,)
        text = "huge " * (self.values["size"] * 2**20 // 5)
        item = UserMessage(
            id="item_fault_huge", status="completed", content=(ContentPart(type="input_text", text=text),)
        )
        return (
            event,
            ConversationItemAdded(event_id=self.new_id(), item=item),
            ConversationItemDone(event_id=self.new_id(), item=item),
        )


class UnknownEvents(EventFault):
    """Puts unknown events between the others, and unknown fields into these."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._counter = count(1)

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        every = max(self.values["every"], 1)
        if next(self._counter) % every or isinstance(event, UnknownEvent):
            return (event,)
        kind = self.random.choice(["response.flux.delta", "session.weather", "conversation.item.dreamt"])
        unknown = UnknownEvent(kind, {"type": kind, "event_id": self.new_id(), "depth": {"of": [1, None, "x"]}})
        return (_with_extra(event, flux={"new": True}), unknown)


class MalformedEvents(EventFault):
    """Puts events between the others that lack what they must have."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._counter = count(1)

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        every = max(self.values["every"], 1)
        if next(self._counter) % every:
            return (event,)
        bodies: list[dict[str, Any]] = [
            {"type": "response.done", "response": 7},
            {"type": "response.output_audio.delta", "delta": "not base64!"},
            {"type": "conversation.item.added", "item": None},
        ]
        body = self.random.choice(bodies)
        return (event, UnknownEvent(body["type"], {"event_id": self.new_id(), **body}))


class BetaSession(EventFault):
    """Tells the session as the beta protocol did, and names events so if that is wanted."""

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        if isinstance(event, SessionCreated):
            return (
                UnknownEvent(event.type, {"type": event.type, "event_id": event.event_id, "session": _beta(event)}),
            )
        older = () if isinstance(event, UnknownEvent) else event.older
        if self.values["names"] == "no" or not older:
            return (event,)
        return (_with_extra(event, type=older[0]),)


def _with_extra(event: Any, **extra: Any) -> ServerEvent:
    """An event of any known class with fields that its class does not have."""
    changed: ServerEvent = attrs.evolve(event, extra={**event.extra, **extra})
    return changed


def _beta(event: SessionCreated) -> Mapping[str, Any]:
    session = event.session
    return {
        "id": getattr(session, "id", None),
        "object": "realtime.session",
        "model": getattr(session, "model", None),
        "modalities": ["audio", "text"],
        "instructions": getattr(session, "instructions", None) or "",
        "voice": "alloy",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
        },
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
    }
