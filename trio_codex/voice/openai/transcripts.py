"""What the transcription endpoint answers, from bytes to values: whole answers in four formats, and the events of a streamed one.

Pure. Schemas: the API's description of `/audio/transcriptions`. An answer that is not of its format is a RemoteProtocolError with the
path to the fault; fields that nobody knows are no fault.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from trio_codex.errors import RemoteProtocolError, VoiceError
from trio_codex.protocol import Wire, structure
from trio_codex.voice.models import Segment, Transcript, TranscriptDelta, Word

__all__ = ["Reading", "read_transcript"]


# --- the wire ------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True, slots=False)
class _Segment(Wire):
    text: str
    start: float
    end: float
    id: int | str | None = None
    speaker: str | None = None

    def value(self) -> Segment:
        return Segment(self.text, self.start, self.end, self.speaker, None if self.id is None else str(self.id))


@attrs.frozen(kw_only=True, slots=False)
class _Word(Wire):
    word: str
    start: float
    end: float


@attrs.frozen(kw_only=True, slots=False)
class _Language(Wire):
    code: str


@attrs.frozen(kw_only=True, slots=False)
class _Answer(Wire):
    """`json`, `verbose_json` and `diarized_json` are one another's parts."""

    text: str
    language: str | None = None
    languages: tuple[_Language, ...] | None = None
    duration: float | None = None
    segments: tuple[_Segment, ...] | None = None
    words: tuple[_Word, ...] | None = None
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    usage: Mapping[str, Any] | None = None

    def value(self, segments: tuple[Segment, ...] = ()) -> Transcript:
        spoken = self.languages[0].code if self.languages else None
        return Transcript(
            text=self.text,
            language=self.language or spoken,
            duration_s=self.duration,
            segments=tuple(each.value() for each in self.segments or ()) or segments,
            words=tuple(Word(each.word, each.start, each.end) for each in self.words or ()),
            logprobs=self.logprobs or (),
            usage=self.usage,
        )


@attrs.frozen(kw_only=True, slots=False)
class _Delta(Wire):
    type: ClassVar[str] = "transcript.text.delta"
    delta: str


@attrs.frozen(kw_only=True, slots=False)
class _SegmentEvent(_Segment):
    type: ClassVar[str] = "transcript.text.segment"


@attrs.frozen(kw_only=True, slots=False)
class _Done(_Answer):
    type: ClassVar[str] = "transcript.text.done"


_EVENTS: Mapping[str, Any] = {each.type: each for each in (_Delta, _SegmentEvent, _Done)}


# --- reading -------------------------------------------------------------------------------------------------------------


def read_transcript(body: str, response_format: str) -> Transcript:
    """Read a whole answer. Raises RemoteProtocolError."""
    if response_format == "text":
        return Transcript(body.removesuffix("\n"))
    answer: _Answer = structure(_json(body), _Answer)
    return answer.value()


class Reading:
    """A streamed answer as it comes. `done` once the transcript was given."""

    def __init__(self) -> None:
        self.done: bool = False
        self._segments: list[Segment] = []

    def take(self, data: str) -> TranscriptDelta | Transcript | None:
        """Take the data of one server-sent event. Raises RemoteProtocolError, and VoiceError for the server's own error."""
        if data.startswith("[DONE]"):
            return None
        event = _json(data)
        name = event.get("type")
        cls = _EVENTS.get(name) if isinstance(name, str) else None
        if cls is None:
            if (error := event.get("error")) is not None:
                raise _broken_off(error)
            return None  # an event that is younger than this library
        match structure(event, cls):
            case _Delta(delta=delta):
                return TranscriptDelta(delta)
            case _SegmentEvent() as segment:
                self._segments.append(segment.value())
            case _Done() as answer:
                self.done = True
                return answer.value(tuple(self._segments))
        return None


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("not JSON") from None
    if not isinstance(value, dict):
        raise RemoteProtocolError("expected an object")
    return value


def _broken_off(error: Any) -> VoiceError:
    stated = error if isinstance(error, dict) else {"message": error}
    code = stated.get("code")
    message = f"speech to text failed: the server broke off: {stated.get('message')}"
    return VoiceError(message, code=code if isinstance(code, str) else None)
