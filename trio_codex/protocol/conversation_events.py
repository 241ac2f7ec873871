"""What a server sends about the conversation, its items, and the audio that the user speaks into it.

Fields have the names of the wire. Item events hold no audio (only `retrieved` does); transcriptions of the user's speech are
independent of responses and may come before, during or after them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from trio_codex.protocol.items import Item
from trio_codex.protocol.wire import FromServer, Wire

__all__ = [
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
    "InputAudioBufferCleared",
    "InputAudioBufferCommitted",
    "InputAudioBufferDtmfEventReceived",
    "InputAudioBufferSpeechStarted",
    "InputAudioBufferSpeechStopped",
    "InputAudioBufferTimeoutTriggered",
    "LogProb",
    "SpokenLanguage",
    "TokenUsage",
    "TranscriptionError",
    "TranscriptionTokenDetails",
]


@attrs.frozen(kw_only=True, slots=False)
class ConversationInfo(Wire):
    """The conversation itself; `object` is realtime.conversation."""

    id: str | None = None
    object: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class LogProb(Wire):
    """The log probability of one token; only with `include: ["item.input_audio_transcription.logprobs"]`."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


@attrs.frozen(kw_only=True, slots=False)
class SpokenLanguage(Wire):
    """A language that was heard."""

    code: str


@attrs.frozen(kw_only=True, slots=False)
class TranscriptionTokenDetails(Wire):
    """Input tokens of a transcription by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class TokenUsage(Wire):
    """A transcription paid by tokens."""

    type: ClassVar[str] = "tokens"

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: TranscriptionTokenDetails | None = None


@attrs.frozen(kw_only=True, slots=False)
class DurationUsage(Wire):
    """A transcription paid by time."""

    type: ClassVar[str] = "duration"

    seconds: float


@attrs.frozen(kw_only=True, slots=False)
class TranscriptionError(Wire):
    """Why a transcription failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationCreated(FromServer):
    """The conversation exists; sent after `session.created`."""

    type: ClassVar[str] = "conversation.created"

    conversation: ConversationInfo


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemCreated(FromServer):
    """The beta era's `added` and `done` in one; GA servers still know it."""

    type: ClassVar[str] = "conversation.item.created"

    item: Item
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemAdded(FromServer):
    """An item joined the conversation; one of the model's has no content yet."""

    type: ClassVar[str] = "conversation.item.added"

    item: Item
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemDone(FromServer):
    """An item is finished; holds no audio."""

    type: ClassVar[str] = "conversation.item.done"

    item: Item
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemRetrieved(FromServer):
    """The item that was asked for, with its audio."""

    type: ClassVar[str] = "conversation.item.retrieved"

    item: Item


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemDeleted(FromServer):
    """The item is gone."""

    type: ClassVar[str] = "conversation.item.deleted"

    item_id: str


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemTruncated(FromServer):
    """The item's audio was cut (ms) and its transcript dropped."""

    type: ClassVar[str] = "conversation.item.truncated"

    item_id: str
    content_index: int
    audio_end_ms: int


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemInputAudioTranscriptionDelta(FromServer):
    """A piece of what the user said; independent of any response."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.delta"

    item_id: str
    content_index: int | None = None
    delta: str | None = None
    logprobs: tuple[LogProb, ...] | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemInputAudioTranscriptionSegment(FromServer):
    """A stretch of input by one speaker; `start` and `end` in seconds."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.segment"

    item_id: str
    content_index: int
    id: str
    text: str
    speaker: str
    start: float
    end: float


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemInputAudioTranscriptionCompleted(FromServer):
    """All that the user said in an item; may come before, during or after the response."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.completed"

    item_id: str
    content_index: int
    transcript: str
    usage: TokenUsage | DurationUsage | Mapping[str, Any]
    languages: tuple[SpokenLanguage, ...] | None = None
    logprobs: tuple[LogProb, ...] | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemInputAudioTranscriptionFailed(FromServer):
    """The input could not be transcribed."""

    type: ClassVar[str] = "conversation.item.input_audio_transcription.failed"

    item_id: str
    content_index: int
    error: TranscriptionError


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferSpeechStarted(FromServer):
    """Speech began at `audio_start_ms` of all audio of the session (padding included); `item_id` is that of the item to come."""

    type: ClassVar[str] = "input_audio_buffer.speech_started"

    item_id: str
    audio_start_ms: int


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferSpeechStopped(FromServer):
    """Speech ended at `audio_end_ms` of all audio of the session."""

    type: ClassVar[str] = "input_audio_buffer.speech_stopped"

    item_id: str
    audio_end_ms: int


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferCommitted(FromServer):
    """The buffer became the user item `item_id`."""

    type: ClassVar[str] = "input_audio_buffer.committed"

    item_id: str
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferCleared(FromServer):
    """The buffer is empty."""

    type: ClassVar[str] = "input_audio_buffer.cleared"


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferTimeoutTriggered(FromServer):
    """Nobody spoke for `idle_timeout_ms`; a commit and a response follow."""

    type: ClassVar[str] = "input_audio_buffer.timeout_triggered"

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferDtmfEventReceived(Wire):
    """SIP only: a key (0-9, *, #, A-D) was pressed at `received_at` (Unix seconds); has no `event_id`."""

    type: ClassVar[str] = "input_audio_buffer.dtmf_event_received"

    event: str
    received_at: int
