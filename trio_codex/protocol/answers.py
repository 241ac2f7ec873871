"""The answers: which responses run, who asked for them, what they say and how much of it is heard.

Every `response.create` goes through the floor and carries an event id of ours, also in its metadata, so that `response.created` tells
whose it is. All state of a response is kept under its id and dropped when it is done. A response that was cut off (barge-in,
`interrupt`, an abandoned `ask`) makes no more sound, whatever still arrives of it. Out-of-band responses run beside the floor: they are
seen by who asked for them and as raw events, and they are not played.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

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
    Usage,
)
from trio_codex.protocol import floor as floors
from trio_codex.protocol.client_events import ConversationItemTruncate, ResponseCancel, ResponseCreate
from trio_codex.protocol.effects import Effects, Play, Settle, StopPlayback
from trio_codex.protocol.floor import Cause, Floor, Request
from trio_codex.protocol.history import History
from trio_codex.protocol.items import Item, Response, ResponseParams
from trio_codex.protocol.playback import Playback
from trio_codex.protocol.server_events import ErrorDetails

REQUEST_KEY: Final = "trio_codex_request"
"""The metadata key under which a create carries its own id. The API allows 16 pairs."""

RACE: Final = "conversation_already_has_active_response"
_METADATA_PAIRS: Final = 16
_REMEMBERED: Final = 256  # ids of frames whose refusal is no news; errors come within a round trip, if at all


@attrs.frozen
class Reply:
    """What `ask` gives: the words and the audio of the whole turn, the last response's status, the usage of all, the items."""

    transcript: str
    audio: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    status: str
    usage: Usage
    items: tuple[Item, ...] = attrs.field(repr=lambda items: f"<{len(items)} items>")


@attrs.define
class _Ask:
    words: list[str] = attrs.field(factory=list)
    audio: list[bytes] = attrs.field(factory=list)
    items: list[Item] = attrs.field(factory=list)
    usage: Usage = attrs.field(factory=Usage)

    def reply(self, status: str) -> Reply:
        words = "".join(self.words) or "".join(_said(item) for item in self.items)
        return Reply(words, b"".join(self.audio), status, self.usage, tuple(self.items))


@attrs.define
class Running:
    """A response that is not done. `cut` is True once nothing of it is to be heard any more."""

    id: str
    agent: Agent
    out_of_band: bool = False
    asks: frozenset[str] = frozenset()
    cut: bool = False


