"""The history: its order, its transcripts, what was heard of it, and what looking at it costs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.protocol.cost import counted
from trio_codex.protocol import AssistantMessage, ContentPart, FunctionCall, UnknownItem, UserMessage
from trio_codex.protocol.history import HEARD, ROOT, SPOKEN, WRITTEN, History


def message(item_id: str, text: str | None = None, *, role: str = "user", status: str | None = None) -> Any:
    kind = {"user": "input_text", "assistant": "output_audio"}[role]
    content = () if text is None else (ContentPart(type=kind, text=text),)
    return {"user": UserMessage, "assistant": AssistantMessage}[role](id=item_id, content=content, status=status)


def order(history: History) -> list[str]:
    return [item.id for item in history.items]


# --- order -------------------------------------------------------------------------------------------------------------


def test_items_stand_where_their_predecessor_says() -> None:
    history = History()
    assert history.put(message("a"), ROOT)
    assert history.put(message("b"), "a")
    assert history.put(message("c"), "a")
    assert history.put(message("first"), ROOT)
    assert order(history) == ["first", "a", "c", "b"]


def test_an_item_without_a_predecessor_goes_to_the_end_until_its_place_is_told() -> None:
    history = History()
    history.put(message("a"), ROOT)
    history.put(message("b"))
    history.put(message("c"), "b")
    assert order(history) == ["a", "b", "c"]
    assert not history.put(message("b"), ROOT)
    assert order(history) == ["b", "c", "a"]


def test_a_place_that_was_told_stays() -> None:
    history = History()
    history.put(message("a"), ROOT)
    history.put(message("b"), "a")
    history.put(message("b"), ROOT)
    assert order(history) == ["a", "b"]


def test_items_may_come_before_their_predecessor() -> None:
    for arrival in itertools.permutations([("a", ROOT), ("b", "a"), ("c", "b"), ("d", "c")]):
        history = History()
        for item_id, previous in arrival:
            history.put(message(item_id), previous)
            assert len(history.items) == len(order(history))
        assert order(history) == ["a", "b", "c", "d"]


def test_a_deleted_item_leaves_what_hangs_on_it() -> None:
    history = History()
    for item_id, previous in [("a", ROOT), ("b", "a"), ("c", "b")]:
        history.put(message(item_id), previous)
    history.delete("b")
    assert order(history) == ["a", "c"]
    assert "b" not in history
    history.put(message("d"), "c")
    history.put(message("after-a"), "a")
    assert order(history) == ["a", "after-a", "c", "d"]


def test_a_deleted_item_does_not_come_back() -> None:
    history = History()
    history.put(message("a"), ROOT)
    history.delete("a")
    history.put(message("a"), ROOT, done=True)
    history.delta("a", 0, "more", SPOKEN)
    history.delete("never there")
    assert order(history) == []


def test_predecessors_in_a_circle_lose_nobody() -> None:
    history = History()
    history.put(message("a"), "b")
    history.put(message("b"), "a")
    history.put(message("c"), "c")
    assert sorted(order(history)) == ["a", "b", "c"]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[str]]:
    """How a server's list of items came to be, and what it is in the end."""
    told: list[tuple[str, str]] = []
    chain: list[str] = []
    for number in range(draw(st.integers(1, 12))):
        at = draw(st.integers(0, len(chain)) | st.just(len(chain)))
        told.append((f"item_{number}", chain[at - 1] if at else ROOT))
        chain.insert(at, f"item_{number}")
    return told, chain


@given(conversations(), st.data())
def test_the_order_is_the_servers_chain(made: tuple[list[tuple[str, str]], list[str]], data: st.DataObject) -> None:
    told, chain = made
    history = History()
    gone = data.draw(st.sets(st.sampled_from(chain), max_size=3))
    for item_id, previous in told:
        history.put(message(item_id), previous)
        if data.draw(st.booleans()):
            assert set(order(history)) == {known for known, _ in told[: told.index((item_id, previous)) + 1]}
    for item_id in gone:
        history.delete(item_id)
    assert order(history) == [item_id for item_id in chain if item_id not in gone]


