"""The items of the conversation, in its order.

The order follows from `previous_item_id` alone: each item hangs on the one before it, and items whose predecessor is not known yet
stand at the end until it comes. So every order of arrival that the protocol allows gives the same history. Transcripts are patches:
they may come before their item, after it, or never; what a finished item says is final, and an item that is told again with less
wipes nothing. Work per delta is O(1); an item is made into a value only when somebody looks, and only if it has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from trio_codex.events import HistoryItem, HistoryPart
from trio_codex.protocol.items import ContentPart, Item, UnknownItem

ROOT: Final = "root"
"""What the first item hangs on; the API's word for it."""

HEARD: Final = "input_audio"
SPOKEN: Final = "output_audio"
WRITTEN: Final = "output_text"

_TOLD: Final = ("role", "status", "name", "call_id", "arguments", "output")


@attrs.define
class _Part:
    type: str = ""
    text: str | None = None
    image_url: str | None = None
    pieces: list[str] = attrs.field(factory=list)
    closed: bool = False  # the text is whole; what else comes of it is late

    def fold(self) -> str | None:
        """The text so far, with the deltas that came since folded in."""
        if self.pieces:
            self.text = (self.text or "") + "".join(self.pieces)
            self.pieces.clear()
        return self.text

    def close(self, text: str) -> None:
        """All of the text."""
        self.pieces.clear()
        self.text, self.closed = text, True

    def take(self, wire: ContentPart, *, final: bool) -> None:
        """The part as its item tells it; text that is missing there says nothing."""
        self.type = wire.type or self.type
        self.image_url = wire.image_url or self.image_url
        text = wire.text if wire.text is not None else wire.transcript
        if text and final:
            self.close(text)
        elif text and not self.fold():
            self.text = text


@attrs.define
class _Entry:
    id: str
    previous: str | None = None  # what it hangs on, once it has a place
    guessed: bool = False  # nobody has told the place
    deleted: bool = False
    done: bool = False
    told: dict[str, Any] = attrs.field(factory=dict)  # the fields of the item as the server tells it
    parts: dict[int, _Part] = attrs.field(factory=dict)
    heard: str | None = None
    interrupted_at_ms: int | None = None
    value: HistoryItem | None = None  # made on demand, dropped by every change

    @property
    def shown(self) -> bool:
        return self.previous is not None and not self.deleted

    def part(self, index: int, kind: str = "") -> _Part:
        part = self.parts.get(index)
        if part is None:
            part = self.parts[index] = _Part()
        part.type = part.type or kind
        return part

    def snapshot(self) -> HistoryItem:
        if self.value is None:
            content = tuple(
                HistoryPart(type=part.type, text=part.fold(), image_url=part.image_url)
                for _, part in sorted(self.parts.items())
            )
            self.value = HistoryItem(
                id=self.id,
                content=content,
                text_heard=self.heard,
                interrupted_at_ms=self.interrupted_at_ms,
                **self.told,  # what has a place has been told
            )
        return self.value


