"""The peer as a client sees it: frames in, the API's events out."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.protocol.client import SILENCE_100_MS, VOICE_100_MS, Client, error_of, kinds
from trio_codex.audio import AudioFormat
from trio_codex.grammar import Refusal
from trio_codex.protocol import (
    AwaitSpeech,
    FinishTranscribing,
    Generate,
    Hear,
    Limits,
    PeerEffect,
    ResetDetector,
    SetDetector,
    StartTranscribing,
    StopGenerating,
    decode_client_event,
)


@pytest.fixture
def client() -> Client:
    return Client()


# --- opening and settings ----------------------------------------------------------------------------------------------


def test_session_created_comes_first_with_the_whole_effective_session(client: Client) -> None:
    assert kinds(client.opening) == ["session.created", "conversation.created"]
    session = client.opening[0]["session"]
    assert session["type"] == "realtime"
    assert session["object"] == "realtime.session"
    assert session["expires_at"] == 0
    assert session["instructions"]
    assert session["tools"] == []
    assert session["output_modalities"] == ["audio"]
    assert session["max_output_tokens"] == "inf"
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "alloy",
        "speed": 1.0,
    }
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    assert session["audio"]["input"]["transcription"] is None
    (detector,) = client.others()
    assert isinstance(detector, SetDetector)


def test_an_update_changes_only_what_it_holds(client: Client) -> None:
    before = client.opening[0]["session"]
    (updated,) = client.update(instructions="", audio={"output": {"voice": "ash"}})
    assert updated["type"] == "session.updated"
    after = updated["session"]
    assert after["instructions"] == ""
    assert after["audio"]["output"]["voice"] == "ash"
    assert after["audio"]["input"] == before["audio"]["input"]
    assert client.others() == []


def test_null_turns_off_and_turning_on_brings_the_defaults(client: Client) -> None:
    off = client.update(audio={"input": {"turn_detection": None}})[0]["session"]
    assert off["audio"]["input"]["turn_detection"] is None
    assert client.others() == [SetDetector(config=None, format=client.effects[-1].format, position_ms=0)]  # type: ignore[union-attr]
    semantic = client.update(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}})[0]
    assert semantic["session"]["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": True,
    }


def test_turn_detection_of_the_same_type_keeps_its_other_fields(client: Client) -> None:
    client.update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}})
    (updated,) = client.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}})
    detection = updated["session"]["audio"]["input"]["turn_detection"]
    assert (detection["threshold"], detection["silence_duration_ms"]) == (0.7, 200)


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({"model": "gpt-realtime"}, "invalid_value", "session.model"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"type": None}, "invalid_value", "session.type"),
        ({"voice": "alloy"}, "unknown_parameter", "session.voice"),
        ({"instructions": None}, "invalid_type", "session.instructions"),
        ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
        ({"max_output_tokens": 5000}, "invalid_value", "session.max_output_tokens"),
        ({"max_output_tokens": "lots"}, "invalid_value", "session.max_output_tokens"),
        ({"audio": {"output": {"speed": 2}}}, "invalid_value", "session.audio.output.speed"),
        ({"audio": {"output": {"speed": "fast"}}}, "invalid_value", "session.audio.output.speed"),
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "invalid_value", "session.audio.input.format.type"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}}},
            "unknown_parameter",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1000}}}},
            "invalid_value",
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        ({"tools": [{"type": "function", "name": "a b"}]}, "invalid_value", "session.tools[0].name"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
        (
            {"tools": [{"type": "function", "name": "a", "parameters": {"required": "x"}}]},
            "invalid_function_parameters",
            "session.tools[0].parameters",
        ),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "invalid_value", "session.tools[0]"),
        ({"tools": [{"type": "function", "name": "a"}] * 2}, "invalid_value", "session.tools"),
        ({"tool_choice": {"type": "function", "name": "nobody"}}, "invalid_value", "session.tool_choice.name"),
        ({"tool_choice": "sometimes"}, "invalid_value", "session.tool_choice"),
        (
            {"truncation": {"type": "retention_ratio", "retention_ratio": 2}},
            "invalid_value",
            "session.truncation.retention_ratio",
        ),
    ],
)
def test_a_wrong_setting_is_refused_whole(client: Client, session: dict[str, Any], code: str, param: str) -> None:
    before = client.peer.session
    error = error_of(client.update(**{"instructions": "changed", **session}))
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "update")
    assert client.peer.session == before


def test_the_type_is_required_in_every_update(client: Client) -> None:
    error = error_of(client.send("session.update", event_id="e", session={"instructions": "x"}))
    assert (error["code"], error["param"]) == ("missing_required_parameter", "session.type")


def test_the_same_model_may_be_named(client: Client) -> None:
    assert kinds(client.update(model="gpt-realtime-2.1")) == ["session.updated"]


def test_the_voice_is_fixed_once_it_was_heard(client: Client) -> None:
    assert kinds(client.update(audio={"output": {"voice": "ash"}})) == ["session.updated"]
    client.answer()
    error = error_of(client.update(audio={"output": {"voice": "echo"}}))
    assert (error["code"], error["param"]) == ("cannot_update_voice", "session.audio.output.voice")
    assert kinds(client.update(audio={"output": {"voice": "ash"}})) == ["session.updated"]


def test_the_speed_is_fixed_while_a_response_runs(client: Client) -> None:
    response_id = client.respond()
    assert error_of(client.update(audio={"output": {"speed": 1.2}}))["code"] == "invalid_value"
    client.peer.finish(response_id)
    assert kinds(client.update(audio={"output": {"speed": 1.2}})) == ["session.updated"]


# --- frames that are no events -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["", "no JSON", "[1]", '{"event_id": "e"}', b"\xff", "[" * 100_000])
def test_what_is_no_event_is_answered_with_an_error(client: Client, frame: str | bytes) -> None:
    assert error_of(client.take(client.peer.receive_frame(frame)))["code"] == "invalid_event"
    assert kinds(client.update()) == ["session.updated"]


def test_errors_name_the_field_and_the_event(client: Client) -> None:
    error = error_of(client.send("conversation.item.delete", event_id="mine"))
    assert (error["param"], error["event_id"]) == ("item_id", "mine")
    error = error_of(client.send("input_audio_buffer.append", event_id="mine", audio="not base64!"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "audio", "mine")
    error = error_of(client.send("dance", event_id="mine"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "type", "mine")
    assert error_of(client.send("output_audio_buffer.clear"))["param"] == "type"
    error = error_of(client.send("response.cancel", event_id="x" * 513))
    assert (error["code"], error["param"]) == ("invalid_value", "event_id")


# --- items -------------------------------------------------------------------------------------------------------------


def test_items_are_linked_by_their_predecessors(client: Client) -> None:
    first = client.say("one")
    assert client.take(client.effects)[0]["previous_item_id"] is None
    second = client.say("two")
    assert client.take(client.effects)[0]["previous_item_id"] == first
    between = client.say("between", previous_item_id=first)
    assert client.take(client.effects)[1]["previous_item_id"] == first
    client.say("head", previous_item_id="root", item={"id": "head"})
    assert client.take(client.effects)[0]["previous_item_id"] is None
    client.say("last")
    assert client.take(client.effects)[0]["previous_item_id"] == second
    client.send("conversation.item.delete", item_id=second)
    client.say("really last", previous_item_id=between)
    assert client.take(client.effects)[0]["previous_item_id"] == between


def test_an_unknown_predecessor_adds_nothing(client: Client) -> None:
    item = {"id": "new", "type": "message", "role": "user", "content": []}
    error = error_of(client.send("conversation.item.create", event_id="e", item=item, previous_item_id="nobody"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "previous_item_id", "e")
    assert error_of(client.send("conversation.item.retrieve", item_id="new"))["code"] == "item_retrieve_invalid_item_id"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]}, "item.content[0].type"),
        ({"type": "message", "role": "user", "content": [{"type": "text", "text": "x"}]}, "item.content[0].type"),
        ({"type": "message", "role": "nobody", "content": []}, "item.type"),
        ({"type": "item_reference", "id": "x"}, "item.type"),
        ({"type": "mcp_approval_response", "id": "x", "approval_request_id": "y", "approve": True}, "item.type"),
        ({"type": "song"}, "item.type"),
        ({"type": "function_call_output", "call_id": "nobody", "output": ""}, "item.call_id"),
        ({"type": "message", "role": "user"}, "item.content"),
    ],
)
def test_items_that_a_client_cannot_create(client: Client, item: dict[str, Any], param: str) -> None:
    assert error_of(client.send("conversation.item.create", item=item))["param"] == param


def test_ids_are_unique(client: Client) -> None:
    client.say("x", item={"id": "mine"})
    item = {"id": "mine", "type": "message", "role": "user", "content": []}
    assert error_of(client.send("conversation.item.create", item=item))["param"] == "item.id"


def test_what_a_client_calls_its_items_is_no_name_for_others(client: Client) -> None:
    client.say("x", item={"id": "item_1_0002"})
    assert [client.say("y"), client.say("z")] == ["item_1_0001", "item_1_0003"]
    client.append(VOICE_100_MS)
    (started,) = client.take(client.peer.speech_started(0, 100))
    assert started["item_id"] == "item_1_0004"
    item = {"id": "item_1_0004", "type": "message", "role": "user", "content": []}
    assert error_of(client.send("conversation.item.create", item=item))["param"] == "item.id"
    assert client.take(client.peer.speech_stopped(100))[1]["item_id"] == "item_1_0004"


def test_delete_and_retrieve(client: Client) -> None:
    item_id = client.say("x")
    (retrieved,) = client.send("conversation.item.retrieve", item_id=item_id)
    assert retrieved["item"]["content"] == [{"type": "input_text", "text": "x"}]
    assert client.send("conversation.item.delete", item_id=item_id)[0]["item_id"] == item_id
    for verb in ("delete", "retrieve"):
        error = error_of(client.send(f"conversation.item.{verb}", event_id="e", item_id=item_id))
        assert (error["code"], error["event_id"]) == (f"item_{verb}_invalid_item_id", "e")


def test_image_parts_are_accepted(client: Client) -> None:
    item = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}],
    }
    assert kinds(client.send("conversation.item.create", item=item)) == [
        "conversation.item.added",
        "conversation.item.done",
    ]


def test_audio_in_an_item_is_understood_and_shown_only_on_request(client: Client) -> None:
    audio = base64.b64encode(VOICE_100_MS).decode()
    item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    added, done = client.send("conversation.item.create", item=item)
    assert added["item"]["content"] == done["item"]["content"] == [{"type": "input_audio"}]
    item_id = added["item"]["id"]
    assert client.others() == [FinishTranscribing(item_id, VOICE_100_MS)]
    client.respond()
    assert client.others() == []
    client.take(client.peer.transcribed(item_id, "good morning"))
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert generate.request.items[0].content[0].transcript == "good morning"  # type: ignore[union-attr]
    assert client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"][0]["audio"] == audio


def test_the_number_of_items_is_bounded() -> None:
    client = Client(limits=Limits(items=2))
    client.say("one")
    client.say("two")
    item = {"type": "message", "role": "user", "content": []}
    assert error_of(client.send("conversation.item.create", item=item))["code"] == "conversation_full"


def test_old_audio_is_forgotten_but_not_how_long_it_was() -> None:
    client = Client(limits=Limits(kept_audio_bytes=48 * 300))
    old = client.answer(ms=200)[1]
    client.answer(ms=200)
    client.say("next")
    (retrieved,) = client.send("conversation.item.retrieve", item_id=old)
    assert "audio" not in retrieved["item"]["content"][0]
    assert kinds(client.send("conversation.item.truncate", item_id=old, content_index=0, audio_end_ms=200)) == [
        "conversation.item.truncated"
    ]


# --- truncation --------------------------------------------------------------------------------------------------------


def test_truncation_cuts_the_audio_and_drops_the_transcript(client: Client) -> None:
    _, item_id = client.answer(ms=200)
    (truncated,) = client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=150)
    assert (truncated["type"], truncated["audio_end_ms"]) == ("conversation.item.truncated", 150)
    (retrieved,) = client.send("conversation.item.retrieve", item_id=item_id)
    (part,) = retrieved["item"]["content"]
    assert len(base64.b64decode(part["audio"])) == 48 * 150
    assert "transcript" not in part


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"audio_end_ms": 201}, "invalid_value", "Audio content of 200ms is already shorter than 201ms"),
        ({"audio_end_ms": -1}, "invalid_value", ""),
        ({"content_index": 1}, "invalid_value", ""),
        ({"item_id": "nobody"}, "item_truncate_invalid_item_id", ""),
    ],
)
def test_truncation_that_cannot_be(client: Client, fields: dict[str, Any], code: str, message: str) -> None:
    _, item_id = client.answer(ms=200)
    wanted = {"item_id": item_id, "content_index": 0, "audio_end_ms": 10, **fields}
    error = error_of(client.send("conversation.item.truncate", **wanted))
    assert error["code"] == code
    assert message in error["message"]


def test_only_audio_of_the_assistant_can_be_truncated(client: Client) -> None:
    item_id = client.say("x")
    error = error_of(client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0))
    assert error["code"] == "unsupported_content_type"


def test_truncation_counts_in_the_format_of_the_answer(client: Client) -> None:
    client.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
    response_id = client.respond()
    item_id = client.take(client.peer.answer_audio(response_id, bytes(8 * 200)))[0]["item"]["id"]
    client.peer.finish(response_id)
    wanted = {"item_id": item_id, "content_index": 0}
    assert error_of(client.send("conversation.item.truncate", **wanted, audio_end_ms=201))["param"] == "audio_end_ms"
    client.send("conversation.item.truncate", **wanted, audio_end_ms=150)
    (part,) = client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"]
    assert len(base64.b64decode(part["audio"])) == 8 * 150


def test_an_unfinished_item_can_be_truncated(client: Client) -> None:
    response_id = client.respond()
    added = client.take(client.peer.answer_text(response_id, "One two "))[0]
    client.peer.answer_audio(response_id, SILENCE_100_MS)
    item_id = added["item"]["id"]
    client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)
    client.peer.answer_audio(response_id, SILENCE_100_MS)
    client.peer.finish(response_id)
    (part,) = client.send("conversation.item.retrieve", item_id=item_id)[0]["item"]["content"]
    assert len(base64.b64decode(part["audio"])) == 48 * 50
    assert "transcript" not in part


# --- the input audio buffer --------------------------------------------------------------------------------------------


def test_a_manual_turn(client: Client) -> None:
    client.manual()
    first = client.say("before")
    assert client.append(VOICE_100_MS) == []
    start, hear = client.others()
    assert isinstance(start, StartTranscribing)
    assert hear == Hear(VOICE_100_MS)
    client.append(VOICE_100_MS)
    assert client.others() == [Hear(VOICE_100_MS)]
    committed, added, done = client.send("input_audio_buffer.commit")
    assert kinds([committed, added, done]) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert committed["item_id"] == added["item"]["id"] == start.item_id
    assert committed["previous_item_id"] == added["previous_item_id"] == first
    assert client.others() == [FinishTranscribing(start.item_id, VOICE_100_MS * 2)]
    *deltas, completed = client.take(client.peer.transcribed(start.item_id, "two words"))
    assert kinds(deltas) == ["conversation.item.input_audio_transcription.delta"] * 2
    assert "".join(delta["delta"] for delta in deltas) == "two words"
    assert completed["transcript"] == "two words"
    assert completed["usage"] == {"type": "duration", "seconds": 0.2}


def test_transcription_may_fail_and_the_answer_comes_all_the_same(client: Client) -> None:
    client.manual()
    client.append(VOICE_100_MS)
    item_id = client.send("input_audio_buffer.commit")[0]["item_id"]
    response_id = client.respond()
    (failed,) = client.take(client.peer.transcription_failed(item_id, "no"))
    assert failed["type"] == "conversation.item.input_audio_transcription.failed"
    assert failed["error"]["message"] == "no"
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert generate.request.response_id == response_id


def test_nobody_is_told_of_words_when_transcription_is_off(client: Client) -> None:
    client.update(audio={"input": {"turn_detection": None}})
    client.append(VOICE_100_MS)
    item_id = client.send("input_audio_buffer.commit")[0]["item_id"]
    assert client.peer.transcript_delta(item_id, "two") == []
    assert client.peer.transcribed(item_id, "two words") == []
    assert client.peer.transcribed("nobody", "two words") == []
    client.append(VOICE_100_MS)
    item_id = client.send("input_audio_buffer.commit")[0]["item_id"]
    assert client.peer.transcription_failed(item_id, "no") == []
    assert client.peer.transcription_failed("nobody", "no") == []


def test_transcripts_may_come_piece_by_piece(client: Client) -> None:
    client.manual()
    client.append(VOICE_100_MS)
    item_id = client.send("input_audio_buffer.commit")[0]["item_id"]
    client.take(client.peer.transcript_delta(item_id, "two "))
    delta, completed = client.take(client.peer.transcribed(item_id, "two words", rest="words"))
    assert (delta["delta"], completed["transcript"]) == ("words", "two words")


@pytest.mark.parametrize("ms", [0, 99])
def test_an_empty_buffer_cannot_be_committed(client: Client, ms: int) -> None:
    client.manual().append(bytes(48 * ms))
    error = error_of(client.send("input_audio_buffer.commit", event_id="e"))
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "e")
    assert f"{ms:.2f}ms" in error["message"]


def test_clear_forgets_the_turn(client: Client) -> None:
    client.manual().append(VOICE_100_MS)
    assert kinds(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert type(client.others()[0]).__name__ == "DropTranscribing"
    assert error_of(client.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


def test_an_append_is_bounded() -> None:
    client = Client(limits=Limits(append_bytes=100, turn_ms=1000)).manual()
    assert error_of(client.append(bytes(102)))["param"] == "audio"
    for _ in range(480):
        client.append(bytes(100))
    assert error_of(client.append(bytes(100)))["code"] == "input_audio_buffer_full"
    assert kinds(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_a_detected_turn_that_does_not_end_is_ended() -> None:
    client = Client(limits=Limits(turn_ms=1000))
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    for _ in range(9):
        assert client.append(VOICE_100_MS) == []
    events = client.append(VOICE_100_MS)
    assert kinds(events)[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    assert events[0]["audio_end_ms"] == 1000
    assert client.others()[0] == ResetDetector()
    assert client.others()[-1] == Hear(VOICE_100_MS)


def test_a_turn_that_is_ended_while_an_answer_runs_loses_no_audio() -> None:
    client = Client(limits=Limits(turn_ms=100))
    client.update(audio={"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}})
    client.respond()
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    audio = base64.b64encode(VOICE_100_MS).decode()
    *_, error = client.send("input_audio_buffer.append", event_id="mine", audio=audio)
    assert error["error"]["code"] == "conversation_already_has_active_response"
    assert error["error"]["event_id"] is None
    assert client.effects[-1] == Hear(VOICE_100_MS)
    assert client.take(client.peer.speech_started(100, 200))[0]["audio_start_ms"] == 100
    assert client.others()[0] == StartTranscribing("item_1_0002", VOICE_100_MS)


def test_what_nobody_says_is_forgotten() -> None:
    client = Client(limits=Limits(idle_ms=500))
    for _ in range(100):
        client.append(SILENCE_100_MS)
    client.send("input_audio_buffer.commit")
    (_, finish) = client.others()
    assert isinstance(finish, FinishTranscribing)
    assert len(finish.audio) == 48 * 600


def test_g711_counts_eight_bytes_a_millisecond(client: Client) -> None:
    client.update(audio={"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}})
    client.append(b"\x7f" * 800)
    client.send("input_audio_buffer.commit")
    (finish,) = client.others()
    assert isinstance(finish, FinishTranscribing)
    assert finish.format.rate == 8000
    client.append(b"\x7f" * 792)
    assert error_of(client.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


# --- turns that are detected -------------------------------------------------------------------------------------------


def test_a_detected_turn_is_committed_and_answered(client: Client) -> None:
    client.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    for _ in range(20):
        client.append(VOICE_100_MS)
    (started,) = client.take(client.peer.speech_started(700, 1200))
    assert (started["type"], started["audio_start_ms"]) == ("input_audio_buffer.speech_started", 700)
    assert client.others() == [StartTranscribing(started["item_id"], VOICE_100_MS * 5)]
    events = client.take(client.peer.speech_stopped(1900))
    assert kinds(events) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "rate_limits.updated",
    ]
    assert {event["item_id"] for event in events[:2]} == {started["item_id"]}
    assert events[0]["audio_end_ms"] == 1900
    assert client.others() == [FinishTranscribing(started["item_id"], VOICE_100_MS * 12)]
    client.take(client.peer.transcribed(started["item_id"], "hello"))
    assert [type(effect).__name__ for effect in client.others()] == ["Generate"]


def test_positions_count_all_audio_of_the_session(client: Client) -> None:
    for _ in range(10):
        client.append(VOICE_100_MS)
    client.peer.speech_started(0, 500)
    client.peer.speech_stopped(800)
    started, cancelled = client.take(client.peer.speech_started(750, 1000))
    assert started["audio_start_ms"] == 800
    assert cancelled["response"]["status_details"]["reason"] == "turn_detected"
    assert client.others() == [StartTranscribing(started["item_id"], VOICE_100_MS * 2)]


def test_speech_interrupts_the_running_response(client: Client) -> None:
    response_id = client.respond()
    client.peer.answer_text(response_id, "I was going to ")
    client.peer.answer_audio(response_id, SILENCE_100_MS)
    client.append(VOICE_100_MS)
    events = client.take(client.peer.speech_started(0, 100))
    assert events[0]["type"] == "input_audio_buffer.speech_started"
    assert events[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert StopGenerating(response_id) in client.others()
    assert client.take(client.peer.answer_audio(response_id, SILENCE_100_MS)) == []


def test_out_of_band_responses_are_not_interrupted(client: Client) -> None:
    response_id = client.respond(conversation="none")
    client.append(VOICE_100_MS)
    assert kinds(client.take(client.peer.speech_started(0, 100))) == ["input_audio_buffer.speech_started"]
    assert kinds(client.take(client.peer.finish(response_id))) == ["response.done"]


def test_detection_may_only_report(client: Client) -> None:
    detection = {"type": "server_vad", "create_response": False, "interrupt_response": False}
    client.update(audio={"input": {"turn_detection": detection}})
    response_id = client.respond()
    client.append(VOICE_100_MS)
    assert kinds(client.take(client.peer.speech_started(0, 100))) == ["input_audio_buffer.speech_started"]
    assert kinds(client.take(client.peer.speech_stopped(100)))[-1] == "conversation.item.done"
    assert kinds(client.take(client.peer.finish(response_id))) == ["response.done"]


def test_a_detected_turn_that_meets_a_running_response_tells_so(client: Client) -> None:
    client.append(VOICE_100_MS)
    client.peer.speech_started(0, 100)
    client.respond()
    events = client.take(client.peer.speech_stopped(100))
    assert events[-2]["type"] == "conversation.item.done"
    assert events[-1]["error"]["code"] == "conversation_already_has_active_response"
    assert events[-1]["error"]["event_id"] is None


def test_a_commit_during_speech_ends_the_turn(client: Client) -> None:
    client.append(VOICE_100_MS)
    item_id = client.take(client.peer.speech_started(0, 100))[0]["item_id"]
    committed = client.send("input_audio_buffer.commit")[0]
    assert committed["item_id"] == item_id
    assert client.others()[0] == ResetDetector()
    assert client.peer.speech_stopped(100) == []


def test_a_commit_after_the_detected_end_finds_nothing_new(client: Client) -> None:
    """The client's last chunk may come after the detector has ended the turn: one turn, one answer."""
    client.append(VOICE_100_MS)
    client.peer.speech_started(0, 100)
    client.peer.speech_stopped(100)
    client.append(SILENCE_100_MS * 8)
    assert error_of(client.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    client.append(VOICE_100_MS)  # a word too short for the detector, but a word
    assert kinds(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_a_commit_of_what_the_detector_took_for_silence(client: Client) -> None:
    client.append(SILENCE_100_MS * 3)
    assert kinds(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_reports_of_a_detector_that_was_switched_off_are_ignored(client: Client) -> None:
    client.append(VOICE_100_MS)
    client.manual()
    assert client.peer.speech_stopped(100) == []


def test_changing_the_detector_in_a_turn_keeps_the_turn(client: Client) -> None:
    client.append(VOICE_100_MS)
    item_id = client.take(client.peer.speech_started(0, 100))[0]["item_id"]
    client.manual()
    assert client.send("input_audio_buffer.commit")[0]["item_id"] == item_id


# --- responses ---------------------------------------------------------------------------------------------------------

SPOKEN = [
    "response.created",
    "rate_limits.updated",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio_transcript.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]


def test_the_life_of_a_spoken_response(client: Client) -> None:
    asked = client.say("hi")
    events = client.send("response.create")
    response_id = events[0]["response"]["id"]
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert [getattr(item, "id", None) for item in generate.request.items] == [asked]
    for report in (
        client.peer.answer_text(response_id, "Hello"),
        client.peer.answer_audio(response_id, SILENCE_100_MS),
        client.peer.answer_text(response_id, " you."),
        client.peer.finish(response_id),
    ):
        events += client.take(report)
    assert kinds(events) == SPOKEN
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["output"] == []
    added = events[2]
    assert (added["output_index"], added["item"]["status"], added["item"]["content"]) == (0, "in_progress", [])
    assert events[3]["previous_item_id"] == asked
    assert events[4]["part"] == {"type": "audio", "transcript": ""}
    transcript = "".join(event["delta"] for event in events if event["type"].endswith("transcript.delta"))
    assert events[9]["transcript"] == events[10]["part"]["transcript"] == transcript == "Hello you."
    item = events[11]["item"]
    assert item["status"] == "completed"
    assert item["content"] == [{"type": "output_audio", "transcript": "Hello you."}]
    response = events[-1]["response"]
    assert response["output"] == [item]
    assert response["status"] == "completed"
    assert response["status_details"] is None
    assert response["conversation_id"]
    for event in events[4:11]:
        assert (event["response_id"], event["item_id"], event["output_index"], event["content_index"]) == (
            response_id,
            item["id"],
            0,
            0,
        )
    assert len({event["event_id"] for event in events}) == len(events)


def test_usage_adds_up(client: Client) -> None:
    client.update(instructions="Be brief.", tools=[{"type": "function", "name": "f"}])
    client.manual().append(VOICE_100_MS * 10)
    client.peer.transcribed(client.send("input_audio_buffer.commit")[0]["item_id"], "hello")
    response_id = client.respond()
    client.peer.answer_text(response_id, "Twelve chars")
    client.peer.answer_audio(response_id, SILENCE_100_MS)
    usage = client.take(client.peer.finish(response_id))[-1]["response"]["usage"]
    read, made = usage["input_token_details"], usage["output_token_details"]
    assert read["audio_tokens"] == 10
    assert made == {"text_tokens": 3, "audio_tokens": 2}
    assert usage["input_tokens"] == read["text_tokens"] + read["audio_tokens"] + read["image_tokens"]
    assert usage["output_tokens"] == 5
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_the_life_of_a_written_response(client: Client) -> None:
    events = client.send("response.create", response={"output_modalities": ["text"]})
    response_id = events[0]["response"]["id"]
    for report in (
        client.peer.answer_text(response_id, "Hello"),
        client.peer.answer_audio(response_id, SILENCE_100_MS),
        client.peer.finish(response_id),
    ):
        events += client.take(report)
    assert kinds(events)[2:] == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "output_text", "text": "Hello"}]
    assert events[-1]["response"]["output_modalities"] == ["text"]


def test_the_life_of_a_function_call_and_its_output(client: Client) -> None:
    client.update(tools=[{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}])
    asked = client.say("weather?")
    response_id = client.respond()
    arguments = json.dumps({"city": "a rather long name of a city"})
    events = client.take(client.peer.answer_call(response_id, "get_weather", arguments))
    assert kinds(events) == [
        "response.output_item.added",
        "conversation.item.added",
        *["response.function_call_arguments.delta"] * 2,
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
    ]
    assert events[0]["item"]["arguments"] == ""
    assert events[1]["previous_item_id"] == asked
    assert "".join(event["delta"] for event in events[2:4]) == events[4]["arguments"] == arguments
    assert events[4]["name"] == "get_weather"
    call = events[5]["item"]
    assert (call["status"], call["arguments"]) == ("completed", arguments)
    assert call["call_id"] != call["id"]
    (done,) = client.take(client.peer.finish(response_id))
    assert done["response"]["output"] == [call]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    added, _ = client.send("conversation.item.create", item=output)
    assert added["previous_item_id"] == call["id"]


def test_a_response_may_hold_several_items(client: Client) -> None:
    response_id = client.respond()
    client.peer.answer_text(response_id, "One moment.")
    events = client.take(client.peer.answer_call(response_id, "f", "{}"))
    assert kinds(events)[:5] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
    ]
    client.peer.answer_text(response_id, "And that was it.")
    client.peer.end_message(response_id)
    client.peer.answer_text(response_id, "Bye.")
    done = client.take(client.peer.finish(response_id))[-1]
    assert [item["type"] for item in done["response"]["output"]] == ["message", "function_call", "message", "message"]


