"""Every event, item and session by name and field: a table of frames that does not come from the classes."""

import json
import re
from collections.abc import Callable
from typing import Any, get_args

import attrs
import pytest

from trio_codex import protocol
from trio_codex.errors import LocalProtocolError, RemoteProtocolError
from trio_codex.protocol.client_events import CLIENT_EVENTS
from trio_codex.protocol.codec import (
    decode_client_event,
    decode_server_event,
    encode_client_event,
    encode_server_event,
    structure,
    unstructure,
)
from trio_codex.protocol.items import Item, UnknownItem
from trio_codex.protocol.server_events import SERVER_EVENTS
from trio_codex.protocol.sessions import RealtimeSession, TranscriptionSession, TranslationSession, UnknownSession
from trio_codex.protocol.wire import UnknownEvent

ID = {"event_id": "event_1"}
R = {"response_id": "resp_1", "output_index": 0}
CALL = R | {"item_id": "item_1"}
PART = CALL | {"content_index": 0}
AT = {"item_id": "item_1", "content_index": 0}
AUDIO = "AAECAwQF"

PARTS: list[dict[str, Any]] = [
    {"type": "input_text", "text": "hello"},
    {"type": "input_audio", "audio": AUDIO, "transcript": None},
    {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
    {"type": "output_audio", "transcript": "hello", "audio": "QR=="},
    {"type": "text", "text": "beta"},
    {"text": "no type"},
    {},
]
ITEMS: dict[str, dict[str, Any]] = {
    "SystemMessage": {"type": "message", "role": "system", "content": [PARTS[0]], "id": "a", "object": "realtime.item"},
    "UserMessage": {"type": "message", "role": "user", "content": PARTS[:3], "id": "a", "status": "completed"},
    "AssistantMessage": {"type": "message", "role": "assistant", "content": PARTS[3:], "status": "incomplete"},
    "FunctionCall": {"type": "function_call", "name": "f", "arguments": '{"a":1}', "call_id": "c", "status": "in_progress"},
    "FunctionCallOutput": {"type": "function_call_output", "call_id": "c", "output": "42", "id": None},
    "McpApprovalRequest": {"type": "mcp_approval_request", "id": "m", "server_label": "s", "name": "f", "arguments": "{}"},
    "McpApprovalResponse": {"type": "mcp_approval_response", "id": "m", "approval_request_id": "r", "approve": False, "reason": None},
    "McpListTools": {
        "type": "mcp_list_tools", "server_label": "s",
        "tools": [{"name": "f", "input_schema": None, "annotations": {"a": 1}, "description": "d"}],
    },
    "McpCall": {
        "type": "mcp_call", "id": "m", "server_label": "s", "name": "f", "arguments": "{}", "output": None,
        "error": {"type": "http_error", "code": 500, "message": "no"},
    },
    "ItemReference": {"type": "item_reference", "id": "item_1"},
    "UnknownItem": {"type": "hologram", "shape": [1, {"deep": None}]},
}  # fmt: skip
ITEM = ITEMS["AssistantMessage"]
USAGE = {
    "total_tokens": 3, "input_tokens": 2, "output_tokens": 1, "output_token_details": {"text_tokens": 1, "audio_tokens": 0},
    "input_token_details": {"text_tokens": 2, "cached_tokens": 1, "cached_tokens_details": {"image_tokens": 0}},
}  # fmt: skip
FORMAT = {"type": "audio/pcm", "rate": 24000}
RESPONSE = {
    "id": "resp_1", "object": "realtime.response", "status": "failed", "conversation_id": None, "output": list(ITEMS.values()),
    "status_details": {"type": "failed", "reason": "new", "error": {"type": "server_error", "code": None, "message": "m"}},
    "metadata": {"k": "v"}, "usage": USAGE, "output_modalities": ["audio"], "max_output_tokens": "inf",
    "audio": {"output": {"format": FORMAT, "voice": "marin"}},
}  # fmt: skip
PARAMS = {
    "instructions": "", "input": [ITEMS["ItemReference"], ITEMS["UserMessage"]], "tools": [{"type": "function", "name": "f"}],
    "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False, "conversation": "none", "metadata": None,
    "output_modalities": ["text"], "max_output_tokens": 4096, "audio": {"output": {"voice": {"id": "voice_1"}}},
    "prompt": {"id": "p", "version": "1", "variables": {"a": "b", "c": {"type": "input_text", "text": "t"}}},
    "reasoning": {"effort": "low"},
}  # fmt: skip
VAD = {
    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500, "idle_timeout_ms": None,
    "create_response": True, "interrupt_response": True,
}  # fmt: skip
HEARING = {
    "model": "gpt-transcribe",
    "language": "en",
    "languages": ["en"],
    "prompt": "p",
    "keywords": ["k"],
    "delay": "low",
}
REALTIME = {
    "type": "realtime", "id": "sess_1", "object": "realtime.session", "expires_at": 1, "model": "gpt-realtime", "instructions": "i",
    "output_modalities": ["audio"], "tools": [{"type": "mcp", "server_label": "s", "headers": {"a": "b"}}], "tool_choice": "auto",
    "parallel_tool_calls": True, "max_output_tokens": 7, "reasoning": {"effort": None}, "prompt": None, "include": ["logprobs"],
    "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"a": [1]}},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 9}},
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"}, "noise_reduction": {"type": "near_field", "strength": 1},
            "transcription": HEARING, "turn_detection": VAD,
        },
        "output": {"format": FORMAT, "voice": "alloy", "speed": 1.25},
    },
}  # fmt: skip
TRANSCRIPTION = {"type": "transcription", "id": "s", "audio": {"input": {"turn_detection": None}}, "include": None}
TRANSLATION = {"type": "translation", "id": "s", "expires_at": 1, "model": "m", "audio": {"output": {"language": "fr"}}}
TOKENS = {
    "type": "tokens",
    "total_tokens": 2,
    "input_tokens": 1,
    "output_tokens": 1,
    "input_token_details": {"audio_tokens": 1},
}
SAID = {"type": "conversation.item.input_audio_transcription.completed", "transcript": "hi"} | ID | AT
LOGPROBS = [{"token": "a", "logprob": -0.5, "bytes": [97]}]
ITEM_ADDED = ({"item": ITEM}, {"previous_item_id": "item_0"})

