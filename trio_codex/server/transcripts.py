"""A transcript in the forms that the API offers: plain, JSON, with times, as subtitles. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from trio_codex.protocol import tokens_heard, tokens_of
from trio_codex.server.recordings import Segment


@attrs.frozen
class Transcript:
    """What was said in a recording."""

    segments: Sequence[Segment]
    duration_ms: int
    model: str
    language: str = "english"
    prompt: str = ""

    @property
    def text(self) -> str:
        """All words."""
        return " ".join(segment.text for segment in self.segments)

    @property
    def usage(self) -> dict[str, Any]:
        """What it cost: by duration for whisper, by tokens for the others."""
        if self.model.startswith("whisper"):
            return {"type": "duration", "seconds": self.duration_ms / 1000}
        audio, text, output = tokens_heard(self.duration_ms), tokens_of(self.prompt), tokens_of(self.text)
        return {
            "type": "tokens",
            "input_tokens": audio + text,
            "input_token_details": {"audio_tokens": audio, "text_tokens": text},
            "output_tokens": output,
            "total_tokens": audio + text + output,
        }

    def json(self) -> dict[str, Any]:
        """The form `json`."""
        return {"text": self.text, "usage": self.usage}

    def verbose_json(self) -> dict[str, Any]:
        """The form `verbose_json`. What the engine does not know (probabilities, its tokens) is 0 and empty."""
        return {
            "task": "transcribe",
            "language": self.language,
            "duration": self.duration_ms / 1000,
            "text": self.text,
            "segments": [_segment(number, segment) for number, segment in enumerate(self.segments)],
            "usage": {"type": "duration", "seconds": self.duration_ms / 1000},
        }

    def diarized_json(self) -> dict[str, Any]:
        """The form `diarized_json`; the engine takes everybody for the same person, A."""
        return {
            "task": "transcribe",
            "duration": self.duration_ms / 1000,
            "text": self.text,
            "segments": [diarized(number, segment) for number, segment in enumerate(self.segments)],
            "usage": self.usage,
        }

    def srt(self) -> str:
        """The form `srt`."""
        return "\n".join(
            f"{number}\n{_clock(segment.start_ms, ',')} --> {_clock(segment.end_ms, ',')}\n{segment.text}\n"
            for number, segment in enumerate(self.segments, 1)
        )

    def vtt(self) -> str:
        """The form `vtt`."""
        return "\n".join(["WEBVTT\n", *_cues(self.segments)])


def _cues(segments: Iterable[Segment]) -> Iterable[str]:
    return (f"{_clock(each.start_ms, '.')} --> {_clock(each.end_ms, '.')}\n{each.text}\n" for each in segments)


def diarized(number: int, segment: Segment) -> dict[str, Any]:
    """A segment with who says it, in the form that it has in a stream, too."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": segment.start_ms / 1000,
        "end": segment.end_ms / 1000,
        "text": segment.text,
        "speaker": "A",
    }


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": 0,
        "start": segment.start_ms / 1000,
        "end": segment.end_ms / 1000,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _clock(ms: int, point: str) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