@given(st.permutations(range(8)), st.lists(st.booleans(), min_size=8, max_size=8))
def test_any_order_of_arrival_gives_the_same_chain(arrival: list[int], looked: list[bool]) -> None:
    history = History()
    for number, look in zip(arrival, looked, strict=True):
        history.put(message(f"item_{number}"), f"item_{number - 1}" if number else ROOT)
        if look:
            assert len(history.items) == len(set(order(history)))
    assert order(history) == [f"item_{number}" for number in range(8)]


# --- transcripts -------------------------------------------------------------------------------------------------------


def test_deltas_make_up_the_text() -> None:
    history = History()
    history.put(message("a", role="assistant"), ROOT)
    for word in ("Good ", "mor", "ning"):
        assert history.delta("a", 0, word, SPOKEN)
    (item,) = history.items
    assert item.text == "Good morning"
    assert item.content[0].type == "output_audio"


Patch = tuple[str, str]

PATCHES: list[Patch] = [("added", ""), ("transcribed", "hello there"), ("done", "")]


@given(st.permutations(PATCHES))
def test_a_transcript_may_come_before_its_item_after_it_or_between(patches: list[Patch]) -> None:
    history = History()
    for kind, text in patches:
        if kind == "transcribed":
            history.transcribe("u", 0, text, HEARD)
        else:
            part = ContentPart(type="input_audio")
            history.put(UserMessage(id="u", content=(part,)), ROOT, done=kind == "done")
    (item,) = history.items
    assert (item.text, item.role, item.content[0].type) == ("hello there", "user", "input_audio")


def test_a_transcript_alone_is_no_item() -> None:
    history = History()
    history.transcribe("u", 0, "hello", HEARD)
    assert history.items == ()
    assert "u" not in history
    with pytest.raises(KeyError):
        history["u"]


@given(st.lists(st.sampled_from(["late", "added", "done"]), max_size=6))
def test_what_a_finished_item_says_is_final(late: list[str]) -> None:
    history = History()
    history.put(message("a", role="assistant", status="in_progress"), ROOT)
    history.delta("a", 0, "Hel", SPOKEN)
    history.put(message("a", "Hello.", role="assistant", status="completed"), "never", done=True)
    for kind in late:
        if kind == "late":
            assert not history.delta("a", 0, "lo.", SPOKEN)
        elif kind == "added":
            history.put(message("a", role="assistant", status="in_progress"), ROOT)
        else:
            history.put(message("a", "Hello.", role="assistant", status="completed"), done=True)
    (item,) = history.items
    assert (item.text, item.status) == ("Hello.", "completed")


def test_an_item_told_again_with_less_wipes_nothing() -> None:
    """A truncated item comes back without its transcript, and some servers leave fields out."""
    history = History()
    history.put(message("a", role="assistant", status="in_progress"), ROOT)
    history.delta("a", 0, "Good morning", SPOKEN)
    history.put(AssistantMessage(id="a", content=(ContentPart(type="output_audio", transcript=""),)), done=True)
    (item,) = history.items
    assert (item.text, item.status) == ("Good morning", "in_progress")


def test_words_are_read_from_the_transcript_where_there_is_no_text() -> None:
    history = History()
    parts = (ContentPart(transcript="heard"), ContentPart(text="read", transcript="heard"))
    history.put(AssistantMessage(id="a", content=parts), ROOT)
    assert [(part.type, part.text) for part in history.items[0].content] == [("", "heard"), ("", "read")]


def test_an_item_that_is_not_in_progress_has_all_its_text() -> None:
    history = History()
    history.put(message("a", "all"), ROOT)
    history.put(message("b", "all", status="in_progress"), "a", done=True)
    assert [history.delta(item_id, 0, "x", SPOKEN) for item_id in ("a", "b")] == [False, False]
    assert [item.text for item in history.items] == ["all", "all"]


