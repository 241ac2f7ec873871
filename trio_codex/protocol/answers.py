"""The answers: which responses run, who asked for them, what they say and how much of it is heard.

Every `response.create` goes through the floor and carries an event id of ours, also in its metadata, so that `response.created` tells
whose it is. All state of a response is kept under its id and dropped when it is done, but for a short memory of the last ones, for frames
that come late. A response that was cut off (barge-in, `interrupt`, an abandoned `ask`) makes no more sound, whatever still arrives of
it. Out-of-band responses run beside the floor: they are seen by who asked for them and as raw events, and they are not played.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from trio_codex.errors import ServerRefused
from trio_codex.events import (
    AgentStartEvent,
    AudioInterruptedEvent,
    ErrorEvent,
    ErrorInfo,
    GuardrailTrippedEvent,
)
from trio_codex.protocol import floor as floors
from trio_codex.protocol.asks import Asks, Reply, Said
from trio_codex.protocol.client_events import (
    ConversationItemCreate,
    ConversationItemTruncate,
    ResponseCancel,
    ResponseCreate,
)
from trio_codex.protocol.effects import Effects, Note, StopPlayback
from trio_codex.protocol.floor import SESSION, Cause, Floor, Request
from trio_codex.protocol.history import History
from trio_codex.protocol.items import ContentPart, ErrorDetails, Response, ResponseParams, SystemMessage
from trio_codex.protocol.outcomes import Outcome
from trio_codex.protocol.playback import Heard
from trio_codex.protocol.running import Running
from trio_codex.protocol.saying import Saying
from trio_codex.protocol.settings import Briefing
from trio_codex.protocol.wire import changed

__all__ = ["REQUEST_KEY", "Answers", "Reply", "Running"]

REQUEST_KEY: Final = "trio_codex_request"
"""The metadata key under which a create carries its own id. The API allows 16 pairs."""

RACE: Final = "conversation_already_has_active_response"
TOO_LATE: Final = "response_cancel_not_active"
TRIPS: Final = 4
"""Answers in a row that guardrails may stop; then the model is not asked again, lest it goes on for ever."""

FEEDBACK: Final = (
    "Your answer was stopped by the guardrail {name}: the user must not hear it. Do not say it again in other words. "
    "Tell the user shortly that you cannot say that, and offer to help with something else."
)
_METADATA_PAIRS: Final = 16
_OWN_FRAMES: Final = 256  # ids of frames whose refusal is no news; errors come within a round trip, if at all
_LATE: Final = 32  # responses that are over and still remembered


class Answers:
    """The responses of a session; every method may cause effects."""

    def __init__(self, effects: Effects, history: History) -> None:
        self.asks: Asks = Asks(effects)
        self.saying: Saying = Saying(effects, history)
        self._effects = effects
        self._history = history
        self._floor = Floor()
        self._running: dict[str, Running] = {}
        self._late: dict[str, Running] = {}  # the oldest first
        self._beside: dict[str, Request] = {}  # out-of-band requests on their way
        self._echoes = False  # the server repeats metadata, as the API says it does
        self._names = False  # the server has said which event of ours it refused
        self._places = False  # the server says which responses belong to the conversation
        self._trips = 0  # answers in a row that guardrails have stopped, since somebody wanted something else
        self._own: list[str] = []

    # --- asking ----------------------------------------------------------------------------------------------------

    def want(self, cause: Cause, askers: frozenset[str] = frozenset({SESSION}), *, said_before: bool = False) -> None:
        """An answer is wanted automatically; `said_before` as in `floor.Want`."""
        request = Request(event_id=self._effects.new_id("event"), causes=frozenset({cause}), askers=askers)
        self._step(floors.Want(request, said_before))

    def request(self, params: ResponseParams | None, event_id: str | None, *, ask: bool = False) -> str:
        """Somebody asks explicitly; gives the event id, which is the ticket of an `ask`."""
        event_id = event_id or self._effects.new_id("event")
        request = Request(event_id=event_id, params=params, askers=frozenset({event_id if ask else SESSION}))
        if ask:
            self.asks.open(event_id)
        if params is not None and params.conversation == "none":
            self._beside[event_id] = request
            self._create(request)
        else:
            self._step(floors.Want(request))
        return event_id

    def hold(self, held: bool) -> None:
        """Hold back creates while a handoff is applied, or let them go."""
        self._step(floors.Hold(held))

    def _step(self, given: floors.Given) -> None:
        self._floor, outcomes = floors.step(self._floor, given)
        for outcome in outcomes:
            match outcome:
                case floors.Create(request):
                    self._create(request)
                case floors.Ended(request):
                    self.asks.settle(request.askers, "cancelled")
                case floors.Unwanted(response_id):
                    self._cancel(self._running[response_id])

    def _create(self, request: Request) -> None:
        params, ours = request.params, {REQUEST_KEY: request.event_id}
        if params is None:
            params = ResponseParams(metadata=ours)
        elif len(metadata := params.metadata or {}) < _METADATA_PAIRS:
            params = changed(params, metadata={**metadata, **ours})
        self._effects.send(ResponseCreate(response=params, event_id=request.event_id))

    # --- life of a response ----------------------------------------------------------------------------------------

    @property
    def active(self) -> Running | None:
        """The response of the default conversation that runs, as far as the server has told."""
        match self._floor.holder:
            case floors.Answering(response_id) | floors.Contested(_, response_id):
                return self._running.get(response_id)
            case _:
                return None

    @property
    def busy(self) -> bool:
        """Whether somebody answers, or may be about to."""
        return not isinstance(self._floor.holder, floors.Idle)

    def find(self, response_id: str) -> Running | None:
        """A response that runs or was done a moment ago."""
        return self._running.get(response_id) or self._late.get(response_id)

    def of(self, response_id: str) -> Running | None:
        """The response that an event belongs to: the one that is named or, if nobody knows it, the one that runs."""
        return self.find(response_id) or self.active

    def find_response(self, response: Response) -> Running | None:
        """The same for a response of the server; one without an id is the one that runs."""
        return self.find(response.id or (self.active.id if self.active else ""))

    def created(self, response: Response, briefing: Briefing, *, expected: bool) -> Running | None:
        """A response runs; None if that is known already. `expected`: the server owes one on its own account."""
        running = Running(response.id or "", briefing)
        if running.id and running.id in self._running:
            return None
        self._late.pop(running.id, None)
        self._running[running.id] = running
        named = (response.metadata or {}).get(REQUEST_KEY)
        self._places = self._places or response.conversation_id is not None
        if request := self._beside_request(response, named):
            running.out_of_band, running.askers = True, request.askers
            if request.withdrawn:
                self._cancel(running)
            return running
        request = floors.in_flight(self._floor)
        ours = request is not None and named == request.event_id
        if not ours and self._places and _says_no_conversation(response):
            running.out_of_band = True
            return running
        if request is not None and (ours or not (named or self._echoes or expected)):
            running.ours, running.askers = True, request.askers
        if not (running.ours and request is not None and request.causes == {Cause.FEEDBACK}):
            self._trips = 0
        self._echoes = self._echoes or named is not None
        self.saying.guard(running)
        self._effects.emit(AgentStartEvent(running.agent))
        self._step(floors.Created(running.id, running.ours))
        return running

    def _beside_request(self, response: Response, named: str | None) -> Request | None:
        if named is None and self._beside and _says_no_conversation(response):
            named = next(iter(self._beside))  # the server does not repeat metadata: in order, then
        return self._beside.pop(named, None) if named is not None else None

    def done(self, running: Running, response: Response, outcome: Outcome, now: float) -> None:
        """A response is over. The floor is released by `release`, after the user was told."""
        del self._running[running.id]
        running.over = True
        if running.id:
            self._late[running.id] = running
            if len(self._late) > _LATE:
                del self._late[next(iter(self._late))]
        said = running.said
        if running.guarded is None:
            running.said = Said()
        said.items = list(response.output or said.items)
        said.usage = outcome.usage or said.usage
        self.asks.told(running.askers, said)
        if outcome.failure is not None:  # whoever asked has been told; the turn may go on
            self.asks.settle(running.askers, outcome.status, outcome.failure)
            running.askers = frozenset({SESSION})
        self.saying.ended(running, response.output or (), now)

    def settle(self, running: Running, status: str) -> None:
        """The turn of a response is over, for who asked for it as soon as its guardrails are through."""
        running.owed = status
        self._settle_owed(running)

    def _settle_owed(self, running: Running) -> None:
        if running.owed is not None and not running.pending:
            status, running.owed = running.owed, None
            self.asks.settle(running.askers, status)

    def release(self, running: Running) -> None:
        """Let the next request go."""
        self._step(floors.Done(running.id))

    def refused(self, error: ErrorDetails) -> tuple[bool, bool]:
        """An error of the server: whether it answers a frame of ours that this class sent, and whether it is handled silently."""
        race = error.code == RACE
        if error.event_id is None:
            if race:
                self._lost_unnamed(error)
            ours = race or (error.code == TOO_LATE and bool(self._own))  # only a cancel of ours can have come too late
            return ours, ours
        self._names = True
        if request := self._sent(error.event_id):
            self._refused(request, race=race, error=error)
            return True, race
        if request := self._beside.pop(error.event_id, None):
            self.asks.settle(request.askers, "failed", _refusal(error))
            return True, False
        return (True, True) if error.event_id in self._own else (False, False)

    def _refused(self, request: Request, *, race: bool, error: ErrorDetails) -> None:
        if active := self.active:
            active.askers -= request.askers  # what was taken for the answer to this request is somebody else's
        if not race:
            self.asks.settle(request.askers, "failed", _refusal(error))
        self._step(floors.Refused(request.event_id, race))

    def _lost_unnamed(self, error: ErrorDetails) -> None:
        """A create was lost, and the server does not say whose: its own, unless it is one that never names the event it refuses."""
        request = floors.in_flight(self._floor)
        if request is not None and not self._names:
            self._keep(request.event_id)  # should it name the event after all, that is no news
            self._refused(request, race=True, error=error)

    def _sent(self, event_id: str) -> Request | None:
        match self._floor.holder:
            case floors.Requested(request) | floors.Contested(request, _) | floors.Answering(_, Request() as request):
                return request if request.event_id == event_id else None
            case _:
                return None

    # --- guardrails ------------------------------------------------------------------------------------------------

    def checked(self, check_id: str, result: object, now: float) -> None:
        """A guardrail has judged a text; anything true trips it."""
        found = self.saying.find(check_id)
        if found is None:
            return
        running, _ = found
        if result:
            self._trip(check_id, running, result, now)
        else:
            self.saying.passed(check_id, now)
        self._settle_owed(running)

    def check_failed(self, check_id: str, reason: str, now: float) -> None:
        """A guardrail raised: the user is told, and whether the answer goes on is the guardrail's own setting."""
        if (found := self.saying.find(check_id)) is None:
            return
        guardrail = self.saying.guardrail(check_id)
        message = f"the guardrail {guardrail.name} raised {reason}"
        self._effects.emit(ErrorEvent(ErrorInfo("guardrail_error", message, response_id=found[0].id or None)))
        self.checked(check_id, message if guardrail.on_error == "closed" else None, now)

    def _trip(self, check_id: str, running: Running, result: object, now: float) -> None:
        """Stop this answer, and no other: cancel it, drop what has not sounded, tell the model and ask it again."""
        guardrail = self.saying.guardrail(check_id)
        tripped = self.saying.tripped(check_id, now)
        if tripped is None:
            return
        trip, text = tripped
        self._effects.emit(GuardrailTrippedEvent((result,), text))
        if not trip.late:
            if running.over:
                running.owed = running.owed and "cancelled"
            else:
                self._cancel(running)
            self._hush(running, now)
        feedback = FEEDBACK.format(name=guardrail.name)
        content = ContentPart(type="input_text", text=feedback)
        self._effects.send(ConversationItemCreate(item=SystemMessage(content=(content,))))
        if trip.late:  # somebody has cut in, and what he says is answered
            return
        self._trips += 1
        if self._trips < TRIPS:
            self.want(Cause.FEEDBACK)
        else:
            note = f"{TRIPS} answers in a row were stopped by guardrails: the model is not asked again"
            self._effects.add(Note(note, warning=True))

    # --- stopping --------------------------------------------------------------------------------------------------

    def silence(self, now: float) -> None:
        """Stop the sound: nothing more of what is queued or still to come of the answers so far, and tell the server what was heard."""
        active = self.active
        stopped = [running for running in (active, *self._late.values()) if running is not None]
        for running in stopped:
            self.saying.stop(running)
        self.saying.stop_all()
        cut = self.saying.playback.interrupted(now)
        if active or cut:
            self._effects.add(StopPlayback())
        self._truncate(cut)
        for running in stopped:
            self._settle_owed(running)

    def _truncate(self, cut: Iterable[Heard]) -> None:
        for heard in cut:
            self._effects.emit(AudioInterruptedEvent(heard.item_id, heard.content_index, heard.heard_ms))
            self._history.truncate(heard.item_id, heard.content_index, heard.heard_ms, heard.share)
            self._send_own(
                ConversationItemTruncate(
                    item_id=heard.item_id, content_index=heard.content_index, audio_end_ms=heard.heard_ms
                )
            )

    def interrupt(self, now: float) -> None:
        """Cancel the answer that runs or is on its way, and stop the sound."""
        if active := self.active:
            self._cancel(active)
        elif request := floors.in_flight(self._floor):
            self._step(floors.Withdraw(request.event_id))
        self.silence(now)

    def abandon(self, ticket: str, now: float) -> None:
        """Whoever asked has gone: what nobody else has asked for is withdrawn or cancelled."""
        if not self.asks.close(ticket):
            return
        for request in floors.requests(self._floor):
            if not self.asks.want(request.askers):
                self._step(floors.Withdraw(request.event_id))
        if ticket in self._beside:
            self._beside[ticket] = attrs.evolve(self._beside[ticket], withdrawn=True)
        for running in self._running.values():
            if not self.asks.want(running.askers):
                self._cancel(running)
                if running is self.active:
                    self._hush(running, now)

    def _hush(self, running: Running, now: float) -> None:
        """Stop the sound of one answer: what others have asked for before sounds on."""
        self._effects.add(StopPlayback(running.id))
        self._truncate(self.saying.playback.interrupted(now, running.id))

    def _cancel(self, running: Running) -> None:
        self.saying.stop(running)
        if not running.cancelled:
            running.cancelled = True
            self._send_own(ResponseCancel(response_id=running.id or None))

    def _send_own(self, event: ResponseCancel | ConversationItemTruncate) -> None:
        self._keep(self._effects.send(event))

    def _keep(self, event_id: str) -> None:
        self._own.append(event_id)
        del self._own[:-_OWN_FRAMES]


def _says_no_conversation(response: Response) -> bool:
    return response.conversation_id is None and "conversation_id" in response.extra


def _refusal(error: ErrorDetails) -> ServerRefused:
    return ServerRefused(error.message, type=error.type, code=error.code, param=error.param, event_id=error.event_id)
