"""What the server asks of its ears and its mouth. `trio_codex.speech` fits; tests bring their own.

Audio is s16le mono PCM at 24 kHz. An engine that fails raises VoiceError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from trio_codex.speech import SpeechStarted, SpeechStopped

__all__ = ["Detector", "SpeechToText", "TextToSpeech", "Utterance", "turn_detector"]


class Utterance(Protocol):
    """One utterance on its way into text."""

    async def feed(self, pcm: bytes) -> None:
        """Hear more of it, in any chunking."""

    async def finish(self) -> str:
        """End it and return its words, "" for none."""


class SpeechToText(Protocol):
    """A recogniser that several sessions share."""

    def stream(self) -> AbstractAsyncContextManager[Utterance]:
        """Open one utterance; entering may wait for a free worker."""


class TextToSpeech(Protocol):
    """A synthesiser that several sessions share."""

    def speak(self, text: str, *, voice: str, speed: float) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Say a text, chunk by chunk; entering may wait for a free worker."""


DetectorEvent: TypeAlias = SpeechStarted | SpeechStopped


class Detector(Protocol):
    """Finds turns in a stream of audio; synchronous."""

    @property
    def position_ms(self) -> int:
        """How far it has listened."""

    def feed(self, pcm: bytes) -> list[DetectorEvent]:
        """Hear more audio and return what it brought."""

    def reset(self) -> None:
        """Forget a turn in progress."""


def turn_detector(config: Mapping[str, Any], origin_ms: int) -> Detector:
    """Return the detector that a session's `turn_detection` asks for, beginning at a position."""
    from trio_codex.speech import TurnDetector

    if config["type"] == "semantic_vad":
        return TurnDetector.semantic(config["eagerness"], origin_ms=origin_ms)
    return TurnDetector(
        threshold=config["threshold"],
        prefix_padding_ms=config["prefix_padding_ms"],
        silence_duration_ms=config["silence_duration_ms"],
        origin_ms=origin_ms,
    )
