"""What the conversation wants done, as values.

The core decides and returns effects; the session performs them in order, synchronously, without a checkpoint between. An effect
says what, never how: it holds no callables, channels or tasks. Every effect is frozen and may be compared in tests.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from trio_codex.agent import Agent, Guardrail, Handoff
from trio_codex.errors import TrioCodexError
from trio_codex.events import SessionEvent
from trio_codex.protocol.wire import FromClient, UnknownEvent, changed
from trio_codex.tools import Tool


@attrs.frozen(kw_only=True)
class ToolCall:
    """A completed function call of the model. `agent` made it; `tool` is None when nobody knows the name or it is a handoff."""

    call_id: str
    name: str
    arguments: str
    response_id: str
    agent: Agent
    tool: Tool | None = None
    handoff: Handoff | None = None


@attrs.frozen
class Send:
    """Put a frame in the outbox."""

    event: FromClient | UnknownEvent


@attrs.frozen
class Emit:
    """Tell the user."""

    event: SessionEvent


@attrs.frozen
class Play:
    """Audio that should sound now, after what is already queued: whole samples."""

    response_id: str
    item_id: str
    content_index: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen
class StopPlayback:
    """Drop the audio that is queued and not yet taken: that of one response or, if none is named, all of it."""

    response_id: str | None = None


@attrs.frozen
class StartTool:
    """Run a tool in a task of its own; the session reports its end with `Conversation.tool_ended`."""

    call: ToolCall


@attrs.frozen
class CancelTool:
    """Cancel the task of a running tool; its end is reported like any other."""

    call_id: str


@attrs.frozen
class PrepareHandoff:
    """Run the user's callables of a handoff (target, `is_enabled`, `on_handoff`, instructions), then report the briefing."""

    call: ToolCall


@attrs.frozen
class StartCheck:
    """Let a guardrail judge this text in a task of its own; report to `Conversation.checked` or `check_failed` under `check_id`."""

    check_id: str
    guardrail: Guardrail
    agent: Agent
    text: str = attrs.field(repr=lambda text: f"<{len(text)} characters>")


@attrs.frozen
class Settle:
    """The verb that waits under this ticket gets its answer: a value or, if `error` is set, an exception."""

    ticket: str
    value: Any = None
    error: TrioCodexError | None = None


@attrs.frozen
class StartTimer:
    """Call `Conversation.timed_out(name)` after this many seconds; a timer nobody needs any more does no harm."""

    name: str
    seconds: float


@attrs.frozen
class Note:
    """A line for the log; a warning where something that was wanted is not done."""

    message: str
    warning: bool = False


Effect: TypeAlias = (
    Send
    | Emit
    | Play
    | StopPlayback
    | StartTool
    | CancelTool
    | PrepareHandoff
    | StartCheck
    | Settle
    | StartTimer
    | Note
)


class Effects:
    """Collects what one step of the conversation causes, in order, and owns the counter that its ids come from."""

    def __init__(self) -> None:
        self._list: list[Effect] = []
        self._count = 0

    def new_id(self, kind: str) -> str:
        """A fresh id, such as `event_c12`."""
        self._count += 1
        return f"{kind}_c{self._count}"

    def add(self, effect: Effect) -> None:
        """One more effect."""
        self._list.append(effect)

    def emit(self, event: SessionEvent) -> None:
        """Tell the user."""
        self._list.append(Emit(event))

    def send(self, event: FromClient) -> str:
        """Send an event, under an id of ours if it has none; gives the id."""
        event_id = event.event_id or self.new_id("event")
        self._list.append(Send(event if event.event_id else changed(event, event_id=event_id)))
        return event_id

    def take(self) -> list[Effect]:
        """All that was collected, once."""
        effects, self._list = self._list, []
        return effects
