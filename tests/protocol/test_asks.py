"""Who waits for an answer: what has been said to them, in order, and that each is told once."""

from __future__ import annotations

from typing import Any

import pytest

from trio_codex.errors import ServerRefused
from trio_codex.events import Usage
from trio_codex.protocol import AssistantMessage, ContentPart, FunctionCall, Settle
from trio_codex.protocol.asks import Asks, Reply, Said
from trio_codex.protocol.effects import Effects
from trio_codex.protocol.floor import SESSION


def message(*parts: ContentPart, item_id: str = "i") -> AssistantMessage:
    return AssistantMessage(id=item_id, content=parts)


def text(words: str) -> ContentPart:
    return ContentPart(type="output_text", text=words)


def spoken(words: str) -> ContentPart:
    return ContentPart(type="output_audio", transcript=words)


CALL = FunctionCall(id="f", call_id="c", name="n", arguments="{}")


class Scene:
    """Two who wait, a and b."""

    def __init__(self) -> None:
        self.effects = Effects()
        self.asks = Asks(self.effects)
        self.asks.open("a")
        self.asks.open("b")

    def settled(self) -> list[Settle]:
        effects = self.effects.take()
        assert all(isinstance(effect, Settle) for effect in effects)
        return effects  # type: ignore[return-value]

    def reply(self, *told: Said) -> Reply:
        for said in told:
            self.asks.told({"a"}, said)
        self.asks.settle({"a"}, "completed")
        (settle,) = self.settled()
        assert (settle.ticket, settle.error) == ("a", None)
        assert isinstance(settle.value, Reply)
        return settle.value


def test_all_that_the_responses_of_a_turn_have_said_in_their_order() -> None:
    first = Said(
        {("i", 0): ["Let ", "me "], ("i", 1): ["see. "]}, [b"1", b"2"], [message(), CALL], Usage(total_tokens=1)
    )
    second = Said({("j", 0): ["Noon."]}, [b"3"], [message(item_id="j")], Usage(total_tokens=2))
    reply = Scene().reply(first, second)
    assert reply.transcript == "Let me see. Noon."
    assert reply.audio == b"123"
    assert reply.items == (message(), CALL, message(item_id="j"))
    assert reply.usage == Usage(total_tokens=3)
    assert reply.status == "completed"


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([message(text("one "), spoken("two"))], "one two"),
        ([message(text("one ")), CALL, message(text("two"), item_id="j")], "one two"),
        ([message(ContentPart(type="output_audio"), text(""), text("x"))], "x"),
        ([CALL], ""),
        ([], ""),
    ],
)
def test_words_that_were_never_told_piece_by_piece_are_read_from_the_items(items: Any, words: str) -> None:
    assert Scene().reply(Said(items=items)).transcript == words


def test_words_of_two_responses_that_only_their_items_tell() -> None:
    assert (
        Scene().reply(Said(items=[message(text("one "))]), Said(items=[message(text("two"))])).transcript == "one two"
    )


def test_words_that_were_told_are_not_read_again() -> None:
    assert Scene().reply(Said({("i", 0): ["one"]}, items=[message(text("one, more"))])).transcript == "one"


def test_a_failure_raises_and_has_no_reply() -> None:
    scene = Scene()
    failure = ServerRefused("no", code="c")
    scene.asks.settle({"a"}, "failed", failure)
    assert scene.settled() == [Settle("a", None, failure)]


def test_each_is_told_once_and_in_the_same_order_every_time() -> None:
    scene = Scene()
    scene.asks.settle({"b", SESSION, "nobody", "a"}, "cancelled")
    assert [(settle.ticket, settle.value.status) for settle in scene.settled()] == [
        ("a", "cancelled"),
        ("b", "cancelled"),
    ]
    scene.asks.settle({"a", "b"}, "completed")
    assert scene.settled() == []


def test_who_has_gone_is_told_nothing() -> None:
    scene = Scene()
    assert scene.asks.close("a")
    assert not scene.asks.close("a")
    scene.asks.told({"a"}, Said(audio=[b"1"]))
    scene.asks.settle({"a"}, "completed")
    assert scene.settled() == []


def test_what_is_told_to_one_is_not_told_to_the_other() -> None:
    scene = Scene()
    scene.asks.told({"b"}, Said(audio=[b"1"]))
    assert scene.reply().audio == b""


@pytest.mark.parametrize(
    ("askers", "wanted"),
    [(set(), True), ({SESSION}, True), ({"a"}, True), ({"a", "nobody"}, True), ({"nobody"}, False)],
)
def test_whether_an_answer_is_still_wanted(askers: set[str], wanted: bool) -> None:
    assert Scene().asks.want(askers) is wanted
