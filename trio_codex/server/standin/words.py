"""English words as the stand-in needs them: tokens, stems, likeness, numbers, and the phrases that follow a preposition.

Made for what a recogniser writes down, which is lower case, without punctuation and sometimes a little wrong. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

import attrs

STOP_WORDS: Final = frozenset(
    "a about again am an and any are as at be been but by can could did do does for from give had has have he hello her hey hi "
    "him how i if in into is it its just let like may me might my need no not now of off ok okay on or our please right she "
    "should so some tell than thank thanks that the their them then there these they this those to too us want was we were "
    "what when where which who whom whose why will with would yes you your".split()
)
_SUFFIXES: Final = ("ations", "ation", "ments", "ment", "ings", "ing", "ers", "ies", "ied", "ed", "es", "ly", "er", "s", "e", "y")
_UNITS: Final = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen".split()
    )
}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}


def tokens(text: str) -> list[str]:
    """Lower-case words and numbers, names in snake case and camel case taken apart."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", text)
    return [token.strip("'") for token in re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?", spaced.lower())]


def content(text: str) -> list[str]:
    """The tokens that say something."""
    return [token for token in tokens(text) if token not in STOP_WORDS and len(token) > 1]


def stem(word: str) -> str:
    """What a word shares with its other forms; at least three letters."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word.removesuffix(suffix)
    return word


def likeness(heard: str, meant: str) -> float:
    """How probably two words mean the same: 1 for the same stem, less for a prefix or a slip of the ear, 0 for others."""
    one, other = sorted((stem(heard), stem(meant)), key=len)
    if one == other:
        return 1.0
    if len(one) >= 4 and other.startswith(one):
        return 0.85
    if len(one) >= 5 and SequenceMatcher(None, heard, meant).ratio() >= 0.82:
        return 0.75
    return 0.0


@attrs.frozen
class Number:
    """A number in a text, and the words around it."""

    value: int | float
    before: tuple[str, ...]
    after: tuple[str, ...]


def numbers(text: str) -> list[Number]:
    """The numbers in a text, in digits or in words, in order."""
    words = tokens(text)
    found: list[Number] = []
    at = 0
    while at < len(words):
        value, end = _number_at(words, at)
        if value is None:
            at += 1
            continue
        found.append(Number(value, tuple(words[max(at - 2, 0) : at]), tuple(words[end : end + 2])))
        at = end
    return found


def _number_at(words: Sequence[str], at: int) -> tuple[int | float | None, int]:
    if words[at][0].isdigit():
        return (float(words[at]) if "." in words[at] else int(words[at])), at + 1
    total, part, end, seen = 0, 0, at, False
    while end < len(words):
        word = words[end]
        if word in _UNITS and (not seen or part % 10 == 0 and part % 100 != 10):
            part += _UNITS[word]
        elif word in _TENS and part % 100 == 0:
            part += _TENS[word]
        elif word == "hundred" and seen:
            part *= 100
        elif word in _SCALES and seen:
            total, part = total + part * _SCALES[word], 0
        else:
            break
        end, seen = end + 1, True
    return (total + part if seen else None), end


_PREPOSITIONS: Final = (
    "in", "for", "to", "at", "from", "of", "about", "on", "with", "named", "called", "saying", "near", "into", "by", "until",
)  # fmt: skip
_PHRASE_ENDS: Final = frozenset(
    (*_PREPOSITIONS, "and", "please", "today", "tomorrow", "tonight", "now", "right", "is", "are", "was", "will", "that", "or")
)
_ARTICLES: Final = frozenset("a an the my our your his her their some".split())


@attrs.frozen
class Phrase:
    """What follows a preposition: `to` and `new york` of "a flight to new york"."""

    preposition: str
    text: str


def phrases(text: str) -> Iterator[Phrase]:
    """The phrases behind the prepositions of a text, in order, as they are written there."""
    words = re.findall(r"[^\s,.;:!?]+(?:\.\d+)?|[,.;:!?]", text)
    for at, word in enumerate(words):
        if word.lower() not in _PREPOSITIONS:
            continue
        taken: list[str] = []
        for follower in words[at + 1 :]:
            if follower.lower() in _PHRASE_ENDS or follower in ",.;:!?":
                break
            if taken or follower.lower() not in _ARTICLES:
                taken.append(follower)
        if taken:
            yield Phrase(word.lower(), " ".join(taken))


def titled(text: str) -> str:
    """The text as a name, unless somebody has already thought about its capitals."""
    return text.title() if text == text.lower() else text
