"""What a server sends about responses: their items, parts, deltas and calls.

Fields have the names of the wire, audio is decoded bytes. `response_id`, `item_id`, `output_index` and `content_index` say where
in which response an event belongs. Names of the beta era under which the same event may come are in `older`.
"""

from typing import ClassVar

import attrs

from trio_codex.protocol.items import ContentPart, Item, Response
from trio_codex.protocol.wire import FromServer

__all__ = [
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
]


@attrs.frozen(kw_only=True, slots=False)
class OfItem(FromServer):
    """Events that hold a whole item of a response."""

    response_id: str
    output_index: int


@attrs.frozen(kw_only=True, slots=False)
class OfPart(FromServer):
    """Events about one part of one message of a response."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


@attrs.frozen(kw_only=True, slots=False)
class OfCall(FromServer):
    """Events about the arguments of one call of a response."""

    response_id: str
    item_id: str
    output_index: int


@attrs.frozen(kw_only=True, slots=False)
class OfMcpCall(FromServer):
    """Events about how one MCP call goes."""

    item_id: str
    output_index: int


@attrs.frozen(kw_only=True, slots=False)
class ResponseCreated(FromServer):
    """A response has begun (status in_progress)."""

    type: ClassVar[str] = "response.created"

    response: Response


@attrs.frozen(kw_only=True, slots=False)
class ResponseDone(FromServer):
    """A response has ended, however it ended; holds its items without audio."""

    type: ClassVar[str] = "response.done"

    response: Response


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputItemAdded(OfItem):
    """A response begins an item, which has no content yet."""

    type: ClassVar[str] = "response.output_item.added"

    item: Item


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputItemDone(OfItem):
    """An item of a response is finished, or was broken off."""

    type: ClassVar[str] = "response.output_item.done"

    item: Item


@attrs.frozen(kw_only=True, slots=False)
class ResponseContentPartAdded(OfPart):
    """A message begins a part, whose type is `text` or `audio` here."""

    type: ClassVar[str] = "response.content_part.added"

    part: ContentPart


@attrs.frozen(kw_only=True, slots=False)
class ResponseContentPartDone(OfPart):
    """A part is finished, or was broken off."""

    type: ClassVar[str] = "response.content_part.done"

    part: ContentPart


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputAudioDelta(OfPart):
    """A piece of spoken answer, in the session's output format."""

    type: ClassVar[str] = "response.output_audio.delta"
    older: ClassVar[tuple[str, ...]] = ("response.audio.delta",)

    delta: bytes


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputAudioDone(OfPart):
    """No more audio comes for the part."""

    type: ClassVar[str] = "response.output_audio.done"
    older: ClassVar[tuple[str, ...]] = ("response.audio.done",)


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputAudioTranscriptDelta(OfPart):
    """A piece of what is being spoken, as text."""

    type: ClassVar[str] = "response.output_audio_transcript.delta"
    older: ClassVar[tuple[str, ...]] = ("response.audio_transcript.delta",)

    delta: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputAudioTranscriptDone(OfPart):
    """All that the part says, as text."""

    type: ClassVar[str] = "response.output_audio_transcript.done"
    older: ClassVar[tuple[str, ...]] = ("response.audio_transcript.done",)

    transcript: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputTextDelta(OfPart):
    """A piece of written answer."""

    type: ClassVar[str] = "response.output_text.delta"
    older: ClassVar[tuple[str, ...]] = ("response.text.delta",)

    delta: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseOutputTextDone(OfPart):
    """All that the part says."""

    type: ClassVar[str] = "response.output_text.done"
    older: ClassVar[tuple[str, ...]] = ("response.text.done",)

    text: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseFunctionCallArgumentsDelta(OfCall):
    """A piece of a call's JSON arguments."""

    type: ClassVar[str] = "response.function_call_arguments.delta"

    call_id: str
    delta: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseFunctionCallArgumentsDone(OfCall):
    """All of a call's arguments, whole or broken off."""

    type: ClassVar[str] = "response.function_call_arguments.done"

    call_id: str
    name: str
    arguments: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseMcpCallArgumentsDelta(OfCall):
    """A piece of an MCP call's JSON arguments."""

    type: ClassVar[str] = "response.mcp_call_arguments.delta"

    delta: str
    obfuscation: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class ResponseMcpCallArgumentsDone(OfCall):
    """All of an MCP call's arguments."""

    type: ClassVar[str] = "response.mcp_call_arguments.done"

    arguments: str


@attrs.frozen(kw_only=True, slots=False)
class ResponseMcpCallInProgress(OfMcpCall):
    """The server calls the MCP server."""

    type: ClassVar[str] = "response.mcp_call.in_progress"


@attrs.frozen(kw_only=True, slots=False)
class ResponseMcpCallCompleted(OfMcpCall):
    """The MCP server answered."""

    type: ClassVar[str] = "response.mcp_call.completed"


@attrs.frozen(kw_only=True, slots=False)
class ResponseMcpCallFailed(OfMcpCall):
    """The MCP call failed; its item says why."""

    type: ClassVar[str] = "response.mcp_call.failed"
