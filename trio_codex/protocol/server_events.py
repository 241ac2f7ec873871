"""What a server sends: the 46 events of realtime and transcription sessions and those of translation sessions.

The face of all server events: those about the conversation and about responses are written next door. Class names are the types
in CamelCase, fields the names of the wire. `SERVER_EVENTS` is the table from type to class, names of the beta era (`older`)
included. Knows no order of events.
"""

from typing import ClassVar, get_args

import attrs

from trio_codex.protocol.conversation_events import (
    ConversationCreated,
    ConversationInfo,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    DurationUsage,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferDtmfEventReceived,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    LogProb,
    SpokenLanguage,
    TokenUsage,
    TranscriptionError,
    TranscriptionTokenDetails,
)
from trio_codex.protocol.items import ErrorDetails
from trio_codex.protocol.response_events import (
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from trio_codex.protocol.sessions import ServerSession
from trio_codex.protocol.wire import FromServer, UnknownEvent, Wire

__all__ = [
    "SERVER_EVENTS",
    "ConversationCreated",
    "ConversationInfo",
    "ConversationItemAdded",
    "ConversationItemCreated",
    "ConversationItemDeleted",
    "ConversationItemDone",
    "ConversationItemInputAudioTranscriptionCompleted",
    "ConversationItemInputAudioTranscriptionDelta",
    "ConversationItemInputAudioTranscriptionFailed",
    "ConversationItemInputAudioTranscriptionSegment",
    "ConversationItemRetrieved",
    "ConversationItemTruncated",
    "DurationUsage",
    "Error",
    "ErrorDetails",
    "FromServer",
    "InputAudioBufferCleared",
    "InputAudioBufferCommitted",
    "InputAudioBufferDtmfEventReceived",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "LogProb",
    "McpListToolsCompleted",
    "McpListToolsFailed",
    "McpListToolsInProgress",
    "OutputAudioBufferCleared",
    "OutputAudioBufferStarted",
    "OutputAudioBufferStopped",
    "RateLimit",
    "RateLimitsUpdated",
    "ResponseContentPartAdded",
    "ResponseContentPartDone",
    "ResponseCreated",
    "ResponseDone",
    "ResponseFunctionCallArgumentsDelta",
    "ResponseFunctionCallArgumentsDone",
    "ResponseMcpCallArgumentsDelta",
    "ResponseMcpCallArgumentsDone",
    "ResponseMcpCallCompleted",
    "ResponseMcpCallFailed",
    "ResponseMcpCallInProgress",
    "ResponseOutputAudioDelta",
    "ResponseOutputAudioDone",
    "ResponseOutputAudioTranscriptDelta",
    "ResponseOutputAudioTranscriptDone",
    "ResponseOutputItemAdded",
    "ResponseOutputItemDone",
    "ResponseOutputTextDelta",
    "ResponseOutputTextDone",
    "ServerEvent",
    "SessionClosed",
    "SessionCreated",
    "SessionInputTranscriptDelta",
    "SessionOutputAudioDelta",
    "SessionOutputTranscriptDelta",
    "SessionUpdated",
    "SpokenLanguage",
    "TokenUsage",
    "TranscriptionError",
    "TranscriptionTokenDetails",
]


@attrs.frozen(kw_only=True, slots=False)
class RateLimit(Wire):
    """`name`: requests or tokens."""

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


@attrs.frozen(kw_only=True, slots=False)
class Error(FromServer):
    """Something was refused or went wrong; the session mostly goes on. `error.event_id` names the cause."""

    type: ClassVar[str] = "error"

    error: ErrorDetails


@attrs.frozen(kw_only=True, slots=False)
class SessionCreated(FromServer):
    """The first event: the whole session as it is."""

    type: ClassVar[str] = "session.created"
    older: ClassVar[tuple[str, ...]] = ("transcription_session.created",)

    session: ServerSession


@attrs.frozen(kw_only=True, slots=False)
class SessionUpdated(FromServer):
    """The whole session after a `session.update`, whose `event_id` it does not name."""

    type: ClassVar[str] = "session.updated"
    older: ClassVar[tuple[str, ...]] = ("transcription_session.updated",)

    session: ServerSession


@attrs.frozen(kw_only=True, slots=False)
class OutputAudioBufferStarted(FromServer):
    """WebRTC and SIP only: the audio of a response begins to play."""

    type: ClassVar[str] = "output_audio_buffer.started"

    response_id: str


@attrs.frozen(kw_only=True, slots=False)
class OutputAudioBufferStopped(FromServer):
    """WebRTC and SIP only: it has played to its end."""

    type: ClassVar[str] = "output_audio_buffer.stopped"

    response_id: str


@attrs.frozen(kw_only=True, slots=False)
class OutputAudioBufferCleared(FromServer):
    """WebRTC and SIP only: it was cut off."""

    type: ClassVar[str] = "output_audio_buffer.cleared"

    response_id: str


@attrs.frozen(kw_only=True, slots=False)
class RateLimitsUpdated(FromServer):
    """What is left of the limits, as of the start of a response."""

    type: ClassVar[str] = "rate_limits.updated"

    rate_limits: tuple[RateLimit, ...]


@attrs.frozen(kw_only=True, slots=False)
class McpListToolsInProgress(FromServer):
    """The server asks an MCP server for its tools."""

    type: ClassVar[str] = "mcp_list_tools.in_progress"

    item_id: str


@attrs.frozen(kw_only=True, slots=False)
class McpListToolsCompleted(FromServer):
    """The tools are in the item."""

    type: ClassVar[str] = "mcp_list_tools.completed"

    item_id: str


@attrs.frozen(kw_only=True, slots=False)
class McpListToolsFailed(FromServer):
    """There is no list."""

    type: ClassVar[str] = "mcp_list_tools.failed"

    item_id: str


@attrs.frozen(kw_only=True, slots=False)
class SessionClosed(FromServer):
    """Translation: all output has been sent."""

    type: ClassVar[str] = "session.closed"


@attrs.frozen(kw_only=True, slots=False)
class SessionInputTranscriptDelta(FromServer):
    """Translation: a piece of what was said; append it without adding spaces."""

    type: ClassVar[str] = "session.input_transcript.delta"

    delta: str
    elapsed_ms: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class SessionOutputTranscriptDelta(FromServer):
    """Translation: a piece of the translation as text."""

    type: ClassVar[str] = "session.output_transcript.delta"

    delta: str
    elapsed_ms: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class SessionOutputAudioDelta(FromServer):
    """Translation: speech of any length; pcm16, 24000 Hz, one channel unless said otherwise."""

    type: ClassVar[str] = "session.output_audio.delta"

    delta: bytes
    format: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    elapsed_ms: int | None = None


ServerEvent = (
    Error
    | SessionCreated
    | SessionUpdated
    | ConversationCreated
    | ConversationItemCreated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemRetrieved
    | ConversationItemDeleted
    | ConversationItemTruncated
    | ConversationItemInputAudioTranscriptionDelta
    | ConversationItemInputAudioTranscriptionSegment
    | ConversationItemInputAudioTranscriptionCompleted
    | ConversationItemInputAudioTranscriptionFailed
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | RateLimitsUpdated
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
    | SessionClosed
    | SessionInputTranscriptDelta
    | SessionOutputTranscriptDelta
    | SessionOutputAudioDelta
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | UnknownEvent
)

SERVER_EVENTS: dict[str, type[Wire]] = {
    name: cls for cls in get_args(ServerEvent) if cls is not UnknownEvent for name in (cls.type, *cls.older)
}
