"""The peer's items against a plain list of them, and what they cost in a long conversation."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.protocol.cost import counted
from trio_codex.audio import AudioFormat
from trio_codex.grammar import Refusal
from trio_codex.protocol.codec import structure, unstructure
from trio_codex.protocol.items import AssistantMessage, ContentPart, FunctionCall, UserMessage
from trio_codex.protocol.peer_ids import Ids
from trio_codex.protocol.peer_items import ROOT, ItemList, Record, record_of

ROOM = 100
"""Bytes of audio that may be held."""
MOST = 8
"""Items that a conversation may hold."""


def spoken(item_id: str, audio: bytes = b"") -> Record:
    record = Record(AssistantMessage(id=item_id, content=(ContentPart(type="output_audio", transcript="so"),)))
    record.hear(audio)
    return record


@attrs.define
class Model:
    """What there should be: a list of records, and how much was ever heard of each."""

    order: list[Record] = attrs.field(factory=list)
    arrived: list[Record] = attrs.field(factory=list)
    lengths: dict[str, int] = attrs.field(factory=dict)


class Items(RuleBasedStateMachine):
    """Everything that can be done with items."""

    def __init__(self) -> None:
        super().__init__()
        self.items = ItemList(kept_audio=ROOM, at_most=MOST)
        self.model = Model()
        self.count = 0

    def some(self, data: st.DataObject) -> Record | None:
        return data.draw(st.sampled_from(self.model.order)) if self.model.order else None

    @rule(data=st.data(), size=st.sampled_from([0, 10, 40, 150]))
    def add(self, data: st.DataObject, size: int) -> None:
        self.count += 1
        record = spoken(f"i{self.count}", bytes(size))
        ids = [known.id for known in self.model.order]
        previous = data.draw(st.sampled_from([None, ROOT, *ids]))
        if len(ids) == MOST:
            with pytest.raises(Refusal, match="holds 8 items"):
                self.items.check_room(record.id, previous)
            return
        self.items.check_room(record.id, previous)
        self.items.add(record, previous)
        place = len(ids) if previous is None else 0 if previous == ROOT else ids.index(previous) + 1
        self.model.order.insert(place, record)
        self.model.arrived.append(record)
        self.model.lengths[record.id] = size
        assert sum(len(known.audio) for known in self.model.arrived) <= ROOM
        forgotten = [known.forgotten for known in self.model.arrived]
        assert forgotten == sorted(forgotten, reverse=True), "the oldest go first"

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if record := self.some(data):
            self.items.remove(record.id)
            self.model.order.remove(record)
            self.model.arrived.remove(record)

    @rule(data=st.data(), size=st.sampled_from([0, 10, 40]))
    def hear(self, data: st.DataObject, size: int) -> None:
        if record := self.some(data):
            record.hear(bytes(size))
            self.model.lengths[record.id] += 0 if record.truncated else size

    @rule(data=st.data(), ms=st.sampled_from([0, 1, 5]))
    def truncate(self, data: st.DataObject, ms: int) -> None:
        record = self.some(data)
        if record is not None and ms <= record.duration_ms:
            record.truncate(ms)
            self.model.lengths[record.id] = record.format.nbytes(ms)

    @invariant()
    def order_and_lengths_are_right(self) -> None:
        order = self.model.order
        assert list(self.items) == order
        assert self.items.last == (order[-1].id if order else None)
        for before, record in zip([None, *order], order, strict=False):
            assert self.items.previous_of(record.id) == (before.id if before else None)
            assert record.audio_bytes == self.model.lengths[record.id]
            assert len(record.audio) == (0 if record.forgotten else record.audio_bytes)

    @invariant()
    def what_is_held_is_known(self) -> None:
        assert self.items._shelf.held == sum(len(record.audio) for record in self.model.order)


TestItems = Items.TestCase


def test_the_oldest_audio_goes_first_and_no_more_than_needed() -> None:
    items = ItemList(kept_audio=ROOM, at_most=10)
    records = [spoken(f"i{number}", bytes(40)) for number in range(4)]
    for record in records:
        items.add(record, ROOT)  # the oldest is not the one at the head
    assert [len(record.audio) for record in records] == [0, 0, 40, 40]
    assert [record.audio_bytes for record in records] == [40] * 4


def test_as_much_audio_is_kept_as_there_is_room() -> None:
    items = ItemList(kept_audio=ROOM, at_most=10)
    half, other = spoken("i1", bytes(ROOM // 2)), spoken("i2", bytes(ROOM // 2))
    items.add(half)
    items.add(other)
    assert not half.forgotten
    items.add(spoken("i3", b"x"))
    assert (half.forgotten, other.forgotten) == (True, False)


def test_what_is_heard_after_the_rest_was_forgotten_is_not_kept() -> None:
    """A piece from the middle would be taken for the whole."""
    items = ItemList(kept_audio=ROOM, at_most=10)
    record = spoken("i1", bytes(150))
    items.add(record)
    record.hear(bytes(10))
    assert (len(record.audio), record.audio_bytes) == (0, 160)


def test_calls_are_known_as_long_as_their_item_is_there() -> None:
    items = ItemList(kept_audio=ROOM, at_most=10)
    for item_id in ("f1", "f2"):
        items.add(Record(FunctionCall(id=item_id, call_id="c", name="f", arguments="{}")))
    items.remove("f1")
    assert items.made_call("c")
    items.remove("f2")
    assert not items.made_call("c")


def test_an_item_that_is_gone_keeps_its_id_until_its_words_have_come() -> None:
    items = ItemList(kept_audio=ROOM, at_most=10)
    record = spoken("i1")
    items.add(record)
    items.ask_for_words(record)
    items.remove("i1")
    assert items.knows("i1")
    with pytest.raises(Refusal) as caught:
        items.check_room("i1", None)
    assert caught.value.param == "item.id"
    assert items.take_words("i1", "so") is record
    assert not items.knows("i1")
    items.check_room("i1", None)


def test_of_an_item_that_a_client_sends_the_audio_is_taken_out() -> None:
    """Also where it says that there is none; what nobody knows stays."""
    given = {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_audio", "audio": "AAA=", "transcript": "one", "mood": "calm", "detail": None},
            {"type": "input_audio", "audio": None},
            {"type": "input_audio", "audio": "AQE="},
            {"type": "input_text", "text": "two"},
        ],
    }
    record = record_of(structure(given, UserMessage), Ids("1", lambda made: False), AudioFormat.PCMU)
    shown: list[dict[str, Any]] = [
        {"type": "input_audio", "transcript": "one", "mood": "calm", "detail": None},
        {"type": "input_audio"},
        {"type": "input_audio"},
        {"type": "input_text", "text": "two"},
    ]
    assert unstructure(record.item)["content"] == shown
    assert (bytes(record.audio), record.format, record.duration_ms) == (b"\0\0\1\1", AudioFormat.PCMU, 0)
    assert record.understood() == record.item, "the client's own words stand until the recogniser has spoken"
    record.words = "three"
    assert [part.transcript for part in getattr(record.understood(), "content", ())] == ["three", None, None, None]
    parts = unstructure(record.retrieved())["content"]
    assert parts == [{**shown[0], "audio": "AAABAQ=="}, *shown[1:]]


@pytest.mark.parametrize(
    ("item_id", "previous", "param"), [("i1", None, "item.id"), ("i2", "i3", "previous_item_id"), ("i2", ROOT, None)]
)
def test_what_has_no_room(item_id: str, previous: str | None, param: str | None) -> None:
    items = ItemList(kept_audio=ROOM, at_most=1)
    items.add(spoken("i1"))
    with pytest.raises(Refusal) as caught:
        items.check_room(item_id, previous)
    assert caught.value.param == param


def test_an_item_costs_the_same_in_a_conversation_of_any_length() -> None:
    items = ItemList(kept_audio=1000, at_most=10_000)

    def live(first: int, last: int) -> None:
        for number in range(first, last):
            call = FunctionCall(id=f"i{number}", call_id=f"c{number}", name="f", arguments="{}")
            item = spoken(f"i{number}", bytes(48)) if number % 3 else Record(call)
            items.check_room(item.id, None)
            items.add(item, f"i{number // 8 * 4}" if number % 2 else None)
            items.link_of(f"i{number // 8 * 4}")
            items.made_call(f"c{number}")
            if number % 4 == 3:
                items.remove(f"i{number}")

    first, second = counted(lambda: live(0, 2000)), counted(lambda: live(2000, 4000))
    assert second <= first * 1.01