class History:
    """A mutable list of items that knows how to take the server's news; `items` gives it as frozen values."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._followers: dict[str, list[str]] = {}  # previous id → the items hung on it, the latest first
        self._order: list[str] | None = None  # every item that has a place; None until it is worked out
        self._places: dict[str, int] | None = None  # where in `_values` an item stands; None until worked out
        self._values: list[HistoryItem] = []  # the history as it was last looked at
        self._changed: dict[str, _Entry] = {}  # since then

    @property
    def items(self) -> tuple[HistoryItem, ...]:
        """All items in the order of the conversation."""
        if self._places is None:
            shown = [entry for item_id in self._ordered() if (entry := self._entries[item_id]).shown]
            self._places = {entry.id: place for place, entry in enumerate(shown)}
            self._values = [entry.snapshot() for entry in shown]
        else:
            for item_id, entry in self._changed.items():
                if (place := self._places.get(item_id)) is not None:
                    self._values[place] = entry.snapshot()
        self._changed.clear()
        return tuple(self._values)

    def __contains__(self, item_id: str | None) -> bool:
        entry = self._entries.get(item_id) if item_id is not None else None
        return entry is not None and entry.shown

    def __getitem__(self, item_id: str | None) -> HistoryItem:
        if item_id is None or item_id not in self:
            raise KeyError(item_id)
        return self._entries[item_id].snapshot()

    def put(self, item: Item, previous: str | None = None, *, done: bool = False) -> bool:
        """Take an item as the server tells it, hung on `previous` (None: at the end); says whether it is new.

        `done`: the item is finished; what comes later without that is late and changes nothing but the place.
        """
        item_id = id_of(item)
        if item_id is None:
            return False
        entry = self._change(item_id)
        if done or not entry.done:
            final = done or getattr(item, "status", None) != "in_progress"
            entry.done = done
            entry.told["type"] = item.type
            entry.told |= _told(item)  # what is not told stays as it was
            for index, part in enumerate(getattr(item, "content", ())):
                entry.part(index).take(part, final=final)
        return self._place(entry, previous)

    def delta(self, item_id: str, index: int, delta: str, kind: str) -> bool:
        """More text of a part; says whether it counts, which it does not once the part is whole."""
        part = self._change(item_id).part(index, kind)
        if not part.closed:
            part.pieces.append(delta)
        return not part.closed

    def transcribe(self, item_id: str, index: int, text: str, kind: str) -> None:
        """The whole text of a part; deltas that come later are ignored."""
        self._change(item_id).part(index, kind).close(text)

    def text(self, item_id: str, index: int) -> str:
        """The text of a part so far."""
        entry = self._entries.get(item_id)
        return (entry.parts[index].fold() or "") if entry and index in entry.parts else ""

    def truncate(self, item_id: str, index: int, heard_ms: int, share: float | None = None) -> None:
        """Only this much was heard: `share` of the audio there was (None: not known, what stands stays)."""
        entry = self._change(item_id)
        entry.interrupted_at_ms = heard_ms
        if share is not None:
            entry.heard = _cut(entry.part(index, SPOKEN).fold() or "", share)

    def delete(self, item_id: str) -> None:
        """The item is gone; what hangs on it stays where it is."""
        if entry := self._entries.get(item_id):
            entry.deleted = True
            entry.parts.clear()
            self._places = None

    def _change(self, item_id: str) -> _Entry:
        entry = self._entries.get(item_id)
        if entry is None:
            entry = self._entries[item_id] = _Entry(item_id)
        entry.value = None
        self._changed[item_id] = entry
        return entry

    # --- order -----------------------------------------------------------------------------------------------------

    def _place(self, entry: _Entry, previous: str | None) -> bool:
        """Hang an item on another (None: on the last one); says whether it had no place before."""
        new = entry.previous is None
        if entry.previous is not None:
            if previous is None or not entry.guessed:
                return False
            if entry.previous == previous and self._followers[previous][0] == entry.id:
                entry.guessed = False  # as it was guessed, which is the usual case
                return False
            self._followers[entry.previous].remove(entry.id)
        order = self._ordered()
        last = order[-1] if order else ROOT
        entry.guessed = previous is None
        entry.previous = last if previous is None else previous
        followers = self._followers.setdefault(entry.previous, [])
        followers.insert(0, entry.id)
        if new and entry.previous == last and len(followers) == 1 and entry.id not in self._followers:
            order.append(entry.id)  # the usual case; anything else is sorted out when somebody looks
            if self._places is not None:
                self._places[entry.id] = len(self._values)
                self._values.append(entry.snapshot())
        else:
            self._order = self._places = None
        return new

    def _ordered(self) -> list[str]:
        if self._order is None:
            placed = [item_id for item_id, entry in self._entries.items() if entry.previous is not None]
            order = list(self._chain(ROOT))
            for previous in self._followers:
                if previous == ROOT:
                    continue
                if previous not in self._entries or self._entries[previous].previous is None:
                    order += self._chain(previous)
            seen = set(order)
            self._order = order + [item_id for item_id in placed if item_id not in seen]
        return self._order

    def _chain(self, start: str) -> Iterable[str]:
        """All that hangs on an item, directly or not, depth first."""
        stack = list(reversed(self._followers.get(start, ())))
        while stack:
            item_id = stack.pop()
            yield item_id
            stack.extend(reversed(self._followers.get(item_id, ())))


def id_of(item: Item) -> str | None:
    """The id of any item, None if it has none."""
    value = item.body.get("id") if isinstance(item, UnknownItem) else item.id
    return value if isinstance(value, str) else None


def _told(item: Item) -> dict[str, str]:
    """What an item tells of itself, but for its content."""
    fields: Mapping[str, Any] = item.body if isinstance(item, UnknownItem) else vars(item)
    said = {name: value for name in _TOLD if isinstance(value := fields.get(name), str)}
    if role := getattr(type(item), "role", None):  # no field of a message, but what its class is for
        said["role"] = role
    return said


def _cut(text: str, share: float) -> str:
    """The start of a text, in proportion, without the word in which the cut falls."""
    if share >= 1:
        return text
    end = int(len(text) * max(share, 0))
    start, after = text[:end], text[end : end + 1]
    return (start if after.isspace() else start.rpartition(" ")[0]).rstrip()