def test_one_response_at_a_time_writes_to_the_conversation(client: Client) -> None:
    response_id = client.respond()
    error = error_of(client.send("response.create", event_id="second"))
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "second")
    assert response_id in error["message"]
    client.peer.finish(response_id)
    assert kinds(client.send("response.create"))[0] == "response.created"


def test_out_of_band_responses_run_beside_it(client: Client) -> None:
    main = client.respond()
    events = client.send(
        "response.create", response={"conversation": "none", "metadata": {"topic": "mood"}, "input": []}
    )
    assert events[0]["response"]["conversation_id"] is None
    assert "conversation_id" in events[0]["response"]
    assert events[0]["response"]["metadata"] == {"topic": "mood"}
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert generate.request.items == ()
    beside = events[0]["response"]["id"]
    item_events = client.take(client.peer.answer_text(beside, "x"))
    assert "conversation.item.added" not in kinds(item_events)
    done = client.take(client.peer.finish(beside))
    assert "conversation.item.done" not in kinds(done)
    assert done[-1]["response"]["metadata"] == {"topic": "mood"}
    assert done[-1]["response"]["conversation_id"] is None
    missing = client.send("conversation.item.retrieve", item_id=item_events[0]["item"]["id"])
    assert error_of(missing)["code"] == "item_retrieve_invalid_item_id"
    assert kinds(client.take(client.peer.finish(main))) == ["response.done"]