# Type of the event: its required fields (without `type` and `event_id`), its optional ones.
SERVER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "conversation.created": ({"conversation": {"id": "conv_1", "object": "realtime.conversation"}}, {}),
    "conversation.item.created": ITEM_ADDED,
    "conversation.item.added": ITEM_ADDED,
    "conversation.item.done": ITEM_ADDED,
    "conversation.item.deleted": ({"item_id": "item_1"}, {}),
    "conversation.item.retrieved": ({"item": ITEM}, {}),
    "conversation.item.truncated": (AT | {"audio_end_ms": 500}, {}),
    "conversation.item.input_audio_transcription.completed": (
        AT | {"transcript": "hi", "usage": TOKENS},
        {"languages": [{"code": "en"}], "logprobs": LOGPROBS},
    ),
    "conversation.item.input_audio_transcription.delta": ({"item_id": "item_1"}, {"content_index": 0, "delta": "h", "logprobs": LOGPROBS}),
    "conversation.item.input_audio_transcription.segment": (AT | {"id": "s", "text": "t", "speaker": "A", "start": 0.5, "end": 1}, {}),
    "conversation.item.input_audio_transcription.failed": (AT | {"error": {"type": "t", "code": "c", "message": "m", "param": None}}, {}),
    "error": ({"error": {"type": "invalid_request_error", "message": "m", "code": None, "param": "p", "event_id": "e"}}, {}),
    "input_audio_buffer.cleared": ({}, {}),
    "input_audio_buffer.committed": ({"item_id": "item_1"}, {"previous_item_id": "item_0"}),
    "input_audio_buffer.speech_started": ({"item_id": "item_1", "audio_start_ms": 100}, {}),
    "input_audio_buffer.speech_stopped": ({"item_id": "item_1", "audio_end_ms": 100}, {}),
    "input_audio_buffer.timeout_triggered": ({"item_id": "item_1", "audio_start_ms": 0, "audio_end_ms": 9}, {}),
    "input_audio_buffer.dtmf_event_received": ({"event": "#", "received_at": 1763605109}, {}),
    "rate_limits.updated": ({"rate_limits": [{"name": "tokens", "limit": 9, "remaining": 8, "reset_seconds": 0.5}]}, {}),
    "response.created": ({"response": RESPONSE}, {}),
    "response.done": ({"response": RESPONSE}, {}),
    "response.output_item.added": (R | {"item": ITEM}, {}),
    "response.output_item.done": (R | {"item": ITEM}, {}),
    "response.content_part.added": (PART | {"part": {"type": "audio", "transcript": ""}}, {}),
    "response.content_part.done": (PART | {"part": {"type": "text", "text": "t"}}, {}),
    "response.output_audio.delta": (PART | {"delta": AUDIO}, {}),
    "response.output_audio.done": (PART, {}),
    "response.output_audio_transcript.delta": (PART | {"delta": "h"}, {}),
    "response.output_audio_transcript.done": (PART | {"transcript": "hi"}, {}),
    "response.output_text.delta": (PART | {"delta": "h"}, {}),
    "response.output_text.done": (PART | {"text": "hi"}, {}),
    "response.function_call_arguments.delta": (CALL | {"call_id": "c", "delta": "{"}, {}),
    "response.function_call_arguments.done": (CALL | {"call_id": "c", "name": "f", "arguments": "{}"}, {}),
    "response.mcp_call_arguments.delta": (CALL | {"delta": "{"}, {"obfuscation": "x"}),
    "response.mcp_call_arguments.done": (CALL | {"arguments": "{}"}, {}),
    "response.mcp_call.in_progress": ({"item_id": "i", "output_index": 0}, {}),
    "response.mcp_call.completed": ({"item_id": "i", "output_index": 0}, {}),
    "response.mcp_call.failed": ({"item_id": "i", "output_index": 0}, {}),
    "mcp_list_tools.in_progress": ({"item_id": "i"}, {}),
    "mcp_list_tools.completed": ({"item_id": "i"}, {}),
    "mcp_list_tools.failed": ({"item_id": "i"}, {}),
    "output_audio_buffer.started": ({"response_id": "r"}, {}),
    "output_audio_buffer.stopped": ({"response_id": "r"}, {}),
    "output_audio_buffer.cleared": ({"response_id": "r"}, {}),
    "session.created": ({"session": REALTIME}, {}),
    "session.updated": ({"session": REALTIME}, {}),
    "session.closed": ({}, {}),
    "session.input_transcript.delta": ({"delta": "h"}, {"elapsed_ms": 5}),
    "session.output_transcript.delta": ({"delta": "h"}, {"elapsed_ms": 5}),
    "session.output_audio.delta": ({"delta": AUDIO}, {"format": "pcm16", "sample_rate": 24000, "channels": 1, "elapsed_ms": 5}),
}  # fmt: skip
CLIENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "conversation.item.create": ({"item": ITEMS["UserMessage"]}, ID | {"previous_item_id": "root"}),
    "conversation.item.delete": ({"item_id": "item_1"}, ID),
    "conversation.item.retrieve": ({"item_id": "item_1"}, ID),
    "conversation.item.truncate": (AT | {"audio_end_ms": 1}, ID),
    "input_audio_buffer.append": ({"audio": AUDIO}, ID),
    "input_audio_buffer.clear": ({}, ID),
    "input_audio_buffer.commit": ({}, ID),
    "output_audio_buffer.clear": ({}, ID),
    "response.cancel": ({}, ID | {"response_id": "resp_1"}),
    "response.create": ({}, ID | {"response": PARAMS}),
    "session.update": ({"session": REALTIME}, ID),
    "session.input_audio_buffer.append": ({"audio": AUDIO}, ID),
    "session.close": ({}, ID),
}
OLDER = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "transcription_session.created": "session.created",
    "transcription_session.updated": "session.updated",
}
HALVES: dict[str, tuple[dict[str, Any], Callable[[str], Any], Callable[[Any], str]]] = {
    "server": (SERVER, decode_server_event, encode_server_event),
    "client": (CLIENT, decode_client_event, encode_client_event),
}
EVENTS = [pytest.param(half, name, id=f"{half}:{name}") for half in HALVES for name in HALVES[half][0]]


