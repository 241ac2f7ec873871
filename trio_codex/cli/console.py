"""What people see: who says what, live, in colour where the terminal has any; figures and notices.

A line belongs to one voice at a time; when another begins, a new line does. With `quiet` nothing is shown, for `--json`.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

_COLOURS = {"user": "36", "agent": "32", "tool": "33", "handoff": "35", "error": "31", "figures": "1", "notice": "2"}


class Console:
    """Shows a conversation on a stream."""

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        self._out = out or sys.stdout
        self._quiet = quiet
        self._colour = self._out.isatty() and not os.environ.get("NO_COLOR")
        self._voice: str | None = None

    def line(self, kind: str, text: str) -> None:
        """Show a line of its own."""
        self._break()
        self._write(self._paint(kind, text) + "\n")

    def words(self, kind: str, who: str, words: str) -> None:
        """Show more words of one voice, on its line."""
        if self._voice != who:
            self._break()
            self._write(self._paint(kind, f"{who}: "))
            self._voice = who
        self._write(words.replace("\n", " "))

    def end_of_words(self) -> None:
        """Whoever spoke has finished."""
        self._break()

    def _break(self) -> None:
        if self._voice is not None:
            self._voice = None
            self._write("\n")

    def _paint(self, kind: str, text: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        if not self._quiet:
            self._out.write(text)
            self._out.flush()
