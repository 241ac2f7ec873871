"""Who is answering in the default conversation, and who waits for an answer.

At most one `response.create` of ours is in flight and none while a response is known to run; a request ends as answered, refused or
dropped, exactly once. Requests wait in one queue, in order: automatic ones (messages, tool outputs, …) coalesce into one, manual
ones (`respond`, `ask`, a raw `response.create`) each keep their own. Out-of-band responses do not take the floor.

The server's turn detection makes responses too, so a create of ours can lose a race. `Created.ours` says what the metadata told:
a response can be taken for ours until the refusal of our create proves it was not.

    state \\ given  Created(ours)  Created(not ours)  Done          Refused(race)       Refused
    Idle           Answering      Answering          -             -                   -
    Requested(r)   Answering(r)   Contested(r)       -             Blocked, r waits    Idle, r ends
    Contested(r)   Answering(r)   Contested(r)       Requested(r)  Answering, r waits  Answering, r ends
    Answering(r)   Answering      Answering          Idle          Answering, r waits  Answering, r ends
    Answering      Answering      Answering          Idle          -                   -
    Blocked        Answering      Answering          Idle          -                   -

`Want` and `Hold` change no state but the queue's; `Withdraw` takes a request out of the queue, and marks one in flight: a response
made for it is unwanted. In Idle the first of the queue is requested at once, unless the floor is held. Pure: `step(floor, given)`
gives the next floor and what follows.
"""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

import attrs

from trio_codex.protocol.items import ResponseParams

SESSION: Final = ""
"""The asker who waits for nothing: whatever wants an answer other than an `ask`."""


class Cause(enum.Enum):
    """Why an answer is wanted automatically. TURN is void as soon as anybody has answered since the commit."""

    TURN = "turn"
    MESSAGE = "message"
    TOOL_OUTPUT = "tool_output"
    HANDOFF = "handoff"
    FEEDBACK = "feedback"


@attrs.frozen(kw_only=True)
class Request:
    """One `response.create`, waiting or in flight. `causes` is empty for a manual one; `askers` are tickets of `ask`, or SESSION."""

    event_id: str
    params: ResponseParams | None = None
    causes: frozenset[Cause] = frozenset()
    askers: frozenset[str] = frozenset({SESSION})
    withdrawn: bool = False

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
    """The whole state: who holds the floor, who waits, and whether the next create is held back (a handoff is being applied).

    Where each answer comes by it is made by position, which takes a quarter of what `attrs.evolve` does.
    """

    holder: Holder = attrs.field(factory=Idle)
    waiting: tuple[Request, ...] = ()
    held: bool = False


# --- inputs ------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Want:
    """A request for an answer joins the queue; an automatic one joins the automatic one that waits, if there is one.

    `said_before`: what it wants answered was said before the create in flight was sent, so an automatic one there answers it too.
    """

    request: Request
    said_before: bool = False


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
    """A request is no longer wanted."""

    event_id: str


Given: TypeAlias = Want | Created | Done | Refused | Hold | Withdraw


# --- outputs -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Create:
    """Send this request now."""

    request: Request


@attrs.frozen
class Ended:
    """No response will be made for this request: it was refused for good, withdrawn, or somebody else has answered."""

    request: Request


@attrs.frozen
class Unwanted:
    """This response was made for a request that had been withdrawn."""

    response_id: str


Outcome: TypeAlias = Create | Ended | Unwanted


def step(floor: Floor, given: Given) -> tuple[Floor, tuple[Outcome, ...]]:
    """What follows from one input."""
    floor, outcomes = _take(floor, given)
    if isinstance(floor.holder, Idle) and floor.waiting and not floor.held:
        request, *rest = floor.waiting
        floor = Floor(Requested(request), tuple(rest))
        outcomes = (*outcomes, Create(request))
    return floor, outcomes


def in_flight(floor: Floor) -> Request | None:
    """Our create that is on its way and not yet answered."""
    match floor.holder:
        case Requested(request) | Contested(request, _):
            return request
        case _:
            return None


def requests(floor: Floor) -> tuple[Request, ...]:
    """All requests that are known here: the one in flight or being answered, then those that wait."""
    match floor.holder:
        case Requested(request) | Contested(request, _) | Answering(_, Request() as request):
            return (request, *floor.waiting)
        case _:
            return floor.waiting


def _take(floor: Floor, given: Given) -> tuple[Floor, tuple[Outcome, ...]]:
    match given:
        case Want():
            return _wanted(floor, given), ()
        case Withdraw(event_id):
            return _withdrawn(floor, event_id)
        case Hold(held):
            return attrs.evolve(floor, held=held), ()
        case Created():
            return _created(floor, given)
        case Done(response_id):
            return Floor(_after_done(floor.holder, response_id), floor.waiting, floor.held), ()
        case Refused():
            return _refused(floor, given)


