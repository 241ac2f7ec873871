"""What a conversation consists of: content parts, items, responses and their usage.

Fields have the names of the wire; audio is decoded bytes; an absent field reads None and an explicit null is kept in `extra`.
Open enumerations are strings, their known members are named in the docstrings. An item of an unknown `type`, or a message of an
unknown `role`, is an `UnknownItem`. Knows nothing of events, and nothing of what a conversation does with its items.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from trio_codex.protocol.sessions import AudioConfig, Prompt, Reasoning
from trio_codex.protocol.wire import Unknown, Wire

__all__ = [
    "AssistantMessage",
    "CachedTokenDetails",
    "ContentPart",
    "ErrorDetails",
    "FunctionCall",
    "FunctionCallOutput",
    "InputTokenDetails",
    "Item",
    "ItemReference",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpHttpError",
    "McpListTools",
    "McpProtocolError",
    "McpTool",
    "McpToolExecutionError",
    "OutputTokenDetails",
    "Response",
    "ResponseError",
    "ResponseParams",
    "StatusDetails",
    "SystemMessage",
    "UnknownItem",
    "Usage",
    "UserMessage",
]


@attrs.frozen(kw_only=True, slots=False)
class ContentPart(Wire):
    """A part of a message, whoever wrote it.

    `type`: input_text, input_audio, input_image in messages of the user and the system; output_text, output_audio in those
    of the assistant; text, audio in content_part events and in the beta era. Item events hold no audio, only `retrieved` does.
    """

    type: str | None = None
    text: str | None = None
    transcript: str | None = None
    audio: bytes | None = None
    image_url: str | None = None
    detail: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class SystemMessage(Wire):
    """What the developer says; `status`: completed, incomplete, in_progress."""

    type: ClassVar[str] = "message"
    role: ClassVar[str] = "system"

    id: str | None = None
    object: str | None = None
    status: str | None = None
    content: tuple[ContentPart, ...]


@attrs.frozen(kw_only=True, slots=False)
class UserMessage(Wire):
    """What the user says, in text, audio and images."""

    type: ClassVar[str] = "message"
    role: ClassVar[str] = "user"

    id: str | None = None
    object: str | None = None
    status: str | None = None
    content: tuple[ContentPart, ...]


@attrs.frozen(kw_only=True, slots=False)
class AssistantMessage(Wire):
    """What the model says; a client can create it with text only."""

    type: ClassVar[str] = "message"
    role: ClassVar[str] = "assistant"

    id: str | None = None
    object: str | None = None
    status: str | None = None
    content: tuple[ContentPart, ...]


@attrs.frozen(kw_only=True, slots=False)
class FunctionCall(Wire):
    """The model calls a function of the client; `arguments` is JSON text, complete only when `status` is completed."""

    type: ClassVar[str] = "function_call"

    id: str | None = None
    object: str | None = None
    status: str | None = None
    call_id: str | None = None
    name: str
    arguments: str


@attrs.frozen(kw_only=True, slots=False)
class FunctionCallOutput(Wire):
    """The client answers the call with the same `call_id`."""

    type: ClassVar[str] = "function_call_output"

    id: str | None = None
    object: str | None = None
    status: str | None = None
    call_id: str
    output: str


@attrs.frozen(kw_only=True, slots=False)
class McpApprovalRequest(Wire):
    """The server asks whether it may call a tool of an MCP server."""

    type: ClassVar[str] = "mcp_approval_request"

    id: str
    server_label: str
    name: str
    arguments: str


@attrs.frozen(kw_only=True, slots=False)
class McpApprovalResponse(Wire):
    """The client says whether it may."""

    type: ClassVar[str] = "mcp_approval_response"

    id: str
    approval_request_id: str
    approve: bool
    reason: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class McpTool(Wire):
    """One tool of an MCP server; `input_schema` and `annotations` are any JSON."""

    name: str
    input_schema: Any
    annotations: Any = None
    description: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class McpListTools(Wire):
    """The tools that an MCP server offers."""

    type: ClassVar[str] = "mcp_list_tools"

    id: str | None = None
    server_label: str
    tools: tuple[McpTool, ...]


@attrs.frozen(kw_only=True, slots=False)
class McpProtocolError(Wire):
    """The MCP server broke its protocol."""

    type: ClassVar[str] = "protocol_error"

    code: int
    message: str


@attrs.frozen(kw_only=True, slots=False)
class McpToolExecutionError(Wire):
    """The tool failed."""

    type: ClassVar[str] = "tool_execution_error"

    message: str


@attrs.frozen(kw_only=True, slots=False)
class McpHttpError(Wire):
    """The MCP server answered with an HTTP error."""

    type: ClassVar[str] = "http_error"

    code: int
    message: str


@attrs.frozen(kw_only=True, slots=False)
class McpCall(Wire):
    """A call that the server made to an MCP server, with its `output` or `error`."""

    type: ClassVar[str] = "mcp_call"

    id: str
    server_label: str
    name: str
    arguments: str
    approval_request_id: str | None = None
    output: str | None = None
    error: McpProtocolError | McpToolExecutionError | McpHttpError | Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, slots=False)
class ItemReference(Wire):
    """Stands for an item of the conversation in the `input` of a response."""

    type: ClassVar[str] = "item_reference"

    id: str


@attrs.frozen(slots=False)
class UnknownItem(Unknown):
    """An item of a type, or a message of a role, that is not known here."""


Item = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | FunctionCall
    | FunctionCallOutput
    | McpApprovalRequest
    | McpApprovalResponse
    | McpListTools
    | McpCall
    | ItemReference
    | UnknownItem
)


@attrs.frozen(kw_only=True, slots=False)
class CachedTokenDetails(Wire):
    """Cached input tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class InputTokenDetails(Wire):
    """Input tokens by kind; the cached ones are part of them."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: CachedTokenDetails | None = None


@attrs.frozen(kw_only=True, slots=False)
class OutputTokenDetails(Wire):
    """Output tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class Usage(Wire):
    """What a response cost, in tokens."""

    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