def test_overrides_hold_for_one_response(client: Client) -> None:
    tools = [{"type": "function", "name": "f"}]
    kept = client.say("kept", item={"id": "kept"})
    client.say("not seen")
    client.respond(
        instructions="Be rude.",
        tools=tools,
        tool_choice={"type": "function", "name": "f"},
        output_modalities=["text"],
        max_output_tokens=10,
        input=[
            {"type": "item_reference", "id": kept},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "added"}]},
        ],
        conversation="none",
    )
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    request = generate.request
    assert (request.instructions, request.modality, request.tools) == ("Be rude.", "text", tuple(tools))
    assert request.tool_choice == {"type": "function", "name": "f"}
    assert [item.content[0].text for item in request.items] == ["kept", "added"]  # type: ignore[union-attr]
    client.respond()
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert (generate.request.modality, len(generate.request.items), generate.request.tools) == ("audio", 2, ())


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"conversation": "other"}, "invalid_value", "response.conversation"),
        ({"metadata": {str(at): "" for at in range(17)}}, "invalid_value", "response.metadata"),
        ({"metadata": {"k": "v" * 513}}, "invalid_value", "response.metadata.k"),
        ({"input": [{"type": "item_reference", "id": "nobody"}]}, "invalid_value", "response.input[0].id"),
        ({"tool_choice": {"type": "function", "name": "nobody"}}, "invalid_value", "response.tool_choice.name"),
        ({"modalities": ["text"]}, "unknown_parameter", "response.modalities"),
        ({"max_output_tokens": 0}, "invalid_value", "response.max_output_tokens"),
    ],
)
def test_a_wrong_override_is_refused(client: Client, response: dict[str, Any], code: str, param: str) -> None:
    error = error_of(client.send("response.create", event_id="e", response=response))
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "e")
    assert kinds(client.send("response.create"))[0] == "response.created"


