"""Running today's core over a recording: the same inputs at the same times, and what it decides differently.

The core is deterministic: it owns its ids and is given the time, so a recording that today's code understands gives the same effects, or
the code has changed. After a first difference others may only be its consequences; all are told, in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from trio_codex.errors import ConfigurationError
from trio_codex.protocol import Conversation
from trio_codex.recording.reading import Line, ReadRecording
from trio_codex.recording.recorder import STEPS, as_json, outcome
from trio_codex.recording.values import Read, Written

__all__ = ["Difference", "Replay", "replay"]


@attrs.frozen
class Difference:
    """One step that turns out otherwise: its line, what the core was given, what it gave then and what it gives now."""

    line: Line
    recorded: Mapping[str, Any]
    now: Mapping[str, Any]


@attrs.frozen
class Replay:
    """What came of it: how many steps were taken, which turned out otherwise, and why it ended early, if it did."""

    steps: int
    differences: tuple[Difference, ...] = ()
    stopped: str | None = None

    @property
    def same(self) -> bool:
        """Whether all of the recording was replayed and nothing was decided differently."""
        return not self.differences and self.stopped is None


def replay(recording: ReadRecording) -> Replay:
    """Run the core over a recording. Pure; raises ConfigurationError for steps that cannot be read."""
    read, written = Read(), Written(lambda _: None, audio=recording.audio)
    core: Conversation | None = None
    steps = 0
    differences: list[Difference] = []
    for line in recording.lines:
        form = line.form
        if "briefing" in form:
            read.define(form)
        if "lost" in form:
            stopped = f"{form['lost']} lines were lost at line {line.number}: what follows depends on them"
            return Replay(steps, tuple(differences), stopped)
        if "step" not in form:
            continue
        try:
            if core is None:
                core = Conversation(*read.input(form["args"]))
                continue
            now = json.loads(as_json(_taken(core, form, read, written)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"line {line.number}: the step {form['step']!r} cannot be replayed: {error!r}"
            raise ConfigurationError(problem) from error
        steps += 1
        then = {name: form[name] for name in ("out", "gives", "raised", "message") if name in form}
        if now != then:
            differences.append(Difference(line, then, now))
    return Replay(steps, tuple(differences))


def _taken(core: Conversation, form: Mapping[str, Any], read: Read, written: Written) -> dict[str, Any]:
    if form["step"] not in STEPS:
        raise KeyError(form["step"])
    arguments = {name: read.input(value) for name, value in form["args"].items()}
    try:
        return outcome(written, getattr(core, form["step"])(**arguments))
    except Exception as error:
        return outcome(written, error)
