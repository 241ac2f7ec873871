"""Who is answering in the default conversation, and who waits for an answer.

At most one `response.create` of ours is in flight and none while a response is known to run; a request ends as answered, refused or
dropped, exactly once. Requests wait in one queue, in order: automatic ones (messages, tool outputs, …) coalesce into one, manual
ones (`respond`, `ask`, a raw `response.create`) each keep their own. Out-of-band responses do not take the floor.

The server's turn detection makes responses too, so a create of ours can lose a race. `Created.ours` says what the metadata told:
a response can be taken for ours until the refusal of our create proves it was not.

    state \\ given   Want/Ask   Created(ours)  Created(not ours)  Done       Refused(race)     Refused
    Idle             Requested  Answering      Answering          -          -                 -
    Requested(r)     wait       Answering(r)   Contested(r)       -          Blocked, r waits  Idle, r ends
    Contested(r)     wait       Answering(r)   Contested(r)       Requested  Answering, r waits  Answering, r ends
    Answering(r?)    wait       Answering(r')  Answering          Idle       Answering, r waits  Answering, r ends
    Blocked          wait       Answering      Answering          Idle       -                 -

Pure: `step(floor, given)` gives the next floor and what follows.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from trio_codex.protocol.items import ResponseParams


class Cause(enum.Enum):
    """Why an answer is wanted automatically. TURN is void as soon as anybody has answered since the commit."""

    TURN = "turn"
    MESSAGE = "message"
    TOOL_OUTPUT = "tool_output"
    HANDOFF = "handoff"
    FEEDBACK = "feedback"


@attrs.frozen(kw_only=True)
class Request:
    """One `response.create`, waiting or in flight. `causes` is empty for a manual one; `asks` are the tickets of `ask` it serves."""

    event_id: str
    params: ResponseParams | None = None
    causes: frozenset[Cause] = frozenset()
    asks: frozenset[str] = frozenset()

    @property
    def manual(self) -> bool:
        """Whether somebody asked for it explicitly."""
        return not self.causes


# --- states ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Idle:
    """Nobody answers."""


@attrs.frozen
class Requested:
    """Our create is on its way; nothing else is known to run."""

    request: Request


@attrs.frozen
class Contested:
    """Somebody else's response runs while our create is on its way."""

    request: Request
    response_id: str


@attrs.frozen
class Answering:
    """A response runs; `request` is the one of ours that it answers, as far as is known."""

    response_id: str
    request: Request | None = None


@attrs.frozen
class Blocked:
    """Our create lost a race against a response that was not announced yet."""


Holder: TypeAlias = Idle | Requested | Contested | Answering | Blocked


@attrs.frozen
class Floor:
    """The whole state: who holds the floor, who waits, and whether the next create is held back (a handoff is being applied)."""

    holder: Holder = attrs.field(factory=Idle)
    waiting: tuple[Request, ...] = ()
    held: bool = False


# --- inputs ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Want:
    """A request for an answer joins the queue; an automatic one joins the automatic one that waits, if there is one."""

    request: Request


@attrs.frozen
class Created:
    """A response of the default conversation was created."""

    response_id: str
    ours: bool


@attrs.frozen
class Done:
    """A response ended."""

    response_id: str


@attrs.frozen
class Refused:
    """The server answered our create with an error; `race` when the reason was that another response runs."""

    event_id: str
    race: bool


@attrs.frozen
class Hold:
    """Hold back creates, or let them go."""

    held: bool


@attrs.frozen
class Withdraw:
    """A waiting request is no longer wanted."""

    event_id: str


Given: TypeAlias = Want | Created | Done | Refused | Hold | Withdraw


# --- outputs -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Create:
    """Send this request now."""

    request: Request


@attrs.frozen
class Ended:
    """The server refused this request for good."""

    request: Request


Outcome: TypeAlias = Create | Ended