def test_cancel_ends_the_response_with_all_its_done_events(client: Client) -> None:
    response_id = client.respond()
    client.peer.answer_text(response_id, "I was ")
    client.peer.answer_audio(response_id, SILENCE_100_MS)
    events = client.send("response.cancel")
    assert kinds(events) == SPOKEN[8:]
    assert events[-1]["response"]["status"] == "cancelled"
    assert events[-1]["response"]["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"
    assert client.others() == [StopGenerating(response_id)]
    assert client.peer.finish(response_id) == []


def test_cancel_by_id(client: Client) -> None:
    main, beside = client.respond(), client.respond(conversation="none")
    (done,) = client.send("response.cancel", response_id=beside)
    assert done["response"]["id"] == beside
    error = error_of(client.send("response.cancel", event_id="e", response_id=beside))
    assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "e")
    assert client.send("response.cancel")[0]["response"]["id"] == main
    assert error_of(client.send("response.cancel"))["code"] == "response_cancel_not_active"


def test_cancel_before_the_words_are_known_generates_nothing(client: Client) -> None:
    client.manual().append(VOICE_100_MS)
    item_id = client.send("input_audio_buffer.commit")[0]["item_id"]
    client.respond()
    assert kinds(client.send("response.cancel")) == ["response.done"]
    assert client.others() == []
    client.take(client.peer.transcribed(item_id, "late"))
    assert client.others() == []


