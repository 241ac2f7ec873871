"""What may stand in a session and in a response, value by value, as the API describes it: the tables of the server's half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trio_codex.grammar import Refusal, Rule
from trio_codex.protocol.peer_rules import EVENT_ID, RESPONSE, SESSION, TRANSCRIPTION_SESSION

Make = Callable[[Any], dict[str, Any]]


def field(name: str, **others: Any) -> Make:
    return lambda value: {**others, name: value}


def ears(make: Make) -> Make:
    return lambda value: {"audio": {"input": make(value)}}


def output(name: str) -> Make:
    return lambda value: {"audio": {"output": {name: value}}}


def transcription(name: str) -> Make:
    return ears(lambda value: {"transcription": {name: value}})


def noise(name: str, **others: Any) -> Make:
    return ears(lambda value: {"noise_reduction": {**others, name: value}})


def server_vad(name: str) -> Make:
    return ears(lambda value: {"turn_detection": {"type": "server_vad", name: value}})


def semantic_vad(name: str) -> Make:
    return ears(lambda value: {"turn_detection": {"type": "semantic_vad", name: value}})


def tool(name: str) -> Make:
    return lambda value: {"tools": [{"type": "function", "name": "f", name: value}]}


def truncation(name: str, **others: Any) -> Make:
    return lambda value: {
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.5, **others, name: value},
    }


FORMATS = [{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcm"}, {"type": "audio/pcmu"}, {"type": "audio/pcma"}]
NO_FORMATS = [
    {"type": "audio/pcm", "rate": 16000},
    {"type": "audio/mp3"},
    {"type": "audio/pcmu", "rate": 8000},
    {},
    None,
]
FLAGS, NO_FLAGS = [True, False], [None, 0, "true"]
TEXTS, NO_TEXTS = ["", "x"], [None, 1]
DELAYS = ["minimal", "low", "medium", "high", "xhigh"]

EARS: list[tuple[Make, list[Any], list[Any]]] = [
    (ears(field("format")), FORMATS, NO_FORMATS),
    (ears(field("transcription")), [None, {}], ["whisper-1", {"temperature": 0}]),
    (transcription("model"), TEXTS, NO_TEXTS),
    (transcription("language"), TEXTS, NO_TEXTS),
    (transcription("prompt"), TEXTS, NO_TEXTS),
    (transcription("languages"), [["en"], ["en", "de"]], [None, [], "en", [1]]),
    (transcription("keywords"), [[], ["Trio"]], [None, "Trio", [1]]),
    (transcription("delay"), DELAYS, [None, "none"]),
    (ears(field("noise_reduction")), [None], [{}, "near_field"]),
    (noise("type"), ["near_field", "far_field"], [None, "field"]),
    (noise("strength", type="near_field"), [0, 0.5, 1], [None, -0.1, "x"]),
    (ears(field("turn_detection")), [None, {"type": "server_vad"}, {"type": "semantic_vad"}], [{}, {"type": "none"}]),
    (server_vad("threshold"), [0, 0.5, 1], [None, -0.1, 1.1, "x", True]),
    (server_vad("prefix_padding_ms"), [0, 300], [None, -1, 0.5]),
    (server_vad("silence_duration_ms"), [0, 500], [None, -1, 0.5]),
    (server_vad("idle_timeout_ms"), [None, 5000, 30000], [4999, 30001, 5000.5]),
    (server_vad("create_response"), FLAGS, NO_FLAGS),
    (server_vad("interrupt_response"), FLAGS, NO_FLAGS),
    (server_vad("eagerness"), [], ["auto"]),
    (semantic_vad("eagerness"), ["auto", "low", "medium", "high"], [None, "eager"]),
    (semantic_vad("create_response"), FLAGS, NO_FLAGS),
    (semantic_vad("interrupt_response"), FLAGS, NO_FLAGS),
    (semantic_vad("idle_timeout_ms"), [], [None, 5000]),
    (semantic_vad("threshold"), [], [0.5]),
    (field("include"), [None, [], ["item.input_audio_transcription.logprobs"]], ["x", ["x"]]),
]
"""What a session hears with: a way to place a value, values that are good, and values that are not."""

BOTH: list[tuple[Make, list[Any], list[Any]]] = [
    (field("instructions"), TEXTS, NO_TEXTS),
    (field("output_modalities"), [["audio"], ["text"]], [None, [], ["audio", "text"], "audio"]),
    (output("format"), FORMATS, NO_FORMATS),
    (output("voice"), ["alloy", "x", {"id": "v"}], [None, 1, {}, {"id": 1}, {"id": "v", "name": "x"}]),
    (field("tools"), [[]], [None, {}]),
    (tool("name"), ["f", "a_B-9", "n" * 64], [None, "", "a b", "n" * 65, "ü"]),
    (tool("description"), TEXTS, NO_TEXTS),
    (tool("parameters"), [{}, {"type": "object"}], [None, []]),
    (tool("strict"), [], [True]),
    (tool("type"), ["function"], [None, "mcp", "code"]),
    (field("tool_choice"), ["none", "auto", "required", {"type": "function", "name": "f"}], [None, "any", {}]),
    (field("tool_choice"), [], [{"type": "function"}, {"type": "mcp"}, {"type": "function", "name": 1}]),
    (field("max_output_tokens"), [1, 4096, "inf"], [None, 0, 4097, "INF", 1.5]),
    (field("parallel_tool_calls"), FLAGS, NO_FLAGS),
    (field("reasoning"), [{}, *({"effort": effort} for effort in DELAYS)], [None, {"effort": "none"}, "low"]),
    (field("prompt"), [None, {"id": "p"}, {"id": "p", "variables": None, "version": None}], [{}, {"version": "1"}]),
    (field("prompt"), [{"id": "p", "variables": {"a": 1}, "version": "1"}], [{"id": "p", "variables": []}]),
    (field("temperature"), [], [0.8]),
]
"""What a session and a response go by."""

SESSIONS: list[tuple[Make, list[Any], list[Any]]] = [
    (field("model"), TEXTS, NO_TEXTS),
    (output("speed"), [0.25, 1, 1.5], [None, 0.24, 1.51, "1"]),
    (field("tracing"), [None, "auto", {}, {"workflow_name": "w", "group_id": "g", "metadata": {}}], [True, "on"]),
    (field("tracing"), [], [{"workflow_name": 1}, {"metadata": []}, {"name": "x"}]),
    (field("truncation"), ["auto", "disabled"], [None, "off", {"type": "retention_ratio"}, {"retention_ratio": 0.5}]),
    (truncation("retention_ratio"), [0, 0.5, 1], [None, -0.1, 1.1]),
    (truncation("type"), ["retention_ratio"], [None, "auto"]),
    (
        truncation("token_limits"),
        [{}, {"post_instructions": 0}],
        [None, {"post_instructions": -1}, {"post_instructions": 0.5}, {"x": 1}],
    ),
    (field("metadata"), [], [{}]),
    (field("conversation"), [], ["auto"]),
]
"""What only a session goes by."""

RESPONSES: list[tuple[Make, list[Any], list[Any]]] = [
    (field("conversation"), ["auto", "none"], [None, "conv_1"]),
    (field("metadata"), [None, {}, {"k" * 64: "v" * 512}], [{"k" * 65: ""}, {"k": "v" * 513}, {"k": None}]),
    (field("input"), [[], [{}]], [None, {}, ["x"]]),
    (output("speed"), [], [1]),
    (ears(field("format")), [], FORMATS),
    *((field(name), [], [None]) for name in ("model", "type", "truncation", "tracing", "include")),
]
"""What only a response goes by."""


@pytest.mark.parametrize(
    ("rule", "always", "table"),
    [
        (SESSION, {"type": "realtime"}, [*EARS, *BOTH, *SESSIONS]),
        (TRANSCRIPTION_SESSION, {"type": "transcription"}, EARS),
        (RESPONSE, {}, [*BOTH, *RESPONSES]),
    ],
    ids=["session", "transcription", "response"],
)
def test_what_is_good_passes_and_what_is_not_is_refused(
    rule: Rule, always: dict[str, Any], table: list[tuple[Make, list[Any], list[Any]]]
) -> None:
    for make, good, bad in table:
        for value in good:
            rule({**always, **make(value)}, "session")
        for value in bad:
            with pytest.raises(Refusal) as caught:
                rule({**always, **make(value)}, "session")
            assert str(caught.value.param).startswith("session."), value


@pytest.mark.parametrize("rule", [SESSION, TRANSCRIPTION_SESSION])
def test_a_session_says_its_type(rule: Rule) -> None:
    for wrong in ({}, {"type": 1}):
        with pytest.raises(Refusal) as caught:
            rule(wrong, "session")
        assert caught.value.param == "session.type"


@pytest.mark.parametrize("make", [make for make, _, _ in [*BOTH, *SESSIONS]])
def test_a_session_that_writes_down_has_nothing_to_speak_with(make: Make) -> None:
    with pytest.raises(Refusal) as caught:
        TRANSCRIPTION_SESSION({"type": "transcription", **make("x")}, "session")
    assert caught.value.code == "unknown_parameter"


def test_an_event_s_id_is_a_text_that_is_not_too_long() -> None:
    EVENT_ID("", "event_id")
    EVENT_ID("e" * 512, "event_id")
    for wrong in ("e" * 513, None, 1):
        with pytest.raises(Refusal):
            EVENT_ID(wrong, "event_id")
