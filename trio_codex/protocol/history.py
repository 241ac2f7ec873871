"""The items of the conversation, in its order.

The order follows from `previous_item_id` alone: each item hangs on the one before it, and items whose predecessor is not known yet
stand at the end until it comes. So every order of arrival that the protocol allows gives the same history. Transcripts are patches:
they may come before their item, after it, or never, and an item that is sent again without its text does not wipe them. Work per
delta is O(1); an item is made into a value only when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from trio_codex.events import HistoryItem, HistoryPart
from trio_codex.protocol.items import ContentPart, Item, UnknownItem

ROOT = "root"


@attrs.define
class _Part:
    type: str = ""
    text: str | None = None
    image_url: str | None = None
    pieces: list[str] = attrs.field(factory=list)
    closed: bool = False

    def fold(self) -> str | None:
        """The text so far, with the deltas that came since folded in."""
        if self.pieces:
            self.text = (self.text or "") + "".join(self.pieces)
            self.pieces.clear()
        return self.text


@attrs.define
class _Entry:
    id: str
    placed: bool = False
    deleted: bool = False
    base: HistoryItem | None = None
    parts: dict[int, _Part] = attrs.field(factory=dict)
    heard: str | None = None
    interrupted_at_ms: int | None = None
    value: HistoryItem | None = None  # made on demand, dropped by every change

    def part(self, index: int) -> _Part:
        self.value = None
        return self.parts.setdefault(index, _Part())

    def snapshot(self) -> HistoryItem:
        if self.value is None:
            content = tuple(
                HistoryPart(type=part.type, text=part.fold(), image_url=part.image_url)
                for _, part in sorted(self.parts.items())
            )
            base = self.base or HistoryItem(id=self.id, type="message")
            self.value = attrs.evolve(
                base, content=content, text_heard=self.heard, interrupted_at_ms=self.interrupted_at_ms
            )
        return self.value


class History:
    """A mutable list of items that knows how to take the server's news; `items` gives it as frozen values."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._followers: dict[str, list[str]] = {}  # previous id → the items hung on it, the latest first
        self._order: list[str] | None = []

    @property
    def items(self) -> tuple[HistoryItem, ...]:
        """All items in the order of the conversation."""
        entries = (self._entries[item_id] for item_id in self._ordered())
        return tuple(entry.snapshot() for entry in entries if entry.placed and not entry.deleted)

    def __contains__(self, item_id: str) -> bool:
        entry = self._entries.get(item_id)
        return entry is not None and entry.placed and not entry.deleted

    def get(self, item_id: str) -> HistoryItem | None:
        """One item, None if it is not there."""
        return self._entries[item_id].snapshot() if item_id in self else None

    def put(self, item: Item, previous: str | None = None) -> bool:
        """Take an item as the server tells it, hung on `previous` (None: at the end); says whether it is new."""
        item_id = _id_of(item)
        if item_id is None:
            return False
        entry = self._entry(item_id)
        new = not entry.placed
        if new:
            self._place(entry, previous)
        entry.base = _described(item_id, item)
        entry.value = None
        for index, part in enumerate(getattr(item, "content", ())):
            _take(entry.part(index), part)
        return new

    def delta(self, item_id: str, index: int, delta: str) -> None:
        """More text of a part; nothing, once the part is closed."""
        part = self._entry(item_id).part(index)
        if not part.closed:
            part.pieces.append(delta)

    def transcribe(self, item_id: str, index: int, text: str) -> None:
        """The whole text of a part; deltas that come later are ignored."""
        part = self._entry(item_id).part(index)
        part.pieces.clear()
        part.text, part.closed = text, True

    def text(self, item_id: str, index: int) -> str:
        """The text of a part so far."""
        entry = self._entries.get(item_id)
        return (entry.parts[index].fold() or "") if entry and index in entry.parts else ""

    def truncate(self, item_id: str, index: int, heard_ms: int, share: float | None = None) -> None:
        """Only this much was heard: `share` of the audio there was (None: not known, what stands stays)."""
        entry = self._entry(item_id)
        text = entry.part(index).fold() or ""
        entry.interrupted_at_ms = heard_ms
        if share is not None:
            entry.heard = _cut(text, share)

    def delete(self, item_id: str) -> None:
        """The item is gone; what hangs on it stays where it is."""
        if item_id in self._entries:
            self._entries[item_id].deleted = True

    # --- order -----------------------------------------------------------------------------------------------------

    def _entry(self, item_id: str) -> _Entry:
        return self._entries.setdefault(item_id, _Entry(item_id))

    def _place(self, entry: _Entry, previous: str | None) -> None:
        order = self._ordered()
        last = order[-1] if order else ROOT
        if previous is None:
            previous = last
        entry.placed = True
        followers = self._followers.setdefault(previous, [])
        followers.insert(0, entry.id)
        if previous == last and len(followers) == 1 and entry.id not in self._followers:
            order.append(entry.id)  # the usual case; anything else is sorted out when somebody looks
        else:
            self._order = None

    def _ordered(self) -> list[str]:
        if self._order is None:
            placed = {item_id for item_id, entry in self._entries.items() if entry.placed}
            loose = [previous for previous in self._followers if previous != ROOT and previous not in placed]
            order: list[str] = []
            for start in (ROOT, *loose):
                order.extend(self._chain(start))
            seen = set(order)
            order.extend(item_id for item_id in self._entries if item_id in placed and item_id not in seen)
            self._order = order
        return self._order

    def _chain(self, start: str) -> Iterable[str]:
        """All that hangs on an item, directly or not, depth first."""
        stack = list(reversed(self._followers.get(start, ())))
        while stack:
            item_id = stack.pop()
            yield item_id
            stack.extend(reversed(self._followers.get(item_id, ())))


def _id_of(item: Item) -> str | None:
    value = item.body.get("id") if isinstance(item, UnknownItem) else item.id
    return value if isinstance(value, str) else None


def _described(item_id: str, item: Item) -> HistoryItem:
    def said(name: str) -> Any:
        value = item.body.get(name) if isinstance(item, UnknownItem) else getattr(item, name, None)
        return value if isinstance(value, str) else None

    names = ("role", "status", "name", "call_id", "arguments", "output")
    return HistoryItem(id=item_id, type=item.type, **{name: said(name) for name in names})


def _take(part: _Part, wire: ContentPart) -> None:
    part.type = wire.type or part.type
    part.image_url = wire.image_url or part.image_url
    text = wire.text if wire.text is not None else wire.transcript
    if text:
        part.pieces.clear()
        part.text = text


def _cut(text: str, share: float) -> str:
    """The start of a text, in proportion, without the word in which the cut falls."""
    if share >= 1:
        return text
    end = int(len(text) * max(share, 0))
    if end < len(text) and not text[end].isspace():
        end = text.rfind(" ", 0, end) + 1
    return text[:end].rstrip()
