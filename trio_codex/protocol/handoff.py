"""Which agent speaks: the handoff as a machine of frozen states.

A handoff is a transaction: the user's callables run, the calling response ends, the settings go out, the server acknowledges, and
only then does the target speak. Everything else leaves the source in charge. One handoff at a time: a second request outside
`Settled` is answered with a failure, never queued. A program that puts an agent in charge (`update_agent`) brings the target along and
waits for no response of its own; when exactly the settings may go out (not while somebody answers) is decided outside.

    state \\ given  Requested  Redirected  Prepared    PrepareFailed  Ended(True)  Ended(False)  Interrupted  Updated  Refused
    Settled        Preparing  Applying    -           -              -            -             -            -        -
    Preparing      Failed     Failed      Preparing²  Settled        Preparing¹   Settled       -            -        -
    Preparing¹     Failed     Failed      Applying    Settled        -            -             Settled      -        -
    Preparing²     Failed     Failed      -           -              Applying     Settled       -            -        -
    Applying       Failed     Failed      -           -              -            -             -            Settled  Settled

`Ended` is `ResponseEnded`. Preparing¹ has seen the response end, Preparing² has the briefing. An interruption by itself ends a handoff
only in Preparing¹: while the response runs its end tells whether it was cut off, and settings that are on their way are not called back.
Pure: `step(state, given)` gives the next state and what follows.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

from trio_codex.protocol.effects import ToolCall
from trio_codex.protocol.settings import Briefing

# --- states ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Settled:
    """One agent is in charge."""

    briefing: Briefing


@attrs.frozen(kw_only=True)
class Preparing:
    """The callables of a handoff run while the calling response goes on; whichever is through first is noted."""

    source: Briefing
    call: ToolCall
    target: Briefing | None = None
    response_ended: bool = False


@attrs.frozen(kw_only=True)
class Applying:
    """The target's settings go out; nobody is asked to speak before the server has acknowledged them. `call`: None for a program."""

    source: Briefing
    call: ToolCall | None
    target: Briefing


State: TypeAlias = Settled | Preparing | Applying

# --- inputs ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Requested:
    """The model called a handoff."""

    call: ToolCall


@attrs.frozen
class Redirected:
    """The program puts an agent in charge."""

    target: Briefing


@attrs.frozen
class Prepared:
    """The user's callables are through."""

    target: Briefing


@attrs.frozen
class PrepareFailed:
    """A callable raised, or the call was cancelled."""

    reason: str


@attrs.frozen
class ResponseEnded:
    """The response in which the handoff was requested is over; `reason` says how, if it was not completed."""

    completed: bool
    reason: str = ""


@attrs.frozen
class Interrupted:
    """The user cut in, by speech or by the program."""


@attrs.frozen
class Updated:
    """The server acknowledged the settings."""


@attrs.frozen
class Refused:
    """The server refused the settings, or gave no answer in time."""

    reason: str


Given: TypeAlias = Requested | Redirected | Prepared | PrepareFailed | ResponseEnded | Interrupted | Updated | Refused

# --- outputs -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Prepare:
    """Run the callables of this call."""

    call: ToolCall


@attrs.frozen
class Apply:
    """Send the target's settings, as soon as nobody answers."""

    target: Briefing


@attrs.frozen
class Arrived:
    """The target is in charge."""

    call: ToolCall | None
    source: Briefing
    target: Briefing


@attrs.frozen
class Failed:
    """The source stays in charge."""

    call: ToolCall | None
    reason: str


Outcome: TypeAlias = Prepare | Apply | Arrived | Failed

UNDER_WAY: Final = "another handoff is under way"
INTERRUPTED: Final = "the response was interrupted"


def step(state: State, given: Given) -> tuple[State, tuple[Outcome, ...]]:
    """What follows from one input."""
    match state, given:
        case Settled(source), Requested(call):
            return Preparing(source=source, call=call), (Prepare(call),)
        case Settled(source), Redirected(target):
            return Applying(source=source, call=None, target=target), (Apply(target),)
        case _, Requested(call):
            return state, (Failed(call, UNDER_WAY),)
        case _, Redirected():
            return state, (Failed(None, UNDER_WAY),)
        case Preparing(target=None), Prepared(target):
            return _ready(attrs.evolve(state, target=target))
        case Preparing(target=None), PrepareFailed(reason):
            return Settled(state.source), (Failed(state.call, reason),)
        case Preparing(response_ended=False), ResponseEnded(True):
            return _ready(attrs.evolve(state, response_ended=True))
        case Preparing(response_ended=False), ResponseEnded(False, reason):
            return Settled(state.source), (Failed(state.call, reason),)
        case Preparing(response_ended=True), Interrupted():
            return Settled(state.source), (Failed(state.call, INTERRUPTED),)
        case Applying(), Updated():
            return Settled(state.target), (Arrived(state.call, state.source, state.target),)
        case Applying(), Refused(reason):
            return Settled(state.source), (Failed(state.call, reason),)
        case _:
            return state, ()


def in_charge(state: State) -> Briefing:
    """Who speaks."""
    return state.briefing if isinstance(state, Settled) else state.source


def _ready(state: Preparing) -> tuple[State, tuple[Outcome, ...]]:
    if state.target is None or not state.response_ended:
        return state, ()
    return Applying(source=state.source, call=state.call, target=state.target), (Apply(state.target),)