def frame_of(half: str, name: str, *, optional: bool = True) -> dict[str, Any]:
    required, further = HALVES[half][0][name]
    own_id = ID if half == "server" and name != "input_audio_buffer.dtmf_event_received" else {}
    frame: dict[str, Any] = {"type": name} | own_id | required | (further if optional else {})
    return frame


def there_and_back(half: str, frame: Any) -> Any:
    _, decode, encode = HALVES[half]
    event = decode(json.dumps(frame))
    assert json.loads(encode(event)) == frame
    assert decode(encode(event)) == event
    return event


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"[._]", name))


def test_the_table_and_the_classes_name_the_same_events() -> None:
    assert set(SERVER_EVENTS) == {*SERVER, *OLDER}
    assert set(CLIENT_EVENTS) == set(CLIENT)
    assert (len(SERVER), len(CLIENT)) == (46 + 4, 11 + 2)  # translation sessions share error and the session events


@pytest.mark.parametrize(("half", "name"), EVENTS)
def test_every_event_survives_with_all_fields_some_null_or_absent(half: str, name: str) -> None:
    event = there_and_back(half, frame_of(half, name))
    assert type(event) is getattr(protocol, camel(name))
    assert type(event).type == name
    bare = there_and_back(half, frame_of(half, name, optional=False))
    nulled = dict.fromkeys(HALVES[half][0][name][1])
    empty = there_and_back(half, frame_of(half, name, optional=False) | nulled)
    for field in nulled:
        assert getattr(event, field) is not None
        assert getattr(bare, field) is None
        assert getattr(empty, field) is None
    assert bare.extra == {}
    assert empty.extra == nulled