def test_tokens_run_out(client: Client) -> None:
    response_id = client.respond(max_output_tokens=3)
    client.peer.answer_text(response_id, "12345678")
    events = client.take(client.peer.answer_text(response_id, "9"))
    assert events[0]["delta"] == "9"
    assert events[-1]["response"]["status"] == "incomplete"
    assert events[-1]["response"]["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert client.others() == [StopGenerating(response_id)]


def test_a_response_may_fail(client: Client) -> None:
    response_id = client.respond()
    client.peer.answer_text(response_id, "I")
    events = client.take(client.peer.fail(response_id, "server_error", "broken"))
    details = events[-1]["response"]["status_details"]
    assert events[-1]["response"]["status"] == "failed"
    assert details["error"] == {"type": "server_error", "code": "server_error", "message": "broken"}
    assert kinds(client.send("response.create"))[0] == "response.created"


def test_running_responses_are_bounded() -> None:
    client = Client(limits=Limits(responses=2))
    client.respond(conversation="none")
    client.respond(conversation="none")
    assert error_of(client.send("response.create"))["code"] == "rate_limit_exceeded"


def test_expiry_is_an_error_event(client: Client) -> None:
    assert error_of(client.take(client.peer.expire()))["code"] == "session_expired"


# --- determinism -------------------------------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_effects() -> None:
    def run() -> list[PeerEffect]:
        client = Client(label="x")
        effects = list(client.effects)
        steps: list[Callable[[], object]] = [
            lambda: client.say("hi"),
            lambda: client.append(VOICE_100_MS),
            lambda: client.take(client.peer.speech_started(0, 100)),
            lambda: client.take(client.peer.speech_stopped(100)),
        ]
        for step in steps:
            step()
            effects += client.effects
        return effects

    assert run() == run()


def test_labels_tell_sessions_apart() -> None:
    ids = [event["event_id"] for label in "ab" for event in Client(label=label).opening]
    assert len(set(ids)) == 4


def test_events_and_frames_do_the_same() -> None:
    frame = '{"type":"input_audio_buffer.commit","event_id":"e"}'
    one, other = Client(), Client()
    assert one.peer.receive(decode_client_event(frame)) == other.peer.receive_frame(frame)


# --- silence ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def patient(client: Client) -> Client:
    client.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}})
    return client


