"""The items of the peer's conversation: their order, their audio, and the words that were heard in it.

An item is kept in the form in which events show it, without audio; the audio of its part lies beside it. Knows nothing
of responses or of the client. Invariants: ids are unique; `previous_of` gives the neighbour in the list as it is now;
at most `kept_audio` bytes of audio are held whenever an item is added (the oldest goes first; its duration stays known).
What is done with one item costs the same in a conversation of any length.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import attrs

from trio_codex.audio import AudioFormat
from trio_codex.grammar import Refusal
from trio_codex.protocol.items import (
    AssistantMessage,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    Item,
    SystemMessage,
    UserMessage,
)
from trio_codex.protocol.peer_effects import FinishTranscribing, explicit
from trio_codex.protocol.peer_ids import Ids

ROOT = "root"

Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage
OwnItem: TypeAlias = Message | FunctionCall | FunctionCallOutput
"""The items that this peer keeps; there are no MCP items here."""

_PARTS_BY_ROLE: Final = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text",),
}


@attrs.define
class Record:
    """One item of the conversation. `words`: what was heard in a user's audio (None while the recogniser has not
    answered).

    `reports_words`: the client wants transcription events of it. `truncated`: what comes later was never heard. `shelf`: where
    its audio counts. `forgotten`: its audio is no longer kept.
    """

    item: OwnItem
    audio: bytearray = attrs.field(factory=bytearray, repr=False)
    format: AudioFormat = AudioFormat.PCM16
    audio_bytes: int = 0
    words: str | None = None
    awaits_words: bool = False
    reports_words: bool = False
    truncated: bool = False
    shelf: Shelf | None = attrs.field(default=None, repr=False, eq=False)
    forgotten: bool = False

    @property
    def id(self) -> str:
        """The item's id, which every item here has."""
        return self.item.id or ""

    @property
    def duration_ms(self) -> int:
        """How long the item's audio is."""
        return self.format.duration_ms(self.audio_bytes)

    def hear(self, data: bytes) -> None:
        """More audio of this item."""
        if self.truncated:
            return
        self.audio_bytes += len(data)
        if not self.forgotten:
            self.audio += data
            self._weigh(len(data))

    def retrieved(self) -> OwnItem:
        """The item with its audio."""
        return self._with_audio_part(audio=bytes(self.audio)) if self.audio else self.item

    def understood(self) -> OwnItem:
        """The item with the words that were heard in it."""
        return self._with_audio_part(transcript=self.words) if self.words is not None else self.item

    def transcribe(self, transcript: str | None) -> None:
        """Put a transcript into the audio part, or take it away."""
        self.item = self._with_audio_part(transcript=transcript)

    def truncate(self, audio_end_ms: int) -> None:
        """Nobody heard what comes after; the transcript goes, because nobody knows what it would be."""
        self.truncated = True
        self.audio_bytes = self.format.nbytes(audio_end_ms)
        self._weigh(self.audio_bytes - len(self.audio))
        del self.audio[self.audio_bytes :]
        self.transcribe(None)

    def forget(self) -> None:
        """The audio is no longer kept; how long it was is."""
        self._weigh(-len(self.audio))
        self.audio = bytearray()
        self.forgotten = True

    def _weigh(self, nbytes: int) -> None:
        if self.shelf is not None:
            self.shelf.held += nbytes

    def _with_audio_part(self, **changes: Any) -> OwnItem:
        """The item with its first audio part changed: the audio of several was heard as one."""
        if not isinstance(self.item, (UserMessage, AssistantMessage)):
            return self.item
        content = list(self.item.content)
        for at, part in enumerate(content):
            if part.type in ("input_audio", "output_audio"):
                content[at] = attrs.evolve(part, **changes)
                break
        return attrs.evolve(self.item, content=tuple(content))


class Shelf:
    """The audio of a conversation: how much is held, and whose it is, the oldest first."""

    def __init__(self, room: int) -> None:
        self.held: int = 0  # bytes
        self._room = room
        self._records: OrderedDict[str, Record] = OrderedDict()

    def put(self, record: Record) -> None:
        """A record comes, with the audio that it has and may yet get. What is too much is forgotten."""
        self._records[record.id] = record
        record.shelf = self
        self.held += len(record.audio)
        while self.held > self._room:
            oldest = next(iter(self._records.values()))
            oldest.forget()
            self.take(oldest)

    def take(self, record: Record) -> None:
        """A record goes, and its audio with it."""
        if self._records.pop(record.id, None) is not None:
            record.shelf = None
            self.held -= len(record.audio)