@pytest.mark.parametrize(("half", "name"), EVENTS)
def test_every_field_of_an_event_is_a_field_of_the_class(half: str, name: str) -> None:
    frame = frame_of(half, name)
    cls = type(HALVES[half][1](json.dumps(frame)))
    assert {field.name for field in attrs.fields(cls)} - {"extra"} == frame.keys() - {"type"}


@pytest.mark.parametrize(("half", "name"), EVENTS)
def test_a_missing_or_wrong_field_is_refused_with_its_path(half: str, name: str) -> None:
    decode = HALVES[half][1]
    frame = frame_of(half, name)
    for field in frame_of(half, name, optional=False):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(json.dumps({key: value for key, value in frame.items() if key != field}))
        assert caught.value.path == f"$.{field}"
    for field, value in frame.items():
        wrong = [not value] if isinstance(value, int | float) else 7
        with pytest.raises(RemoteProtocolError) as caught:
            decode(json.dumps(frame | {field: wrong}))
        assert caught.value.path.startswith(f"$.{field}")


@pytest.mark.parametrize("older", OLDER)
def test_names_of_the_beta_era_are_understood_and_kept(older: str) -> None:
    event = there_and_back("server", frame_of("server", OLDER[older]) | {"type": older})
    assert type(event) is SERVER_EVENTS[OLDER[older]]
    assert event.extra == {"type": older}
    with pytest.raises(RemoteProtocolError):
        decode_server_event(json.dumps({"type": older}))


def test_a_beta_session_is_a_realtime_session_whose_flat_fields_are_kept() -> None:
    flat = {"id": "sess_1", "voice": "alloy", "modalities": ["text"], "turn_detection": None, "temperature": 0.8}
    session = there_and_back("server", {"type": "session.created", "session": flat} | ID).session
    assert type(session) is RealtimeSession
    assert (session.type, session.id, session.extra["voice"]) == (None, "sess_1", "alloy")


def test_no_client_event_writes_a_name_of_the_beta_era() -> None:
    event = protocol.InputAudioBufferCommit(extra={"type": "response.audio.delta"})
    assert json.loads(encode_client_event(event)) == {"type": "input_audio_buffer.commit"}


