"""The peer's events field by field: each is there whole, holds nothing else, and no two have the same id."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import pytest

from tests.protocol.client import SILENCE_100_MS, VOICE_100_MS, Client
from trio_codex.audio import AudioFormat
from trio_codex.protocol import (
    AnswerRequest,
    ContentPart,
    DropTranscribing,
    FinishTranscribing,
    Generate,
    Hear,
    PeerEffect,
    ResetDetector,
    SetDetector,
    StartTranscribing,
    StopGenerating,
    UserMessage,
)
from trio_codex.protocol.peer_session import INSTRUCTIONS

SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
PCM = {"type": "audio/pcm", "rate": 24000}


class Reader(Client):
    """A client that looks at the ids of the events, and hands them on without."""

    def __init__(self, **arguments: Any) -> None:
        self.seen = 0
        super().__init__(label="k3", **arguments)

    def take(self, effects: Iterable[PeerEffect]) -> list[dict[str, Any]]:
        events = super().take(effects)
        for event in events:
            self.seen += 1
            assert event.pop("event_id") == f"event_k3_{self.seen:04}"
        return events


@pytest.fixture
def reader() -> Reader:
    return Reader()


def message(item_id: str, role: str, *content: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    item = {"type": "message", "role": role, "id": item_id, "object": "realtime.item", "status": status}
    return {**item, "content": list(content)}


def twice(item: dict[str, Any], previous: str | None) -> list[dict[str, Any]]:
    """An item of the conversation that is there whole at once."""
    return [
        {"type": f"conversation.item.{what}", "item": item, "previous_item_id": previous} for what in ("added", "done")
    ]


# --- the session and its items -------------------------------------------------------------------------------------------


def test_a_session_opens_with_all_that_is_in_force() -> None:
    reader = Reader(expires_at=1_800_000_000)
    created, conversation = reader.opening
    assert created == {
        "type": "session.created",
        "session": {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_k3",
            "expires_at": 1_800_000_000,
            "model": "gpt-realtime-2.1",
            "instructions": INSTRUCTIONS,
            "output_modalities": ["audio"],
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {"format": PCM, "transcription": None, "noise_reduction": None, "turn_detection": SERVER_VAD},
                "output": {"format": PCM, "voice": "alloy", "speed": 1.0},
            },
        },
    }
    info = {"id": "conv_k3_0001", "object": "realtime.conversation"}
    assert conversation == {"type": "conversation.created", "conversation": info}
    assert reader.others() == [SetDetector(config=SERVER_VAD, format=AudioFormat.PCM16, position_ms=0)]
    (updated,) = reader.update(instructions="Be brief.")
    assert updated == {
        "type": "session.updated",
        "session": {**created["session"], "instructions": "Be brief."},
    }


def test_a_session_that_writes_down_opens_without_a_conversation() -> None:
    reader = Reader(kind="transcription", expires_at=1)
    session = {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": "sess_k3",
        "expires_at": 1,
        "include": None,
        "audio": {
            "input": {
                "format": PCM,
                "transcription": {"model": "gpt-transcribe"},
                "noise_reduction": None,
                "turn_detection": SERVER_VAD,
            }
        },
    }
    assert reader.opening == [{"type": "session.created", "session": session}]
    silent = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    session["audio"]["input"]["turn_detection"] = None  # type: ignore[index]
    assert reader.send("session.update", session=silent) == [{"type": "session.updated", "session": session}]
    assert reader.others() == [SetDetector(config=None, format=AudioFormat.PCM16, position_ms=0)]


def test_the_life_of_an_item(reader: Reader) -> None:
    part = {"type": "input_text", "text": "hi"}
    item = message("item_k3_0001", "user", part)
    created = reader.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
    assert created == twice(item, None)
    retrieved = reader.send("conversation.item.retrieve", item_id="item_k3_0001")
    assert retrieved == [{"type": "conversation.item.retrieved", "item": item}]
    deleted = reader.send("conversation.item.delete", item_id="item_k3_0001")
    assert deleted == [{"type": "conversation.item.deleted", "item_id": "item_k3_0001"}]


def test_what_a_client_says_of_its_item_stays(reader: Reader) -> None:
    said = message("mine", "assistant", {"type": "output_text", "text": "I was"}, status="incomplete")
    assert reader.send("conversation.item.create", item=said) == twice(said, None)
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    filled = {**call, "id": "item_k3_0001", "object": "realtime.item", "status": "completed"}
    assert reader.send("conversation.item.create", item=call) == twice(filled, "mine")
    del call["call_id"]
    filled = {**filled, "id": "item_k3_0002", "call_id": "call_k3_0001"}
    assert reader.send("conversation.item.create", item=call) == twice(filled, "item_k3_0001")
    output = {"type": "function_call_output", "call_id": "c", "output": "sunny"}
    filled = {**output, "id": "item_k3_0003", "object": "realtime.item", "status": "completed"}
    assert reader.send("conversation.item.create", item=output) == twice(filled, "item_k3_0002")


@pytest.mark.parametrize("ms", [0, 150, 200])
def test_a_truncation_is_told_as_it_was_asked(reader: Reader, ms: int) -> None:
    _, item_id = reader.answer(ms=200)
    wanted = {"item_id": item_id, "content_index": 0, "audio_end_ms": ms}
    (truncated,) = reader.send("conversation.item.truncate", **wanted)
    assert truncated == {"type": "conversation.item.truncated", **wanted}
    audio = {"audio": base64.b64encode(bytes(48 * ms)).decode()} if ms else {}
    (retrieved,) = reader.send("conversation.item.retrieve", item_id=item_id)
    assert retrieved["item"] == message(item_id, "assistant", {"type": "output_audio", **audio})


# --- what the user says --------------------------------------------------------------------------------------------------


def test_a_turn_that_the_client_ends(reader: Reader) -> None:
    reader.manual()
    before, item_id = reader.say("before"), "item_k3_0002"
    reader.append(VOICE_100_MS)
    assert reader.others() == [StartTranscribing(item_id, b""), Hear(VOICE_100_MS)]
    item = message(item_id, "user", {"type": "input_audio"})
    committed = {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": before}
    assert reader.send("input_audio_buffer.commit") == [committed, *twice(item, before)]
    assert reader.others() == [FinishTranscribing(item_id, VOICE_100_MS)]
    words = {"item_id": item_id, "content_index": 0}
    delta = {"type": "conversation.item.input_audio_transcription.delta", **words}
    assert reader.take(reader.peer.transcript_delta(item_id, "one")) == [{**delta, "delta": "one"}]
    completed = {
        "type": "conversation.item.input_audio_transcription.completed",
        **words,
        "transcript": "one two  three ",
        "usage": {"type": "duration", "seconds": 0.1},
    }
    assert reader.take(reader.peer.transcribed(item_id, "one two  three ", rest=" two  three ")) == [
        *({**delta, "delta": word} for word in (" two", "  three", " ")),
        completed,
    ]
    (retrieved,) = reader.send("conversation.item.retrieve", item_id=item_id)
    part = {
        "type": "input_audio",
        "transcript": "one two  three ",
        "audio": base64.b64encode(VOICE_100_MS).decode(),
    }
    assert retrieved["item"] == {**item, "content": [part]}
    reader.append(VOICE_100_MS)
    assert reader.send("input_audio_buffer.clear") == [{"type": "input_audio_buffer.cleared"}]
    assert reader.others() == [DropTranscribing("item_k3_0003")]


def test_a_turn_that_is_not_understood(reader: Reader) -> None:
    reader.manual().append(VOICE_100_MS)
    item_id = reader.send("input_audio_buffer.commit")[0]["item_id"]
    reader.respond()
    assert reader.take(reader.peer.transcription_failed(item_id, "no")) == [
        {
            "type": "conversation.item.input_audio_transcription.failed",
            "item_id": item_id,
            "content_index": 0,
            "error": {"type": "server_error", "code": "transcription_failed", "message": "no"},
        }
    ]
    (generate,) = reader.others()
    assert isinstance(generate, Generate)
    (seen,) = generate.request.items
    assert isinstance(seen, UserMessage)
    assert seen.content[0].transcript == ""


def test_a_turn_that_is_detected(reader: Reader) -> None:
    reader.append(VOICE_100_MS * 4)
    item_id = "item_k3_0001"
    assert reader.take(reader.peer.speech_started(100, 300)) == [
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 100, "item_id": item_id}
    ]
    assert reader.others() == [StartTranscribing(item_id, VOICE_100_MS * 2)]
    stopped, committed, *items, created, limits = reader.take(reader.peer.speech_stopped(350))
    assert stopped == {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 350, "item_id": item_id}
    assert committed == {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": None}
    assert items == twice(message(item_id, "user", {"type": "input_audio"}), None)
    assert (created["type"], limits["type"]) == ("response.created", "rate_limits.updated")
    assert reader.others() == [FinishTranscribing(item_id, (VOICE_100_MS * 4)[48 * 100 : 48 * 350])]


def test_silence_that_becomes_a_turn(reader: Reader) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False}
    reader.update(audio={"input": {"turn_detection": detection}})
    _, answer = reader.answer()
    for _ in range(3):
        reader.append(VOICE_100_MS * 20)
    triggered, committed, *items, created, _ = reader.take(reader.peer.nobody_spoke())
    item_id = "item_k3_0002"
    assert triggered == {
        "type": "input_audio_buffer.timeout_triggered",
        "audio_start_ms": 1000,
        "audio_end_ms": 6000,
        "item_id": item_id,
    }
    assert committed == {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": answer}
    assert items == twice(message(item_id, "user", {"type": "input_audio"}), answer)
    assert created["type"] == "response.created"
    assert reader.others()[:2] == [ResetDetector(), FinishTranscribing(item_id, VOICE_100_MS * 50)]


# --- answers -------------------------------------------------------------------------------------------------------------


def begun(response_id: str = "resp_k3_0001", **fields: Any) -> list[dict[str, Any]]:
    response = {
        "id": response_id,
        "object": "realtime.response",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_k3_0001",
        "metadata": None,
        "usage": None,
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": PCM, "voice": "alloy"}},
        **fields,
    }
    limits = [
        {"name": "requests", "limit": 10_000, "remaining": 9_999, "reset_seconds": 0.0},
        {"name": "tokens", "limit": 10_000_000, "remaining": 9_999_000, "reset_seconds": 0.0},
    ]
    return [
        {"type": "response.created", "response": response},
        {"type": "rate_limits.updated", "rate_limits": limits},
    ]


def usage(*, read: int, written: int, spoken: int) -> dict[str, Any]:
    none_cached = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    return {
        "total_tokens": read + written + spoken,
        "input_tokens": read,
        "output_tokens": written + spoken,
        "input_token_details": {
            "text_tokens": read,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": none_cached,
        },
        "output_token_details": {"text_tokens": written, "audio_tokens": spoken},
    }


def test_an_answer_that_is_spoken(reader: Reader) -> None:
    reader.update(instructions="Be brief.")
    asked, item_id, response_id = reader.say("hi"), "item_k3_0002", "resp_k3_0001"
    events = reader.send("response.create")
    (generate,) = reader.others()
    assert generate == Generate(
        AnswerRequest(
            response_id=response_id,
            instructions="Be brief.",
            items=(
                UserMessage(
                    id=asked,
                    object="realtime.item",
                    status="completed",
                    content=(ContentPart(type="input_text", text="hi"),),
                ),
            ),
        )
    )
    peer = reader.peer
    for report in (
        peer.answer_text(response_id, "Hello"),
        peer.answer_audio(response_id, SILENCE_100_MS),
        peer.answer_text(response_id, " you."),
        peer.finish(response_id),
    ):
        events += reader.take(report)
    of_response = {"response_id": response_id, "output_index": 0}
    place = {**of_response, "item_id": item_id, "content_index": 0}
    empty = message(item_id, "assistant", status="in_progress")
    whole = message(item_id, "assistant", {"type": "output_audio", "transcript": "Hello you."})
    done = {**begun()[0]["response"], "status": "completed", "output": [whole]}
    assert events == [
        *begun(),
        {"type": "response.output_item.added", **of_response, "item": empty},
        {"type": "conversation.item.added", "item": empty, "previous_item_id": asked},
        {"type": "response.content_part.added", **place, "part": {"type": "audio", "transcript": ""}},
        {"type": "response.output_audio_transcript.delta", **place, "delta": "Hello"},
        {"type": "response.output_audio.delta", **place, "delta": base64.b64encode(SILENCE_100_MS).decode()},
        {"type": "response.output_audio_transcript.delta", **place, "delta": " you."},
        {"type": "response.output_audio.done", **place},
        {"type": "response.output_audio_transcript.done", **place, "transcript": "Hello you."},
        {"type": "response.content_part.done", **place, "part": {"type": "audio", "transcript": "Hello you."}},
        {"type": "response.output_item.done", **of_response, "item": whole},
        {"type": "conversation.item.done", "item": whole, "previous_item_id": asked},
        {"type": "response.done", "response": {**done, "usage": usage(read=4, written=3, spoken=2)}},
    ]
    assert reader.others() == []


def test_an_answer_that_is_written(reader: Reader) -> None:
    reader.update(instructions="")
    events = reader.send("response.create", response={"output_modalities": ["text"], "max_output_tokens": 100})
    item_id, response_id = "item_k3_0001", "resp_k3_0001"
    for report in (
        reader.peer.answer_text(response_id, "Hello"),
        reader.peer.answer_audio(response_id, SILENCE_100_MS),
        reader.peer.finish(response_id),
    ):
        events += reader.take(report)
    of_response = {"response_id": response_id, "output_index": 0}
    place = {**of_response, "item_id": item_id, "content_index": 0}
    empty = message(item_id, "assistant", status="in_progress")
    whole = message(item_id, "assistant", {"type": "output_text", "text": "Hello"})
    beginning = begun(output_modalities=["text"], max_output_tokens=100)
    done = {**beginning[0]["response"], "status": "completed", "output": [whole]}
    assert events == [
        *beginning,
        {"type": "response.output_item.added", **of_response, "item": empty},
        {"type": "conversation.item.added", "item": empty, "previous_item_id": None},
        {"type": "response.content_part.added", **place, "part": {"type": "text", "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "Hello"},
        {"type": "response.output_text.done", **place, "text": "Hello"},
        {"type": "response.content_part.done", **place, "part": {"type": "text", "text": "Hello"}},
        {"type": "response.output_item.done", **of_response, "item": whole},
        {"type": "conversation.item.done", "item": whole, "previous_item_id": None},
        {"type": "response.done", "response": {**done, "usage": usage(read=0, written=2, spoken=0)}},
    ]


def test_an_answer_that_calls_a_function_after_some_words(reader: Reader) -> None:
    response_id = reader.respond()
    reader.take(reader.peer.answer_text(response_id, "Wait."))
    said = message("item_k3_0001", "assistant", {"type": "output_audio", "transcript": "Wait."})
    arguments = '{"city": "a name that is long"}'
    *ends, added, added_too, first, second, done, item_done, done_too = reader.take(
        reader.peer.answer_call(response_id, "get_weather", arguments)
    )
    assert [event["type"] for event in ends][-2:] == ["response.output_item.done", "conversation.item.done"]
    assert ends[-1]["item"] == said
    call = {"type": "function_call", "id": "item_k3_0002", "object": "realtime.item", "call_id": "call_k3_0001"}
    call["name"] = "get_weather"
    of_response = {"response_id": response_id, "output_index": 1}
    place = {**of_response, "item_id": "item_k3_0002", "call_id": "call_k3_0001"}
    empty = {**call, "status": "in_progress", "arguments": ""}
    whole = {**call, "status": "completed", "arguments": arguments}
    assert added == {"type": "response.output_item.added", **of_response, "item": empty}
    assert added_too == {"type": "conversation.item.added", "item": empty, "previous_item_id": "item_k3_0001"}
    assert first == {"type": "response.function_call_arguments.delta", **place, "delta": arguments[:24]}
    assert second == {"type": "response.function_call_arguments.delta", **place, "delta": arguments[24:]}
    assert done == {
        "type": "response.function_call_arguments.done",
        **place,
        "name": "get_weather",
        "arguments": arguments,
    }
    assert item_done == {"type": "response.output_item.done", **of_response, "item": whole}
    assert done_too == {"type": "conversation.item.done", "item": whole, "previous_item_id": "item_k3_0001"}
    (over,) = reader.take(reader.peer.finish(response_id))
    assert over["response"]["output"] == [said, whole]
    assert over["response"]["usage"]["output_token_details"] == {"text_tokens": 9, "audio_tokens": 0}


@pytest.mark.parametrize(
    ("way", "status", "details"),
    [
        ("finish", "completed", None),
        ("cancel", "cancelled", {"type": "cancelled", "reason": "client_cancelled"}),
        ("interrupt", "cancelled", {"type": "cancelled", "reason": "turn_detected"}),
        ("exhaust", "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}),
        (
            "fail",
            "failed",
            {"type": "failed", "error": {"type": "server_error", "code": "overloaded", "message": "Later."}},
        ),
    ],
)
def test_how_an_answer_ends(reader: Reader, way: str, status: str, details: dict[str, Any] | None) -> None:
    response_id = reader.respond(max_output_tokens=2, metadata={"topic": "mood"})
    reader.take(reader.peer.answer_text(response_id, "I wa"))
    ends = {
        "finish": lambda: reader.take(reader.peer.finish(response_id)),
        "cancel": lambda: reader.send("response.cancel"),
        "interrupt": lambda: reader.take(reader.peer.speech_started(0, 0))[1:],
        "exhaust": lambda: reader.take(reader.peer.answer_text(response_id, "s"))[1:],
        "fail": lambda: reader.take(reader.peer.fail(response_id, "overloaded", "Later.")),
    }
    events = ends[way]()
    text = "I was" if way == "exhaust" else "I wa"
    item_status = "completed" if way == "finish" else "incomplete"
    said = message("item_k3_0001", "assistant", {"type": "output_audio", "transcript": text}, status=item_status)
    assert [event["type"] for event in events] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert events[3]["item"] == events[4]["item"] == said
    response = events[-1]["response"]
    assert (response["status"], response["status_details"], response["output"]) == (status, details, [said])
    assert (response["metadata"], response["conversation_id"]) == ({"topic": "mood"}, "conv_k3_0001")
    stops = [StopGenerating(response_id)] if way in ("cancel", "interrupt", "exhaust") else []
    assert [effect for effect in reader.others() if not isinstance(effect, StartTranscribing)] == stops


def test_an_answer_with_settings_of_its_own_beside_the_conversation(reader: Reader) -> None:
    tools = [{"type": "function", "name": "f", "description": "Finds.", "parameters": {"type": "object"}}]
    own = {
        "instructions": "Be rude.",
        "tools": tools,
        "tool_choice": {"type": "function", "name": "f"},
        "audio": {"output": {"format": {"type": "audio/pcma"}, "voice": {"id": "voice_1"}}},
        "metadata": {"topic": "mood"},
        "max_output_tokens": 7,
    }
    reader.update(audio={"output": {"speed": 1.2}})
    events = reader.send("response.create", response={**own, "conversation": "none", "input": []})
    expected = begun(conversation_id=None, metadata={"topic": "mood"}, max_output_tokens=7, audio=own["audio"])
    assert events == expected
    assert reader.others() == [
        Generate(
            AnswerRequest(
                response_id="resp_k3_0001",
                instructions="Be rude.",
                items=(),
                tools=tuple(tools),
                tool_choice={"type": "function", "name": "f"},
                voice="voice_1",
                speed=1.2,
                audio_format=AudioFormat.PCMA,
                metadata={"topic": "mood"},
            )
        )
    ]
    added, part, delta = reader.take(reader.peer.answer_audio("resp_k3_0001", bytes(80)))
    assert (added["type"], part["type"]) == ("response.output_item.added", "response.content_part.added")
    assert delta["delta"] == base64.b64encode(bytes(80)).decode()
    *_, done = reader.take(reader.peer.finish("resp_k3_0001"))
    assert done["response"]["usage"]["output_token_details"] == {"text_tokens": 0, "audio_tokens": 1}