class Answers:
    """The responses of a session; every method may cause effects."""

    def __init__(self, effects: Effects, history: History) -> None:
        self.playback = Playback()
        self._whole = WholeSamples()
        self._sounding: tuple[str, int] | None = None  # the part whose samples `_whole` cuts
        self.audible = False  # audio has come at some time, which fixes the voice
        self._effects = effects
        self._history = history
        self._floor = Floor()
        self._running: dict[str, Running] = {}
        self._beside: dict[str, Request] = {}  # out-of-band requests on their way
        self._asks: dict[str, _Ask] = {}
        self._doomed: set[str] = set()  # creates on their way that nobody wants any more
        self._echoes = False  # the server repeats metadata, as the API says it does
        self._own: deque[str] = deque(maxlen=_REMEMBERED)

    # --- asking ----------------------------------------------------------------------------------------------------

    def want(self, cause: Cause, asks: frozenset[str] = frozenset()) -> None:
        """An answer is wanted automatically."""
        request = Request(event_id=self._effects.new_id("event"), causes=frozenset({cause}), asks=asks)
        self._step(floors.Want(request))

    def request(self, params: ResponseParams | None, event_id: str | None, *, ask: bool = False) -> str:
        """Somebody asks explicitly; gives the event id, which is the ticket of an `ask`."""
        event_id = event_id or self._effects.new_id("event")
        request = Request(event_id=event_id, params=params, asks=frozenset({event_id} if ask else ()))
        if ask:
            self._asks[event_id] = _Ask()
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
            if isinstance(outcome, floors.Create):
                self._create(outcome.request)

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

    def created(self, response: Response, agent: Agent) -> bool | None:
        """A response runs; says whether it is ours, or None when it is out of band."""
        response_id = response.id or ""
        named = (response.metadata or {}).get(REQUEST_KEY)
        beside = self._beside_request(response, named)
        if beside is not None or _is_out_of_band(response, named):
            asks = beside.asks if beside else frozenset()
            self._running[response_id] = Running(response_id, agent, out_of_band=True, asks=asks)
            self._cut_if_doomed(beside, response_id)
            return None
        request = floors.in_flight(self._floor)
        ours = request is not None and (named == request.event_id or (named is None and not self._echoes))
        self._echoes = self._echoes or named is not None
        self._running[response_id] = Running(response_id, agent, asks=request.asks if request and ours else frozenset())
        self._step(floors.Created(response_id, ours))
        self._effects.emit(AgentStartEvent(agent))
        self._cut_if_doomed(request if ours else None, response_id)
        return ours

    def _beside_request(self, response: Response, named: Any) -> Request | None:
        if named in self._beside:
            return self._beside.pop(named)
        if named is None and self._beside and _says_no_conversation(response):
            return self._beside.pop(next(iter(self._beside)))  # the server does not repeat metadata: in order, then
        return None

    def _cut_if_doomed(self, request: Request | None, response_id: str) -> None:
        if request is not None and request.event_id in self._doomed:
            self._doomed.remove(request.event_id)
            self._cancel(self._running[response_id])

    def running(self, response_id: str) -> Running | None:
        """A response that is not done, by its id."""
        return self._running.get(response_id)

    def done(self, response: Response, agent: Agent) -> Running:
        """A response is over; gives what was known of it. The floor is released by `release`, after the user was told."""
        running = self._running.pop(response.id or "", None) or Running(response.id or "", agent)
        for ask in self._asked(running.asks):
            ask.items.extend(response.output or ())
        return running

    def release(self, running: Running) -> None:
        """Let the next request go."""
        if not running.out_of_band:
            self._step(floors.Done(running.id))

    def charge(self, running: Running, usage: Usage) -> None:
        """Book usage with who asked for the response."""
        for ask in self._asked(running.asks):
            ask.usage += usage

    def settle(self, asks: Iterable[str], status: str, failure: ServerRefused | None = None) -> None:
        """The turn is over for these asks."""
        for ticket in asks:
            if ask := self._asks.pop(ticket, None):
                self._effects.add(Settle(ticket, None if failure else ask.reply(status), failure))

    def refused(self, error: ErrorDetails) -> tuple[bool, bool]:
        """An error of the server: whether it answers a frame of ours that this class sent, and whether it is handled silently."""
        event_id = error.event_id or ""
        race = error.code == RACE
        if event_id in self._own:
            return True, True
        if event_id in self._beside:
            self.settle(self._beside.pop(event_id).asks, "failed", _refusal(error))
            return True, False
        request = self._request(event_id)
        if request is None:
            return False, False
        if race:
            self._disown(request)
        self._step(floors.Refused(event_id, race))
        if not race:
            self._doomed.discard(event_id)
            self.settle(request.asks, "failed", _refusal(error))
        elif event_id in self._doomed:  # nobody wants it: do not ask again
            self._doomed.discard(event_id)
            self._step(floors.Withdraw(event_id))
        return True, race

    def _request(self, event_id: str) -> Request | None:
        match self._floor.holder:
            case floors.Answering(_, Request(event_id=answered) as request) if answered == event_id:
                return request
            case _:
                sent = floors.in_flight(self._floor)
                return sent if sent is not None and sent.event_id == event_id else None

    def _disown(self, request: Request) -> None:
        """The response that was taken for the answer to this request is somebody else's."""
        if active := self.active:
            active.asks -= request.asks

    # --- what it says ----------------------------------------------------------------------------------------------

    def audio(self, response_id: str, item_id: str, content_index: int, data: bytes, now: float) -> None:
        """Audio of an answer."""
        running = self._running.get(response_id)
        if running is not None:
            for ask in self._asked(running.asks):
                ask.audio.append(data)
            if running.cut or running.out_of_band:
                return
        self.audible = True
        self.playback.received(response_id, item_id, content_index, len(data), now)
        self._effects.emit(AudioEvent(Audio(data, item_id, content_index, response_id)))
        if self._sounding != (item_id, content_index):
            self._sounding = (item_id, content_index)
            self._whole = WholeSamples(self.playback.audio_format.sample_width)
        if whole := self._whole.feed(data):
            self._effects.add(Play(response_id, item_id, content_index, whole))

    def audio_ended(self, response_id: str, item_id: str, content_index: int) -> None:
        """All audio of a part has come, or it was cut off."""
        running = self._running.get(response_id)
        if running is not None and (running.cut or running.out_of_band):
            return
        self.playback.completed(item_id, content_index)
        self._effects.emit(AudioEndEvent(item_id, content_index))

    def words(self, response_id: str, item_id: str, content_index: int, delta: str, *, spoken: bool) -> None:
        """Words of an answer: of its transcript if they are spoken, else of its text."""
        running = self._running.get(response_id)
        if running is not None:
            for ask in self._asked(running.asks):
                ask.words.append(delta)
            if running.out_of_band:
                return
        self._history.delta(item_id, content_index, delta)
        if running is not None and running.cut:
            return
        self._effects.emit(TranscriptDeltaEvent(item_id, delta) if spoken else TextDeltaEvent(item_id, delta))

    def said(self, response_id: str, item_id: str, content_index: int, text: str) -> None:
        """All words of a part, once more."""
        running = self._running.get(response_id)
        if running is None or not running.out_of_band:
            self._history.transcribe(item_id, content_index, text)

    # --- stopping --------------------------------------------------------------------------------------------------

    def silence(self, now: float) -> None:
        """Stop the sound: nothing more of what is queued or still to come of the running answer, and tell the server what was heard."""
        if active := self.active:
            active.cut = True
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
            self._doomed.add(request.event_id)
        self.silence(now)

    def abandon(self, ticket: str, now: float) -> None:
        """Whoever asked has gone: withdraw the request, or cancel its response."""
        if self._asks.pop(ticket, None) is None:
            return
        self._step(floors.Withdraw(ticket))
        request = floors.in_flight(self._floor)
        if ticket in self._beside or (request is not None and request.event_id == ticket):
            self._doomed.add(ticket)
        for running in self._running.values():
            if ticket in running.asks:
                self._cancel(running)
                if not running.out_of_band:
                    self.silence(now)

    def _cancel(self, running: Running) -> None:
        if not running.cut:
            running.cut = True
            self._send_own(ResponseCancel(response_id=running.id or None))

    def _send_own(self, event: ResponseCancel | ConversationItemTruncate) -> None:
        self._own.append(self._effects.send(event))

    def _asked(self, asks: frozenset[str]) -> list[_Ask]:
        return [self._asks[ticket] for ticket in asks if ticket in self._asks] if asks else []


def _said(item: Item) -> str:
    return "".join(part.text or part.transcript or "" for part in getattr(item, "content", ()))


def _says_no_conversation(response: Response) -> bool:
    return response.conversation_id is None and "conversation_id" in response.extra


def _is_out_of_band(response: Response, named: Any) -> bool:
    """Whether somebody else's response is none of the default conversation (a null; a server that leaves the field out has only one)."""
    return named is None and _says_no_conversation(response)


def _refusal(error: ErrorDetails) -> ServerRefused:
    return ServerRefused(error.message, code=error.code, param=error.param, event_id=error.event_id)


def failure_of(details: Mapping[str, Any] | str | None) -> ServerRefused:
    """The error of a failed response, from whatever the server put into `status_details`."""
    error = details.get("error") if isinstance(details, Mapping) else None
    if isinstance(error, Mapping):
        message = error.get("message") or error.get("code") or error.get("type") or "the response failed"
        return ServerRefused(str(message), code=error.get("code") or error.get("type"))
    reason = details if isinstance(details, str) else (details or {}).get("reason")
    return ServerRefused(str(reason or 'response.done failed (status="failed")'))
