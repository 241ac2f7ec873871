"""What a client may put into a session, a response and an item, as tables; and the small grammar that the tables are
written in.

A rule is a callable `(value, path)` that returns when the value is good and raises `Refusal` otherwise, with the code,
the parameter and the kind of sentence that the API uses. Rules look at one value only: what depends on the state of a
session (a voice that has been heard, a response that runs) is the peer's business. Limits are from the API description.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Rule: TypeAlias = Callable[[Any, str], None]


class Refusal(Exception):  # noqa: N818 - never leaves the peer: it becomes an `error` event
    """The reason why a client's event is not obeyed."""

    def __init__(
        self, code: str, message: str, param: str | None = None, *, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind


_KINDS: Final = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null" if value is None else type(value).__name__)


def _wrong_type(path: str, expected: str, value: Any) -> Refusal:
    return Refusal(
        "invalid_type", f"Invalid type for '{path}': expected {expected}, but got {_kind(value)} instead.", path
    )


def wrong_value(path: str, message: str) -> Refusal:
    """The refusal of a value of the right type; `message` goes on after the parameter's name."""
    return Refusal("invalid_value", f"Invalid '{path}': {message}", path)


# --- the grammar ------------------------------------------------------------------------------------------------------


def text(*, at_most: int | None = None, pattern: str | None = None) -> Rule:
    """A string, of so many characters at most, in this form."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(path, "a string", value)
        if at_most is not None and len(value) > at_most:
            raise wrong_value(path, f"string too long. Expected at most {at_most} characters, but got {len(value)}.")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise wrong_value(path, f"string does not match pattern. Expected a string that matches '{pattern}'.")

    return check


def flag(value: Any, path: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong_type(path, "a boolean", value)


def number(low: float, high: float | None = None, *, whole: bool = False) -> Rule:
    """A number within these bounds."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise _wrong_type(path, "an integer" if whole else "a decimal", value)
        if value < low:
            raise wrong_value(path, f"Expected a value >= {low}, but got {value} instead.")
        if high is not None and value > high:
            raise wrong_value(path, f"Expected a value <= {high}, but got {value} instead.")

    return check


def one_of(*values: Any) -> Rule:
    """One of these values."""

    def check(value: Any, path: str) -> None:
        if value not in values:
            supported = ", ".join(repr(entry) for entry in values)
            raise Refusal("invalid_value", f"Invalid value: {value!r}. Supported values are: {supported}.", path)

    return check


def nullable(rule: Rule) -> Rule:
    """Null, or what the rule says."""
    return lambda value, path: None if value is None else rule(value, path)


def either(plain: Rule, structured: Rule) -> Rule:
    """A plain value as the first rule says, or an object as the second says."""
    return lambda value, path: (structured if isinstance(value, Mapping) else plain)(value, path)


def each(rule: Rule, *, at_most: int | None = None) -> Rule:
    """A list of what the rule says."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise _wrong_type(path, "an array", value)
        if at_most is not None and len(value) > at_most:
            raise wrong_value(path, f"array too long. Expected at most {at_most} entries, but got {len(value)}.")
        for index, entry in enumerate(value):
            rule(entry, f"{path}[{index}]")

    return check


def fields(*required: str, **rules: Rule) -> Rule:
    """An object with these fields and no others."""

    def check(value: Any, path: str) -> None:
        _an_object(value, path)
        for name in required:
            if name not in value:
                raise Refusal(
                    "missing_required_parameter", f"Missing required parameter: '{path}.{name}'.", f"{path}.{name}"
                )
        for name, entry in value.items():
            if name not in rules:
                raise Refusal("unknown_parameter", f"Unknown parameter: '{path}.{name}'.", f"{path}.{name}")
            rules[name](entry, f"{path}.{name}")

    return check


def tagged(**members: Rule) -> Rule:
    """An object whose `type` says which of the rules holds for it."""

    def check(value: Any, path: str) -> None:
        _an_object(value, path)
        if "type" not in value:
            raise Refusal("missing_required_parameter", f"Missing required parameter: '{path}.type'.", f"{path}.type")
        one_of(*(name.replace("__", "/") for name in members))(value["type"], f"{path}.type")
        members[value["type"].replace("/", "__")](value, path)

    return check


def _an_object(value: Any, path: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong_type(path, "an object", value)


def any_object(value: Any, path: str) -> None:
    """Any object: a JSON schema, a prompt's variables."""
    _an_object(value, path)


def _metadata(value: Any, path: str) -> None:
    _an_object(value, path)
    if len(value) > 16:
        raise wrong_value(path, f"too many properties. Expected at most 16, but got {len(value)}.")
    for key, entry in value.items():
        text(at_most=64)(key, path)
        text(at_most=512)(entry, f"{path}.{key}")


def _max_output_tokens(value: Any, path: str) -> None:
    (one_of("inf") if isinstance(value, str) else number(1, 4096, whole=True))(value, path)


def _refuse_mcp(_value: Any, path: str) -> None:
    raise Refusal("invalid_value", "This server has no MCP tools; use tools of type 'function'.", path)


# --- the tables -------------------------------------------------------------------------------------------------------

_TYPE = text()
EVENT_ID: Final = text(at_most=512)

_FORMAT = tagged(
    audio__pcm=fields(type=_TYPE, rate=one_of(24000)), audio__pcmu=fields(type=_TYPE), audio__pcma=fields(type=_TYPE)
)
_SERVER_VAD = fields(
    type=_TYPE,
    threshold=number(0, 1),
    prefix_padding_ms=number(0, whole=True),
    silence_duration_ms=number(0, whole=True),
    idle_timeout_ms=nullable(number(5000, 30000, whole=True)),
    create_response=flag,
    interrupt_response=flag,
)
_SEMANTIC_VAD = fields(
    type=_TYPE, eagerness=one_of("auto", "low", "medium", "high"), create_response=flag, interrupt_response=flag
)
_TRANSCRIPTION = fields(
    model=text(),
    language=text(),
    prompt=text(),
    languages=each(text()),
    keywords=each(text()),
    delay=one_of("minimal", "low", "medium", "high", "xhigh"),
)
_VOICE = either(text(), fields("id", id=text()))
_MODALITIES = one_of(["audio"], ["text"])
_TOOL = tagged(
    function=fields(
        "name",
        type=_TYPE,
        name=text(at_most=64, pattern="[a-zA-Z0-9_-]+"),
        description=text(),
        parameters=any_object,
    ),
    mcp=_refuse_mcp,
)
_TOOL_CHOICE = either(
    one_of("none", "auto", "required"), tagged(function=fields("name", type=_TYPE, name=text()), mcp=_refuse_mcp)
)
_PROMPT = nullable(fields("id", id=text(), variables=nullable(any_object), version=nullable(text())))
_REASONING = fields(effort=one_of("minimal", "low", "medium", "high", "xhigh"))
_TRUNCATION = either(
    one_of("auto", "disabled"),
    fields(
        "type",
        "retention_ratio",
        type=one_of("retention_ratio"),
        retention_ratio=number(0, 1),
        token_limits=fields(post_instructions=number(0, whole=True)),
    ),
)
_TRACING = nullable(either(one_of("auto"), fields(workflow_name=text(), group_id=text(), metadata=any_object)))

SESSION: Final = fields(
    "type",
    type=_TYPE,
    model=text(),
    instructions=text(),
    output_modalities=_MODALITIES,
    audio=fields(
        input=fields(
            format=_FORMAT,
            transcription=nullable(_TRANSCRIPTION),
            noise_reduction=nullable(fields("type", type=one_of("near_field", "far_field"), strength=number(0))),
            turn_detection=nullable(tagged(server_vad=_SERVER_VAD, semantic_vad=_SEMANTIC_VAD)),
        ),
        output=fields(format=_FORMAT, voice=_VOICE, speed=number(0.25, 1.5)),
    ),
    tools=each(_TOOL),
    tool_choice=_TOOL_CHOICE,
    max_output_tokens=_max_output_tokens,
    parallel_tool_calls=flag,
    reasoning=_REASONING,
    truncation=_TRUNCATION,
    tracing=_TRACING,
    prompt=_PROMPT,
    include=nullable(each(one_of("item.input_audio_transcription.logprobs"))),
)

RESPONSE: Final = fields(
    instructions=text(),
    output_modalities=_MODALITIES,
    audio=fields(output=fields(format=_FORMAT, voice=_VOICE)),
    tools=each(_TOOL),
    tool_choice=_TOOL_CHOICE,
    max_output_tokens=_max_output_tokens,
    conversation=one_of("auto", "none"),
    metadata=nullable(_metadata),
    input=each(any_object),
    parallel_tool_calls=flag,
    reasoning=_REASONING,
    prompt=_PROMPT,
)
