"""The session's lines in the log: one at INFO for each change of state, without what anybody said.

Told of every event that the session emits; most (audio, deltas) say nothing here, and cost one look-up in a table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from trio_codex import events
from trio_codex.logs import get_logger

__all__ = ["log", "note"]

log: Final = get_logger("session")

_LINES: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    events.AgentStartEvent: lambda event: f"agent {event.agent.name!r} begins to answer",
    events.AgentEndEvent: lambda event: f"agent {event.agent.name!r} has answered",
    events.HandoffEvent: lambda event: f"agent {event.from_agent.name!r} has handed over to {event.to_agent.name!r}",
    events.ToolStartEvent: lambda event: f"tool {event.name!r} begins (call {event.call_id})",
    events.ToolEndEvent: lambda event: f"tool {event.name!r} has ended (call {event.call_id})",
    events.ToolApprovalRequiredEvent: lambda event: f"call {event.call_id} waits for approval",
    events.GuardrailTrippedEvent: lambda event: "a guardrail has stopped the answer",
    events.SpeechStartedEvent: lambda event: f"the user speaks (item {event.item_id})",
    events.SpeechStoppedEvent: lambda event: f"the user has spoken (item {event.item_id})",
    events.AudioInterruptedEvent: lambda event: f"item {event.item_id} was interrupted after {event.heard_ms} ms",
    events.ResponseDoneEvent: lambda event: f"response {event.response_id} is {event.status}",
    events.ErrorEvent: lambda event: f"the server reports an error: {event.error.type}, code {event.error.code}",
}


def note(event: Any) -> None:
    """Write the event's line, if it has one and anybody reads it."""
    line = _LINES.get(type(event))
    if line is not None and log.isEnabledFor(logging.INFO):
        log.info("%s", line(event))
