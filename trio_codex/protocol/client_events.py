"""What a client sends: the 11 events of realtime and transcription sessions and the 3 of translation sessions.

Class names are the types in CamelCase, fields the names of the wire. `event_id` (at most 512 characters) comes back only as
`error.event_id`. `CLIENT_EVENTS` is the table from type to class. Knows no order of events.
"""

from typing import ClassVar, get_args

import attrs

from trio_codex.protocol.items import Item, ResponseParams
from trio_codex.protocol.sessions import ClientSession
from trio_codex.protocol.wire import FromClient, UnknownEvent

__all__ = [
    "CLIENT_EVENTS",
    "ClientEvent",
    "ConversationItemCreate",
    "ConversationItemDelete",
    "ConversationItemRetrieve",
    "ConversationItemTruncate",
    "InputAudioBufferAppend",
    "InputAudioBufferClear",
    "InputAudioBufferCommit",
    "OutputAudioBufferClear",
    "ResponseCancel",
    "ResponseCreate",
    "SessionClose",
    "SessionInputAudioBufferAppend",
    "SessionUpdate",
]


@attrs.frozen(kw_only=True, slots=False)
class SessionUpdate(FromClient):
    """Change the fields that the session holds; answered by `session.updated` or `error`."""

    type: ClassVar[str] = "session.update"

    session: ClientSession


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferAppend(FromClient):
    """Audio in the session's input format, 15 MiB at most; there is no acknowledgement."""

    type: ClassVar[str] = "input_audio_buffer.append"

    audio: bytes


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferCommit(FromClient):
    """The buffer becomes a user item; an error if it is empty. No response is made of it."""

    type: ClassVar[str] = "input_audio_buffer.commit"


@attrs.frozen(kw_only=True, slots=False)
class InputAudioBufferClear(FromClient):
    """Forget the buffered audio; answered by `input_audio_buffer.cleared`."""

    type: ClassVar[str] = "input_audio_buffer.clear"


@attrs.frozen(kw_only=True, slots=False)
class OutputAudioBufferClear(FromClient):
    """WebRTC and SIP only: stop the audio that plays; `response.cancel` is to be sent first."""

    type: ClassVar[str] = "output_audio_buffer.clear"


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemCreate(FromClient):
    """Add an item: at the end, at the head (`previous_item_id` "root") or after an item; unknown id: error."""

    type: ClassVar[str] = "conversation.item.create"

    item: Item
    previous_item_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemRetrieve(FromClient):
    """Ask for an item with its audio; unknown id: error."""

    type: ClassVar[str] = "conversation.item.retrieve"

    item_id: str


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemDelete(FromClient):
    """Remove an item; unknown id: error."""

    type: ClassVar[str] = "conversation.item.delete"

    item_id: str


@attrs.frozen(kw_only=True, slots=False)
class ConversationItemTruncate(FromClient):
    """Cut an assistant's audio to what was heard (ms; more than there is: error); its transcript goes too."""

    type: ClassVar[str] = "conversation.item.truncate"

    item_id: str
    content_index: int
    audio_end_ms: int


@attrs.frozen(kw_only=True, slots=False)
class ResponseCreate(FromClient):
    """Ask for an answer; one at a time may write to the conversation."""

    type: ClassVar[str] = "response.create"

    response: ResponseParams | None = None


@attrs.frozen(kw_only=True, slots=False)
class ResponseCancel(FromClient):
    """Stop the running response, or the one that is named; answered by `response.done`, or by an error if none runs."""

    type: ClassVar[str] = "response.cancel"

    response_id: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class SessionInputAudioBufferAppend(FromClient):
    """Translation: PCM16 at 24 kHz, best in chunks of 200 ms, silence included."""

    type: ClassVar[str] = "session.input_audio_buffer.append"

    audio: bytes


@attrs.frozen(kw_only=True, slots=False)
class SessionClose(FromClient):
    """Translation: flush and end; answered by `session.closed`."""

    type: ClassVar[str] = "session.close"


ClientEvent = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | OutputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemDelete
    | ConversationItemTruncate
    | ResponseCreate
    | ResponseCancel
    | SessionInputAudioBufferAppend
    | SessionClose
    | UnknownEvent
)

CLIENT_EVENTS: dict[str, type[FromClient]] = {cls.type: cls for cls in get_args(ClientEvent) if cls is not UnknownEvent}
