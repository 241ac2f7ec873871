"""A transcription server in small: blocks of 100 ms, each silence or a piece of a numbered utterance, and a turn detection by silence."""

from __future__ import annotations

from array import array

import attrs

from trio_codex.protocol import (
    ClientEvent,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    Error,
    ErrorDetails,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ServerEvent,
)

USAGE = {"type": "duration", "seconds": 1}
BLOCK_MS = 100
BLOCK = BLOCK_MS * 48
PREFIX = 2
"""Blocks before speech that belong to its turn."""
SILENCE = 3
"""Blocks of silence that end a turn."""


def block(number: int) -> bytes:
    """100 ms of an utterance; 0 is silence."""
    return array("h", [number * 500] * (BLOCK // 2)).tobytes()


def speech(*utterances: tuple[int, int]) -> bytes:
    """(Blocks, blocks of silence after them) for each utterance, numbered from 1."""
    return b"".join(block(number) * length + block(0) * gap for number, (length, gap) in enumerate(utterances, start=1))


@attrs.define
class HearingServer:
    """One connection. Gives the events at once, in their order; whoever delivers them may be slower."""

    name: str = "a"
    heard: bytearray = attrs.field(factory=bytearray)
    blocks: list[int] = attrs.field(factory=list)
    begin: int | None = None  # the block where somebody began to speak
    taken: int = 0  # blocks that belong to turns, or to nobody
    count: int = 0

    def receive(self, event: ClientEvent) -> list[ServerEvent]:
        match event:
            case InputAudioBufferAppend(audio=audio):
                self.heard += audio
                events = []
                while len(self.heard) >= BLOCK:
                    piece = array("h", bytes(self.heard[:BLOCK]))
                    del self.heard[:BLOCK]
                    self.blocks.append(max(piece) // 500)
                    events += self._judge()
                return events
            case InputAudioBufferCommit():
                return self._commit()
        return []

    @property
    def item(self) -> str:
        return f"item_{self.name}{self.count}"

    def _judge(self) -> list[ServerEvent]:
        now = len(self.blocks)
        if self.begin is None and self.blocks[-1]:
            self.begin = max(now - 1 - PREFIX, self.taken)
            self.count += 1
            return [
                InputAudioBufferSpeechStarted(event_id="e", item_id=self.item, audio_start_ms=self.begin * BLOCK_MS)
            ]
        if self.begin is not None and now - self.begin > SILENCE and not any(self.blocks[-SILENCE:]):
            stopped = InputAudioBufferSpeechStopped(event_id="e", item_id=self.item, audio_end_ms=now * BLOCK_MS)
            return [stopped, *self._turn(self.begin)]
        return []

    def _commit(self) -> list[ServerEvent]:
        if len(self.blocks) == self.taken:
            details = ErrorDetails(
                type="invalid_request_error", code="input_audio_buffer_commit_empty", message="Empty."
            )
            return [Error(event_id="e", error=details)]
        if self.begin is None:
            self.count += 1
        return self._turn(self.taken if self.begin is None else self.begin)

    def _turn(self, begin: int) -> list[ServerEvent]:
        said = dict.fromkeys(number for number in self.blocks[begin:] if number)
        text = " ".join(f"u{number}" for number in said)
        self.begin, self.taken = None, len(self.blocks)
        return [
            InputAudioBufferCommitted(event_id="e", item_id=self.item),
            ConversationItemInputAudioTranscriptionDelta(event_id="e", item_id=self.item, delta=text[:1]),
            ConversationItemInputAudioTranscriptionCompleted(
                event_id="e", item_id=self.item, content_index=0, transcript=text, usage=USAGE
            ),
        ]
