"""What a run of a pipeline gives: its events, and what was said by whom, as it stands.

A turn knows what was spoken and how much of it the user has taken, so that after an interruption one can say what was heard.
"""

from __future__ import annotations

from typing import Final

import attrs
import trio

from trio_codex.voice.events import VoiceStreamEvent, VoiceStreamEventAudio
from trio_codex.voice.models import Transcript

__all__ = ["Turn", "VoiceResult"]

_BYTES_PER_CHARACTER: Final = 48_000 // 15
"""People say about 15 characters a second; it only serves to guess how much was heard of a sentence that was not finished."""

_REPORT_S: Final = 5.0


@attrs.define
class _Sentence:
    text: str
    nbytes: int = 0
    complete: bool = False

    def heard(self, nbytes: int) -> str:
        """Return the words of it that the first `nbytes` of its audio hold."""
        if self.complete and nbytes >= self.nbytes:
            return self.text
        whole = self.nbytes if self.complete else max(self.nbytes, len(self.text) * _BYTES_PER_CHARACTER)
        end = len(self.text) * nbytes // whole if whole else 0
        return self.text if end >= len(self.text) else self.text[: self.text.rfind(" ", 0, end + 1) + 1].rstrip()


@attrs.define(eq=False)
class Turn:
    """One answer. `transcript` is what it answers, None for a greeting and for a word into a silence; `number` counts from 1.

    `interrupted`: somebody spoke before all of it was played.
    """

    number: int
    transcript: Transcript | None = None
    interrupted: bool = False
    _sentences: list[_Sentence] = attrs.field(factory=list, init=False, repr=False)
    _taken: int = attrs.field(default=0, init=False, repr=False)
    _played: int | None = attrs.field(default=None, init=False, repr=False)  # None: nobody reports it

    @property
    def text(self) -> str:
        """What was or is being spoken, character for character what the workflow said as far as it went."""
        return "".join(sentence.text for sentence in self._sentences)

    @property
    def text_heard(self) -> str:
        """What was heard of it: the sentences whose audio was played, and of the last one as many words as its share of audio.

        Played is what `VoiceResult.played` reported; when nobody reports, what was taken.
        """
        heard, left = "", self._taken if self._played is None else min(self._played, self._taken)
        for sentence in self._sentences:
            if left < sentence.nbytes or not sentence.complete:
                return heard + sentence.heard(left)
            heard += sentence.text
            left -= sentence.nbytes
        return heard

    def begin(self, text: str) -> None:
        """A sentence is spoken now."""
        self._sentences.append(_Sentence(text))

    def end(self) -> None:
        """All audio of the sentence has come."""
        if self._sentences:
            self._sentences[-1].complete = True

    def add(self, nbytes: int) -> None:
        """Audio has come."""
        if not self._sentences:
            self.begin("")
        self._sentences[-1].nbytes += nbytes

    def take(self, nbytes: int) -> None:
        """The user has taken audio."""
        self._taken += nbytes

    def play(self, nbytes: int) -> None:
        """Taken audio was played."""
        self._played = (self._played or 0) + nbytes

    @property
    def taken(self) -> bool:
        """Whether the user has taken all audio that has come."""
        return self._taken >= self._nbytes

    @property
    def unplayed_s(self) -> float:
        """How much of the audio that has come was not reported as played, in seconds; 0 when nobody reports."""
        return 0 if self._played is None else max(self._nbytes - self._played, 0) / 48_000

    @property
    def _nbytes(self) -> int:
        return sum(sentence.nbytes for sentence in self._sentences)


class VoiceResult:
    """The events of a run, as an async iterator, and what was said.

    Iteration is cancel-safe: an event is taken or it stays. Audio of an interrupted turn that was not taken is dropped. A second
    `async for` at the same time raises trio.BusyResourceError; after the block trio.ClosedResourceError.
    """

    def __init__(self, events: trio.MemoryReceiveChannel[VoiceStreamEvent]) -> None:
        self.turns: list[Turn] = []
        self.partial_transcript: str = ""
        self._events = events
        self._busy = False
        self._reports = False  # somebody reports what was played
        self._progress = trio.Event()

    @property
    def transcripts(self) -> list[str]:
        """What the user said, turn by turn."""
        return [turn.transcript.text for turn in self.turns if turn.transcript is not None]

    @property
    def text(self) -> str:
        """What was spoken, one line for each turn that said something; of an interrupted turn what was heard."""
        texts = (turn.text_heard if turn.interrupted else turn.text for turn in self.turns)
        return "\n".join(text for text in texts if text)

    def begin(self, transcript: Transcript | None) -> Turn:
        """A turn begins."""
        turn = Turn(len(self.turns) + 1, transcript)
        if self._reports:
            turn.play(0)
        self.turns.append(turn)
        return turn

    def played(self, nbytes: int) -> None:
        """Report that so much audio was played by a loudspeaker which keeps some, so that an interruption knows what was heard.

        One report switches to reports for good: a turn then is over when all of its audio was reported, and can be interrupted until
        then (or until five seconds after it should have been). Whoever interrupts, and keeps audio, drops it at `turn_ended`.
        """
        if self.turns:
            self._reports = True
            self.turns[-1].play(max(nbytes, 0))
            self._tell()

    async def wait_heard(self, turn: Turn) -> None:
        """Wait until the audio of a turn was taken and, if that is reported, played."""
        while not turn.taken:
            await self._progress.wait()
        with trio.move_on_after(turn.unplayed_s + _REPORT_S):
            while turn.unplayed_s:
                await self._progress.wait()

    def _tell(self) -> None:
        progress, self._progress = self._progress, trio.Event()
        progress.set()

    def __enter__(self) -> VoiceResult:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()

    def __aiter__(self) -> VoiceResult:
        return self

    async def __anext__(self) -> VoiceStreamEvent:
        if self._busy:
            raise trio.BusyResourceError("another task iterates over this result already")
        self._busy = True
        try:
            while True:
                try:
                    event = await self._events.receive()
                except trio.EndOfChannel:
                    raise StopAsyncIteration from None
                if not isinstance(event, VoiceStreamEventAudio):
                    return event
                turn = self.turns[event.turn - 1]
                if not turn.interrupted:
                    turn.take(len(event.data))
                    self._tell()
                    return event
        finally:
            self._busy = False