def test_items_behind_one_that_nobody_knows_stand_in_their_order_at_the_end() -> None:
    history = History()
    history.put(message("a"), ROOT)
    history.put(message("d"), "c")
    history.put(message("c"), "b")
    assert order(history) == ["a", "c", "d"]


def test_an_id_that_is_no_text_is_none() -> None:
    assert not History().put(UnknownItem(type="novelty", body={"type": "novelty", "id": 7}))


def test_text_that_an_unfinished_item_has_already_goes_on() -> None:
    history = History()
    history.put(message("a", "Good", role="assistant", status="in_progress"), ROOT)
    history.delta("a", 0, " day", SPOKEN)
    assert history.items[0].text == "Good day"
    history.put(message("a", "Good", role="assistant", status="in_progress"))
    assert history.items[0].text == "Good day"


def test_a_place_that_was_guessed_is_told_once() -> None:
    history = History()
    for item_id in ("a", "b"):
        assert history.put(message(item_id))
    assert not history.put(message("b"), "a")  # as it was guessed
    assert not history.put(message("b"), ROOT)  # told already
    assert order(history) == ["a", "b"]
    assert not history.put(message("a"), "b")  # not as it was guessed
    assert not history.put(message("a"), ROOT)
    history.put(message("c"), ROOT)
    assert order(history)[0] == "c"


def test_function_calls_and_unknown_items_are_described_too() -> None:
    history = History()
    history.put(FunctionCall(id="f", call_id="c", name="get", arguments="{}", status="completed"), ROOT)
    history.put(UnknownItem(type="novelty", body={"type": "novelty", "id": "x", "status": "odd", "name": 7}), "f")
    call, novelty = history.items
    assert (call.type, call.call_id, call.name, call.arguments) == ("function_call", "c", "get", "{}")
    assert (novelty.type, novelty.id, novelty.status, novelty.name) == ("novelty", "x", "odd", None)


def test_an_item_without_an_id_is_nowhere() -> None:
    history = History()
    assert not history.put(UserMessage(content=()))
    assert history.items == ()


def test_nothing_is_found_under_an_id_that_nobody_has_told() -> None:
    history = History()
    history.transcribe("later", 0, "x", HEARD)
    for item_id in (None, "nobody", "later"):
        assert item_id not in history
        with pytest.raises(KeyError, match=str(item_id)):
            history[item_id]


def test_what_has_a_place_is_found() -> None:
    history = History()
    history.put(message("a", "one"), ROOT)
    assert "a" in history
    assert history["a"] is history.items[0]
    assert history.text("a", 0) == "one"
    history.delete("a")
    assert "a" not in history


def test_the_text_of_a_part_is_empty_until_there_is_some() -> None:
    history = History()
    history.put(message("a"), ROOT)
    history.truncate("a", 1, 0, share=0.0)
    assert [history.text(item_id, index) for item_id, index in [("nobody", 0), ("a", 0), ("a", 1)]] == ["", "", ""]


def test_a_part_is_of_the_kind_of_what_is_told_of_it_first() -> None:
    history = History()
    history.transcribe("u", 0, "hello", HEARD)
    history.put(message("u"), ROOT)
    history.truncate("a", 0, 0, share=0.0)
    history.put(message("a", role="assistant"), "u")
    spoken, cut = history.items
    assert [part.type for part in (*spoken.content, *cut.content)] == [HEARD, SPOKEN]
    assert cut.text_heard == ""


def test_images_and_several_parts_keep_their_places() -> None:
    history = History()
    image = ContentPart(type="input_image", image_url="data:,")
    history.put(UserMessage(id="u", content=(ContentPart(type="input_text", text="Look: "), image)), ROOT)
    history.delta("u", 2, "there", WRITTEN)
    (item,) = history.items
    assert [part.type for part in item.content] == ["input_text", "input_image", "output_text"]
    assert (item.text, item.content[1].image_url) == ("Look: there", "data:,")


# --- what was heard ----------------------------------------------------------------------------------------------------


