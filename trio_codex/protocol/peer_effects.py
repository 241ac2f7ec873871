"""What the peer (the server's half of the protocol) wants done, as values.

The peer decides, its shell performs: frames go to the client, audio to the turn detector and the recogniser, requests
to whatever answers. An effect holds no callables, channels or tasks. The shell owes the peer one answer for every
`FinishTranscribing` (`transcribed` or `transcription_failed`) and the progress of every `Generate` until it is finished
or stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

from trio_codex.audio import AudioFormat
from trio_codex.protocol.items import Item
from trio_codex.protocol.server_events import ServerEvent


def _length(data: bytes) -> str:
    return f"<{len(data)} bytes>"


def explicit(**fields: Any) -> dict[str, Any]:
    """Fields for a wire class in which None is said as null, as the API does for what has no value yet."""
    return {**fields, "extra": {name: None for name, value in fields.items() if value is None}}


@attrs.frozen
class Say:
    """Send an event to the client."""

    event: ServerEvent


@attrs.frozen(kw_only=True)
class AnswerRequest:
    """What a response is to be made of: the settings in force for it and the conversation that it sees.

    User audio is there as words: its part has the transcript that the recogniser found ("" when it heard none).
    """

    response_id: str
    instructions: str
    items: tuple[Item, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    modality: str = "audio"
    voice: str = "alloy"
    speed: float = 1.0
    audio_format: AudioFormat = AudioFormat.PCM16
    metadata: Mapping[str, str] | None = None


@attrs.frozen
class Generate:
    """Answer this; report the progress under the request's `response_id`."""

    request: AnswerRequest


@attrs.frozen
class StopGenerating:
    """Nobody wants the rest of this response any more."""

    response_id: str


@attrs.frozen
class Hear:
    """Audio that the client appended, for the turn detector and the recogniser that is listening."""

    audio: bytes = attrs.field(repr=_length)


@attrs.frozen
class StartTranscribing:
    """A user's turn has begun: recognise `audio` (what it has so far) and what is heard from now on."""

    item_id: str
    audio: bytes = attrs.field(repr=_length)


@attrs.frozen
class FinishTranscribing:
    """The turn is over and `audio` is all of it; its words are wanted."""

    item_id: str
    audio: bytes = attrs.field(repr=_length)
    format: AudioFormat = AudioFormat.PCM16


@attrs.frozen
class DropTranscribing:
    """The turn was thrown away."""

    item_id: str


@attrs.frozen(kw_only=True)
class SetDetector:
    """Detect turns from now on as `config` (the wire's `turn_detection`) says, None for not at all; positions go on."""

    config: Mapping[str, Any] | None
    format: AudioFormat
    position_ms: int


@attrs.frozen
class ResetDetector:
    """Forget a turn in progress."""


@attrs.frozen
class AwaitSpeech:
    """Call `nobody_spoke` after so many ms, unless another of these comes; what has been said to the user has sounded by then."""

    ms: int


PeerEffect: TypeAlias = (
    Say
    | Generate
    | StopGenerating
    | Hear
    | StartTranscribing
    | FinishTranscribing
    | DropTranscribing
    | SetDetector
    | ResetDetector
    | AwaitSpeech
)
