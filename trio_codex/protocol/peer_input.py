"""The input audio buffer and the user's turns that are cut out of it.

The buffer knows every position as ms from the start of all audio of the session. A turn is open from its first sound
(turn detection on) or from the first append (off) until it is committed or cleared; its item id is known from the
start. Who answers a turn, and whether it interrupts an answer, is the peer's business.

Invariants: every `StartTranscribing` is followed by exactly one `FinishTranscribing` or `DropTranscribing` of the same
item; what is appended while nobody speaks is bounded by dropping the oldest, a detected turn by ending it, any other by
refusing more.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from trio_codex.audio import AudioFormat
from trio_codex.grammar import Refusal, wrong_value
from trio_codex.protocol.peer_effects import (
    DropTranscribing,
    Hear,
    PeerEffect,
    ResetDetector,
    Say,
    SetDetector,
    StartTranscribing,
)
from trio_codex.protocol.peer_ids import Ids, Limits
from trio_codex.protocol.peer_items import ItemList, Record, spoken_by_user
from trio_codex.protocol.peer_session import SessionConfig
from trio_codex.protocol.server_events import (
    ConversationItemAdded,
    ConversationItemDone,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
)

LEAST_MS: Final = 100
QUIET: Final = 1000
"""Samples below this (-30 dB) are not speech; what follows a turn that the detector ended may be no more than that."""


class InputBuffer:
    """Audio by position."""

    def __init__(self, format: AudioFormat) -> None:  # noqa: A002 - the wire's name for it
        self.format: AudioFormat = format
        self._data = bytearray()
        self._start_ms = 0  # position of the first byte; always at a whole ms of the current format

    @property
    def start_ms(self) -> int:
        """Where the buffer begins."""
        return self._start_ms

    @property
    def end_ms(self) -> int:
        """Where it ends: all audio that was ever appended."""
        return self._start_ms + self.duration_ms

    @property
    def duration_ms(self) -> int:
        """How much there is."""
        return self.format.duration_ms(len(self._data))

    def append(self, audio: bytes) -> None:
        """Add audio at the end."""
        self._data += audio

    def cut(self, start_ms: int, end_ms: int) -> bytes:
        """The audio between two positions, as far as it is there."""
        first = self.format.nbytes(max(start_ms - self._start_ms, 0))
        last = self.format.nbytes(max(end_ms - self._start_ms, 0))
        return bytes(self._data[first:last])

    def drop_before(self, ms: int) -> None:
        """Forget what came before a position."""
        ms = min(max(ms, self._start_ms), self.end_ms)
        del self._data[: self.format.nbytes(ms - self._start_ms)]
        self._start_ms = ms

    def drop_all(self, format: AudioFormat | None = None) -> None:  # noqa: A002
        """Forget everything; later audio may have another format."""
        self._start_ms = self.end_ms
        self._data.clear()
        self.format = format or self.format

    def is_quiet(self) -> bool:
        """Whether nothing in it can be speech."""
        if self.format is not AudioFormat.PCM16:
            return len(set(self._data)) <= 2  # G.711 silence is a constant, or flips its sign
        samples = array("h", bytes(self._data[: len(self._data) // 2 * 2]))
        return not samples or max(max(samples), -min(samples)) < QUIET


class Turns:
    """What the user says, turn by turn."""

    def __init__(self, session: SessionConfig, items: ItemList, ids: Ids, limits: Limits) -> None:
        self._session = session
        self._items = items
        self._ids = ids
        self._limits = limits
        self._buffer = InputBuffer(session.input_format)
        self._detection = session.turn_detection
        self._open: str | None = None  # the item id of the turn
        self._turn_start_ms = 0
        self._detector_had_the_last_word = False

    @property
    def is_open(self) -> bool:
        """Whether the user is in the middle of a turn."""
        return self._open is not None

    @property
    def item_id(self) -> str | None:
        """What the turn that is open will be called as an item."""
        return self._open

    @property
    def lasts_too_long(self) -> bool:
        """Whether somebody has spoken for longer than a turn may last; a turn without a detector is the client's to end."""
        return self.is_open and self._detection is not None and self._buffer.duration_ms >= self._limits.turn_ms

    @property
    def position_ms(self) -> int:
        """How much audio has been appended in all."""
        return self._buffer.end_ms

    def detector(self) -> SetDetector:
        """The turn detection that the session wants."""
        return SetDetector(
            config=self._session.turn_detection, format=self._buffer.format, position_ms=self._buffer.end_ms
        )

    def reconfigured(self) -> Iterator[PeerEffect]:
        """The session's settings have changed, perhaps those of its ears."""
        if self._session.input_format is not self._buffer.format:
            yield from self._forget()
            self._buffer.drop_all(self._session.input_format)
        elif self._session.turn_detection == self._detection:
            return
        elif self._detection is None:
            yield from self._forget()  # a turn without a detector becomes one with: the buffer stays
        self._detection = self._session.turn_detection
        yield self.detector()

    def append(self, audio: bytes) -> Iterator[PeerEffect]:
        """The client's audio goes into the buffer."""
        if len(audio) > self._limits.append_bytes:
            raise wrong_value("audio", f"at most {self._limits.append_bytes} bytes of audio may be appended at once.")
        if self._detection is not None and self._open is None:
            self._buffer.drop_before(self._buffer.end_ms - self._limits.idle_ms)
        elif self._buffer.duration_ms >= self._limits.turn_ms:
            raise Refusal(
                "input_audio_buffer_full",
                f"The input audio buffer holds {self._limits.turn_ms // 1000} s; commit or clear it first.",
            )
        if self._detection is None and self._open is None:
            self._open, self._turn_start_ms = self._ids.new("item"), self._buffer.end_ms
            yield StartTranscribing(self._open, b"")
        self._buffer.append(audio)
        yield Hear(audio)

    def clear(self) -> Iterator[PeerEffect]:
        """The client wants none of it."""
        yield from self._forget()
        self._buffer.drop_all()
        if self._detection is not None:
            yield ResetDetector()
        yield Say(InputAudioBufferCleared(event_id=self._ids.event()))

    def commit(self) -> Iterator[PeerEffect]:
        """The client says that the turn is over."""
        start_ms = self._turn_start_ms if self._open else self._buffer.start_ms
        duration_ms = self._buffer.end_ms - max(start_ms, self._buffer.start_ms)
        nothing_new = self._open is None and self._detector_had_the_last_word and self._buffer.is_quiet()
        if duration_ms < LEAST_MS or nothing_new:
            raise Refusal(
                "input_audio_buffer_commit_empty",
                f"Error committing input audio buffer: buffer too small. Expected at least {LEAST_MS}ms of audio, "
                f"but buffer only has {0 if nothing_new else duration_ms:.2f}ms of audio.",
            )
        self._items.check_room(None, None)
        if self._detection is not None:
            yield ResetDetector()
        self._detector_had_the_last_word = False
        yield from self._commit(start_ms, self._buffer.end_ms)

    def started(self, audio_start_ms: int, heard_ms: int) -> Iterator[PeerEffect]:
        """The detector hears speech since `audio_start_ms` (padding included); it has listened up to `heard_ms`."""
        self._open = self._ids.new("item")
        self._turn_start_ms = max(audio_start_ms, self._buffer.start_ms)
        yield Say(
            InputAudioBufferSpeechStarted(
                event_id=self._ids.event(), audio_start_ms=self._turn_start_ms, item_id=self._open
            )
        )
        yield StartTranscribing(self._open, self._buffer.cut(self._turn_start_ms, heard_ms))

    def stopped(self, audio_end_ms: int) -> Iterator[PeerEffect]:
        """The detector has heard enough silence; the open turn ends with it."""
        assert self._open is not None
        yield Say(
            InputAudioBufferSpeechStopped(event_id=self._ids.event(), audio_end_ms=audio_end_ms, item_id=self._open)
        )
        self._detector_had_the_last_word = True
        yield from self._commit(self._turn_start_ms, audio_end_ms)

    def timed_out(self, idle_ms: int) -> Iterator[PeerEffect]:
        """Nobody has spoken for so long: the silence becomes a turn. Raises Refusal."""
        self._items.check_room(None, None)
        end_ms = self._buffer.end_ms
        start_ms = max(self._buffer.start_ms, end_ms - idle_ms)
        self._open = self._ids.new("item")
        yield ResetDetector()
        yield Say(
            InputAudioBufferTimeoutTriggered(
                event_id=self._ids.event(), audio_start_ms=start_ms, audio_end_ms=end_ms, item_id=self._open
            )
        )
        yield from self._commit(start_ms, end_ms)

    def _commit(self, start_ms: int, end_ms: int) -> Iterator[PeerEffect]:
        item_id, self._open = self._open or self._ids.new("item"), None
        record = Record(spoken_by_user(item_id), format=self._buffer.format, reports_words=self._session.transcribes)
        record.hear(self._buffer.cut(start_ms, end_ms))
        self._buffer.drop_before(end_ms)
        self._items.add(record)
        link = self._items.link_of(item_id)
        yield Say(InputAudioBufferCommitted(event_id=self._ids.event(), item_id=item_id, **link))
        yield Say(ConversationItemAdded(event_id=self._ids.event(), item=record.item, **link))
        yield Say(ConversationItemDone(event_id=self._ids.event(), item=record.item, **link))
        yield self._items.ask_for_words(record)

    def _forget(self) -> Iterator[PeerEffect]:
        """Drop the open turn; the detector has to begin anew."""
        if self._open is not None:
            yield DropTranscribing(self._open)
        self._open = None
        self._detector_had_the_last_word = False
