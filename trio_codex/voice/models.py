"""What goes through a voice pipeline, and what it asks of its ears, its mind and its mouth: values and protocols, no behaviour.

Audio is s16le mono PCM at 24 kHz. Everything here is a value (frozen) or a protocol, so that a model is any object of
the right shape: the ones of OpenAI, the local engines, a test's. A model that fails raises VoiceError or another error
of `trio_codex.errors`; what it raises is delivered as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import attrs

from trio_codex.errors import ConfigurationError
from trio_codex.given import check_count, check_text
from trio_codex.protocol import SemanticVAD, ServerVAD

__all__ = [
    "Heard",
    "Opens",
    "STTModel",
    "STTSettings",
    "Segment",
    "Send",
    "SpeechStarted",
    "SpeechStopped",
    "StreamingSTTModel",
    "TTSModel",
    "TTSSettings",
    "Transcript",
    "TranscriptDelta",
    "TranscriptionStream",
    "VoiceConfig",
    "Word",
    "Workflow",
]

T_co = TypeVar("T_co", covariant=True)


# --- settings ------------------------------------------------------------------------------------------------------------


def _between(low: float, high: float) -> Callable[[Any, attrs.Attribute[Any], float | None], None]:
    def check(_: object, field: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None and not (isinstance(value, int | float) and low <= value <= high):
            raise ConfigurationError(f"{field.name} lies between {low:g} and {high:g}, not at {value!r}")

    return check


def _not_blank(_: object, field: attrs.Attribute[Any], value: str | None) -> None:
    check_text(value, where=field.name, or_none=field.default is None)


def _voice(_: object, field: attrs.Attribute[Any], value: str | Mapping[str, str]) -> None:
    check_text(value.get("id") if isinstance(value, Mapping) else value, where=field.name)


def _one_of(*choices: object) -> Callable[[Any, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise ConfigurationError(f"{field.name} is one of {', '.join(map(repr, choices))}, not {value!r}")

    return check


def _detection(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, ServerVAD | SemanticVAD):
        raise ConfigurationError(f"{field.name} is a ServerVAD or a SemanticVAD, not {value!r}")


# Converters for each field: what type checkers make of a generic one refuses every list.
def _texts(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ConfigurationError(f"a list of texts is expected, not the text {values!r}")
    texts = tuple(values)
    for text in texts:
        check_text(text, where="each text of the list")
    return texts


def _segments(values: Iterable[Segment]) -> tuple[Segment, ...]:
    return tuple(values)


def _words(values: Iterable[Word]) -> tuple[Word, ...]:
    return tuple(values)


def _mappings(values: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class STTSettings:
    """How speech is turned into text. None and () are not sent: the model has its own defaults.

    `language` is one expected language (ISO 639-1), `languages` are several, for models that take them; `keywords` are words that
    are likely to be said. `response_format` "verbose_json" gives times of segments or words, as `timestamp_granularities` ("segment",
    "word") asks; "diarized_json" gives segments with speakers, of which `known_speakers` are names with a data URL of 2 to 10 s of
    their speech; "text" gives nothing but the text. `turn_detection` says when a turn of a stream
    is over, for models with a detection of their own and for the local one. Raises ConfigurationError: a temperature outside 0..1, a
    blank name, a format or a detection that is none of these.
    """

    model: str = attrs.field(default="gpt-transcribe", validator=_not_blank)
    language: str | None = attrs.field(default=None, validator=_not_blank)
    languages: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    prompt: str | None = None
    keywords: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    temperature: float | None = attrs.field(default=None, validator=_between(0, 1))
    response_format: Literal["json", "verbose_json", "diarized_json", "text"] = attrs.field(
        default="json", validator=_one_of("json", "verbose_json", "diarized_json", "text")
    )
    timestamp_granularities: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    logprobs: bool = False
    known_speakers: Mapping[str, str] = attrs.field(factory=dict)
    turn_detection: ServerVAD | SemanticVAD = attrs.field(factory=SemanticVAD, validator=_detection)


@attrs.frozen(kw_only=True)
class TTSSettings:
    """How text is turned into speech.

    `voice` is a name, or `{"id": …}` for a custom voice. `speed` is 0.25 to 4. `chunk_timeout` is how many seconds a model may be
    silent in the middle of a sentence before that is an error. Raises ConfigurationError: a blank name, a speed or a timeout out of range.
    """

    model: str = attrs.field(default="gpt-4o-mini-tts", validator=_not_blank)
    voice: str | Mapping[str, str] = attrs.field(default="ash", validator=_voice)
    speed: float | None = attrs.field(default=None, validator=_between(0.25, 4))
    instructions: str | None = (
        "You will receive partial sentences. Do not complete the sentence just read out the text."
    )
    chunk_timeout: float = attrs.field(default=30.0, validator=_between(0.001, 86_400))


@attrs.frozen(kw_only=True)
class VoiceConfig:
    """What a pipeline is made with, beside its workflow and its models.

    `prefetch` is how many sentences at most are with the text-to-speech model or waiting to be played. `barge_in` False: who
    speaks while the agent speaks is heard, but does not silence it. `workflow_name` names the pipeline's tasks and log lines.
    """

    workflow_name: str = "Voice Agent"
    stt_settings: STTSettings = attrs.field(factory=STTSettings)
    tts_settings: TTSSettings = attrs.field(factory=TTSSettings)
    prefetch: int = 3
    barge_in: bool = True

    def __attrs_post_init__(self) -> None:
        check_count(self.prefetch, where="prefetch")


# --- what is heard -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Segment:
    """A part of a transcript with its place in the audio, and who says it, where that is known."""

    text: str
    start_s: float
    end_s: float
    speaker: str | None = None
    id: str | None = None


@attrs.frozen
class Word:
    """A word with its place in the audio."""

    text: str
    start_s: float
    end_s: float


@attrs.frozen
class Transcript:
    """What somebody said, in one turn. `str()` of it is the text; what the model did not tell is None or ().

    `usage` is the service's own account, `logprobs` its tokens with their log probabilities.
    """

    text: str
    language: str | None = None
    duration_s: float | None = None
    segments: tuple[Segment, ...] = attrs.field(default=(), converter=_segments)
    words: tuple[Word, ...] = attrs.field(default=(), converter=_words)
    logprobs: tuple[Mapping[str, Any], ...] = attrs.field(default=(), converter=_mappings)
    usage: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return self.text


@attrs.frozen
class TranscriptDelta:
    """A piece of a transcript which is not finished yet."""

    delta: str


@attrs.frozen
class SpeechStarted:
    """Somebody begins to speak, `audio_ms` after the beginning of all audio sent (reconnections included)."""

    audio_ms: int


@attrs.frozen
class SpeechStopped:
    """They stopped, `audio_ms` after the beginning of all audio sent; their transcript follows, unless they said nothing."""

    audio_ms: int


Heard: TypeAlias = SpeechStarted | SpeechStopped | TranscriptDelta | Transcript
"""What a transcription stream tells; every Transcript is one turn."""


# --- models --------------------------------------------------------------------------------------------------------------


class Opens(Protocol[T_co]):
    """Optional for models and workflows: something is needed for the length of a run (a connection pool, a worker process).

    The pipeline opens it once at the beginning of each run, uses what it gives in the place of the model, and closes it at the end.
    """

    def open(self) -> AbstractAsyncContextManager[T_co]:
        """Give the model to use within the block. Raises ConfigurationError when it cannot work at all."""


class STTModel(Protocol):
    """Turns recorded speech into text. A model with `open_stream` is a StreamingSTTModel; for others turns are found locally."""

    async def transcribe(self, pcm: bytes, settings: STTSettings, /) -> Transcript:
        """Return what is said in a whole utterance. Cancel-safe: cancelled, its request ends. Raises VoiceError."""


class TranscriptionStream(Protocol):
    """Speech on its way into text: audio goes in by `send` while another task iterates over what is heard.

    Iteration ends after the last Transcript that follows `end`. What fails for good is raised by the iteration.
    """

    async def send(self, pcm: bytes, /) -> None:
        """Hear more, in any chunking; waits for room."""

    async def end(self) -> None:
        """Say that no more audio comes; a turn in progress is finished and transcribed."""

    def __aiter__(self) -> AsyncIterator[Heard]:
        """Iterate over what is heard, once."""


class StreamingSTTModel(STTModel, Protocol):
    """Turns a stream of speech into text, and finds the turns in it by itself."""

    def open_stream(self, settings: STTSettings, /) -> AbstractAsyncContextManager[TranscriptionStream]:
        """Open a stream; leaving the block ends it at once."""


class TTSModel(Protocol):
    """Turns text into speech."""

    def speak(self, text: str, settings: TTSSettings, /) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Say a text of at most 4,096 characters: an async iterator of audio in any chunking, also within a sample.

        Leaving the block early ends the request. Several may be open at a time. Raises VoiceError.
        """


# --- workflows -----------------------------------------------------------------------------------------------------------

Send: TypeAlias = Callable[[str], Awaitable[None]]
"""Says a piece of text; waits while what was said before is not spoken yet. Pieces are joined as they are."""


class Workflow(Protocol):
    """The mind between ears and mouth.

    Optional methods: `async on_start(send)` greets when a stream begins; `on_interrupted(heard)`, not async, is told after a turn that
    was cut short how much of its text was heard, so that a history can say so. `open()` (see `Opens`) is optional
    as well, and so is `at(endpoint, api_key)`, which gives the workflow to use in a pipeline that was given a service.
    """

    async def run(self, transcript: Transcript, send: Send, /) -> None:
        """Answer one turn by any number of `await send(text)`; cancelled when somebody speaks in between. May raise anything."""
