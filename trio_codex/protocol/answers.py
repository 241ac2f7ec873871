"""The answers: which responses run, who asked for them, what they say and how much of it is heard.

Every `response.create` goes through the floor and carries an event id of ours, also in its metadata, so that `response.created` tells
whose it is. All state of a response is kept under its id and dropped when it is done, but for a short memory of the last ones, for frames
that come late. A response that was cut off (barge-in, `interrupt`, an abandoned `ask`) makes no more sound, whatever still arrives of
it. Out-of-band responses run beside the floor: they are seen by who asked for them and as raw events, and they are not played.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

import attrs

from trio_codex.agent import Agent
from trio_codex.audio import WholeSamples
from trio_codex.errors import ServerRefused
from trio_codex.events import (
    AgentStartEvent,
    Audio,
    AudioEndEvent,
    AudioEvent,
    AudioInterruptedEvent,
    TextDeltaEvent,
    TranscriptDeltaEvent,
)
from trio_codex.protocol import floor as floors
from trio_codex.protocol.asks import Asks, Reply, Said
from trio_codex.protocol.client_events import ConversationItemTruncate, ResponseCancel, ResponseCreate
from trio_codex.protocol.effects import Effects, Play, StopPlayback
from trio_codex.protocol.floor import SESSION, Cause, Floor, Request
from trio_codex.protocol.history import SPOKEN, WRITTEN, History
from trio_codex.protocol.items import ErrorDetails, Item, Response, ResponseParams
from trio_codex.protocol.outcomes import Outcome
from trio_codex.protocol.playback import Playback
from trio_codex.protocol.settings import Briefing

__all__ = ["REQUEST_KEY", "Answers", "Reply", "Running"]

REQUEST_KEY: Final = "trio_codex_request"
"""The metadata key under which a create carries its own id. The API allows 16 pairs."""

RACE: Final = "conversation_already_has_active_response"
TOO_LATE: Final = "response_cancel_not_active"
_METADATA_PAIRS: Final = 16
_OWN_FRAMES: Final = 256  # ids of frames whose refusal is no news; errors come within a round trip, if at all
_LATE: Final = 32  # responses that are over and still remembered


@attrs.define(eq=False)
class Running:
    """A response that is not done, or was until a moment ago (`over`). `cut`: nothing more of it is to be heard.

    `briefing` is the agent that was in charge when it began: its tools are the ones that it calls.
    """

    id: str
    briefing: Briefing
    askers: frozenset[str] = frozenset()
    ours: bool = False  # made for a request of ours, as far as is known
    out_of_band: bool = False
    cut: bool = False
    cancelled: bool = False  # we have told the server so
    over: bool = False
    calls: set[str] = attrs.field(factory=set)  # ids of the functions it has called
    said: Said = attrs.field(factory=Said)

    @property
    def agent(self) -> Agent:
        """Who answers."""
        return self.briefing.agent


class Answers:
    """The responses of a session; every method may cause effects."""

    def __init__(self, effects: Effects, history: History) -> None:
        self.playback: Playback = Playback()
        self.asks: Asks = Asks(effects)
        self.audible: bool = False  # audio has come at some time, which fixes the voice
        self._effects = effects
        self._history = history
        self._floor = Floor()
        self._running: dict[str, Running] = {}
        self._late: OrderedDict[str, Running] = OrderedDict()
        self._beside: dict[str, Request] = {}  # out-of-band requests on their way
        self._echoes = False  # the server repeats metadata, as the API says it does
        self._names = False  # the server has said which event of ours it refused
        self._places = False  # the server says which responses belong to the conversation
        self._own: deque[str] = deque(maxlen=_OWN_FRAMES)
        self._whole = WholeSamples()
        self._sounding: tuple[str, int] | None = None  # the part whose samples `_whole` cuts

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
        params = request.params or ResponseParams()
        metadata = dict(params.metadata or {})
        if len(metadata) < _METADATA_PAIRS:
            params = attrs.evolve(params, metadata={**metadata, REQUEST_KEY: request.event_id})
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
        self._echoes = self._echoes or named is not None
        self._effects.emit(AgentStartEvent(running.agent))
        self._step(floors.Created(running.id, running.ours))
        return running

    def _beside_request(self, response: Response, named: str | None) -> Request | None:
        if named is None and self._beside and _says_no_conversation(response):
            named = next(iter(self._beside))  # the server does not repeat metadata: in order, then
        return self._beside.pop(named, None) if named is not None else None

    def done(self, running: Running, response: Response, outcome: Outcome) -> None:
        """A response is over. The floor is released by `release`, after the user was told."""
        del self._running[running.id]
        running.over = True
        if running.id:
            self._late[running.id] = running
            if len(self._late) > _LATE:
                self._late.popitem(last=False)
        self.playback.ended(running.id)
        said, running.said = running.said, Said()
        said.items = list(response.output or said.items)
        said.usage = outcome.usage or said.usage
        self.asks.told(running.askers, said)
        if outcome.failure is not None:  # whoever asked has been told; the turn may go on
            self.asks.settle(running.askers, outcome.status, outcome.failure)
            running.askers = frozenset({SESSION})

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
            self._own.append(request.event_id)  # should it name the event after all, that is no news
            self._refused(request, race=True, error=error)

    def _sent(self, event_id: str) -> Request | None:
        match self._floor.holder:
            case floors.Requested(request) | floors.Contested(request, _) | floors.Answering(_, Request() as request):
                return request if request.event_id == event_id else None
            case _:
                return None

    # --- what it says ----------------------------------------------------------------------------------------------

    def audio(self, response_id: str, item_id: str, content_index: int, data: bytes, now: float) -> None:
        """Audio of an answer."""
        self.audible = True
        running = self.of(response_id)
        if running is not None:
            if self._is_asked(running):
                running.said.audio.append(data)
            if running.cut or running.out_of_band:
                return
        self._effects.emit(AudioEvent(Audio(data, item_id, content_index, response_id)))
        if self._sounding != (item_id, content_index):
            self._sounding = (item_id, content_index)
            self._whole = WholeSamples(self.playback.audio_format.sample_width)
        if whole := self._whole.feed(data):
            self.playback.received(response_id, item_id, content_index, len(whole), now)
            self._effects.add(Play(response_id, item_id, content_index, whole))

    def audio_ended(self, response_id: str, item_id: str, content_index: int) -> None:
        """All audio of a part has come, or it was cut off."""
        running = self.of(response_id)
        if running is not None and (running.cut or running.out_of_band):
            return
        self.playback.completed(item_id, content_index)
        self._effects.emit(AudioEndEvent(item_id, content_index))

    def words(self, response_id: str, item_id: str, content_index: int, delta: str, *, spoken: bool) -> None:
        """Words of an answer: of its transcript if they are spoken, else of its text."""
        running = self.of(response_id)
        if running is not None:
            if self._is_asked(running):
                running.said.words.append(delta)
            if running.out_of_band:
                return
        self._history.delta(item_id, content_index, delta, SPOKEN if spoken else WRITTEN)
        if running is not None and running.cut:
            return
        self._effects.emit(TranscriptDeltaEvent(item_id, delta) if spoken else TextDeltaEvent(item_id, delta))

    def said(self, response_id: str, item_id: str, content_index: int, text: str, *, spoken: bool) -> None:
        """All words of a part, once more; a server that has cut the part off may have none left."""
        running = self.of(response_id)
        if text and (running is None or not running.out_of_band):
            self._history.transcribe(item_id, content_index, text, SPOKEN if spoken else WRITTEN)

    def item_done(self, running: Running, item: Item) -> None:
        """An item of an answer is finished, or was broken off."""
        if self._is_asked(running):
            running.said.items.append(item)

    def _is_asked(self, running: Running) -> bool:
        return not running.over and any(asker != SESSION for asker in running.askers)

    # --- stopping --------------------------------------------------------------------------------------------------

    def silence(self, now: float) -> None:
        """Stop the sound: nothing more of what is queued or still to come of the answers so far, and tell the server what was heard."""
        active = self.active
        for running in (active, *self._late.values()):
            if running is not None:
                running.cut = True
        cut = self.playback.interrupted(now)
        if active or cut:
            self._effects.add(StopPlayback())
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
                    self.silence(now)

    def _cancel(self, running: Running) -> None:
        running.cut = True
        if not running.cancelled:
            running.cancelled = True
            self._send_own(ResponseCancel(response_id=running.id or None))

    def _send_own(self, event: ResponseCancel | ConversationItemTruncate) -> None:
        self._own.append(self._effects.send(event))


def _says_no_conversation(response: Response) -> bool:
    return response.conversation_id is None and "conversation_id" in response.extra


def _refusal(error: ErrorDetails) -> ServerRefused:
    return ServerRefused(error.message, type=error.type, code=error.code, param=error.param, event_id=error.event_id)
