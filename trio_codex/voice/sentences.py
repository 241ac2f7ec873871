"""Cutting a text into sentences while it is being written, so that the first can be spoken before the last is there.

`Sentences` is pure: the sentences it gives add up to the text, character for character, and are the same for any chunking of it.
A sentence ends after the white space behind `.`, `!`, `?` or `…` (with what closes quotations and brackets), behind a line end, and
behind the full stops of East Asian and Indian scripts at once. What is known to be an abbreviation, an initial or the number of a list
does not end one. A text without an end is cut at a clause or a word when it gets longer than `longest`.
"""

# ruff: noqa: RUF001 - the punctuation of other scripts is meant

from __future__ import annotations

import math
import re
from typing import Final

import trio

from trio_codex.given import check_count
from trio_codex.voice.stages import Stage

__all__ = ["Sentences", "splitting"]

_CLOSERS: Final = "\"'”’»)\\]}*_"
_WIDE: Final = "。！？｡।॥؟۔"
_WIDE_CLOSERS: Final = "」』）】》”’"
_END: Final = re.compile(
    rf"(?P<line>\n)"
    rf"|[.!?…]+[{_CLOSERS}]*(?P<space>\s)"
    rf"|[{_WIDE}]+[{_WIDE_CLOSERS}]*(?=[^{_WIDE}{_WIDE_CLOSERS}])"
)
_FINISHED: Final = re.compile(rf"[^\d\s][.!?…]+[{_CLOSERS}]*\s*\Z|[{_WIDE}]+[{_WIDE_CLOSERS}]*\s*\Z")
_CLAUSE: Final = re.compile(r"[,;:–—]\s|[、，；：]")

_ABBREVIATIONS: Final = frozenset(
    [
        "approx",
        "bzw",
        "ca",
        "cf",
        "d.h",
        "dept",
        "dr",
        "e.g",
        "fig",
        "gen",
        "gov",
        "hon",
        "i.e",
        "mlle",
        "mme",
        "mr",
        "mrs",
        "ms",
        "prof",
        "rep",
        "rev",
        "sen",
        "sr",
        "sra",
        "st",
        "vs",
        "z.b",
    ]
)
_INITIAL: Final = re.compile(r"(?:\w\.)*[^\W\d_a-zI]")  # J. R. R., U.S.
_NUMBER: Final = re.compile(r"\d{1,3}")

_PAUSE_S: Final = 0.2
"""When a text that may be a whole sentence is not continued for so long, it is taken for one."""


class Sentences:
    """Cuts a text that comes in pieces; `rest` is what is not a sentence yet."""

    def __init__(self, longest: int = 400) -> None:
        check_count(longest, where="the length of the longest sentence")
        self.rest: str = ""
        self._longest = longest

    def feed(self, text: str) -> list[str]:
        """Return the sentences that are complete now."""
        self.rest += text
        found = []
        while end := self._end():
            found.append(self.rest[:end])
            self.rest = self.rest[end:]
        return found

    def finish(self) -> list[str]:
        """Return the rest, as a sentence if there is one, and begin anew."""
        rest, self.rest = self.rest, ""
        return [rest] if rest else []

    @property
    def finished(self) -> bool:
        """Whether the rest looks like a whole sentence, with nothing behind it that would prove it."""
        return bool(_FINISHED.search(self.rest)) and not _goes_on(self.rest.rstrip().rstrip("."))

    def _end(self) -> int:
        for match in _END.finditer(self.rest[: self._longest + 1]):
            if match.end() <= self._longest and self._ends(match):
                return match.end()
        return self._cut() if len(self.rest) > self._longest else 0

    def _ends(self, match: re.Match[str]) -> bool:
        before = self.rest[: match.start()]
        if match["line"]:
            return bool(before.strip())
        return not (match.group().rstrip() == "." and _goes_on(before))

    def _cut(self) -> int:
        """Where a text without an end is cut: behind its last clause or its last word, unless that is far from the end."""
        text = self.rest[: self._longest]
        clauses = [match.end() for match in _CLAUSE.finditer(text)]
        words = [match.end() for match in re.finditer(r"\s", text)]
        return max((end for end in clauses if end > self._longest // 2), default=max(words, default=self._longest))


def _goes_on(before: str) -> bool:
    """Whether a full stop behind this text is none: an abbreviation, an initial, the number of a list."""
    words = before.split()
    if not words:
        return False
    word = words[-1].lstrip("([{\"'“‘«")
    if word.lower() in _ABBREVIATIONS or _INITIAL.fullmatch(word):
        return True
    return len(words) == 1 and _NUMBER.fullmatch(word) is not None


def splitting(longest: int = 400) -> Stage[str, str]:
    """Return the stage that cuts pieces of text into sentences; they add up to the text.

    A sentence goes out as soon as it is known to be one, and when it looks like one and nothing follows for 200 ms.
    """

    async def run(receive: trio.MemoryReceiveChannel[str], send: trio.MemorySendChannel[str]) -> None:
        sentences = Sentences(longest)
        over = False
        while not over:
            pieces: list[str] = []
            with trio.move_on_after(_PAUSE_S if sentences.finished else math.inf) as pause:
                try:
                    pieces = sentences.feed(await receive.receive())
                except trio.EndOfChannel:
                    over = True
            for sentence in pieces if not (over or pause.cancelled_caught) else sentences.finish():
                await send.send(sentence)

    return Stage(run)
