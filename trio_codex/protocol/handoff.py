"""Which agent speaks: the handoff as a machine of frozen states.

A handoff is a transaction: the user's callables run, the calling response ends, the settings go out, the server acknowledges, and
only then does the target speak. Everything else leaves the source in charge. One handoff at a time: a second request outside
`Settled` is answered with a failure, never queued.

    state \\ given   Requested   Prepared    PrepareFailed  ResponseEnded(True)  ResponseEnded(False)  Updated   Refused
    Settled          Preparing   -           -              -                    -                     -         -
    Preparing        Failed      Preparing²  Settled        Preparing¹           Settled               -         -
    Preparing¹       Failed      Applying    Settled        -                    -                     -         -
    Preparing²       Failed      -           -              Applying             Settled               -         -
    Applying         Failed      -           -              -                    -                     Settled   Settled

Preparing¹ has seen the response end, Preparing² has the briefing. Pure: `step(state, given)` gives the next state and what follows.
"""

from __future__ import annotations

from typing import TypeAlias

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
    """The callables of a handoff run while the calling response goes on. `call` is None when the program asked (`update_agent`)."""

    source: Briefing
    call: ToolCall | None
    target: Briefing | None = None
    response_ended: bool = False


@attrs.frozen(kw_only=True)
class Applying:
    """The target's settings are on their way; nobody is asked to speak before the server has acknowledged them."""

    source: Briefing
    call: ToolCall | None
    target: Briefing


State: TypeAlias = Settled | Preparing | Applying

# --- inputs ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Requested:
    """The model called a handoff, or the program asks for one with the briefing at hand and `response_ended` when nobody answers."""

    call: ToolCall | None
    target: Briefing | None = None
    response_ended: bool = False


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
    """The response in which the handoff was requested is over."""

    completed: bool


@attrs.frozen
class Updated:
    """The server acknowledged the settings."""


@attrs.frozen
class Refused:
    """The server refused the settings, or gave no answer in time."""

    reason: str


Given: TypeAlias = Requested | Prepared | PrepareFailed | ResponseEnded | Updated | Refused

# --- outputs -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Prepare:
    """Run the callables of this call."""

    call: ToolCall


@attrs.frozen
class Apply:
    """Send the target's settings."""

    target: Briefing


@attrs.frozen
class Arrived:
    """The target is in charge."""

    call: ToolCall | None
    source: Briefing
    target: Briefing


@attrs.frozen
class Failed:
    """The source stays in charge. `interrupted`: the calling response was cut off, so nobody waits for a follow-up."""

    call: ToolCall | None
    reason: str
    interrupted: bool = False


Outcome: TypeAlias = Prepare | Apply | Arrived | Failed

UNDER_WAY = "another handoff is under way"
INTERRUPTED = "the response was interrupted"


def step(state: State, given: Given) -> tuple[State, tuple[Outcome, ...]]:
    """What follows from one input."""
    if isinstance(given, Requested):
        return _requested(state, given)
    match state:
        case Preparing():
            return _preparing(state, given)
        case Applying(source=source, call=call, target=target):
            if isinstance(given, Updated):
                return Settled(target), (Arrived(call, source, target),)
            if isinstance(given, Refused):
                return Settled(source), (Failed(call, given.reason),)
    return state, ()


def in_charge(state: State) -> Briefing:
    """Whose tools and handoffs a call is looked up in."""
    return state.briefing if isinstance(state, Settled) else state.source


def _requested(state: State, given: Requested) -> tuple[State, tuple[Outcome, ...]]:
    if not isinstance(state, Settled):
        return state, (Failed(given.call, UNDER_WAY),)
    asked: tuple[Outcome, ...] = (Prepare(given.call),) if given.call and given.target is None else ()
    preparing = Preparing(
        source=state.briefing, call=given.call, target=given.target, response_ended=given.response_ended
    )
    following, outcomes = _ready(preparing)
    return following, (*asked, *outcomes)


def _preparing(state: Preparing, given: Given) -> tuple[State, tuple[Outcome, ...]]:
    match given:
        case Prepared(target) if state.target is None:
            return _ready(attrs.evolve(state, target=target))
        case PrepareFailed(reason) if state.target is None:
            return Settled(state.source), (Failed(state.call, reason),)
        case ResponseEnded(completed) if not state.response_ended:
            if state.call is None or completed:
                return _ready(attrs.evolve(state, response_ended=True))
            return Settled(state.source), (Failed(state.call, INTERRUPTED, interrupted=True),)
        case _:
            return state, ()


def _ready(state: Preparing) -> tuple[State, tuple[Outcome, ...]]:
    if state.target is None or not state.response_ended:
        return state, ()
    return Applying(source=state.source, call=state.call, target=state.target), (Apply(state.target),)
