"""English words as the stand-in needs them: tokens, stems, likeness, numbers, and the phrases that follow a
preposition.

Made for what a recogniser writes down, which is lower case, without punctuation and sometimes a little wrong. Pure
functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import attrs

from trio_codex.server.standin.lexicon import (
    ARTICLES,
    PHRASE_ENDS,
    PREPOSITIONS,
    SCALES,
    STOP_WORDS,
    SUFFIXES,
    TENS,
    UNITS,
)


def tokens(text: str) -> list[str]:
    """Lower-case words and numbers, names in snake case and camel case taken apart."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", text)
    return [token.strip("'") for token in re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?", spaced.lower())]


def content(text: str) -> list[str]:
    """The tokens that say something."""
    return [token for token in tokens(text) if token not in STOP_WORDS and len(token) > 1]


def stem(word: str) -> str:
    """What a word shares with its other forms; at least three letters."""
    for suffix in SUFFIXES:
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
    if words[at][0].isdecimal():
        return (float(words[at]) if "." in words[at] else int(words[at])), at + 1
    total, part, end, seen = 0, 0, at, False
    while end < len(words):
        word = words[end]
        if word in UNITS and (not seen or (part % 10 == 0 and part % 100 != 10)):
            part += UNITS[word]
        elif word in TENS and part % 100 == 0:
            part += TENS[word]
        elif word == "hundred" and seen:
            part *= 100
        elif word in SCALES and seen:
            total, part = total + part * SCALES[word], 0
        else:
            break
        end, seen = end + 1, True
    return (total + part if seen else None), end


@attrs.frozen
class Phrase:
    """What follows a preposition: `to` and `new york` of "a flight to new york"."""

    preposition: str
    text: str


def phrases(text: str) -> Iterator[Phrase]:
    """The phrases behind the prepositions of a text, in order, as they are written there."""
    words = re.findall(r"[^\s,.;:!?]+(?:\.\d+)?|[,.;:!?]", text)
    for at, word in enumerate(words):
        if word.lower() not in PREPOSITIONS:
            continue
        taken: list[str] = []
        for follower in words[at + 1 :]:
            if follower.lower() in PHRASE_ENDS or follower in ",.;:!?":
                break
            if taken or follower.lower() not in ARTICLES:
                taken.append(follower)
        if taken and not (len(taken) <= 2 and numbers(taken[0])):  # "for five minutes" is a number, and found as one
            yield Phrase(word.lower(), " ".join(taken))


def titled(text: str) -> str:
    """The text as a name, unless somebody has already thought about its capitals."""
    return text.title() if text == text.lower() else text
