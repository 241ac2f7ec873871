"""Offline validation: each rule with what passes and what does not, and messages of three parts. In a session: tests/session."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from trio_codex.agent import Agent, Handoff
from trio_codex.errors import ConfigurationError
from trio_codex.protocol import (
    Briefing,
    SemanticVAD,
    ServerVAD,
    SessionSettings,
    SessionUpdate,
    Transcription,
    check_event,
    check_response,
    check_session,
    check_settings,
    encode_client_event,
    structure,
)
from trio_codex.protocol.rules import RESPONSE, SESSION, SHUTDOWNS, SPEECH_VOICES, VOICES, WITHOUT_REASONING
from trio_codex.protocol.sessions import ClientSession
from trio_codex.protocol.settings import UNSET, session_object
from trio_codex.testing.strategies import json_objects, json_values
from trio_codex.tools import Tool, tool

PROPERTY = hypothesis_settings(max_examples=200, deadline=None)

DESCRIPTION = "the API's description"
MODELS = "the API's models"
THIRD_PARTY = "(third party)"


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return city


SUPPORT = Agent(name="Support")
GREETER = Briefing(
    agent=Agent(name="Greeter"), instructions="Greet.", tools=(get_weather,), handoffs=(Handoff(SUPPORT),)
)


def check(settings: SessionSettings, **known: Any) -> tuple[str, ...]:
    return check_settings(settings, GREETER, **known)


def refusal(settings: SessionSettings, **known: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check(settings, **known)
    return str(caught.value)


# --- settings ----------------------------------------------------------------------------------------------------------

PASSING: list[dict[str, Any]] = [
    {},
    {"voice": "alloy", "turn_detection": SemanticVAD(eagerness="medium")},
    {"output_modalities": ["audio"]},
    {"output_modalities": ("text",)},
    {"voice": "cedar"},
    {"voice": "a-voice-of-tomorrow"},
    {"voice": {"id": "voice_123"}},
    {
        "voice": None,
        "speed": None,
        "max_output_tokens": None,
        "tool_choice": None,
        "truncation": None,
        "reasoning": None,
    },
    {"speed": 0.25},
    {"speed": 1.5},
    {"speed": 1},
    {"max_output_tokens": 1},
    {"max_output_tokens": 4096},
    {"max_output_tokens": "inf"},
    {"turn_detection": None},
    {"turn_detection": ServerVAD(idle_timeout_ms=5000, threshold=0)},
    {"turn_detection": ServerVAD(idle_timeout_ms=30000, threshold=1.0, prefix_padding_ms=0, silence_duration_ms=9999)},
    {"turn_detection": ServerVAD(idle_timeout_ms=None)},
    {"turn_detection": {"type": "semantic_vad", "eagerness": "low", "model_version": "x"}},
    {"turn_detection": {"type": "telepathic_vad", "distance": 3}},
    {"noise_reduction": "near_field"},
    {"noise_reduction": {"type": "far_field", "strength": 0.5}},
    {"noise_reduction": None},
    {"transcription": Transcription(model="gpt-transcribe", prompt="names", languages=("de", "en"))},
    {"transcription": Transcription(model="gpt-realtime-whisper", delay="xhigh"), "turn_detection": None},
    {"transcription": Transcription(model="whisper-of-tomorrow", delay="low")},
    {"transcription": None},
    {"input_format": "pcm16", "output_format": "g711_ulaw"},
    {"input_format": {"type": "audio/pcm", "rate": 24000}, "output_format": {"type": "audio/pcma"}},
    {"input_format": {"type": "audio/pcm"}},
    {"tool_choice": "required"},
    {"tool_choice": {"type": "function", "name": "get_weather"}},
    {"tool_choice": {"type": "function", "name": "transfer_to_support"}},
    {"tool_choice": {"type": "mcp", "server_label": "files", "name": "read"}},
    {"truncation": "auto"},
    {"truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 0}}},
    {"truncation": {"type": "summary", "of": "tomorrow"}},
    {"reasoning": {"effort": "minimal"}, "parallel_tool_calls": True},
    {"prompt": {"id": "pmpt_1", "variables": {"temperature": "warm", "voice": "soft"}}},
    {"tracing": {"workflow_name": "calls", "metadata": {"modalities": ["a", "b"]}}},
    {"tracing": "auto", "include": ["item.input_audio_transcription.logprobs", "item.of.tomorrow"]},
    {"prompt": MappingProxyType({"id": "pmpt_1"})},
]

# What is set, and the three parts of the message: the field, the rule, where the rule comes from.
FAILING: list[tuple[dict[str, Any], str, str, str]] = [
    ({"output_modalities": ["audio", "text"]}, "output_modalities", "['audio'] or ['text']", DESCRIPTION),
    ({"output_modalities": []}, "output_modalities", "['audio'] or ['text']", DESCRIPTION),
    ({"output_modalities": ["video"]}, "output_modalities", "['audio'] or ['text']", DESCRIPTION),
    ({"output_modalities": "audio"}, "output_modalities", "expected an array", MODELS),
    ({"voice": "nova"}, "voice", "alloy, ash, ballad, coral, echo, sage, shimmer, verse, marin, cedar", THIRD_PARTY),
    ({"voice": "fable"}, "voice", "realtime voice", MODELS),
    ({"voice": "onyx"}, "voice", "realtime voice", MODELS),
    ({"voice": {"name": "me"}}, "voice.id", "required field missing", MODELS),
    ({"voice": 7}, "voice", "expected a string or an object", MODELS),
    ({"speed": 0.24}, "speed", "0.25 to 1.5, not 0.24", DESCRIPTION),
    ({"speed": 1.51}, "speed", "0.25 to 1.5", DESCRIPTION),
    ({"speed": "fast"}, "speed", "expected a number", MODELS),
    ({"speed": float("nan")}, "speed", "a JSON value, which nan is not", "JSON"),
    ({"max_output_tokens": 0}, "max_output_tokens", "1 to 4096 or 'inf', not 0", DESCRIPTION),
    ({"max_output_tokens": 4097}, "max_output_tokens", "1 to 4096 or 'inf'", DESCRIPTION),
    ({"max_output_tokens": "many"}, "max_output_tokens", "1 to 4096 or 'inf', not 'many'", DESCRIPTION),
    ({"max_output_tokens": True}, "max_output_tokens", "expected an integer or a string", MODELS),
    (
        {"turn_detection": ServerVAD(idle_timeout_ms=4999)},
        "turn_detection.idle_timeout_ms",
        "5000 to 30000",
        DESCRIPTION,
    ),
    (
        {"turn_detection": ServerVAD(idle_timeout_ms=30001)},
        "turn_detection.idle_timeout_ms",
        "5000 to 30000",
        DESCRIPTION,
    ),
    (
        {"turn_detection": {"type": "semantic_vad", "idle_timeout_ms": 6000}},
        "turn_detection.idle_timeout_ms",
        "left out: semantic_vad goes by what is said",
        DESCRIPTION,
    ),
    ({"turn_detection": ServerVAD(threshold=1.01)}, "turn_detection.threshold", "0 to 1, not 1.01", DESCRIPTION),
    ({"turn_detection": ServerVAD(threshold=-0.1)}, "turn_detection.threshold", "0 to 1", DESCRIPTION),
    ({"turn_detection": {"type": "semantic_vad", "threshold": 0.5}}, "turn_detection.threshold", "left out", MODELS),
    (
        {"turn_detection": {"type": "semantic_vad", "prefix_padding_ms": 1}},
        "turn_detection.prefix_padding_ms",
        "out",
        MODELS,
    ),
    ({"turn_detection": {"type": "semantic_vad", "silence_duration_ms": 1}}, "turn_detection.silence_d", "out", MODELS),
    (
        {"turn_detection": {"type": "server_vad", "eagerness": "low"}},
        "turn_detection.eagerness",
        "semantic_vad",
        MODELS,
    ),
    ({"turn_detection": SemanticVAD(eagerness="keen")}, "turn_detection.eagerness", "or 'auto', not 'keen'", MODELS),
    ({"turn_detection": {"threshold": 0.5}}, "turn_detection.type", "required field missing", MODELS),
    ({"turn_detection": "server_vad"}, "turn_detection", "expected an object", MODELS),
    ({"noise_reduction": "mid_field"}, "noise_reduction must", "'near_field' or 'far_field', not 'mid_field'", MODELS),
    ({"noise_reduction": {"type": "mid_field"}}, "noise_reduction.type", "'near_field' or 'far_field'", MODELS),
    (
        {"transcription": Transcription(model="gpt-transcribe", delay="low")},
        "transcription.delay",
        "left out: only gpt-realtime-whisper",
        DESCRIPTION,
    ),
    (
        {"transcription": Transcription(model="gpt-realtime-whisper", delay="ages"), "turn_detection": None},
        "transcription.delay",
        "or 'xhigh', not 'ages'",
        MODELS,
    ),
    (
        {"transcription": Transcription(model="gpt-realtime-whisper", delay="low"), "turn_detection": ServerVAD()},
        "turn_detection",
        "must be None",
        DESCRIPTION,
    ),
    (
        {"transcription": Transcription(model="gpt-realtime-whisper", prompt="names"), "turn_detection": None},
        "transcription.prompt",
        "left out",
        DESCRIPTION,
    ),
    (
        {"transcription": Transcription(model="gpt-transcribe", languages=())},
        "transcription.languages",
        "name one language at least, not []",
        DESCRIPTION,
    ),
    ({"transcription": {"languages": []}}, "transcription.languages", "one language at least", DESCRIPTION),
    ({"transcription": {"model": 5}}, "transcription.model", "expected a string", MODELS),
    ({"input_format": "mp3"}, "input_format", "pcm16, audio/pcm, g711_ulaw", DESCRIPTION),
    ({"output_format": {"type": "audio/opus"}}, "output_format.type", "'audio/pcm', 'audio/pcmu' or", DESCRIPTION),
    ({"input_format": {"type": "audio/opus"}}, "input_format.type", "or 'audio/pcma', not 'audio/opus'", DESCRIPTION),
    ({"input_format": {"type": "audio/pcm", "rate": 16000}}, "input_format.rate", "24000, not 16000", DESCRIPTION),
    ({"output_format": {"type": "audio/pcm", "rate": 48000}}, "output_format.rate", "24000", DESCRIPTION),
    ({"tool_choice": "any"}, "tool_choice", "'auto', 'none' or 'required', or an object, not 'any'", MODELS),
    (
        {"tool_choice": {"type": "function", "name": "get_wether"}},
        "tool_choice.name",
        "('get_weather', 'transfer_to_support'), not 'get_wether'",
        THIRD_PARTY,
    ),
    ({"truncation": "hard"}, "truncation", "'auto' or 'disabled'", MODELS),
    (
        {"truncation": {"type": "retention_ratio", "retention_ratio": 1.1}},
        "truncation.retention_ratio",
        "0 to 1",
        DESCRIPTION,
    ),
    (
        {"truncation": {"type": "retention_ratio", "retention_ratio": -0.1}},
        "truncation.retention_ratio",
        "0 to 1",
        DESCRIPTION,
    ),
    (
        {"truncation": {"type": "retention_ratio", "retention_ratio": 1, "token_limits": {"post_instructions": -1}}},
        "truncation.token_limits.post_instructions",
        "0 or more",
        DESCRIPTION,
    ),
    ({"reasoning": {"effort": "heroic"}}, "reasoning.effort", "'minimal', 'low'", MODELS),
    ({"reasoning": "low"}, "reasoning", "expected an object", MODELS),
    ({"tracing": {"metadata": {1: "x"}}}, "tracing.metadata", "names that are strings", "JSON"),
    ({"prompt": {"id": "p", "variables": {"when": {1, 2}}}}, "prompt.variables.when", "set is not", "JSON"),
    ({"turn_detection": {"type": "server_vad", "temperature": 0.8}}, "turn_detection.temperature", "beta era", MODELS),
    ({"reasoning": {"modalities": ["text"]}}, "reasoning.modalities", "now it is output_modalities", MODELS),
    (
        {"input_format": {"input_audio_format": "pcm16"}},
        "input_format.input_audio_format",
        "audio.input.format",
        MODELS,
    ),
]


def ids(case: Any) -> str:
    return str(case)[:60].encode("ascii", "replace").decode()


@pytest.mark.parametrize("given_settings", PASSING, ids=ids)
def test_what_the_api_allows_passes(given_settings: dict[str, Any]) -> None:
    assert check(SessionSettings(**given_settings), model="gpt-realtime-2.1", complete=True) == ()


@pytest.mark.parametrize("given_settings", PASSING, ids=ids)
def test_what_passes_can_be_sent(given_settings: dict[str, Any]) -> None:
    session = session_object(GREETER, SessionSettings(**given_settings))
    assert (
        json.loads(encode_client_event(SessionUpdate(session=structure(session, ClientSession))))["session"] == session
    )


@pytest.mark.parametrize(("given_settings", "field", "rule", "source"), FAILING, ids=ids)
def test_a_refusal_names_the_field_the_rule_and_its_source(
    given_settings: dict[str, Any], field: str, rule: str, source: str
) -> None:
    message = refusal(SessionSettings(**given_settings), model="gpt-realtime-2.1")
    assert message.startswith(f"SessionSettings.{field}")
    assert rule in message
    assert source in message
    assert message.endswith("]")


@pytest.mark.parametrize("voice", SPEECH_VOICES)
def test_the_list_of_voices_is_in_the_message(voice: str) -> None:
    message = refusal(SessionSettings(voice=voice))
    assert all(name in message for name in VOICES)


@pytest.mark.parametrize("field", ["reasoning", "parallel_tool_calls"])
@pytest.mark.parametrize("model", WITHOUT_REASONING)
def test_models_that_do_not_reason(model: str, field: str) -> None:
    value: Any = {"effort": "low"} if field == "reasoning" else True
    chosen = SessionSettings(**{field: value})
    message = refusal(chosen, model=model)
    assert message.startswith(f"SessionSettings.{field} must be left out: this model does not reason")
    assert message.endswith(f"[{DESCRIPTION}]")


@pytest.mark.parametrize(
    "model", ["gpt-realtime-2", "gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-realtime-3", "mine", None]
)
def test_models_that_reason_or_are_not_known(model: str | None) -> None:
    assert check(SessionSettings(reasoning={"effort": "low"}, parallel_tool_calls=False), model=model) == ()


def test_a_new_session_detects_turns_unless_told_otherwise() -> None:
    whisper = SessionSettings(transcription=Transcription(model="gpt-realtime-whisper", delay="low"))
    assert refusal(whisper, complete=True).startswith("SessionSettings.turn_detection must be None")
    assert check(whisper) == ()  # an update: it may be off already


def test_an_update_is_seen_with_what_holds_already() -> None:
    whisper = SessionSettings(transcription=Transcription(model="gpt-realtime-whisper"), turn_detection=None)
    assert "turn_detection" in refusal(SessionSettings(turn_detection=ServerVAD()), over=whisper)
    assert check(SessionSettings(turn_detection=ServerVAD()), over=SessionSettings(speed=1.1)) == ()


def test_a_choice_that_an_earlier_agent_had_does_not_stand_in_the_way() -> None:
    earlier = SessionSettings(tool_choice={"type": "function", "name": "of_another_agent"})
    assert check(SessionSettings(speed=1.2), over=earlier) == ()


def test_settings_that_are_none() -> None:
    message = refusal({"voice": "alloy"})  # type: ignore[arg-type]
    assert "settings must be SessionSettings, not dict" in message


def test_a_setting_that_holds_itself() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert "nested too deeply" in refusal(SessionSettings(tracing={"metadata": loop}))


@pytest.mark.parametrize("settings", [{"instructions": "\ud800"}, {"tracing": {"metadata": {"\udfff": 1}}}])
def test_text_that_no_server_could_read(settings: dict[str, Any]) -> None:
    assert "holds half of a surrogate pair" in refusal(SessionSettings(**settings))


def test_a_model_that_no_server_could_read() -> None:
    assert refusal(SessionSettings(), model="gpt\ud800").startswith("session.model holds half of a surrogate pair")


def test_subclasses_of_strings_are_strings() -> None:
    class Voice(str):
        __slots__ = ()

    chosen = SessionSettings(voice=Voice("alloy"), include=(Voice("a"),))
    check(chosen)
    assert type(chosen.to_wire()["audio"]["output"]["voice"]) is str


# --- agents ------------------------------------------------------------------------------------------------------------


def briefing(*tools: Any, handoffs: tuple[Handoff, ...] = (), voice: str | None = None) -> Briefing:
    return Briefing(agent=Agent(name="Greeter", voice=voice), instructions="", tools=tools, handoffs=handoffs)


@attrs.frozen
class Sketch:
    """Something that passes for a tool and is not checked when it is made."""

    name: Any = "sketch"
    description: Any = ""
    parameters: Any = attrs.field(factory=lambda: {"type": "object", "properties": {}})

    def schema(self) -> dict[str, Any]:
        return {"type": "function", "name": self.name, "description": self.description, "parameters": self.parameters}


AGENTS: list[tuple[Briefing, str, str, str]] = [
    (briefing(voice="nova"), "voice of agent 'Greeter'", "a realtime voice", THIRD_PARTY),
    (attrs.evolve(briefing(), instructions=5), "instructions of agent 'Greeter': ", "expected a string", MODELS),
    (briefing(Sketch("get weather")), "name of tool 'get weather' of agent 'Greeter'", "64 letters", "of functions"),
    (briefing(Sketch("x" * 65)), "name of tool 'xxx", "64 letters", "of functions"),
    (briefing(Sketch("")), "name of tool ''", "64 letters", "of functions"),
    (briefing(Sketch("wetter_für")), "name of tool 'wetter_für'", "64 letters", "of functions"),
    (briefing(Sketch(description=7)), "description of tool 'sketch' of agent 'Greeter'", "a string", MODELS),
    (
        briefing(Sketch(parameters={"type": "array"})),
        "parameters.type of tool 'sketch'",
        "'object', not 'array'",
        "of functions",
    ),
    (briefing(Sketch(parameters=["city"])), "parameters of tool 'sketch' of agent 'Greeter'", "a JSON schema", MODELS),
    (
        briefing(Sketch(), handoffs=(Handoff(SUPPORT, description=7),)),  # type: ignore[arg-type]
        "description of handoff 'transfer_to_support' of agent 'Greeter'",
        "a string",
        MODELS,
    ),
    (
        briefing(Sketch(), get_weather, Sketch()),
        "tools and handoffs of agent 'Greeter'",
        "not 'sketch' twice",
        "no more of its tool",
    ),
    (
        briefing(Sketch("transfer_to_support"), handoffs=(Handoff(SUPPORT),)),
        "tools and handoffs of agent 'Greeter'",
        "not 'transfer_to_support' twice",
        "no more of its tool",
    ),
    (
        briefing(Sketch(parameters={"type": "object", "enum": {1}})),
        "tool 'sketch'.parameters.enum",
        "set is not",
        "JSON",
    ),
]


@pytest.mark.parametrize(("agent", "field", "rule", "source"), AGENTS, ids=ids)
def test_agents_and_their_tools(agent: Briefing, field: str, rule: str, source: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_settings(SessionSettings(), agent)
    message = str(caught.value)
    assert message.startswith(field)
    assert rule in message
    assert source in message


@pytest.mark.parametrize(
    "agent",
    [
        GREETER,
        briefing(),
        briefing(voice="marin"),
        briefing(Sketch("A-1_b"), Sketch("x" * 64), Sketch("1st")),
        briefing(Sketch(parameters={})),
        briefing(Sketch(parameters={"type": "object", "properties": {"temperature": {"type": "number"}, "voice": {}}})),
        briefing(Sketch(parameters=MappingProxyType({"type": "object", "required": ("a",)}))),
    ],
    ids=ids,
)
def test_agents_that_are_right(agent: Briefing) -> None:
    assert check_settings(SessionSettings(), agent) == ()


def test_a_tool_made_by_hand_needs_a_schema_of_an_object() -> None:
    by_hand = Tool(name="by_hand", parameters={"type": "string"}, function=print)
    with pytest.raises(
        ConfigurationError, match=r"parameters\.type of tool 'by_hand' of agent 'Greeter' must be 'object'"
    ):
        check_settings(SessionSettings(), briefing(by_hand))


def test_settings_win_over_the_agent_here_too() -> None:
    assert check_settings(SessionSettings(voice="ash"), briefing(voice="nova")) == ()
    with pytest.raises(ConfigurationError, match=r"SessionSettings\.voice"):
        check_settings(SessionSettings(voice="nova"), briefing(voice="ash"))


# --- session objects as the API has them -------------------------------------------------------------------------------

BETA = {
    "modalities": "output_modalities",
    "input_audio_format": "audio.input.format",
    "output_audio_format": "audio.output.format",
    "input_audio_transcription": "audio.input.transcription",
    "input_audio_noise_reduction": "audio.input.noise_reduction",
    "turn_detection": "audio.input.turn_detection",
    "voice": "audio.output.voice",
    "speed": "audio.output.speed",
    "max_response_output_tokens": "max_output_tokens",
    "temperature": None,
}


@pytest.mark.parametrize(("name", "today"), BETA.items())
def test_names_of_the_beta_era_in_a_session_object(name: str, today: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_session({"type": "realtime", name: "x"})
    advice = f"now it is {today}" if today else "the API has nothing in its place"
    assert str(caught.value).startswith(f"session.{name} is a name of the beta era: {advice} [{MODELS}")


def test_a_session_object_is_json() -> None:
    with pytest.raises(ConfigurationError, match=r"^session\.tracing\.of must be a JSON value, which set is not"):
        check_session({"type": "realtime", "tracing": {"of": {1}}})


@pytest.mark.parametrize("session", [{}, {"type": "hologram"}, {"type": 5}, {"type": "translation"}])
def test_the_type_of_a_session(session: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"session\.type"):
        check_session(session)


@pytest.mark.parametrize(
    "session",
    [
        {"type": "realtime"},
        {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-transcribe"}}}},
        {
            "type": "realtime",
            "novelty": {"temperature": 1},
            "audio": {"novelty": [1]},
            "tool_choice": {"type": "novel"},
        },
        {"type": "realtime", "tool_choice": {"type": "function", "name": "set_before"}},
        {"type": "realtime", "tools": [{"type": "mcp", "server_label": "files"}, {"type": "novelty"}]},
        {"type": "realtime", "model": "gpt-realtime", "audio": None},
    ],
    ids=ids,
)
def test_session_objects_that_pass(session: dict[str, Any]) -> None:
    assert check_session(session, complete=True) == ()


def test_a_session_object_names_its_own_model() -> None:
    with pytest.raises(ConfigurationError, match=r"session\.reasoning must be left out"):
        check_session({"type": "realtime", "model": "gpt-realtime", "reasoning": {"effort": "low"}})


def test_what_was_checked_before_is_looked_at_again_once_it_has_changed() -> None:
    session: dict[str, Any] = {"type": "realtime", "audio": {"output": {"speed": 1.5}}, "tools": [{"name": "look"}]}
    for _ in range(2):
        assert check_session(session, model="gpt-4o-realtime-preview", complete=True) == check_session(
            dict(session), model="gpt-4o-realtime-preview"
        )
        assert len(check_session(session, model="gpt-4o-realtime-preview")) == 1
        assert check_session(session, model="gpt-realtime") == ()
    session["tools"][0]["name"] = "look up"
    for name in (None, lambda path: "this"):
        with pytest.raises(ConfigurationError, match="session.tools" if name is None else "this must be"):
            check_session(session, name=name)
    session["tools"][0]["name"] = "look"
    session["audio"]["output"]["speed"] = True  # which is 1, and no number
    with pytest.raises(ConfigurationError, match=r"session\.audio\.output\.speed"):
        check_session(session)


def test_what_holds_by_default_is_part_of_what_is_checked() -> None:
    session = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    for _ in range(2):
        assert check_session(session) == ()
        with pytest.raises(ConfigurationError, match=r"session\.audio\.input\.turn_detection must be None"):
            check_session(session, complete=True)


def test_integers_of_any_size_are_looked_at() -> None:
    assert check_session({"type": "realtime", "novelty": 2**70}) == ()
    with pytest.raises(ConfigurationError, match=r"session\.max_output_tokens must be 1 to 4096"):
        check_session({"type": "realtime", "max_output_tokens": 2**70})


def test_instructions_and_prompts_are_not_repeated() -> None:
    secret = "sk-" + "s" * 40
    for session in (
        {"type": secret},
        {"type": "realtime", "prompt": secret},
        {"type": "realtime", "instructions": [secret]},
    ):
        with pytest.raises(ConfigurationError) as caught:
            check_session(session)
        assert session["type"] == secret or secret not in str(caught.value)


# --- responses and events ----------------------------------------------------------------------------------------------

OVERRIDES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"metadata": {str(n): "" for n in range(17)}}, "response.metadata", "16 pairs at most, not 17", DESCRIPTION),
    ({"metadata": {"k" * 65: ""}}, "response.metadata", "64 characters at most, not of 65", DESCRIPTION),
    ({"metadata": {"k": "v" * 513}}, "response.metadata.k", "512 characters at most, not of 513", DESCRIPTION),
    ({"metadata": {"k": 1}}, "response.metadata.k", "expected a string", MODELS),
    ({"metadata": {"k" * 80: 1}}, f"response.metadata.{'k' * 64}: ", "expected a string", MODELS),
    ({"max_output_tokens": 5000}, "response.max_output_tokens", "1 to 4096 or 'inf'", DESCRIPTION),
    ({"output_modalities": ["text", "audio"]}, "response.output_modalities", "['audio'] or ['text']", DESCRIPTION),
    ({"tool_choice": "always"}, "response.tool_choice", "'auto', 'none' or 'required'", MODELS),
    ({"tool_choice": {"type": "function", "name": "nope"}}, "response.tool_choice.name", "'get_weather'", THIRD_PARTY),
    (
        {"tools": [], "tool_choice": {"type": "function", "name": "get_weather"}},
        "response.tool_choice.name",
        "there are none",
        THIRD_PARTY,
    ),
    ({"audio": {"output": {"voice": "onyx"}}}, "response.audio.output.voice", "realtime voice", THIRD_PARTY),
    ({"voice": "ash"}, "response.voice", "now it is audio.output.voice", MODELS),
    ({"modalities": ["text"]}, "response.modalities", "now it is output_modalities", MODELS),
    ({"temperature": 0.8}, "response.temperature", "nothing in its place", MODELS),
    ({"instructions": 5}, "response.instructions", "expected a string", MODELS),
    ({"metadata": {"k": {1}}}, "response.metadata.k must be a JSON value", "set is not", "JSON"),
]


@pytest.mark.parametrize(("overrides", "field", "rule", "source"), OVERRIDES, ids=ids)
def test_what_a_response_cannot_be_told(overrides: dict[str, Any], field: str, rule: str, source: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_response(overrides, GREETER)
    message = str(caught.value)
    assert message.startswith(field)
    assert rule in message
    assert source in message


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"metadata": {f"{n:064}": "v" * 512 for n in range(16)}},
        {"metadata": None},
        {
            "instructions": "Be brief.",
            "max_output_tokens": "inf",
            "output_modalities": ("text",),
            "conversation": "none",
        },
        {"tool_choice": {"type": "function", "name": "get_weather"}},
        {"tools": [{"type": "function", "name": "own"}], "tool_choice": {"type": "function", "name": "own"}},
        {"audio": {"output": {"voice": "marin", "format": {"type": "audio/pcmu"}}}},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
        {"novelty": 1},
    ],
    ids=ids,
)
def test_what_a_response_can_be_told(overrides: dict[str, Any]) -> None:
    assert check_response(overrides, GREETER, model="gpt-realtime") is not None


def test_a_response_of_a_model_that_does_not_reason() -> None:
    with pytest.raises(ConfigurationError, match=r"response\.reasoning must be left out"):
        check_response({"reasoning": {"effort": "low"}}, GREETER, model="gpt-realtime")


def test_event_ids() -> None:
    check_event({"type": "response.create", "event_id": "e" * 512})
    check_event({"type": "response.create"})
    with pytest.raises(
        ConfigurationError, match=r"event\.event_id must be a string of 512 characters at most, not of 513"
    ):
        check_event({"type": "response.create", "event_id": "e" * 513})


def sessions_and_responses() -> Iterator[dict[str, Any]]:
    """What the failing cases put on the wire, as far as it can be written at all."""
    yield {"type": "hologram"}
    yield {"model": "gpt-realtime", "reasoning": {}, "parallel_tool_calls": True}
    yield from (case[0] for case in OVERRIDES)
    briefings = [(agent, SessionSettings()) for agent, *_ in AGENTS]
    for agent, chosen in [*briefings, *((GREETER, SessionSettings(**case[0])) for case in FAILING)]:
        with suppress(ConfigurationError):
            yield session_object(agent, chosen)


def test_every_rule_is_broken_by_some_case_here() -> None:
    wholes = list(sessions_and_responses())
    idle = [
        rule
        for rule in {id(rule): rule for rule in (*SESSION, *RESPONSE)}.values()
        if not any(map(any, map(rule.violations, wholes)))
    ]
    assert idle == []


# --- warnings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    ["gpt-4o-realtime-preview", "gpt-4o-realtime-preview-2025-06-03", "gpt-4o-mini-realtime-preview-2024-12-17"],
)
def test_models_with_an_announced_end(model: str) -> None:
    transcribing = SessionSettings(transcription=Transcription(model=model))
    for warnings in (check(SessionSettings(), model=model), check(transcribing)):
        (warning,) = warnings
        assert warning.startswith(f"the model {model} is to be shut down, announced for 2026-05-07 [")
        assert "modelcostwatch (third party)" in warning


@pytest.mark.parametrize("model", ["gpt-realtime", "gpt-realtime-2.1", "gpt-5-realtime", None])
def test_models_without_one(model: str | None) -> None:
    chosen = SessionSettings(transcription=Transcription(model="gpt-4o-transcribe"))  # known to go, nobody says when
    assert check(chosen, model=model) == ()


def test_the_tables_say_where_they_come_from() -> None:
    assert all(rule.source for rule in (*SESSION, *RESPONSE))
    assert all(THIRD_PARTY in end.source and len(end.date) == 10 for end in SHUTDOWNS)


# --- properties --------------------------------------------------------------------------------------------------------

flags = st.booleans() | st.none()
names = st.text(max_size=20)
detections = st.one_of(
    st.none(),
    st.builds(
        ServerVAD,
        threshold=st.floats(0, 1) | st.just(UNSET),
        prefix_padding_ms=st.integers(0, 5000),
        silence_duration_ms=st.integers(0, 5000),
        idle_timeout_ms=st.none() | st.integers(5000, 30000),
        create_response=flags,
        interrupt_response=flags,
    ),
    st.builds(SemanticVAD, eagerness=st.sampled_from(["low", "medium", "high", "auto"]), create_response=flags),
)
formats = st.sampled_from(["pcm16", "g711_ulaw", {"type": "audio/pcma"}, {"type": "audio/pcm", "rate": 24000}])
valid_fields: dict[str, st.SearchStrategy[Any]] = {
    "instructions": names | st.none(),
    "output_modalities": st.sampled_from([["audio"], ("text",)]),
    "voice": st.none()
    | names.filter(lambda name: name not in SPEECH_VOICES)
    | st.builds(lambda name: {"id": name}, names),
    "speed": st.floats(0.25, 1.5) | st.none(),
    "input_format": formats,
    "output_format": formats,
    "turn_detection": detections,
    "transcription": st.none()
    | st.builds(Transcription, model=st.sampled_from(["gpt-transcribe", "new"]), language=names),
    "noise_reduction": st.sampled_from([None, "near_field", {"type": "far_field", "strength": 1}]),
    "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "name": "get_weather"}]),
    "max_output_tokens": st.integers(1, 4096) | st.just("inf"),
    "truncation": st.sampled_from(["auto", "disabled"])
    | st.floats(0, 1).map(lambda ratio: {"type": "retention_ratio", "retention_ratio": ratio}),
    "reasoning": st.sampled_from(["minimal", "low", "medium", "high", "xhigh"]).map(lambda effort: {"effort": effort}),
    "parallel_tool_calls": flags,
    "prompt": st.none() | st.builds(lambda name, more: {"id": name, "variables": more}, names, json_objects()),
    "tracing": st.none() | st.just("auto") | json_values().map(lambda value: {"metadata": value}),
    "include": st.none() | st.lists(names, max_size=2),
}
valid_settings = st.fixed_dictionaries({}, optional=valid_fields).map(lambda chosen: SessionSettings(**chosen))


@PROPERTY
@given(valid_settings, st.booleans())
def test_valid_settings_always_pass(chosen: SessionSettings, complete: bool) -> None:
    assert check(chosen, model="gpt-realtime-2", complete=complete) == ()
    session = session_object(GREETER, chosen)
    assert (
        json.loads(encode_client_event(SessionUpdate(session=structure(session, ClientSession))))["session"] == session
    )


SETTING_NAMES = [field.name for field in attrs.fields(SessionSettings)]
WIRE_NAMES = [
    *(
        "type",
        "model",
        "audio",
        "input",
        "output",
        "format",
        "voice",
        "speed",
        "turn_detection",
        "transcription",
        "threshold",
    ),
    *(
        "truncation",
        "retention_ratio",
        "tools",
        "name",
        "parameters",
        "tool_choice",
        "metadata",
        "reasoning",
        "rate",
        "delay",
    ),
    *(
        "output_modalities",
        "max_output_tokens",
        "modalities",
        "noise_reduction",
        "eagerness",
        "idle_timeout_ms",
        "prompt",
    ),
]
words = st.sampled_from(
    [*WIRE_NAMES, "realtime", "server_vad", "semantic_vad", "function", "audio/pcm", "inf", "gpt-realtime"]
)
anything = st.recursive(
    json_values() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WIRE_NAMES), inner, max_size=4),
    max_leaves=12,
)


@PROPERTY
@given(st.dictionaries(st.sampled_from(WIRE_NAMES), anything, max_size=5), st.booleans())
def test_nothing_but_configuration_errors(value: dict[str, Any], complete: bool) -> None:
    for attempt in (
        lambda: check_session(value, complete=complete),
        lambda: check_session({"type": "realtime", **value}, complete=complete),
        lambda: check_session({**value, "type": "transcription"}, model="gpt-realtime"),
        lambda: check_response(value, GREETER, model="gpt-realtime"),
        lambda: check_event(value),
    ):
        assert complaint(attempt).endswith("]")


def complaint(attempt: Callable[[], object]) -> str:
    """What a check says; `[]` when it has nothing to say."""
    try:
        attempt()
    except ConfigurationError as error:
        return str(error)
    return "[]"


@PROPERTY
@given(st.dictionaries(st.sampled_from(SETTING_NAMES), anything, max_size=4))
def test_nothing_but_configuration_errors_for_settings(value: dict[str, Any]) -> None:
    chosen = SessionSettings(**value)
    said = complaint(lambda: check(chosen, complete=True))
    assert said.startswith(("SessionSettings.", "[]"))
    if said == "[]":
        encode_client_event(SessionUpdate(session=structure(session_object(GREETER, chosen), ClientSession)))