def test_after_a_response_and_its_sound_the_user_s_silence_is_a_turn(patient: Client) -> None:
    patient.answer(ms=200)
    assert patient.others() == [AwaitSpeech(5200)]
    for _ in range(60):
        patient.append(SILENCE_100_MS)
    triggered, committed, added, done, created, _ = patient.take(patient.peer.nobody_spoke())
    assert triggered["type"] == "input_audio_buffer.timeout_triggered"
    assert (triggered["audio_start_ms"], triggered["audio_end_ms"]) == (1000, 6000)
    assert triggered["item_id"] == committed["item_id"] == added["item"]["id"] == done["item"]["id"]
    assert created["type"] == "response.created"
    (finish,) = [effect for effect in patient.others() if isinstance(effect, FinishTranscribing)]
    assert len(finish.audio) == 48 * 5000
    assert patient.take(patient.peer.nobody_spoke()) == []


def test_silence_without_any_audio_is_a_turn_as_well(patient: Client) -> None:
    patient.answer()
    triggered = patient.take(patient.peer.nobody_spoke())[0]
    assert (triggered["audio_start_ms"], triggered["audio_end_ms"]) == (0, 0)


def test_who_speaks_is_not_taken_for_silent(patient: Client) -> None:
    patient.answer()
    patient.append(VOICE_100_MS * 5)
    patient.peer.speech_started(0, 400)
    assert patient.peer.nobody_spoke() == []
    patient.take(patient.peer.speech_stopped(500))
    assert patient.peer.nobody_spoke() == []


