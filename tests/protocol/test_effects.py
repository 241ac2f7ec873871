"""How effects are collected, and the ids that they are told apart by."""

from __future__ import annotations

from trio_codex.events import AudioEndEvent
from trio_codex.protocol import Emit, Note, ResponseCancel, Send, StartTimer
from trio_codex.protocol.effects import Effects


def test_effects_are_taken_once_and_in_order() -> None:
    effects = Effects()
    ended = AudioEndEvent("m", 0)
    effects.add(Note("first"))
    effects.emit(ended)
    effects.add(StartTimer("t", 1.0))
    assert effects.take() == [Note("first"), Emit(ended), StartTimer("t", 1.0)]
    assert effects.take() == []


def test_ids_say_what_they_name_and_are_counted() -> None:
    effects = Effects()
    assert [effects.new_id(kind) for kind in ("item", "event", "item")] == ["item_c1", "event_c2", "item_c3"]


def test_an_event_goes_under_its_own_id_or_under_a_fresh_one() -> None:
    effects = Effects()
    named = ResponseCancel(event_id="mine")
    assert [effects.send(event) for event in (named, ResponseCancel(), ResponseCancel(event_id=""))] == [
        "mine", "event_c1", "event_c2",
    ]  # fmt: skip
    first, *others = effects.take()
    assert isinstance(first, Send)
    assert first.event is named  # not even copied: most of what is sent is audio
    assert others == [Send(ResponseCancel(event_id=event_id)) for event_id in ("event_c1", "event_c2")]
