"""Reading a recording: lines in, with what is wrong about the file said in so many words.

A last line that was cut off (the program died while writing it) is left out and noted; anything else that is not a line of a recording is
an error that names its number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from trio_codex.errors import ConfigurationError
from trio_codex.recording.recorder import FORMAT

__all__ = ["Line", "ReadRecording", "read_recording"]


@attrs.frozen
class Line:
    """One line of the file: its number, its time in seconds (None: it has none), what stands in it."""

    number: int
    t: float | None
    form: Mapping[str, Any]


@attrs.frozen
class ReadRecording:
    """A recording. `version` wrote it, `at` is when (ISO 8601), `cut_off` says that its last line was not whole."""

    version: str
    at: str
    audio: bool
    lines: tuple[Line, ...] = attrs.field(repr=lambda lines: f"<{len(lines)} lines>")
    cut_off: bool = False

    @property
    def lost(self) -> int:
        """How many lines were lost because the disk was too slow."""
        return sum(line.form["lost"] for line in self.lines if "lost" in line.form)


def read_recording(path: str | os.PathLike[str]) -> ReadRecording:
    """Read a file that a session recorded. Blocks for the file. Raises ConfigurationError for what is no recording."""
    try:
        *whole, rest = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None
    lines = [_line(text, number, path) for number, text in enumerate(whole, 1)]
    head = lines[0].form if lines else {}
    if head.get("format") != FORMAT:
        raise ConfigurationError(f"{os.fspath(path)} is not a recording of format {FORMAT}; `record=` makes them")
    return ReadRecording(
        version=str(head.get("trio_codex", "")),
        at=str(head.get("at", "")),
        audio=bool(head.get("audio")),
        lines=tuple(lines[1:]),
        cut_off=bool(rest),
    )


def _line(text: bytes, number: int, path: str | os.PathLike[str]) -> Line:
    try:
        form = json.loads(text)  # unlike orjson it reads the escapes of lone surrogates
    except ValueError as error:
        raise ConfigurationError(f"{os.fspath(path)}, line {number}: not JSON ({error})") from None
    t = form.get("t") if isinstance(form, dict) else None
    if not isinstance(form, dict) or not isinstance(t, int | float | None):
        raise ConfigurationError(f"{os.fspath(path)}, line {number}: not a line of a recording")
    return Line(number, t, form)
