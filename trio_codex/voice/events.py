"""What a voice pipeline tells its user: audio to play, the course of the conversation, what went wrong."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

__all__ = [
    "VoiceStreamEvent",
    "VoiceStreamEventAudio",
    "VoiceStreamEventError",
    "VoiceStreamEventLifecycle",
]


@attrs.frozen
class VoiceStreamEventAudio:
    """Audio to play now: s16le mono 24 kHz, whole samples, never empty. `turn` counts the turns from 1."""

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    turn: int = 0


@attrs.frozen
class VoiceStreamEventLifecycle:
    """A turn begins or ends, or the whole conversation has ended. A turn is one answer, with the greeting as one of its own.

    `interrupted`: somebody spoke while the agent did, so whoever keeps audio of this turn that was not played yet drops it.
    """

    event: Literal["turn_started", "turn_ended", "session_ended"]
    turn: int = 0
    interrupted: bool = False


@attrs.frozen
class VoiceStreamEventError:
    """What ended the conversation before its time, as it was raised; the closing lifecycle events still follow."""

    error: Exception


VoiceStreamEvent: TypeAlias = VoiceStreamEventAudio | VoiceStreamEventLifecycle | VoiceStreamEventError
