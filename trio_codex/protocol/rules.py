"""What the API documents of the values that a client sends, as tables: the path of a field, the rule, where the rule comes from.

`validation` applies the tables; nothing here knows a session, an agent or a setting. Only what is named is checked: unknown fields,
unknown models and unknown members of enumerations that the API leaves open pass, so that a newer API is not refused. The
server's half has rules of its own (`peer_rules`): those speak the server's words and refuse what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from trio_codex.protocol.checks import (
    Rule,
    among,
    at_least,
    at_most,
    between,
    different,
    keys,
    left_out,
    matches,
    none_of,
    null,
    of_type,
    one_of,
    pairs,
)

DESCRIPTION: Final = "the API's description"
FUNCTIONS: Final = "the API's description of functions"
MODELS: Final = "the API's models"


def seen(where: str) -> str:
    """The source of a rule that others found out."""
    return f"seen in {where} (third party)"


# --- the tables -------------------------------------------------------------------------------------------------------

VOICES: Final = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
SPEECH_VOICES: Final = ("fable", "onyx", "nova")
"""Voices of text-to-speech that realtime sessions do not have."""

WITHOUT_REASONING: Final = (
    "gpt-realtime",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-1.5",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
    "gpt-4o-realtime-preview",
    "gpt-4o-realtime-preview-2024-10-01",
    "gpt-4o-realtime-preview-2024-12-17",
    "gpt-4o-realtime-preview-2025-06-03",
    "gpt-4o-mini-realtime-preview",
    "gpt-4o-mini-realtime-preview-2024-12-17",
)
"""The known realtime models before gpt-realtime-2."""

WHISPER: Final = ("gpt-realtime-whisper",)
OTHER_TRANSCRIBERS: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe",
    "gpt-4o-transcribe-diarize",
)
"""The known models of input transcription besides gpt-realtime-whisper."""

_INPUT: Final = "audio.input"
_OUTPUT: Final = "audio.output"
_DETECTION: Final = "audio.input.turn_detection"
_TRANSCRIPTION: Final = "audio.input.transcription"
_SEMANTIC: Final = {f"{_DETECTION}.type": ("semantic_vad",)}
_SERVER: Final = {f"{_DETECTION}.type": ("server_vad",)}
_BY_WHISPER: Final = {f"{_TRANSCRIPTION}.model": WHISPER}
_SILENCE_ONLY: Final = "semantic_vad goes by what is said, only server_vad has it"
_REASONING_ONLY: Final = "this model does not reason; gpt-realtime-2 and newer do"

_FORMAT: Final = tuple(
    rule
    for side in (_INPUT, _OUTPUT)
    for rule in (
        Rule(f"{side}.format.type", one_of("audio/pcm", "audio/pcmu", "audio/pcma"), DESCRIPTION),
        Rule(f"{side}.format.rate", one_of(24000), DESCRIPTION, {f"{side}.format.type": ("audio/pcm",)}),
    )
)

_TOOLS: Final = (
    Rule("tools[].name", matches("[a-zA-Z0-9_-]{1,64}", "1 to 64 letters a-z, digits, '_' or '-'"), FUNCTIONS),
    Rule("tools[].description", of_type(str, "a string"), MODELS),
    Rule("tools[].parameters", of_type(Mapping, "a JSON schema of type 'object'"), FUNCTIONS),
    Rule("tools[].parameters.type", one_of("object"), FUNCTIONS),
    Rule("tools", different("name"), "trio_codex: a call says no more of its tool than the name"),
    Rule("tool_choice", one_of("auto", "none", "required", also="an object", of_kind=Mapping), MODELS),
    Rule(
        "tool_choice.name",
        among("tools[].name", "one of the tools"),
        seen("errors that other clients report"),
        {"tool_choice.type": ("function",)},
    ),
)

_VALUES: Final = (
    Rule("output_modalities", one_of(["audio"], ["text"]), DESCRIPTION),
    Rule("max_output_tokens", between(1, 4096, "inf"), DESCRIPTION),
    Rule(
        f"{_OUTPUT}.voice",
        none_of(*SPEECH_VOICES, says=f"be a realtime voice ({', '.join(VOICES)}, or the id of your own)"),
        f"{MODELS}; {seen('openai-agents-python#1941')}",
    ),
    Rule(f"{_OUTPUT}.speed", between(0.25, 1.5), DESCRIPTION),
    Rule("reasoning", left_out(_REASONING_ONLY), DESCRIPTION, {"model": WITHOUT_REASONING}),
    Rule("reasoning.effort", one_of("minimal", "low", "medium", "high", "xhigh"), MODELS),
    Rule("parallel_tool_calls", left_out(_REASONING_ONLY), DESCRIPTION, {"model": WITHOUT_REASONING}),
)

_HEARING: Final = (
    Rule(f"{_DETECTION}.threshold", between(0, 1), DESCRIPTION, _SERVER),
    Rule(f"{_DETECTION}.idle_timeout_ms", left_out(_SILENCE_ONLY), DESCRIPTION, _SEMANTIC),
    Rule(f"{_DETECTION}.idle_timeout_ms", between(5000, 30000), DESCRIPTION),
    Rule(f"{_DETECTION}.threshold", left_out(_SILENCE_ONLY), MODELS, _SEMANTIC),
    Rule(f"{_DETECTION}.prefix_padding_ms", left_out(_SILENCE_ONLY), MODELS, _SEMANTIC),
    Rule(f"{_DETECTION}.silence_duration_ms", left_out(_SILENCE_ONLY), MODELS, _SEMANTIC),
    Rule(f"{_DETECTION}.eagerness", left_out("only semantic_vad has it"), MODELS, _SERVER),
    Rule(f"{_DETECTION}.eagerness", one_of("low", "medium", "high", "auto"), MODELS),
    Rule(f"{_INPUT}.noise_reduction.type", one_of("near_field", "far_field"), MODELS),
    Rule(
        f"{_TRANSCRIPTION}.delay",
        left_out("only gpt-realtime-whisper has it"),
        DESCRIPTION,
        {f"{_TRANSCRIPTION}.model": OTHER_TRANSCRIBERS},
    ),
    Rule(f"{_TRANSCRIPTION}.delay", one_of("minimal", "low", "medium", "high", "xhigh"), MODELS),
    Rule(f"{_TRANSCRIPTION}.prompt", left_out("gpt-realtime-whisper takes none"), DESCRIPTION, _BY_WHISPER),
    Rule(f"{_TRANSCRIPTION}.languages", none_of([], says="name one language at least"), DESCRIPTION),
    Rule(
        _DETECTION,
        null("gpt-realtime-whisper detects no turns, and server_vad is on unless it is switched off"),
        DESCRIPTION,
        _BY_WHISPER,
    ),
)

_TRUNCATION: Final = (
    Rule("truncation", one_of("auto", "disabled", also="an object", of_kind=Mapping), MODELS),
    Rule("truncation.retention_ratio", between(0, 1), DESCRIPTION),
    Rule("truncation.token_limits.post_instructions", at_least(0), DESCRIPTION),
)

SESSION: Final = (
    Rule("type", one_of("realtime", "transcription"), MODELS, required=True),
    *_VALUES,
    *_FORMAT,
    *_HEARING,
    *_TRUNCATION,
    *_TOOLS,
)
"""For the session object of a `session.update`. Left out is what a partial object leaves as it is."""

RESPONSE: Final = (
    *_VALUES,
    *_FORMAT,
    *_TOOLS,
    Rule("metadata", pairs(16), DESCRIPTION),
    Rule("metadata", keys(at_most(64)), DESCRIPTION),
    Rule("metadata{}", at_most(512), DESCRIPTION),
)
"""For the response object of a `response.create`."""

EVENT: Final = (Rule("event_id", at_most(512), DESCRIPTION),)
"""For every event of a client."""

DEFAULTS: Final = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
"""What a new session has where nothing is said, as far as a rule asks for it."""

# --- the beta era -----------------------------------------------------------------------------------------------------

BETA_NAMES: Final[Mapping[str, str | None]] = {
    "modalities": "output_modalities",
    "input_audio_format": "audio.input.format",
    "output_audio_format": "audio.output.format",
    "input_audio_transcription": "audio.input.transcription",
    "input_audio_noise_reduction": "audio.input.noise_reduction",
    "max_response_output_tokens": "max_output_tokens",
    "temperature": None,
    "client_secret": None,
}
"""Names of the beta era, wherever they stand → the field of today; None: there is none any more."""

FLAT_NAMES: Final[Mapping[str, str]] = {
    "turn_detection": "audio.input.turn_detection",
    "voice": "audio.output.voice",
    "speed": "audio.output.speed",
}
"""Names that stood at the top in the beta era and stand deeper today."""

CONFIGURATION: Final = (
    "audio",
    "audio.input",
    "audio.output",
    "audio.input.format",
    "audio.output.format",
    _DETECTION,
    _TRANSCRIPTION,
    "audio.input.noise_reduction",
    "truncation",
    "reasoning",
    "tracing",
    "prompt",
)
"""The objects that hold settings of the API; what is elsewhere (a tool's schema, variables, metadata) is the user's own."""

# --- models that go ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Shutdown:
    """A model (`*`: anything) with an announced end."""

    model: str
    date: str
    source: str


SHUTDOWNS: Final = (
    Shutdown("gpt-4o-realtime-preview*", "2026-05-07", seen("modelcostwatch")),
    Shutdown("gpt-4o-mini-realtime-preview*", "2026-05-07", seen("modelcostwatch")),
)
"""Only dates that somebody named: gpt-4o-transcribe and gpt-4o-mini-tts are known to go, but not when."""