def test_what_the_client_does_is_no_silence(patient: Client) -> None:
    patient.answer()
    patient.append(VOICE_100_MS)
    patient.send("input_audio_buffer.commit")
    assert patient.peer.nobody_spoke() == []
    patient.answer()
    patient.respond()
    assert patient.peer.nobody_spoke() == []


def test_without_the_setting_nobody_waits(client: Client) -> None:
    client.answer()
    assert client.others() == []
    assert client.peer.nobody_spoke() == []


# --- sessions that only write down ---------------------------------------------------------------------------------------


@pytest.fixture
def writer() -> Client:
    return Client(kind="transcription")


def test_a_transcription_session_shows_its_defaults_and_has_no_conversation(writer: Client) -> None:
    (created,) = writer.opening
    session = created["session"]
    assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
    assert session["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    assert session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert "output" not in session["audio"]
    assert not {"model", "instructions", "tools"} & session.keys()


def test_its_turns_are_written_down_and_never_answered(writer: Client) -> None:
    writer.append(VOICE_100_MS * 10)
    (started,) = writer.take(writer.peer.speech_started(100, 500))
    stopped = writer.take(writer.peer.speech_stopped(900))
    assert kinds(stopped) == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    written = writer.take(writer.peer.transcribed(started["item_id"], "one two"))
    assert [event.get("delta") or event.get("transcript") for event in written] == ["one", " two", "one two"]
    assert writer.others() == []


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("response.create", {}),
        ("response.cancel", {}),
        ("conversation.item.create", {"item": {"type": "message", "role": "user", "content": []}}),
        ("conversation.item.truncate", {"item_id": "x", "content_index": 0, "audio_end_ms": 0}),
    ],
)
def test_what_such_a_session_does_not_know_is_refused(writer: Client, kind: str, fields: dict[str, Any]) -> None:
    (error,) = writer.send(kind, event_id="mine", **fields)
    assert (error["error"]["code"], error["error"]["event_id"]) == ("invalid_value", "mine")
    assert "'input_audio_buffer.commit'" in error["error"]["message"]


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "realtime"}, "session.type"),
        ({"type": "transcription", "instructions": "x"}, "session.instructions"),
        ({"type": "transcription", "audio": {"output": {"voice": "alloy"}}}, "session.audio.output"),
        ({"type": "transcription", "audio": {"input": {"transcription": None}}}, "session.audio.input.transcription"),
    ],
)
def test_settings_that_it_does_not_have(writer: Client, session: dict[str, Any], param: str) -> None:
    (error,) = writer.send("session.update", session=session)
    assert error["error"]["param"] == param


def test_it_never_asks_a_silent_user_again(writer: Client) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    session = {"type": "transcription", "audio": {"input": {"turn_detection": detection}}}
    assert kinds(writer.send("session.update", session=session)) == ["session.updated"]
    assert writer.peer.nobody_spoke() == []


def test_a_session_may_begin_with_settings_of_its_own() -> None:
    output = {"format": {"type": "audio/pcmu"}, "voice": "ash", "speed": 1.2}
    ears = {"format": {"type": "audio/pcma"}, "turn_detection": None}
    client = Client(
        settings={"type": "realtime", "instructions": "Be brief.", "audio": {"input": ears, "output": output}}
    )
    session = client.opening[0]["session"]
    assert (session["instructions"], session["audio"]["output"]) == ("Be brief.", output)
    assert client.others() == [SetDetector(config=None, format=AudioFormat.PCMA, position_ms=0)]
    with pytest.raises(Refusal, match="voice"):
        Client(settings={"type": "realtime", "voice": "alloy"})
