"""Cutting texts into sentences: nothing is lost, whatever the chunking; ends are where a reader sees them."""

# ruff: noqa: RUF001 - the punctuation of other scripts is meant

from __future__ import annotations

import pytest
import trio
from hypothesis import given, strategies as st

from trio_codex.errors import ConfigurationError
from trio_codex.voice.sentences import Sentences, splitting
from trio_codex.voice.stages import run_stages

CLOCK = "virtual"


def cut(text: str, *, longest: int = 400, chunks: list[int] | None = None) -> list[str]:
    sentences = Sentences(longest)
    found: list[str] = []
    for size in chunks or []:
        found += sentences.feed(text[:size])
        text = text[size:]
    return found + sentences.feed(text) + sentences.finish()


TEXTS = st.text(alphabet=st.sampled_from("ab Z3.!?…。」\"')\n,;-é🙂") | st.characters(), max_size=120)
CHUNKS = st.lists(st.integers(0, 7), max_size=60)


@given(TEXTS, CHUNKS, st.integers(1, 50))
def test_the_sentences_add_up_to_the_text(text: str, chunks: list[int], longest: int) -> None:
    assert "".join(cut(text, longest=longest, chunks=chunks)) == text


@given(TEXTS, CHUNKS, st.integers(1, 50))
def test_the_sentences_are_the_same_for_any_chunking(text: str, chunks: list[int], longest: int) -> None:
    assert cut(text, longest=longest, chunks=chunks) == cut(text, longest=longest)


@given(TEXTS, st.integers(1, 50))
def test_no_sentence_is_empty_or_too_long(text: str, longest: int) -> None:
    assert all(0 < len(sentence) <= longest for sentence in cut(text, longest=longest))


@given(TEXTS)
def test_a_sentence_goes_out_when_its_end_is_known(text: str) -> None:
    sentences = Sentences()
    for at, character in enumerate(text):
        before = sentences.rest
        for sentence in sentences.feed(character):
            assert sentence in (before + character, before), f"at {at}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?", ["Hello there. ", "How are you?"]),
        ("Really?! Yes. No… Well", ["Really?! ", "Yes. ", "No… ", "Well"]),
        ('He said "Go." Then he left.', ['He said "Go." ', "Then he left."]),
        ("It costs 3.50 today. Fine.", ["It costs 3.50 today. ", "Fine."]),
        ("Dr. Smith met Mr. Jones. They talked.", ["Dr. Smith met Mr. Jones. ", "They talked."]),
        ("J. R. R. Tolkien wrote it. I know.", ["J. R. R. Tolkien wrote it. ", "I know."]),
        ("In the U.S. it is so, e.g. today. Yes.", ["In the U.S. it is so, e.g. today. ", "Yes."]),
        ("That is I. We go.", ["That is I. ", "We go."]),
        ("1. Milk\n2. Bread\n", ["1. Milk\n", "2. Bread\n"]),
        ("See example.com/a.b for it. Good.", ["See example.com/a.b for it. ", "Good."]),
        ("今日は。元気ですか？はい", ["今日は。", "元気ですか？", "はい"]),
        ("「行こう。」と言った。", ["「行こう。」", "と言った。"]),
        ("\n\nFirst\n\nSecond", ["\n\nFirst\n", "\nSecond"]),
        ("No. I do not.", ["No. ", "I do not."]),
        ("", []),
        ("   ", ["   "]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


def test_a_text_without_an_end_is_cut_at_a_clause_or_a_word() -> None:
    assert cut("one two, three four five", longest=16) == ["one two, ", "three four five"]
    assert cut("one two three four five", longest=16) == ["one two three ", "four five"]
    assert cut("a" * 40, longest=16) == ["a" * 16, "a" * 16, "a" * 8]


def test_a_sentence_of_no_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="longest sentence must be a whole number"):
        Sentences(0)


# --- the stage ---------------------------------------------------------------------------------------------------------


async def times_of(pieces: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """When each sentence comes, for pieces that come after waits."""
    into, receive = trio.open_memory_channel[str](0)
    send, out = trio.open_memory_channel[str](10)
    begin = trio.current_time()
    found = []

    async def write() -> None:
        with into:
            for wait, piece in pieces:
                await trio.sleep(wait)
                await into.send(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        nursery.start_soon(run_stages, (splitting(),), receive, send)
        async for sentence in out:
            found.append((round(trio.current_time() - begin, 3), sentence))
    return found


async def test_the_first_sentence_goes_out_at_once() -> None:
    assert await times_of([(0.1, "Hello"), (0.1, " there."), (0.1, " How"), (5, " are you?")]) == [
        (0.3, "Hello there. "),
        (5.3, "How are you?"),
    ]


async def test_what_looks_like_a_sentence_does_not_wait_for_the_next() -> None:
    assert await times_of([(0, "I am looking it up."), (5, " Here it is: 3."), (1, "14 of them")]) == [
        (0.2, "I am looking it up."),
        (6.0, " Here it is: 3.14 of them"),
    ]
