"""What a client is told when it asks for what cannot be: the code, the sentence, the field and its own event."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.protocol.client import SILENCE_100_MS, VOICE_100_MS, Client, error_of, kinds
from trio_codex.grammar import Refusal
from trio_codex.protocol import Limits

SUPPORTED = (
    "'session.update', 'input_audio_buffer.append', 'input_audio_buffer.commit', 'input_audio_buffer.clear', "
    "'conversation.item.create', 'conversation.item.retrieve', 'conversation.item.delete', "
    "'conversation.item.truncate', 'response.create', 'response.cancel'"
)
VALUE = "invalid_value"
EMPTY = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has "


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def message(role: str, *content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content), **fields}


@pytest.fixture
def client() -> Client:
    """Its conversation holds what was said, heard, written and spoken (for 200 ms)."""
    client = Client()
    audio = base64.b64encode(VOICE_100_MS).decode()
    for item in (
        message("user", part("input_text", text="hi"), id="said"),
        message("user", part("input_audio", audio=audio), id="heard"),
        message("assistant", part("output_text", text="hello"), id="written"),
    ):
        client.send("conversation.item.create", item=item)
    client.take(client.peer.transcribed("heard", "hi"))
    assert client.answer(ms=200)[1] == "item_1_0001"
    return client


def refusal(code: str, message: str, param: str | None, event_id: str | None = "mine") -> dict[str, Any]:
    return {
        "type": "invalid_request_error",
        "code": code,
        "message": message,
        "param": param,
        "event_id": event_id,
    }


def truncate(item_id: str = "item_1_0001", index: int = 0, ms: int = 0) -> dict[str, Any]:
    return {"item_id": item_id, "content_index": index, "audio_end_ms": ms}


ONLY_AUDIO = refusal("unsupported_content_type", "Only model output audio messages can be truncated", "item_id")
ONLY_OURS = "Supported values are: 'message', 'function_call', 'function_call_output'."


@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        ("dance", {}, refusal(VALUE, f"Invalid value: 'dance'. Supported values are: {SUPPORTED}.", "type")),
        (
            "output_audio_buffer.clear",
            {},
            refusal(VALUE, f"Invalid value: 'output_audio_buffer.clear'. Supported values are: {SUPPORTED}.", "type"),
        ),
        *(
            (
                f"conversation.item.{verb}",
                truncate("nobody"),
                refusal(
                    f"item_{verb}_invalid_item_id",
                    f"Error {verb[:-1]}ing item: the item with id 'nobody' does not exist.",
                    "item_id",
                ),
            )
            for verb in ("retrieve", "delete", "truncate")
        ),
        *(("conversation.item.truncate", truncate(item), ONLY_AUDIO) for item in ("said", "heard", "written")),
        (
            "conversation.item.truncate",
            truncate(index=1),
            refusal(VALUE, "Invalid 'content_index': there is no audio part 1; use 0.", "content_index"),
        ),
        (
            "conversation.item.truncate",
            truncate(ms=-1),
            refusal(VALUE, "Invalid 'audio_end_ms': Expected a value >= 0, but got -1 instead.", "audio_end_ms"),
        ),
        (
            "conversation.item.truncate",
            truncate(ms=201),
            refusal(VALUE, "Audio content of 200ms is already shorter than 201ms", "audio_end_ms"),
        ),
        (
            "conversation.item.create",
            {"item": message("user", id="said")},
            refusal(VALUE, "Error adding item: an item with id 'said' already exists.", "item.id"),
        ),
        (
            "conversation.item.create",
            {"item": message("user"), "previous_item_id": "nobody"},
            refusal(
                VALUE,
                "Error adding item: the previous item with id 'nobody' does not exist.",
                "previous_item_id",
            ),
        ),
        (
            "conversation.item.create",
            {"item": {"type": "item_reference", "id": "it"}},
            refusal(VALUE, f"Invalid value: 'item_reference'. {ONLY_OURS}", "item.type"),
        ),
        (
            "conversation.item.create",
            {"item": message("user", part("input_text", text="x"), part("output_text", text="x"))},
            refusal(
                VALUE,
                "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_audio', 'input_image'.",
                "item.content[1].type",
            ),
        ),
        (
            "conversation.item.create",
            {"item": message("assistant", part("output_audio"))},
            refusal(
                VALUE, "Invalid value: 'output_audio'. Supported values are: 'output_text'.", "item.content[0].type"
            ),
        ),
        (
            "conversation.item.create",
            {"item": {"type": "function_call_output", "call_id": "nobody", "output": ""}},
            refusal("invalid_tool_call_id", "Tool call ID 'nobody' not found in conversation.", "item.call_id"),
        ),
        (
            "response.cancel",
            {},
            refusal("response_cancel_not_active", "Cancellation failed: no active response found", None),
        ),
        (
            "response.create",
            {"response": {"input": [message("user"), {"type": "item_reference", "id": "nobody"}]}},
            refusal(
                VALUE,
                "Invalid 'response.input[1].id': the item with id 'nobody' does not exist.",
                "response.input[1].id",
            ),
        ),
        (
            "response.create",
            {"response": {"input": [message("user"), message("user", part("output_text"))]}},
            refusal(
                VALUE,
                "Invalid value: 'output_text'. Supported values are: 'input_text', 'input_audio', 'input_image'.",
                "response.input[1].content[0].type",
            ),
        ),
        (
            "response.create",
            {"response": {"input": [{"type": "song"}]}},
            refusal(VALUE, f"Invalid value: 'song'. {ONLY_OURS}", "response.input[0].type"),
        ),
        ("input_audio_buffer.commit", {}, refusal("input_audio_buffer_commit_empty", f"{EMPTY}0.00ms of audio.", None)),
    ],
)
def test_a_wrong_event(client: Client, kind: str, fields: dict[str, Any], error: dict[str, Any]) -> None:
    assert error_of(client.send(kind, event_id="mine", **fields)) == error


def test_the_session_is_over(client: Client) -> None:
    error = error_of(client.take(client.peer.expire()))
    assert error == refusal("session_expired", "Your session hit the maximum duration.", None, None)


def test_a_second_response_of_the_conversation(client: Client) -> None:
    running = client.respond()
    told = (
        f"Conversation already has an active response in progress: {running}. "
        "Wait until the response is finished before creating a new one."
    )
    error = error_of(client.send("response.create", event_id="mine"))
    assert error == refusal("conversation_already_has_active_response", told, None)


def test_more_than_a_session_may_hold() -> None:
    nothing = message("user")
    client = Client(limits=Limits(responses=1, items=1, append_bytes=4800, turn_ms=2000)).manual()
    client.respond(conversation="none")
    error = error_of(client.send("response.create", event_id="mine"))
    assert error == refusal("rate_limit_exceeded", "At most 1 responses may run at once.", None)
    error = error_of(client.append(SILENCE_100_MS + bytes(2)))
    told = "Invalid 'audio': at most 4800 bytes of audio may be appended at once."
    assert error == refusal(VALUE, told, "audio", None)
    for _ in range(20):
        assert client.append(SILENCE_100_MS) == []
    told = "The input audio buffer holds 2 s; commit or clear it first."
    assert error_of(client.append(SILENCE_100_MS)) == refusal("input_audio_buffer_full", told, None, None)
    client.say("hi")
    told = "The conversation holds 1 items; delete some first."
    for kind in ("conversation.item.create", "input_audio_buffer.commit"):
        error = error_of(client.send(kind, event_id="mine", item=nothing))
        assert error == refusal("conversation_full", told, None)


def test_a_commit_of_nothing_new(client: Client) -> None:
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    client.take(client.peer.speech_stopped(100))
    client.append(SILENCE_100_MS * 2)
    error = error_of(client.send("input_audio_buffer.commit", event_id="mine"))
    assert error == refusal("input_audio_buffer_commit_empty", f"{EMPTY}0.00ms of audio.", None)


def test_a_commit_of_too_little(client: Client) -> None:
    client.manual().append(bytes(48 * 99))
    error = error_of(client.send("input_audio_buffer.commit", event_id="mine"))
    assert error == refusal("input_audio_buffer_commit_empty", f"{EMPTY}99.00ms of audio.", None)
    client.append(bytes(48))
    assert kinds(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


@pytest.mark.parametrize(
    ("length", "told"),
    [(512, "e" * 512), (513, None)],
)
def test_an_event_s_id_may_have_512_characters(client: Client, length: int, told: str | None) -> None:
    """Of an event that is wrong besides, the id is told if it could be one."""
    assert error_of(client.send("conversation.item.delete", event_id="e" * length))["event_id"] == told
    assert error_of(client.send("response.cancel", event_id="e" * length))["event_id"] == "e" * length
    for kind in ("conversation.item.delete", "dance"):
        error = error_of(client.send(kind, event_id=7))
        assert error["event_id"] is None
        assert "event_id" in error["message"]
    error = error_of(client.send("response.cancel", event_id="e" * 513))
    too_long = "Invalid 'event_id': string too long. Expected at most 512 characters, but got 513."
    assert error == refusal(VALUE, too_long, "event_id", "e" * 513)


# --- settings ------------------------------------------------------------------------------------------------------------


def ears(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


F = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("session", "message", "param"),
    [
        ({"type": "transcription"}, "the type of a session cannot change; this one is 'realtime'.", "session.type"),
        (
            {"model": "gpt-realtime"},
            "the model of a session cannot change; this one is 'gpt-realtime-2.1'.",
            "session.model",
        ),
        (
            ears(transcription={"model": "whisper-1", "delay": "low"}),
            "only 'gpt-realtime-whisper' has it.",
            "session.audio.input.transcription.delay",
        ),
        (
            ears(transcription={"model": "gpt-realtime-whisper"}),
            "it must be null with 'gpt-realtime-whisper'.",
            "session.audio.input.turn_detection",
        ),
        (
            ears(transcription={"model": "gpt-transcribe", "languages": []}),
            "array too short. Expected at least 1 entries, but got 0.",
            "session.audio.input.transcription.languages",
        ),
        ({"tools": [F, F]}, "there are two tools with the name 'f'.", "session.tools"),
        (
            {"tools": [F], "tool_choice": {"type": "function", "name": "g"}},
            "there is no tool with the name 'g'.",
            "session.tool_choice.name",
        ),
    ],
)
def test_a_wrong_setting(session: dict[str, Any], message: str, param: str) -> None:
    client = Client()
    before = client.peer.session
    assert error_of(client.update(**session)) == refusal(VALUE, f"Invalid '{param}': {message}", param, "update")
    assert client.peer.session == before


def test_what_cannot_change_any_more(client: Client) -> None:
    heard = "Cannot update a conversation's voice if assistant audio is present."
    voice = {"audio": {"output": {"voice": "ash"}}}
    error = error_of(client.update(**voice))
    assert error == refusal("cannot_update_voice", heard, "session.audio.output.voice", "update")
    error = error_of(client.send("response.create", event_id="mine", response=voice))
    assert error == refusal("cannot_update_voice", heard, "response.audio.output.voice")
    client.respond()
    error = error_of(client.update(audio={"output": {"speed": 1.2}}))
    param = "session.audio.output.speed"
    assert error == refusal(VALUE, f"Invalid '{param}': the speed can only change between turns.", param, "update")
    assert kinds(client.update(tracing="auto")) == ["session.updated"]
    assert kinds(client.update(tracing="auto")) == ["session.updated"]
    for tracing in (None, {"workflow_name": "x"}):
        error = error_of(client.update(tracing=tracing))
        told = "Invalid 'session.tracing': tracing cannot change once it is enabled."
        assert error == refusal(VALUE, told, "session.tracing", "update")


def test_a_session_that_writes_down_needs_a_transcription() -> None:
    client = Client(kind="transcription")
    session = {"type": "transcription", **ears(transcription=None)}
    error = error_of(client.send("session.update", event_id="mine", session=session))
    param = "session.audio.input.transcription"
    assert error == refusal(VALUE, f"Invalid '{param}': a transcription session cannot do without it.", param)


# --- single values -------------------------------------------------------------------------------------------------------


def test_metadata_holds_sixteen_short_pairs(client: Client) -> None:
    def wrong(metadata: Any) -> tuple[str, str]:
        error = error_of(client.send("response.create", response={"metadata": metadata}))
        return error["message"], error["param"]

    path = "response.metadata"
    long = "string too long. Expected at most"
    assert wrong({str(at): "" for at in range(17)}) == (
        f"Invalid '{path}': too many properties. Expected at most 16, but got 17.",
        path,
    )
    assert wrong({"k" * 65: ""}) == (f"Invalid '{path}': {long} 64 characters, but got 65.", path)
    assert wrong({"k": "v" * 513}) == (f"Invalid '{path}.k': {long} 512 characters, but got 513.", f"{path}.k")
    full = {f"{at:064}": "v" * 512 for at in range(16)}
    (created, _) = client.send("response.create", response={"metadata": full})
    assert created["response"]["metadata"] == full


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (0, "Invalid '{}': Expected a value >= 1, but got 0 instead."),
        (4097, "Invalid '{}': Expected a value <= 4096, but got 4097 instead."),
        (1.5, "Invalid type for '{}': expected an integer, but got a decimal instead."),
        ("lots", "Invalid value: 'lots'. Supported values are: 'inf'."),
    ],
)
def test_the_limit_of_tokens_is_a_number_or_none(limit: float | str, message: str) -> None:
    param = "session.max_output_tokens"
    with pytest.raises(Refusal) as caught:
        Client(settings={"type": "realtime", "max_output_tokens": limit})
    assert (caught.value.message, caught.value.param) == (message.format(param), param)
    for good in (1, 4096, "inf"):
        assert Client().update(max_output_tokens=good)[0]["session"]["max_output_tokens"] == good


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "session.tools[0]"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "session.tool_choice"),
    ],
)
def test_there_are_no_hosted_tools(session: dict[str, Any], param: str) -> None:
    told = "This server has no MCP tools; use tools of type 'function'."
    assert error_of(Client().update(**session)) == refusal(VALUE, told, param, "update")
