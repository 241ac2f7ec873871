"""Settings: what is sent, where it stands on the wire, and who wins."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.protocol.driver import brief, get_weather, greeter
from trio_codex.agent import Agent
from trio_codex.errors import ConfigurationError
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import (
    UNSET,
    FunctionCall,
    RealtimeSession,
    SemanticVAD,
    ServerVAD,
    SessionSettings,
    Transcription,
    structure,
    unstructure,
)
from trio_codex.protocol.settings import session_object


def test_unset_is_not_sent() -> None:
    assert SessionSettings().to_wire() == {"type": "realtime"}
    assert not UNSET
    assert repr(UNSET) == "UNSET"


@pytest.mark.parametrize(
    ("settings", "wire"),
    [
        ({"instructions": "Be brief."}, {"instructions": "Be brief."}),
        ({"output_modalities": ["text"]}, {"output_modalities": ["text"]}),
        ({"voice": "alloy"}, {"audio": {"output": {"voice": "alloy"}}}),
        ({"voice": {"id": "voice_1"}}, {"audio": {"output": {"voice": {"id": "voice_1"}}}}),
        ({"speed": 1.2}, {"audio": {"output": {"speed": 1.2}}}),
        ({"input_format": "pcm16"}, {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}),
        ({"output_format": "g711_ulaw"}, {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}),
        ({"output_format": "audio/pcma"}, {"audio": {"output": {"format": {"type": "audio/pcma"}}}}),
        ({"input_format": {"type": "audio/pcmu"}}, {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}),
        ({"noise_reduction": "near_field"}, {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}}),
        (
            {"turn_detection": ServerVAD(threshold=0.4, create_response=False)},
            {
                "audio": {
                    "input": {"turn_detection": {"type": "server_vad", "threshold": 0.4, "create_response": False}}
                }
            },
        ),
        (
            {"turn_detection": SemanticVAD(eagerness="low", interrupt_response=False)},
            {
                "audio": {
                    "input": {
                        "turn_detection": {"type": "semantic_vad", "eagerness": "low", "interrupt_response": False}
                    }
                }
            },
        ),
        (
            {"transcription": Transcription(model="gpt-transcribe", language="en")},
            {"audio": {"input": {"transcription": {"model": "gpt-transcribe", "language": "en"}}}},
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "name": "get_weather"}},
            {"tool_choice": {"type": "function", "name": "get_weather"}},
        ),
        ({"max_output_tokens": "inf"}, {"max_output_tokens": "inf"}),
        ({"truncation": "disabled"}, {"truncation": "disabled"}),
        ({"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"prompt": {"id": "pmpt_1"}}, {"prompt": {"id": "pmpt_1"}}),
        ({"tracing": "auto"}, {"tracing": "auto"}),
        (
            {"include": ["item.input_audio_transcription.logprobs"]},
            {"include": ["item.input_audio_transcription.logprobs"]},
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_stand_where_the_wire_wants_them(settings: dict[str, Any], wire: dict[str, Any]) -> None:
    written = SessionSettings(**settings).to_wire()
    assert written == {"type": "realtime", **wire}
    assert unstructure(structure(written, RealtimeSession)) == written


NEVER_NULL = {"output_modalities", "input_format", "output_format"}


@pytest.mark.parametrize("name", sorted({field.name for field in attrs.fields(SessionSettings)} - NEVER_NULL))
def test_none_is_sent_as_null(name: str) -> None:
    off: dict[str, Any] = {name: None}
    written = SessionSettings(**off).to_wire()
    place: Any = unstructure(structure(written, RealtimeSession))
    assert place == written
    while isinstance(place, dict) and name not in place:
        place = place.get("audio") or place.get("input") or place.get("output")
    assert place[name] is None


def test_several_settings_share_their_nests() -> None:
    settings = SessionSettings(voice="alloy", speed=1.0, turn_detection=None, transcription=None)
    assert settings.to_wire()["audio"] == {
        "output": {"voice": "alloy", "speed": 1.0},
        "input": {"turn_detection": None, "transcription": None},
    }


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"pcm16, audio/pcm, .* not 'mp3'"):
        SessionSettings(output_format="mp3").to_wire()


TUNED = {"threshold": 0.4, "prefix_padding_ms": 100, "silence_duration_ms": 200}


@pytest.mark.parametrize(
    ("turns", "in_a_call"),
    [
        (ServerVAD(**TUNED, create_response=False), ServerVAD(create_response=False)),
        ({"type": "server_vad", **TUNED, "create_response": False}, {"type": "server_vad", "create_response": False}),
        (SemanticVAD(eagerness="low"), SemanticVAD(eagerness="low")),
        (None, None),
        (UNSET, UNSET),
    ],
)
def test_a_call_brings_its_formats_and_takes_no_tuning(turns: Any, in_a_call: Any) -> None:
    settings = SessionSettings(voice="ash", input_format="pcm16", output_format="pcm16", turn_detection=turns)
    assert settings.for_call() == SessionSettings(voice="ash", turn_detection=in_a_call)


def test_later_settings_lie_over_earlier_ones() -> None:
    both = SessionSettings(voice="alloy", speed=1.0).overlaid(SessionSettings(speed=None, tool_choice="none"))
    assert both == SessionSettings(voice="alloy", speed=None, tool_choice="none")


def test_the_first_update_has_the_agents_instructions_voice_and_tools() -> None:
    agent = Agent(name="A", instructions="Say hello.", voice="ash", tools=[get_weather])
    session = session_object(brief(agent), SessionSettings())
    assert session["instructions"] == "Say hello."
    assert session["audio"]["output"]["voice"] == "ash"
    assert session["tools"] == [get_weather.schema()]


def test_handoffs_are_tools_after_the_tools() -> None:
    names = [entry["name"] for entry in session_object(brief(greeter), SessionSettings())["tools"]]
    assert names == ["get_weather", "get_time", "search", "transfer_to_techsupport"]


def test_settings_win_over_the_agent() -> None:
    agent = Agent(name="A", instructions="Say hello.", voice="ash")
    session = session_object(brief(agent), SessionSettings(instructions="Say nothing.", voice="alloy"))
    assert session["instructions"] == "Say nothing."
    assert session["audio"]["output"]["voice"] == "alloy"


def test_handoffs_are_found_before_tools_of_the_same_name() -> None:
    briefing = brief(greeter)
    assert briefing.find_handoff("transfer_to_techsupport") is not None
    assert briefing.find_handoff("get_weather") is None
    assert briefing.find_tool("get_weather") is get_weather
    assert briefing.find_tool("nothing") is None


def test_a_call_beside_a_session_is_part_of_no_response() -> None:
    call = brief(greeter).read_call(FunctionCall(call_id="call_1", name="get_weather", arguments="{}"))
    assert call.tool is get_weather
    assert (call.call_id, call.response_id, call.handoff) == ("call_1", "", None)


def test_an_agent_without_a_voice_leaves_the_voice_alone() -> None:
    assert "audio" not in session_object(brief(Agent(name="A")), SessionSettings())


ODD: Any = object()


@pytest.mark.parametrize(
    "settings",
    [
        {"reasoning": {"effort": ODD}},
        {"turn_detection": ServerVAD(threshold=ODD)},
        {"transcription": Transcription(prompt=ODD)},
        {"noise_reduction": "near\ud800field"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_is_no_json_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=rf"SessionSettings\.{next(iter(settings))}"):
        SessionSettings(**settings).to_wire()


def test_a_tool_that_is_no_json_is_named() -> None:
    odd = attrs.evolve(get_weather, parameters={"type": ODD})
    with pytest.raises(ConfigurationError, match="tool 'get_weather'"):
        session_object(brief(Agent(name="A", tools=[odd])), SessionSettings())


def test_servers_are_found_by_their_label_among_the_tools() -> None:
    shop = HostedMcp(server_label="shop", server_url="https://shop.example/mcp")
    bank = HostedMcp(server_label="bank", server_url="https://bank.example/mcp")
    briefing = brief(Agent(name="A", tools=[get_weather, bank, shop]))
    assert briefing.find_hosted("shop") is shop
    assert briefing.find_hosted("get_weather") is None
    assert briefing.find_tool("shop") is None
