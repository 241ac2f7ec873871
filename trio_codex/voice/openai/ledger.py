"""The books of a streamed transcription: which audio was heard, sent, and turned into text, over any number of connections.

Pure: audio goes in, pieces to send come out; server events go in, what was heard comes out, turn by turn in the order of speech. Audio
is kept until the turn that it belongs to is transcribed, so that a lost connection loses no words: the next one hears the rest again
(`reconnected`). Silence is kept for some seconds only, and never more than `LONGEST`. Positions are bytes since the beginning of all
audio; ms on the wire count from where a connection began to hear.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trio_codex.audio import rms
from trio_codex.errors import VoiceError
from trio_codex.protocol import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    Error,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ServerEvent,
    Wire,
    unstructure,
)
from trio_codex.verdicts import verdict_on
from trio_codex.voice.models import Heard, Segment, SpeechStarted, SpeechStopped, Transcript, TranscriptDelta

__all__ = ["Ledger", "Setback"]

MS: Final = 48
"""Bytes of a ms: 16 bit, mono, 24 kHz."""

JUDGED_IN_S: Final = 10.0
"""Audio in which the server found no speech so many seconds after it was sent is silence, and is not kept."""

LONGEST: Final = 300_000 * MS
"""The most that is kept of one turn, or of what a server is behind with; what is older is not heard again after a loss."""

PIECE: Final = 200 * MS
"""What goes into one frame at most."""

LEAST_TAIL: Final = 100 * MS
"""Less cannot be committed [the API's description]."""

QUIET: Final = 0.005
"""The level (-46 dBFS) under which the rest of a stream is no speech that the server has yet to notice."""


class Setback(Exception):  # noqa: N818 - it never leaves the package
    """The connection is of no more use; another may be. `code` is the server's."""

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.code = code


@attrs.define
class _Turn:
    start: int
    end: int | None = None  # None: somebody is speaking
    deltas: list[TranscriptDelta] = attrs.field(factory=list)
    segments: list[Segment] = attrs.field(factory=list)
    transcript: Transcript | None = None


class Ledger:
    """The books of one stream. `progress` says that a turn came to an end since it was last cleared."""

    def __init__(self) -> None:
        self.progress: bool = False
        self._kept = bytearray()
        self._start = 0  # where the kept audio begins
        self._sent = 0  # up to where it went to the server
        self._pieces: deque[tuple[float, int]] = deque()  # when audio went to the server, and up to where
        self._silent = 0  # up to where a turn would have begun by now, were there speech
        self._base = 0  # where this connection began to hear
        self._done = 0  # up to where everything is transcribed
        self._turns: dict[str, _Turn] = {}  # of this connection, in the order of speech
        self._speaking = False  # as the user was told
        self._told = 0  # the last position that the user was told
        self._delta_told = False  # of the first turn
        self._mute = False  # the first turn is heard again: its deltas were told already
        self._ended = False
        self._committing = False
        self._judged = 0  # up to where the server has nothing to commit

    # --- audio ---------------------------------------------------------------------------------------------------------

    def hear(self, pcm: bytes) -> None:
        """More audio, in any chunking."""
        self._kept += pcm

    def end(self, silence_ms: int) -> None:
        """There is no more; silence is added, in which the server may find by itself that a turn is over."""
        if not self._ended:
            self._kept += bytes(len(self._kept) % 2 + silence_ms * MS)
            self._ended = True

    @property
    def ended(self) -> bool:
        """Whether there is no more."""
        return self._ended

    @property
    def unsent(self) -> int:
        """Bytes that have not gone to the server."""
        return self._start + len(self._kept) - self._sent

    def piece(self, now: float) -> bytes | None:
        """Whole samples to send next, at this time in seconds; None while there are none."""
        begin = self._sent - self._start
        piece = bytes(self._kept[begin : begin + PIECE])
        piece = piece[: len(piece) // 2 * 2]
        if not piece:
            return None
        self._sent += len(piece)
        self._pieces.append((now, self._sent))
        while self._pieces[0][0] < now - JUDGED_IN_S:
            self._silent = self._pieces.popleft()[1]
        self._forget()
        return piece

    def committed(self) -> None:
        """What was sent last is being committed by us, because the server did not find its end."""
        self._committing = True

    @property
    def unjudged(self) -> bool:
        """Whether the server has yet to say what it makes of the audio sent last: somebody speaks, or it is loud."""
        if any(turn.end is None for turn in self._turns.values()):
            return True
        judged = max([self._done, self._base, self._judged, *(turn.end or 0 for turn in self._turns.values())])
        tail = bytes(self._kept[max(judged - self._start, 0) : self._sent - self._start])
        windows = (tail[at : at + LEAST_TAIL] for at in range(0, len(tail), LEAST_TAIL))
        return len(tail) >= LEAST_TAIL and any(rms(window) >= QUIET for window in windows)

    @property
    def waits(self) -> bool:
        """Whether the server owes something: the text of a turn that is over, or an answer to the commit."""
        return self._committing or any(turn.end is not None for turn in self._turns.values())

    @property
    def over(self) -> bool:
        """Whether everything was heard, sent and transcribed."""
        if not self._ended or self.unsent or self._turns or self._committing:
            return False
        return not self.unjudged

    # --- connections ---------------------------------------------------------------------------------------------------

    def reconnected(self) -> int:
        """A connection begins to hear at what is not transcribed yet; gives how many bytes it hears again."""
        self._forget()
        self._turns.clear()
        self._pieces.clear()
        self._committing = False
        self._mute = self._delta_told
        again = self._sent - self._start
        self._base = self._sent = self._silent = self._start  # what it takes for silence it has to say itself
        return again

    def _forget(self) -> None:
        """Drop audio that nobody needs any more; always whole samples."""
        first = next(iter(self._turns.values()), None)
        needed = first.start if first is not None else max(self._done, self._silent)
        drop = max(min(needed, self._sent), self._sent - LONGEST) - self._start
        drop -= drop % 2
        if drop > 0:
            del self._kept[:drop]
            self._start += drop

    # --- events --------------------------------------------------------------------------------------------------------

    def receive(self, event: ServerEvent) -> list[Heard]:
        """What follows from an event. Raises Setback, and VoiceError for what another connection would not mend."""
        match event:
            case InputAudioBufferSpeechStarted(item_id=item_id, audio_start_ms=ms):
                at = max(self._base + ms * MS, self._done)
                self._turns.setdefault(item_id, _Turn(at))
                return self._told_at(at, speaking=True)
            case InputAudioBufferSpeechStopped(item_id=item_id, audio_end_ms=ms):
                at = min(self._base + ms * MS, self._sent)
                self._turn(item_id).end = at
                return self._told_at(at, speaking=False)
            case InputAudioBufferCommitted(item_id=item_id):
                return self._committed(item_id)
            case ConversationItemInputAudioTranscriptionDelta(item_id=item_id, delta=str(delta)) if delta:
                self._turn(item_id).deltas.append(TranscriptDelta(delta))
            case ConversationItemInputAudioTranscriptionSegment(item_id=item_id):
                segment = Segment(event.text, event.start, event.end, event.speaker, event.id)
                self._turn(item_id).segments.append(segment)
            case ConversationItemInputAudioTranscriptionCompleted(item_id=item_id):
                turn = self._turn(item_id)
                turn.transcript = _transcript(event, turn)
            case ConversationItemInputAudioTranscriptionFailed(error=error):
                raise _failure(error.message or "a turn could not be transcribed", error.code, error.type, again=True)
            case Error(error=error):
                self._refused(event)
        return self._finished()

    def _committed(self, item_id: str) -> list[Heard]:
        turn = self._turn(item_id)
        ours = turn.end is None  # the server's own detection says first where a turn ends
        if turn.end is None:
            turn.end = self._sent
        self._committing = self._committing and not ours and self.unjudged
        return self._told_at(turn.end, speaking=False) if ours else []

    def _refused(self, event: Error) -> None:
        error = event.error
        if error.code == "input_audio_buffer_commit_empty":
            self._committing, self._judged = False, self._sent  # the server's own detection was faster
            return
        raise _failure(error.message, error.code, error.type)

    def _turn(self, item_id: str) -> _Turn:
        ends = [turn.end for turn in self._turns.values() if turn.end is not None]
        return self._turns.setdefault(item_id, _Turn(max([self._done, self._base, *ends])))

    def _told_at(self, at: int, *, speaking: bool) -> list[Heard]:
        """Tell the user, unless this is what a later connection hears again."""
        if speaking == self._speaking or at < self._told or (at == self._told and not speaking):
            return []
        self._speaking, self._told = speaking, at
        return [SpeechStarted(at // MS) if speaking else SpeechStopped(at // MS)]

    def _finished(self) -> list[Heard]:
        """All that may be told now: turns come in the order of speech, whatever the order of their texts."""
        heard: list[Heard] = []
        for item_id, turn in list(self._turns.items()):
            if not self._mute:
                heard += turn.deltas
                self._delta_told = self._delta_told or bool(turn.deltas)
            turn.deltas = []
            if turn.transcript is None:
                break
            heard.append(turn.transcript)
            del self._turns[item_id]
            self._done = max(self._done, turn.start if turn.end is None else turn.end)
            self._mute = self._delta_told = False
            self.progress = True
        return heard


def _transcript(event: ConversationItemInputAudioTranscriptionCompleted, turn: _Turn) -> Transcript:
    usage = unstructure(event.usage) if isinstance(event.usage, Wire) else event.usage
    logprobs: list[Mapping[str, Any]] = [unstructure(each) for each in event.logprobs or ()]
    return Transcript(
        text=event.transcript,
        language=event.languages[0].code if event.languages else None,
        duration_s=None if turn.end is None else (turn.end - turn.start) / MS / 1000,
        segments=turn.segments,
        logprobs=logprobs,
        usage=usage,
    )


def _failure(message: str, code: str | None, kind: str | None, *, again: bool = False) -> Exception:
    """What passes is a Setback; with `again`, so is all that a key or a quota has nothing to do with."""
    verdict = verdict_on(code=code, kind=kind)
    if verdict.retryable or (again and verdict.fault != "account"):
        return Setback(message, code)
    return VoiceError(f"speech to text failed: {message}", code=code)