class ItemList:
    """The conversation in its order: a ring of ids in which None stands between the last item and the first."""

    def __init__(self, *, kept_audio: int, at_most: int) -> None:
        self._records: dict[str, Record] = {}
        self._after: dict[str | None, str | None] = {None: None}
        self._before: dict[str | None, str | None] = {None: None}
        self._calls: Counter[str | None] = Counter()
        self._shelf = Shelf(kept_audio)
        self._awaiting_words: dict[str, Record] = {}  # outlives deletion: a response may wait for them
        self._at_most = at_most

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._records

    def __iter__(self) -> Iterator[Record]:
        item_id = self._after[None]
        while item_id is not None:
            yield self._records[item_id]
            item_id = self._after[item_id]

    @property
    def last(self) -> str | None:
        """The id of the last item."""
        return self._before[None]

    def find(self, item_id: str) -> Record | None:
        """The item with this id."""
        return self._records.get(item_id)

    def previous_of(self, item_id: str) -> str | None:
        """The id of the item before this one, None at the head."""
        return self._before[item_id]

    def link_of(self, item_id: str) -> dict[str, Any]:
        """The `previous_item_id` of an event about this item, as keyword arguments."""
        return explicit(previous_item_id=self.previous_of(item_id))

    def knows(self, item_id: str) -> bool:
        """Whether an id is in use: an item that was deleted may still wait for its words."""
        return item_id in self._records or item_id in self._awaiting_words

    def check_room(self, item_id: str | None, previous: str | None, *, announced: str | None = None) -> None:
        """Refuse what `add` cannot do. `announced`: the id of an item that is to come."""
        if item_id is not None and (item_id == announced or self.knows(item_id)):
            raise Refusal("invalid_value", f"Error adding item: an item with id '{item_id}' already exists.", "item.id")
        if previous not in (None, ROOT) and previous not in self._records:
            raise Refusal(
                "invalid_value",
                f"Error adding item: the previous item with id '{previous}' does not exist.",
                "previous_item_id",
            )
        if len(self._records) >= self._at_most:
            raise Refusal("conversation_full", f"The conversation holds {self._at_most} items; delete some first.")

    def add(self, record: Record, previous: str | None = None) -> None:
        """Put an item after `previous`: the head for "root", the end for None."""
        before = self.last if previous is None else None if previous == ROOT else previous
        after = self._after[before]
        self._before[record.id], self._after[record.id] = before, after
        self._after[before] = self._before[after] = record.id
        self._records[record.id] = record
        if isinstance(record.item, FunctionCall):
            self._calls[record.item.call_id] += 1
        self._shelf.put(record)

    def remove(self, item_id: str) -> None:
        """Take an item out."""
        before, after = self._before.pop(item_id), self._after.pop(item_id)
        self._after[before], self._before[after] = after, before
        record = self._records.pop(item_id)
        if isinstance(record.item, FunctionCall):
            self._calls[record.item.call_id] -= 1
        self._shelf.take(record)

    def ask_for_words(self, record: Record) -> FinishTranscribing:
        """What was said in a record, which need not be in the conversation, is wanted."""
        record.awaits_words = True
        self._awaiting_words[record.id] = record
        return FinishTranscribing(record.id, bytes(record.audio), record.format)

    def take_words(self, item_id: str, words: str) -> Record | None:
        """The recogniser has answered; gives the record if it was asked for."""
        record = self._awaiting_words.pop(item_id, None)
        if record is not None:
            record.words, record.awaits_words = words, False
        return record

    def made_call(self, call_id: str) -> bool:
        """Whether there is a function call with this id."""
        return self._calls[call_id] > 0


def spoken_by_user(item_id: str) -> UserMessage:
    """The item that a committed turn becomes."""
    part = ContentPart(type="input_audio")
    return UserMessage(id=item_id, object="realtime.item", status="completed", content=(part,))


def record_of(item: Item, ids: Ids, format: AudioFormat, *, path: str = "item") -> Record:  # noqa: A002
    """Make a record of an item that a client sent, with what the server adds to it; raises Refusal."""
    own = _acceptable(item, path)
    audio = b"".join(part.audio or b"" for part in own.content) if isinstance(own, UserMessage) else b""
    filled: dict[str, Any] = {
        "id": own.id or ids.new("item"),
        "object": "realtime.item",
        "status": own.status or "completed",
    }
    if isinstance(own, FunctionCall):
        own = attrs.evolve(own, **filled, call_id=own.call_id or ids.new("call"))
    elif isinstance(own, FunctionCallOutput):
        own = attrs.evolve(own, **filled)
    else:
        own = attrs.evolve(own, **filled, content=tuple(_silent(part) for part in own.content))
    record = Record(own, format=format)
    record.hear(audio)
    return record


def _silent(part: ContentPart) -> ContentPart:
    return attrs.evolve(part, audio=None, extra={name: value for name, value in part.extra.items() if name != "audio"})


def _acceptable(item: Item, path: str) -> OwnItem:
    if not isinstance(item, OwnItem):
        supported = "'message', 'function_call', 'function_call_output'"
        raise Refusal(
            "invalid_value", f"Invalid value: '{item.type}'. Supported values are: {supported}.", f"{path}.type"
        )
    if isinstance(item, Message):
        supported_parts = _PARTS_BY_ROLE[item.role]
        for index, part in enumerate(item.content):
            if part.type not in supported_parts:
                names = ", ".join(repr(name) for name in supported_parts)
                message = f"Invalid value: '{part.type}'. Supported values are: {names}."
                raise Refusal("invalid_value", message, f"{path}.content[{index}].type")
    return item
