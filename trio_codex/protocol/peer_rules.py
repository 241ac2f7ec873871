"""What a client may put into a session, a response and an item, as tables.

A rule looks at one value only: what depends on the state of a session (a voice that has been heard, a response that runs) is the
peer's business. Limits are from the API description.
"""

from __future__ import annotations

from typing import Any, Final

from trio_codex.grammar import (
    Refusal,
    a_function_s_schema,
    an_object,
    each,
    either,
    fields,
    flag,
    nullable,
    number,
    one_of,
    tagged,
    text,
    wrong_value,
)


def _metadata(value: Any, path: str) -> None:
    an_object(value, path)
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
    languages=each(text(), at_least=1),
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
        parameters=a_function_s_schema,
    ),
    mcp=_refuse_mcp,
)
_TOOL_CHOICE = either(
    one_of("none", "auto", "required"), tagged(function=fields("name", type=_TYPE, name=text()), mcp=_refuse_mcp)
)
_PROMPT = nullable(fields("id", id=text(), variables=nullable(an_object), version=nullable(text())))
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
_TRACING = nullable(either(one_of("auto"), fields(workflow_name=text(), group_id=text(), metadata=an_object)))

_INPUT = fields(
    format=_FORMAT,
    transcription=nullable(_TRANSCRIPTION),
    noise_reduction=nullable(fields("type", type=one_of("near_field", "far_field"), strength=number(0))),
    turn_detection=nullable(tagged(server_vad=_SERVER_VAD, semantic_vad=_SEMANTIC_VAD)),
)
_INCLUDE = nullable(each(one_of("item.input_audio_transcription.logprobs")))

SESSION: Final = fields(
    "type",
    type=_TYPE,
    model=text(),
    instructions=text(),
    output_modalities=_MODALITIES,
    audio=fields(
        input=_INPUT,
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
    include=_INCLUDE,
)

TRANSCRIPTION_SESSION: Final = fields("type", type=_TYPE, audio=fields(input=_INPUT), include=_INCLUDE)

RESPONSE: Final = fields(
    instructions=text(),
    output_modalities=_MODALITIES,
    audio=fields(output=fields(format=_FORMAT, voice=_VOICE)),
    tools=each(_TOOL),
    tool_choice=_TOOL_CHOICE,
    max_output_tokens=_max_output_tokens,
    conversation=one_of("auto", "none"),
    metadata=nullable(_metadata),
    input=each(an_object),
    parallel_tool_calls=flag,
    reasoning=_REASONING,
    prompt=_PROMPT,
)
