"""The settings in force: what a patch changes, what it leaves, and what one response goes by."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from trio_codex.audio import AudioFormat
from trio_codex.grammar import Refusal
from trio_codex.protocol.peer_session import ResponseConfig, SessionConfig, SessionState

IDLE = SessionState(voice_heard=False, answering=False)
HEARD = SessionState(voice_heard=True, answering=False)
ANSWERING = SessionState(voice_heard=False, answering=True)


def session(kind: str = "realtime") -> SessionConfig:
    return SessionConfig(model="gpt-realtime", session_id="sess_1", expires_at=7, kind=kind)


def updated(config: SessionConfig, state: SessionState = IDLE, **patch: Any) -> dict[str, Any]:
    config.update({"type": config.json["type"], **patch}, state)
    return config.json


def ears(**fields: Any) -> dict[str, Any]:
    return {"input": fields}


def voice(**fields: Any) -> dict[str, Any]:
    return {"output": fields}


# --- patches -------------------------------------------------------------------------------------------------------------


def test_an_empty_patch_changes_nothing() -> None:
    config = session()
    before = copy.deepcopy(config.json)
    assert updated(config) == before
    assert updated(config, audio={"input": {}, "output": {}}) == before


@pytest.mark.parametrize("kind", ["realtime", "transcription"])
def test_sessions_share_nothing(kind: str) -> None:
    before = copy.deepcopy(session(kind).json)
    one = session(kind)
    one.json["audio"]["input"]["format"]["rate"] = 1
    one.json["audio"]["input"]["turn_detection"]["threshold"] = 1
    assert session(kind).json == before


def test_a_patch_is_not_kept_itself() -> None:
    config = session()
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    detection = {"type": "semantic_vad"}
    updated(config, tools=[tool], audio=ears(turn_detection=detection))
    tool["name"], detection["type"] = "g", "x"
    assert config.json["tools"][0]["name"] == "f"
    assert config.json["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"


def test_objects_are_merged_and_lists_are_replaced() -> None:
    config = session()
    updated(config, tools=[{"type": "function", "name": "f"}], prompt={"id": "p", "variables": {"a": "1"}})
    assert updated(config, prompt={"id": "p", "variables": {"b": "2"}}, tools=[{"type": "function", "name": "g"}])
    assert config.json["prompt"] == {"id": "p", "variables": {"a": "1", "b": "2"}}
    assert config.json["tools"] == [{"type": "function", "name": "g"}]


def test_another_type_is_another_object() -> None:
    config = session()
    updated(config, audio=voice(format={"type": "audio/pcmu"}))
    assert config.json["audio"]["output"]["format"] == {"type": "audio/pcmu"}
    truncation = {"type": "retention_ratio", "retention_ratio": 0.5}
    assert updated(config, truncation=truncation)["truncation"] == truncation
    assert updated(config, truncation="disabled")["truncation"] == "disabled"


def test_turning_the_detection_on_brings_its_defaults() -> None:
    config = session()
    default = config.json["audio"]["input"]["turn_detection"]
    updated(config, audio=ears(turn_detection=None))
    assert (config.turn_detection, config.idle_timeout_ms) == (None, None)
    updated(config, audio=ears(turn_detection={"type": "server_vad", "idle_timeout_ms": 6000}))
    assert config.turn_detection == {**default, "idle_timeout_ms": 6000}
    assert config.idle_timeout_ms == 6000
    semantic = {"type": "semantic_vad", "eagerness": "auto", "create_response": True, "interrupt_response": True}
    updated(config, audio=ears(turn_detection={"type": "semantic_vad", "create_response": False}))
    assert config.turn_detection == {**semantic, "create_response": False}
    assert config.idle_timeout_ms is None
    updated(config, audio=ears(turn_detection={"type": "server_vad"}))
    assert config.turn_detection == default


def test_what_the_session_says_of_its_ears() -> None:
    config = session()
    assert (config.speaks, config.transcribes, config.input_format) == (True, False, AudioFormat.PCM16)
    updated(config, audio=ears(transcription={"model": "whisper-1"}, format={"type": "audio/pcma"}))
    assert (config.transcribes, config.input_format) == (True, AudioFormat.PCMA)
    writer = session("transcription")
    assert (writer.speaks, writer.transcribes) == (False, True)
    updated(writer, audio=ears(turn_detection={"type": "server_vad", "idle_timeout_ms": 6000}))
    assert writer.idle_timeout_ms is None


def test_the_live_model_detects_no_turns() -> None:
    config = session()
    live = {"model": "gpt-realtime-whisper", "delay": "low"}
    merged = updated(config, audio=ears(transcription=live, turn_detection=None))
    assert merged["audio"]["input"]["transcription"] == live
    with pytest.raises(Refusal) as caught:
        updated(config, audio=ears(turn_detection={"type": "server_vad"}))
    assert caught.value.param == "session.audio.input.turn_detection"
    with pytest.raises(Refusal) as caught:
        updated(config, audio=ears(transcription={"model": "whisper-1"}))
    assert caught.value.param == "session.audio.input.transcription.delay"
    updated(config, audio=ears(transcription=None))


def test_what_depends_on_the_state_of_the_session() -> None:
    config = session()
    for state in (HEARD, ANSWERING):
        updated(config, state, audio=voice(voice="alloy", speed=1.0))
    updated(config, HEARD, audio=voice(speed=1.2))
    updated(config, ANSWERING, audio=voice(voice="ash"))
    with pytest.raises(Refusal) as caught:
        updated(config, HEARD, audio=voice(voice="echo"))
    assert caught.value.code == "cannot_update_voice"
    with pytest.raises(Refusal) as caught:
        updated(config, ANSWERING, audio=voice(speed=1.1))
    assert caught.value.param == "session.audio.output.speed"


def test_tools_may_go_while_a_choice_stands_that_nobody_repeats() -> None:
    """A patch that names the choice is held to it; one that does not may change the tools under it."""
    config = session()
    choice = {"type": "function", "name": "f"}
    updated(config, tools=[{"type": "function", "name": name} for name in "fg"], tool_choice=choice)
    updated(config, tools=[])
    assert config.json["tool_choice"] == choice
    with pytest.raises(Refusal) as caught:
        updated(config, tool_choice=choice)
    assert caught.value.param == "session.tool_choice.name"


# --- one response --------------------------------------------------------------------------------------------------------


def of(config: SessionConfig, overrides: Mapping[str, Any], state: SessionState = IDLE) -> ResponseConfig:
    return ResponseConfig.of(config, overrides, state)


def test_a_response_goes_by_the_session() -> None:
    config = session()
    tools = [{"type": "function", "name": "f"}]
    updated(
        config,
        instructions="Be brief.",
        tools=tools,
        tool_choice="required",
        output_modalities=["text"],
        max_output_tokens=9,
        audio=voice(voice={"id": "v"}, speed=1.5, format={"type": "audio/pcmu"}),
    )
    response = of(config, {})
    assert response == ResponseConfig(
        instructions="Be brief.",
        tools=tuple(tools),
        tool_choice="required",
        modality="text",
        max_output_tokens=9,
        voice={"id": "v"},
        speed=1.5,
        audio_format=AudioFormat.PCMU,
        metadata=None,
        in_conversation=True,
    )
    assert response.voice_name == "v"


def test_an_override_holds_for_the_response_and_not_for_the_session() -> None:
    config = session()
    before = copy.deepcopy(config.json)
    overrides = {
        "instructions": "Be rude.",
        "tools": [{"type": "function", "name": "g"}],
        "tool_choice": {"type": "function", "name": "g"},
        "output_modalities": ["text"],
        "max_output_tokens": 3,
        "conversation": "none",
        "metadata": {"topic": "mood"},
        "audio": voice(voice="ash", format={"type": "audio/pcma"}),
    }
    response = of(config, overrides)
    assert response == ResponseConfig(
        instructions="Be rude.",
        tools=({"type": "function", "name": "g"},),
        tool_choice={"type": "function", "name": "g"},
        modality="text",
        max_output_tokens=3,
        voice="ash",
        speed=1.0,
        audio_format=AudioFormat.PCMA,
        metadata={"topic": "mood"},
        in_conversation=False,
    )
    assert response.voice_name == "ash"
    assert config.json == before


def test_another_voice_is_heard_only_beside_the_conversation() -> None:
    config = session()
    other = {"audio": voice(voice="ash")}
    assert of(config, other).voice == "ash"
    assert of(config, {**other, "conversation": "none"}, HEARD).voice == "ash"
    assert of(config, {"audio": voice(voice="alloy"), "conversation": "auto"}, HEARD).voice == "alloy"
    for overrides in (other, {**other, "conversation": "auto"}):
        with pytest.raises(Refusal) as caught:
            of(config, overrides, HEARD)
        assert (caught.value.code, caught.value.param) == ("cannot_update_voice", "response.audio.output.voice")


@pytest.mark.parametrize(
    ("overrides", "param"),
    [
        ({"tools": [{"type": "function", "name": "f"}] * 2}, "response.tools"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "response.tool_choice.name"),
        ({"speed": 1}, "response.speed"),
        ({"metadata": "mood"}, "response.metadata"),
        ({"metadata": {"topic": 1}}, "response.metadata.topic"),
    ],
)
def test_what_a_response_cannot_go_by(overrides: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        of(session(), overrides)
    assert caught.value.param == param


def test_a_choice_that_the_tools_of_a_response_do_not_hold() -> None:
    config = session()
    updated(config, tools=[{"type": "function", "name": "f"}], tool_choice={"type": "function", "name": "f"})
    with pytest.raises(Refusal) as caught:
        of(config, {"tools": []})
    assert caught.value.param == "response.tool_choice.name"
    assert of(config, {"tools": [], "tool_choice": "auto"}).tool_choice == "auto"