def step(floor: Floor, given: Given) -> tuple[Floor, tuple[Outcome, ...]]:
    """What follows from one input."""
    floor, outcomes = _take(floor, given)
    if isinstance(floor.holder, Idle) and floor.waiting and not floor.held:
        request, *rest = floor.waiting
        floor = attrs.evolve(floor, holder=Requested(request), waiting=tuple(rest))
        outcomes = (*outcomes, Create(request))
    return floor, outcomes


def _take(floor: Floor, given: Given) -> tuple[Floor, tuple[Outcome, ...]]:
    match given:
        case Want(request):
            return attrs.evolve(floor, waiting=_joined(floor.waiting, request)), ()
        case Withdraw(event_id):
            return attrs.evolve(floor, waiting=tuple(r for r in floor.waiting if r.event_id != event_id)), ()
        case Hold(held):
            return attrs.evolve(floor, held=held), ()
        case Created():
            return _created(floor, given), ()
        case Done(response_id):
            return attrs.evolve(floor, holder=_after_done(floor.holder, response_id)), ()
        case Refused():
            return _refused(floor, given)


def _created(floor: Floor, given: Created) -> Floor:
    request = in_flight(floor)
    # A response of ours answers what was said before its create was sent, so it does not settle a turn committed since.
    waiting = floor.waiting if given.ours else _all_without_turn(floor.waiting)
    holder: Holder
    if request is None:
        holder = Answering(given.response_id)
    elif given.ours:
        holder = Answering(given.response_id, request)
    else:
        holder = Contested(request, given.response_id)
    return attrs.evolve(floor, holder=holder, waiting=waiting)


def _after_done(holder: Holder, response_id: str) -> Holder:
    match holder:
        case Answering(running) if running == response_id:
            return Idle()
        case Contested(request, running) if running == response_id:
            return Requested(request)
        case Blocked():
            return Idle()
        case _:
            return holder


def _refused(floor: Floor, given: Refused) -> tuple[Floor, tuple[Outcome, ...]]:
    holder: Holder
    match floor.holder:
        case Requested(request) if request.event_id == given.event_id:
            holder = Blocked() if given.race else Idle()
            again: Request | None = request
        case Contested(request, running) if request.event_id == given.event_id:
            holder, again = Answering(running), _without_turn(request)
        case Answering(running, Request(event_id=given.event_id) as request):
            holder, again = Answering(running), _without_turn(request)
        case _:
            return floor, ()
    if not given.race:
        return attrs.evolve(floor, holder=holder), (Ended(request),)
    waiting = floor.waiting if isinstance(holder, Blocked) else _all_without_turn(floor.waiting)
    if again is not None:
        waiting = _in_front(again, waiting)
    return attrs.evolve(floor, holder=holder, waiting=waiting), ()


def in_flight(floor: Floor) -> Request | None:
    """Our create that is on its way and not yet answered."""
    match floor.holder:
        case Requested(request) | Contested(request, _):
            return request
        case _:
            return None


def _joined(waiting: tuple[Request, ...], request: Request) -> tuple[Request, ...]:
    if request.manual:
        return (*waiting, request)
    for index, other in enumerate(waiting):
        if not other.manual:
            return (*waiting[:index], _merged(other, request), *waiting[index + 1 :])
    return (*waiting, request)


def _in_front(request: Request, waiting: tuple[Request, ...]) -> tuple[Request, ...]:
    """A request that lost a race goes first again; what was wanted automatically meanwhile joins it."""
    if not request.manual:
        for other in waiting:
            if not other.manual:
                request = _merged(request, other)
        waiting = tuple(other for other in waiting if other.manual)
    return (request, *waiting)


def _merged(first: Request, second: Request) -> Request:
    return attrs.evolve(first, causes=first.causes | second.causes, asks=first.asks | second.asks)


def _without_turn(request: Request) -> Request | None:
    """What is left of a request once anybody has answered: nothing, if only a turn had caused it."""
    if request.manual:
        return request
    causes = request.causes - {Cause.TURN}
    return attrs.evolve(request, causes=causes) if causes else None


def _all_without_turn(waiting: tuple[Request, ...]) -> tuple[Request, ...]:
    return tuple(left for request in waiting if (left := _without_turn(request)) is not None)
