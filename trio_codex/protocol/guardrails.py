"""When to check what an agent says, and how much of it may be heard: the guardrails of one answer as a machine of frozen states.

Each guardrail checks the text so far, one check at a time: when `every` characters have come since its last check began, when a
part of the answer is whole, and, if it holds back what is heard, at the end of every sentence. What comes while a check is under way
waits for the next one, so checks never pile up. What is held may be heard as far as every guardrail that holds has passed the text.
The first that trips ends it all, so an answer trips once at most. An answer that somebody cut off is not checked further, but a check
that is under way may still trip it.

    state \\ given  Said             Ended             Passed            Tripped  CutOff
    Open           Checking | Open  Ending | Through  -                 -        Through
    Checking       Checking         Ending            Checking | Open   Tripped  Stopped
    Ending         Ending           -                 Ending | Through  Tripped  Stopped
    Stopped        -                -                 Through           Tripped  -
    Through        -                -                 -                 -        -
    Tripped        -                -                 -                 -        -

Each cell says all that can follow, by what has come and what is still unchecked. Pure, and free of what the text is and how it is heard:
`step(state, given)` gives the next state and what follows, in characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

import attrs

from trio_codex.agent import Guardrail

# --- states ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Watch:
    """One guardrail at work. `checked`: how far its last check reached or reaches; `passed`: how far it has passed."""

    every: int
    holds: bool
    checked: int = 0
    passed: int = 0
    checking: bool = False


@attrs.frozen
class Watching:
    """Text may come, or checks be under way. Lengths are of the text so far: all of it, up to the last end of a sentence, of a part."""

    watches: tuple[Watch, ...]
    length: int = 0
    sentence: int = 0
    whole: int = 0
    ended: bool = False


@attrs.frozen
class Stopped:
    """Nothing more of it will be heard; these guardrails are still checking what was."""

    checking: frozenset[int]


@attrs.frozen
class Through:
    """Nothing is left to do: everything has passed, or nothing more will be heard."""

    tripped: bool = False


State: TypeAlias = Watching | Stopped | Through

# --- inputs ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Said:
    """The text has grown to this length; the last sentence of it that is whole ends there, and so does the last part."""

    length: int
    sentence: int = 0
    whole: int = 0


@attrs.frozen
class Ended:
    """No more text will come."""


@attrs.frozen
class Passed:
    """This guardrail found nothing in what it was given."""

    index: int


@attrs.frozen
class Tripped:
    """This guardrail found something."""

    index: int


@attrs.frozen
class CutOff:
    """Somebody else stopped the answer."""


Given: TypeAlias = Said | Ended | Passed | Tripped | CutOff

# --- outputs -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Check:
    """Let this guardrail check so much of the text."""

    index: int
    length: int


@attrs.frozen
class Release:
    """So much of the text may be heard; None: all of it, and whatever has no words."""

    length: int | None


@attrs.frozen
class Trip:
    """Stop the answer; `late`: somebody else has stopped it already."""

    index: int
    late: bool = False


Outcome: TypeAlias = Check | Release | Trip


def watching(guardrails: Iterable[Guardrail]) -> State:
    """The state in which an answer begins."""
    watches = tuple(Watch(each.every, each.hold is not None) for each in guardrails)
    return Watching(watches) if watches else Through()


def step(state: State, given: Given) -> tuple[State, tuple[Outcome, ...]]:
    """What follows from one input."""
    match state, given:
        case Watching(), Said(length, sentence, whole):
            return _moved(attrs.evolve(state, length=length, sentence=sentence, whole=whole))
        case Watching(), Ended():
            return _moved(attrs.evolve(state, ended=True), before=state)
        case Watching(), Passed(index) if state.watches[index].checking:
            watch = state.watches[index]
            return _moved(_with(state, index, attrs.evolve(watch, checking=False, passed=watch.checked)), before=state)
        case Watching(), Tripped(index) if state.watches[index].checking:
            return Through(tripped=True), (Trip(index),)
        case Watching(), CutOff():
            checking = frozenset(index for index, watch in enumerate(state.watches) if watch.checking)
            return (Stopped(checking) if checking else Through()), ()
        case Stopped(checking), Passed(index) if index in checking:
            return (Stopped(checking - {index}) if len(checking) > 1 else Through()), ()
        case Stopped(checking), Tripped(index) if index in checking:
            return Through(tripped=True), (Trip(index, late=True),)
        case _:
            return state, ()


def holds(state: State) -> bool:
    """Whether what is said may not be heard right away."""
    return isinstance(state, Watching) and any(watch.holds for watch in state.watches)


def _moved(state: Watching, before: Watching | None = None) -> tuple[State, tuple[Outcome, ...]]:
    """Release what has newly passed, and begin the checks that are due. `before`: what was free already."""
    outcomes: list[Outcome] = []
    free = _free(state)
    if before is not None and holds(state) and free != _free(before):
        outcomes.append(Release(free))
    for index, watch in enumerate(state.watches):
        if not watch.checking and _is_due(watch, state):
            state = _with(state, index, attrs.evolve(watch, checking=True, checked=state.length))
            outcomes.append(Check(index, state.length))
    done = state.ended and not any(watch.checking for watch in state.watches)
    return (Through() if done else state), tuple(outcomes)


def _free(state: Watching) -> int | None:
    """How much of the text every guardrail that holds has passed; None: all there will be."""
    passed = min((watch.passed for watch in state.watches if watch.holds), default=state.length)
    return None if state.ended and passed >= state.length else passed


def _is_due(watch: Watch, state: Watching) -> bool:
    if watch.holds and state.sentence > watch.checked:
        return True
    whole = state.length if state.ended else state.whole
    return state.length - watch.checked >= watch.every or whole > watch.checked


def _with(state: Watching, index: int, watch: Watch) -> Watching:
    return attrs.evolve(state, watches=(*state.watches[:index], watch, *state.watches[index + 1 :]))


# --- sentences ---------------------------------------------------------------------------------------------------------

_CLOSING: Final = "\"')\\]\u2019\u201d\u00bb\u300d\u300f\uff09"  # quotes and brackets after a full stop
_END: Final = re.compile(rf"[.!?\u2026][{_CLOSING}]*(?:\s+|$)|[\u3002\uff01\uff1f\u0964\u061f][{_CLOSING}]*\s*|\n\s*")
TAIL: Final = 8
"""Characters before a delta in which the end of a sentence may have begun."""


def sentence_end(text: str) -> int | None:
    """Where the last whole sentence of a text ends, blanks after it included; None if there is none.

    A full stop at the very end counts, though the text may go on ("3." and then "5"): that costs a check more, and nothing else.
    """
    end = None
    for found in _END.finditer(text):
        end = found.end()
    return end