@attrs.frozen(kw_only=True, slots=False)
class ResponseError(Wire):
    """Why a response failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class StatusDetails(Wire):
    """Why a response ended as it did.

    `reason`: turn_detected, client_cancelled of a cancelled response; max_output_tokens, content_filter of an incomplete one.
    """

    type: str | None = None
    reason: str | None = None
    error: ResponseError | None = None


@attrs.frozen(kw_only=True, slots=False)
class Response(Wire):
    """An answer of the model. `status`: in_progress, completed, cancelled, incomplete, failed.

    `conversation_id` of a response outside the conversation is an explicit null: None here and a key in `extra`.
    Some servers send `status_details` as a bare string.
    """

    id: str | None = None
    object: str | None = None
    status: str | None = None
    status_details: StatusDetails | str | None = None
    output: tuple[Item, ...] | None = None
    conversation_id: str | None = None
    metadata: Mapping[str, str] | None = None
    usage: Usage | None = None
    output_modalities: tuple[str, ...] | None = None
    max_output_tokens: int | str | None = None
    audio: AudioConfig | None = None


@attrs.frozen(kw_only=True, slots=False)
class ResponseParams(Wire):
    """What a client may say of the response that it asks for; the session's settings fill the gaps.

    `conversation`: auto or none (beside the conversation). `input` replaces the conversation as context, `()` is no context.
    `instructions` replace the session's. `metadata`: 16 pairs, keys of 64 and values of 512 characters at most.
    """

    instructions: str | None = None
    input: tuple[Item, ...] | None = None
    tools: tuple[Mapping[str, Any], ...] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    conversation: str | None = None
    metadata: Mapping[str, str] | None = None
    output_modalities: tuple[str, ...] | None = None
    max_output_tokens: int | str | None = None
    audio: AudioConfig | None = None
    prompt: Prompt | None = None
    reasoning: Reasoning | None = None


@attrs.frozen(kw_only=True, slots=False)
class ErrorDetails(Wire):
    """What an `error` event is about; `event_id` names the client event that caused it."""

    type: str
    message: str
    code: str | None = None
    param: str | None = None
    event_id: str | None = None
