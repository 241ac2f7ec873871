"""Run the core over a recorded call again and say where today's code decides differently."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from trio_codex.recording import Difference, read_recording, replay

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `replay`."""
    parser.add_argument("recording", type=Path, help="a file made with record=, or by `talk` or `demo` with --record")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


async def run(options: argparse.Namespace) -> int:
    """Replay it; status 1 when something turns out otherwise."""
    recording = read_recording(options.recording)
    found = replay(recording)
    if options.json:
        differences = [_facts(difference) for difference in found.differences]
        print(json.dumps({"steps": found.steps, "differences": differences, "stopped": found.stopped}))
        return 0 if found.same else 1
    for difference in found.differences[:_SHOWN]:
        _show(difference)
    more = len(found.differences) - _SHOWN
    if more > 0:
        print(f"… and {more} more, which may be consequences of the first")
    if found.stopped:
        print(f"stopped: {found.stopped}")
    verdict = "all as recorded" if not found.differences else f"{len(found.differences)} turned out otherwise"
    print(f"{found.steps} steps of a call recorded by trio_codex {recording.version}: {verdict}")
    return 0 if found.same else 1


def _show(difference: Difference) -> None:
    line = difference.line
    step, args = line.form["step"], json.dumps(line.form.get("args"), ensure_ascii=False)
    print(f"line {line.number}, at {line.t:.3f} s, {step} {args[:200]}")
    for label, outcome in (("  then", difference.recorded), ("  now ", difference.now)):
        print(f"{label}: {json.dumps(outcome, ensure_ascii=False)[:600]}")


def _facts(difference: Difference) -> dict[str, object]:
    line = difference.line
    facts = {"line": line.number, "t": line.t, "step": line.form["step"]}
    return {**facts, "recorded": difference.recorded, "now": difference.now}
