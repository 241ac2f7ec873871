"""What a session tells its user.

Frozen values, one class for each kind of news; `type` is the class name in snake case without `Event`. They are made by the
protocol core and cross task boundaries, so nothing in them changes. Positions and lengths are in ms, audio is bytes in the
session's output format (PCM16, 24 kHz, mono unless set otherwise). The module knows nothing of the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

if TYPE_CHECKING:
    from trio_codex.agent import Agent
    from trio_codex.hosted import HostedTool
    from trio_codex.tools import Tool

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@attrs.frozen
class SessionEvent:
    """The base of all events of a session."""

    type: ClassVar[str] = "session"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = _WORD.sub("_", cls.__name__.removesuffix("Event")).lower()


# --- what events carry -------------------------------------------------------------------------------------------------


@attrs.frozen
class Audio:
    """A piece of an answer's audio as it came: any length, not necessarily whole samples."""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    item_id: str
    content_index: int
    response_id: str


@attrs.frozen
class HistoryPart:
    """One part of an item's content. `text` is the text or the transcript of the audio, None while it is not known."""

    type: str
    text: str | None = None
    image_url: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class HistoryItem:
    """One item of the conversation as it stands at this moment; audio is never kept.

    `type` is `message`, `function_call`, `function_call_output` or what else the server calls it. `text_heard` is the part of an
    interrupted answer that was heard (cut in proportion to the audio, so it is approximate), `interrupted_at_ms` where it stopped.
    """

    id: str
    type: str
    role: str | None = None
    status: str | None = None
    content: tuple[HistoryPart, ...] = ()
    name: str | None = None
    call_id: str | None = None
    arguments: str | None = None
    output: str | None = None
    text_heard: str | None = None
    interrupted_at_ms: int | None = None

    @property
    def text(self) -> str:
        """All text of the item, as generated or transcribed."""
        return "".join(part.text or "" for part in self.content)


@attrs.frozen
class ErrorInfo:
    """An error as the server (or the session, type `protocol_error`) states it; `response_id` where a response failed."""

    type: str
    message: str
    code: str | None = None
    param: str | None = None
    event_id: str | None = None
    response_id: str | None = None


# --- agents, handoffs, tools -------------------------------------------------------------------------------------------


@attrs.frozen
class AgentStartEvent(SessionEvent):
    """An agent begins to answer: a response of the default conversation was created."""

    agent: Agent


@attrs.frozen
class AgentEndEvent(SessionEvent):
    """The agent's response is over, whatever its status."""

    agent: Agent


@attrs.frozen
class HandoffEvent(SessionEvent):
    """The conversation has passed from one agent to another; `current_agent` is the new one from here on."""

    from_agent: Agent
    to_agent: Agent


@attrs.frozen
class ToolStartEvent(SessionEvent):
    """The model called a tool. `agent` made the call; `tool` is None when it is unknown or a handoff; `arguments` is raw JSON.

    A HostedTool is called by the API; all others run here.
    """

    agent: Agent
    tool: Tool | HostedTool | None
    name: str
    call_id: str
    arguments: str


@attrs.frozen
class ToolEndEvent(SessionEvent):
    """A tool call is over; `output` is the text that goes to the model right after this event, or that the API told of a HostedTool."""

    agent: Agent
    tool: Tool | HostedTool | None
    name: str
    call_id: str
    arguments: str
    output: str


@attrs.frozen
class ToolApprovalRequiredEvent(SessionEvent):
    """A tool waits for `session.approve(call_id)` or `session.reject(call_id)`."""

    agent: Agent
    tool: Tool | HostedTool
    call_id: str
    arguments: str


# --- audio and text ----------------------------------------------------------------------------------------------------


@attrs.frozen
class AudioEvent(SessionEvent):
    """Audio of an answer arrived."""

    audio: Audio

    @property
    def data(self) -> bytes:
        """The audio itself."""
        return self.audio.data

    @property
    def item_id(self) -> str:
        """The item that speaks."""
        return self.audio.item_id

    @property
    def content_index(self) -> int:
        """The part of the item that speaks."""
        return self.audio.content_index

    @property
    def response_id(self) -> str:
        """The response it belongs to."""
        return self.audio.response_id


@attrs.frozen
class AudioEndEvent(SessionEvent):
    """All audio of a part has arrived (it may still be playing)."""

    item_id: str
    content_index: int


@attrs.frozen
class AudioInterruptedEvent(SessionEvent):
    """Playback of a part was cut off after `heard_ms` ms."""

    item_id: str
    content_index: int
    heard_ms: int


@attrs.frozen
class TranscriptDeltaEvent(SessionEvent):
    """More words of what the agent says aloud."""

    item_id: str
    delta: str


@attrs.frozen
class TextDeltaEvent(SessionEvent):
    """More words of a written answer."""

    item_id: str
    delta: str


@attrs.frozen
class InputTranscriptEvent(SessionEvent):
    """What the user said, as recognised so far; `final` once the recogniser is done with the item."""

    item_id: str
    transcript: str
    final: bool


@attrs.frozen
class SpeechStartedEvent(SessionEvent):
    """The server heard the user begin to speak, `audio_ms` ms into the session's input audio (padding included)."""

    item_id: str
    audio_ms: int


@attrs.frozen
class SpeechStoppedEvent(SessionEvent):
    """The server heard the user stop, `audio_ms` ms into the session's input audio."""

    item_id: str
    audio_ms: int


@attrs.frozen
class InputAudioTimeoutTriggeredEvent(SessionEvent):
    """Nobody spoke for the idle timeout; the server commits the silence and answers by itself."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


# --- history, usage, errors --------------------------------------------------------------------------------------------


@attrs.frozen
class HistoryAddedEvent(SessionEvent):
    """A new item stands in the history."""

    item: HistoryItem


@attrs.frozen
class HistoryUpdatedEvent(SessionEvent):
    """Items changed; `history` is all of it, in the order of the conversation."""

    history: tuple[HistoryItem, ...] = attrs.field(repr=lambda items: f"<{len(items)} items>")


@attrs.frozen
class GuardrailTrippedEvent(SessionEvent):
    """A guardrail stopped an answer; `message` is the text it had seen."""

    results: tuple[Any, ...]
    message: str


@attrs.frozen
class Usage:
    """Tokens, of one response or of a whole session."""

    total_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    responses: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.total_tokens + other.total_tokens,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.input_audio_tokens + other.input_audio_tokens,
            self.output_audio_tokens + other.output_audio_tokens,
            self.responses + other.responses,
        )


@attrs.frozen
class UsageEvent(SessionEvent):
    """What one response cost."""

    usage: Usage


@attrs.frozen
class ResponseDoneEvent(SessionEvent):
    """A response ended: `completed`, `cancelled`, `incomplete` or `failed`; `status_details` is the server's own account."""

    response_id: str
    status: str
    status_details: Mapping[str, Any] | str | None
    usage: Usage | None


@attrs.frozen
class ErrorEvent(SessionEvent):
    """Something went wrong; the session goes on."""

    error: ErrorInfo


@attrs.frozen
class RawModelEvent(SessionEvent):
    """A frame as the server sent it: the JSON object, or the text (bytes) of a frame that is none."""

    data: Mapping[str, Any] | str | bytes = attrs.field(repr=lambda data: f"<{type(data).__name__}>")


@attrs.frozen
class EventsLostEvent(SessionEvent):
    """Here `count` events of this stream were dropped because nobody took them in time."""

    count: int
