"""The session objects of the three kinds of session: realtime, transcription, translation.

One class serves what is sent in `session.update` and what comes in `session.created` and `session.updated`: the server's
objects say more (`id`, `object`, `expires_at`), the client's as little as is to be changed. An absent field reads None; an
explicit null, which turns a thing off, is kept in `extra` (`{"turn_detection": None}`). Open enumerations are strings, their
known members are named in the docstrings. Limits and defaults are not checked here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import attrs

from trio_codex.protocol.wire import Unknown, Untagged, Wire

__all__ = [
    "AudioConfig",
    "ClientSession",
    "InputAudioConfig",
    "InputTranscription",
    "MediaFormat",
    "NoiseReduction",
    "OutputAudioConfig",
    "Prompt",
    "RealtimeSession",
    "Reasoning",
    "ServerSession",
    "TokenLimits",
    "Tracing",
    "TranscriptionSession",
    "TranslationSession",
    "Truncation",
    "TurnDetection",
    "UnknownSession",
    "VoiceId",
]


@attrs.frozen(kw_only=True, slots=False)
class MediaFormat(Wire):
    """`audio/pcm` (16 bit little endian mono, `rate` 24000 Hz), `audio/pcmu` or `audio/pcma` (G.711 at 8000 Hz)."""

    type: str | None = None
    rate: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class NoiseReduction(Wire):
    """`near_field` (headset) or `far_field` (room); `strength` is 1 unless set."""

    type: str | None = None
    strength: float | None = None


@attrs.frozen(kw_only=True, slots=False)
class InputTranscription(Wire):
    """How input audio is transcribed; `delay` (minimal, low, medium, high, xhigh) is gpt-realtime-whisper's only."""

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] | None = None
    prompt: str | None = None
    keywords: tuple[str, ...] | None = None
    delay: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class TurnDetection(Wire):
    """`server_vad` (levels, ms) or `semantic_vad` (`eagerness`: low, medium, high, auto); times in ms."""

    type: str
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None
    idle_timeout_ms: int | None = None
    eagerness: str | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


@attrs.frozen(kw_only=True, slots=False)
class VoiceId(Wire):
    """A voice of one's own, by its id."""

    id: str


@attrs.frozen(kw_only=True, slots=False)
class InputAudioConfig(Wire):
    """What happens to the audio that the client sends."""

    format: MediaFormat | None = None
    noise_reduction: NoiseReduction | None = None
    transcription: InputTranscription | None = None
    turn_detection: TurnDetection | None = None


@attrs.frozen(kw_only=True, slots=False)
class OutputAudioConfig(Wire):
    """How the server speaks; `speed` 0.25 to 1.5; `language` is the target of a translation session."""

    format: MediaFormat | None = None
    voice: str | VoiceId | None = None
    speed: float | None = None
    language: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class AudioConfig(Wire):
    """Audio in both directions; a response has only `output`."""

    input: InputAudioConfig | None = None
    output: OutputAudioConfig | None = None


@attrs.frozen(kw_only=True, slots=False)
class Prompt(Wire):
    """A prompt template that is stored at the server; the values of `variables` are strings or input parts."""

    id: str
    version: str | None = None
    variables: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True, slots=False)
class Reasoning(Wire):
    """`effort`: minimal, low, medium, high, xhigh; low unless set."""

    effort: str | None = None


@attrs.frozen(kw_only=True, slots=False)
class Tracing(Wire):
    """Where traces of the session go; cannot be changed once tracing is on."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: Any = None


@attrs.frozen(kw_only=True, slots=False)
class TokenLimits(Wire):
    """Limits of a truncation, in tokens."""

    post_instructions: int | None = None


@attrs.frozen(kw_only=True, slots=False)
class Truncation(Wire):
    """`retention_ratio`: which part (0 to 1) of a conversation that grew too long is kept."""

    type: ClassVar[str] = "retention_ratio"

    retention_ratio: float
    token_limits: TokenLimits | None = None


@attrs.frozen(kw_only=True, slots=False)
class RealtimeSession(Wire):
    """A session that speaks. `model` and `type` cannot be changed, `voice` not after the first audio."""

    tag: ClassVar[str] = "realtime"

    type: str | None = "realtime"
    id: str | None = None
    object: str | None = None
    expires_at: int | None = None
    model: str | None = None
    instructions: str | None = None
    output_modalities: tuple[str, ...] | None = None
    audio: AudioConfig | None = None
    tools: tuple[Mapping[str, Any], ...] | None = attrs.field(default=None, repr=False)  # may hold keys of MCP servers
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | str | None = None
    reasoning: Reasoning | None = None
    prompt: Prompt | None = None
    tracing: str | Tracing | None = None
    truncation: str | Truncation | Mapping[str, Any] | None = None
    include: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True, slots=False)
class TranscriptionSession(Wire):
    """A session that only writes down what it hears."""

    tag: ClassVar[str] = "transcription"

    type: str | None = "transcription"
    id: str | None = None
    object: str | None = None
    expires_at: int | None = None
    audio: AudioConfig | None = None
    include: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True, slots=False)
class TranslationSession(Wire):
    """A session that interprets. In `session.update` it has no `type`; from the server, `type` is `translation`."""

    tag: ClassVar[str] = "translation"

    type: str | None = None
    id: str | None = None
    expires_at: int | None = None
    model: str | None = None
    audio: AudioConfig | None = None


@attrs.frozen(slots=False)
class UnknownSession(Unknown):
    """A session of a kind that is not known here."""


Session = RealtimeSession | TranscriptionSession | TranslationSession | UnknownSession
# Servers of the beta era send a flat session without `type`; a client that leaves it out speaks to a translation session.
ServerSession = Annotated[Session, Untagged(RealtimeSession)]
ClientSession = Annotated[Session, Untagged(TranslationSession)]