@pytest.mark.parametrize(
    ("half", "session", "cls"),
    [
        ("server", REALTIME, RealtimeSession),
        ("server", TRANSCRIPTION, TranscriptionSession),
        ("server", TRANSLATION, TranslationSession),
        ("server", {}, RealtimeSession),
        ("server", {"type": "telepathy", "x": 1}, UnknownSession),
        ("client", REALTIME, RealtimeSession),
        ("client", TRANSCRIPTION, TranscriptionSession),
        ("client", TRANSLATION, TranslationSession),
        ("client", {"audio": {"input": {"noise_reduction": None}}}, TranslationSession),
    ],
)
def test_the_type_of_a_session_tells_its_class(half: str, session: dict[str, Any], cls: type) -> None:
    name = "session.updated" if half == "server" else "session.update"
    assert type(there_and_back(half, {"type": name, "session": session} | ID).session) is cls


def test_sessions_that_we_build_have_the_type_that_the_api_wants() -> None:
    assert unstructure(RealtimeSession()) == {"type": "realtime"}
    assert unstructure(TranscriptionSession()) == {"type": "transcription"}
    assert unstructure(TranslationSession()) == {}


@pytest.mark.parametrize("name", ITEMS)
def test_every_item_survives(name: str) -> None:
    item = structure(ITEMS[name], Item)
    assert type(item).__name__ == name
    assert unstructure(item) == ITEMS[name]


def test_the_table_of_items_is_complete() -> None:
    assert set(ITEMS) == {member.__name__ for member in get_args(Item)}


def test_a_message_of_an_unknown_role_is_an_unknown_item() -> None:
    message = {"type": "message", "role": "developer", "content": 7}
    assert structure(message, Item) == UnknownItem(type="message", body=message)


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ({}, "$.type"),
        ({"type": 7}, "$.type"),
        ({"type": "message"}, "$.role"),
        ({"type": "message", "role": None}, "$.role"),
        ({"type": "message", "role": "user"}, "$.content"),
        ({"type": "message", "role": "user", "content": [{}, {"audio": "!"}]}, "$.content[1].audio"),
        ({"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "n"}]}, "$.tools[0].input_schema"),
        (ITEMS["McpCall"] | {"error": {"type": "http_error"}}, "$.error.code"),
        ([], "$"),
    ],
)  # fmt: skip
def test_a_bad_item_is_refused_with_the_path(item: Any, path: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        structure(item, Item)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("cls", "value"),
    [
        (protocol.Response, {"status_details": "a bare string"}),
        (protocol.Response, {"max_output_tokens": 5}),
        (protocol.ConversationItemInputAudioTranscriptionCompleted, SAID | {"usage": {"type": "duration", "seconds": 1.5}}),
        (protocol.ConversationItemInputAudioTranscriptionCompleted, SAID | {"usage": {"type": "by the letter", "letters": 2}}),
        (RealtimeSession, {"type": "realtime", "truncation": "disabled", "tracing": "auto"}),
        (RealtimeSession, {"type": "realtime", "truncation": {"type": "new way", "x": 1}}),
    ],
)  # fmt: skip
def test_unions_keep_each_of_their_shapes(cls: Any, value: Any) -> None:
    assert unstructure(structure(value, cls)) == value


def test_unknown_events_keep_their_body() -> None:
    frame = {"type": "response.hologram.delta", "delta": {"a": [1, None]}, "event_id": 7}
    assert there_and_back("server", frame) == UnknownEvent(type="response.hologram.delta", body=frame)
    assert there_and_back("client", frame) == UnknownEvent(type="response.hologram.delta", body=frame)


def test_an_event_of_the_other_side_is_unknown_when_read_and_refused_when_written() -> None:
    assert type(decode_server_event('{"type":"response.cancel"}')) is UnknownEvent
    with pytest.raises(LocalProtocolError):
        encode_server_event(protocol.ResponseCancel())  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        encode_client_event(protocol.SessionClosed(event_id="e"))  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        encode_client_event({"type": "response.cancel"})  # type: ignore[arg-type]


def test_events_are_values() -> None:
    one = protocol.InputAudioBufferAppend(audio=b"\x00\x01")
    assert one == protocol.InputAudioBufferAppend(audio=b"\x00\x01")
    assert hash(one) == hash(protocol.InputAudioBufferAppend(audio=b"\x00\x01", extra={"x": 1}))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.audio = b""  # type: ignore[misc]
    decoded = decode_client_event('{"type":"input_audio_buffer.append","audio":"AAE="}')
    assert decoded == one
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        decoded.event_id = "e"  # type: ignore[misc]