def test_a_truncated_item_keeps_what_was_said_and_what_was_heard() -> None:
    history = History()
    history.put(message("a", role="assistant"), ROOT)
    history.delta("a", 0, "one two three four", SPOKEN)
    history.truncate("a", 0, 900, share=0.5)
    history.put(AssistantMessage(id="a", content=(ContentPart(type="output_audio"),), status="incomplete"), done=True)
    (item,) = history.items
    assert (item.text, item.text_heard, item.interrupted_at_ms) == ("one two three four", "one two", 900)


@pytest.mark.parametrize(
    ("share", "heard"),
    [
        (0.0, ""),
        (0.3, "one"),
        (0.44, "one two"),
        (0.45, "one two"),
        (0.99, "one two three"),
        (1.0, "one two three four"),
        (1.5, "one two three four"),
    ],
)
def test_the_cut_falls_between_words(share: float, heard: str) -> None:
    history = History()
    history.put(message("a", "one two three four", role="assistant"), ROOT)
    history.truncate("a", 0, 1, share=share)
    assert history.items[0].text_heard == heard


def test_several_spaces_are_one_cut() -> None:
    history = History()
    history.put(message("a", "one  two", role="assistant"), ROOT)
    history.truncate("a", 0, 1, share=0.5)
    assert history.items[0].text_heard == "one"


def test_what_has_no_words_yet_was_heard_without_any() -> None:
    history = History()
    history.put(message("a", role="assistant"), ROOT)
    history.truncate("a", 0, 100, share=1.0)
    assert history.items[0].text_heard == ""


@pytest.mark.parametrize("share", [1.0, 1.5])
def test_what_was_heard_to_its_end_is_not_cut_at_all(share: float) -> None:
    history = History()
    history.put(message("a", "one two ", role="assistant"), ROOT)
    history.truncate("a", 0, 1, share=share)
    assert history.items[0].text_heard == "one two "


def test_the_servers_word_on_a_truncation_does_not_wipe_what_was_heard() -> None:
    history = History()
    history.put(message("a", "one two", role="assistant"), ROOT)
    history.truncate("a", 0, 500, share=0.5)
    history.truncate("a", 0, 480)
    assert (history.items[0].text_heard, history.items[0].interrupted_at_ms) == ("one", 480)


# --- cost --------------------------------------------------------------------------------------------------------------


def test_items_that_did_not_change_are_the_same_objects() -> None:
    history = History()
    for number in range(5):
        history.put(message(f"i{number}", "x"), f"i{number - 1}" if number else ROOT)
    before = history.items
    history.transcribe("i2", 0, "y", WRITTEN)
    after = history.items
    assert [old is new for old, new in zip(before, after, strict=True)] == [True, True, False, True, True]


def test_what_came_since_somebody_looked_goes_on() -> None:
    history = History()
    history.put(message("a", role="assistant"), ROOT)
    assert order(history) == ["a"]
    history.put(message("b", role="assistant", status="in_progress"), "a")
    history.delta("b", 0, "Hello", SPOKEN)
    assert history.items[1].text == "Hello"
    history.delta("b", 0, " there", SPOKEN)
    assert history.items[1].text == "Hello there"


def test_an_hour_of_conversation_costs_the_same_from_beginning_to_end() -> None:
    """3,600 items and 100,000 deltas, looked at after each item: function calls are counted, not time."""

    history = History()

    def live(first: int, last: int) -> None:
        for number in range(first, last):
            history.put(message(f"i{number}", role="assistant"), f"i{number - 1}" if number else ROOT)
            for _ in range(28):
                history.delta(f"i{number}", 0, "word ", SPOKEN)
            history.put(message(f"i{number}", "the whole text", role="assistant"), done=True)
            assert len(history.items) == number + 1

    first, second = counted(lambda: live(0, 1800)), counted(lambda: live(1800, 3600))
    assert second <= first * 1.01
    assert all(not part.pieces for entry in history._entries.values() for part in entry.parts.values())
