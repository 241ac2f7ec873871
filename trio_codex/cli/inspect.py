"""Show a recorded call: who spoke, what was called, how long it took; in the terminal or as a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import attrs

from trio_codex.cli.console import Console
from trio_codex.errors import ConfigurationError
from trio_codex.recording import Moment, ReadRecording, Timeline, page, read_recording, remarks, summary, timeline

_COLOURS = {"session": "notice", "end": "notice", "guardrail": "error"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `inspect`."""
    parser.add_argument("recording", type=Path, help="a file made with record=, or by `talk` or `demo` with --record")
    parser.add_argument("--html", type=Path, metavar="PAGE", help="write one self-contained page as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


async def run(options: argparse.Namespace) -> int:
    """Show it."""
    recording = read_recording(options.recording)
    told = timeline(recording)
    if options.html is not None:
        try:
            options.html.write_text(page(recording, told), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{options.html} cannot be written: {error.strerror}") from None
    if options.json:
        print(_json(recording, told))
    else:
        _show(recording, told, Console())
    return 0


def _show(recording: ReadRecording, told: Timeline, console: Console) -> None:
    console.line("notice", f"a call of {recording.at}")
    for moment in told.moments:
        console.line(_COLOURS.get(moment.kind, moment.kind), _line(moment))
    for name, value in summary(recording, told):
        console.line("figures", f"{name}: {value}")


def _line(moment: Moment) -> str:
    minutes, seconds = divmod(moment.begin, 60)
    took = f" {moment.end - moment.begin:6.2f} s" if moment.end is not None and moment.end > moment.begin else " " * 9
    more = f"  ({'; '.join(remarks(moment))})" if remarks(moment) else ""
    words = " ".join(moment.text.split())
    return f"{int(minutes):02}:{seconds:05.2f}{took}  {moment.who or moment.kind}: {words}{more}"


def _json(recording: ReadRecording, told: Timeline) -> str:
    figures = {"seconds": told.seconds, "tokens": told.tokens, "lost": told.lost, "waits": told.waits}
    moments = [attrs.asdict(moment) for moment in told.moments]
    return json.dumps({"at": recording.at, "version": recording.version, **figures, "moments": moments})