# --- the queue ---------------------------------------------------------------------------------------------------------


def _wanted(floor: Floor, given: Want) -> Floor:
    sent = in_flight(floor)
    if given.said_before and sent is not None and _may_join(sent, given.request):
        return _in_hand(floor, _merged(sent, given.request))
    for index, other in enumerate(floor.waiting):
        if _may_join(other, given.request):
            joined = _merged(other, given.request)
            return attrs.evolve(floor, waiting=(*floor.waiting[:index], joined, *floor.waiting[index + 1 :]))
    return Floor(floor.holder, (*floor.waiting, given.request), floor.held)


def _withdrawn(floor: Floor, event_id: str) -> tuple[Floor, tuple[Outcome, ...]]:
    match floor.holder:
        case Requested(request) | Contested(request, _) | Answering(_, Request() as request):
            if request.event_id == event_id:
                return _in_hand(floor, attrs.evolve(request, withdrawn=True)), ()
    gone = tuple(Ended(request) for request in floor.waiting if request.event_id == event_id)
    left = tuple(request for request in floor.waiting if request.event_id != event_id)
    return attrs.evolve(floor, waiting=left), gone


def _turn_answered(floor: Floor) -> tuple[Floor, tuple[Outcome, ...]]:
    """Somebody else answers: nobody need answer the user's last turn again."""
    if sent := in_flight(floor):
        floor = _in_hand(floor, _without_turn(sent))
    waiting = tuple(_without_turn(request) for request in floor.waiting)
    void = tuple(Ended(request) for request in waiting if request.withdrawn)
    return attrs.evolve(floor, waiting=tuple(request for request in waiting if not request.withdrawn)), void


def _in_front(request: Request, waiting: tuple[Request, ...]) -> tuple[Request, ...]:
    """A request that lost a race goes first again; what was wanted automatically meanwhile joins it."""
    for other in waiting:
        if _may_join(request, other):
            request = _merged(request, other)
    return (request, *(other for other in waiting if not _may_join(request, other)))


def _may_join(first: Request, second: Request) -> bool:
    return not (first.manual or second.manual or first.withdrawn)


def _merged(first: Request, second: Request) -> Request:
    return attrs.evolve(first, causes=first.causes | second.causes, askers=first.askers | second.askers)


def _without_turn(request: Request) -> Request:
    """What is left of a request once somebody has answered the turn; withdrawn, if only the turn had caused it."""
    if request.causes == {Cause.TURN}:
        return attrs.evolve(request, withdrawn=True)
    return attrs.evolve(request, causes=request.causes - {Cause.TURN})


# --- who answers -------------------------------------------------------------------------------------------------------


def _in_hand(floor: Floor, request: Request) -> Floor:
    """The same with another word on the request in flight, or on the one that is being answered."""
    assert not isinstance(floor.holder, Idle | Blocked)
    return attrs.evolve(floor, holder=attrs.evolve(floor.holder, request=request))


def _created(floor: Floor, given: Created) -> tuple[Floor, tuple[Outcome, ...]]:
    if not given.ours:
        floor, void = _turn_answered(floor)
        sent = in_flight(floor)
        holder = Contested(sent, given.response_id) if sent else Answering(given.response_id)
        return attrs.evolve(floor, holder=holder), void
    sent = in_flight(floor)
    unwanted = (Unwanted(given.response_id),) if sent and sent.withdrawn else ()
    return Floor(Answering(given.response_id, sent), floor.waiting, floor.held), unwanted


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
    void: tuple[Outcome, ...] = ()
    match floor.holder:
        case Answering(running, Request(event_id=given.event_id) as request) if given.race:
            # The response that was taken for ours is somebody else's.
            floor, void = _turn_answered(attrs.evolve(floor, holder=Contested(request, running)))
    after: Holder
    match floor.holder:
        case Requested(request) if request.event_id == given.event_id:
            after = Blocked() if given.race else Idle()
        case Contested(request, running) if request.event_id == given.event_id:
            after = Answering(running)
        case Answering(running, Request(event_id=given.event_id) as request):
            after = Answering(running)
        case _:
            return floor, ()
    floor = attrs.evolve(floor, holder=after)
    if not given.race or request.withdrawn:
        return floor, (*void, Ended(request))
    return attrs.evolve(floor, waiting=_in_front(request, floor.waiting)), void
