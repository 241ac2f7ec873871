"""The machine that a session runs: the server's events and the user's verbs go in, effects come out.

Composed of small parts (floor, handoff, history, playback, turns, updates), each of which fits on a screen; this module only says who
hears what, in which order. Mutable, synchronous and deterministic: the time comes in as `now` (seconds of any clock), ids come
from a counter. Every public method that changes something gives the effects of that change, to be performed at once and in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

import attrs

from trio_codex.errors import ConnectionFailed, LocalProtocolError, ServerRefused, TrioCodexError
from trio_codex.events import (
    AgentEndEvent,
    ErrorEvent,
    ErrorInfo,
    HistoryItem,
    InputAudioTimeoutTriggeredEvent,
    ResponseDoneEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    Usage,
    UsageEvent,
)
from trio_codex.protocol import client_events as client, server_events as server
from trio_codex.protocol.answers import Answers
from trio_codex.protocol.calls import Calls
from trio_codex.protocol.chronicle import Chronicle
from trio_codex.protocol.effects import Effect, Effects, Note, Send
from trio_codex.protocol.floor import Cause
from trio_codex.protocol.hearing import Hearing, format_of
from trio_codex.protocol.history import id_of
from trio_codex.protocol.hosted import HostedCalls
from trio_codex.protocol.items import ContentPart, ErrorDetails, Item, ResponseParams, UserMessage
from trio_codex.protocol.outcomes import outcome_of
from trio_codex.protocol.running import Running
from trio_codex.protocol.sessions import RealtimeSession
from trio_codex.protocol.settings import Briefing, SessionSettings, session_object
from trio_codex.protocol.updates import LATE, Purpose, Update, Updates
from trio_codex.protocol.wire import UnknownEvent, changed
from trio_codex.tools import sendable

_NO_USAGE: Final = Usage()
_NO_SETTINGS: Final = SessionSettings()


class Conversation:
    """One conversation between a user and an agent, seen from the client. See the module for the rules of use."""

    def __init__(
        self, briefing: Briefing, settings: SessionSettings | None = None, history: Iterable[Item] = ()
    ) -> None:
        self.session_id: str | None = None
        self.usage: Usage = _NO_USAGE
        self.expired: bool = False
        self._opening_items: tuple[Item, ...] = tuple(history)
        self._effects = Effects()
        self._chronicle = Chronicle(self._effects)
        self._hearing = Hearing(self._effects)
        self._answers = Answers(self._effects, self._chronicle.history)
        self._saying = self._answers.saying
        self._updates = Updates(self._effects)
        self._calls = Calls(self._effects, self._answers, self._updates, briefing, settings or _NO_SETTINGS)
        self._hosted = HostedCalls(self._effects, self._answers, self._calls)

    # --- what stands -----------------------------------------------------------------------------------------------

    @property
    def briefing(self) -> Briefing:
        """The agent in charge, as it takes part in this session."""
        return self._calls.briefing

    @property
    def settings(self) -> SessionSettings:
        """What the user has set, as far as the server has acknowledged it."""
        return self._calls.settings

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """The items of the conversation, in order."""
        return self._chronicle.history.items

    # --- verbs -----------------------------------------------------------------------------------------------------

    def open(self) -> tuple[str, list[Effect]]:
        """Begin: the settings, then the items to start with. Gives the ticket that is settled when the server has agreed."""
        ticket = self._updates.submit(session_object(self.briefing, self.settings), Purpose.OPENING)
        items, self._opening_items = self._opening_items, ()
        for item in items:
            self._effects.send(client.ConversationItemCreate(item=item))
        return ticket, self._effects.take()

    def send_message(self, content: Iterable[ContentPart], *, respond: bool = True) -> tuple[str, list[Effect]]:
        """Say something in writing; gives the new item's id. What UTF-8 cannot say (halves of surrogate pairs) is replaced by "?"."""
        item_id = self._effects.new_id("item")
        item = UserMessage(id=item_id, content=tuple(map(_sendable, content)))
        self._effects.send(client.ConversationItemCreate(item=item, event_id=self._effects.new_id("event")))
        if respond:
            self._answers.want(Cause.MESSAGE)
        return item_id, self._effects.take()

    def hear(self, audio: bytes, *, commit: bool = False, respond: bool = True) -> list[Effect]:
        """The user's audio. Raises LocalProtocolError when there is nothing worth committing; nothing is sent then."""
        if self._hearing.hear(audio, commit=commit, respond=respond):
            self._answers.want(Cause.TURN)
        return self._effects.take()

    def respond(self, params: ResponseParams | None = None, *, ask: bool = False) -> tuple[str, list[Effect]]:
        """Ask for an answer explicitly. With `ask`, the id it gives is a ticket, settled with a Reply when the turn is over."""
        return self._answers.request(params, None, ask=ask), self._effects.take()

    def abandon(self, ticket: str, now: float) -> list[Effect]:
        """Nobody waits for this `ask` any more: its response is withdrawn or cancelled."""
        self._answers.abandon(ticket, now)
        return self._effects.take()

    def interrupt(self, now: float) -> list[Effect]:
        """Stop the answer that runs or sounds, and keep what was heard of it."""
        self._answers.interrupt(now)
        self._calls.interrupted()
        return self._effects.take()

    def update(self, settings: SessionSettings) -> tuple[str, list[Effect]]:
        """Change settings; the ticket is settled when the server has acknowledged or refused them."""
        ticket = self._updates.submit(settings.to_wire(), Purpose.USER, settings)
        return ticket, self._effects.take()

    def redirect(self, target: Briefing) -> tuple[str, list[Effect]]:
        """Put another agent in charge, like a handoff. Raises LocalProtocolError while another handoff is under way."""
        ticket = self._effects.new_id("redirect")
        if not self._calls.redirect(target, ticket):
            raise LocalProtocolError("a handoff is under way; wait for its HandoffEvent or ToolEndEvent")
        return ticket, self._effects.take()

    def send_raw(self, event: client.ClientEvent) -> tuple[str, list[Effect]]:
        """Any client event. Those that the machine sequences (creates, updates, commits) take part in that; gives its event id."""
        if isinstance(event, UnknownEvent):
            event_id = str(event.body.get("event_id") or self._effects.new_id("event"))
            body = {**event.body, "event_id": event_id}
            self._effects.add(Send(attrs.evolve(event, body=body)))
            return event_id, self._effects.take()
        event_id = event.event_id or self._effects.new_id("event")
        event = changed(event, event_id=event_id)
        match event:
            case client.ResponseCreate(response=params):
                self._answers.request(params, event_id)
            case client.SessionUpdate():
                self._updates.submit_event(event, Purpose.RAW)
            case client.InputAudioBufferCommit():
                self._hearing.commit(event, respond=False)
            case client.InputAudioBufferAppend():
                self._hearing.append(event)
            case client.InputAudioBufferClear():
                self._hearing.cleared()
                self._effects.send(event)
            case _:
                self._effects.send(event)
        return event_id, self._effects.take()

    # --- what the session reports ----------------------------------------------------------------------------------

    def tool_ended(self, call_id: str, output: str, *, respond: bool) -> list[Effect]:
        """A tool is through, with this output for the model."""
        self._calls.ended(call_id, output, respond=respond)
        return self._effects.take()

    def decide(self, call_id: str, *, approved: bool, message: str | None = None) -> list[Effect] | None:
        """Approve or reject a call that the API wants to make; None when no such call waits under this id."""
        known = self._hosted.decide(call_id, approved=approved, message=message)
        return self._effects.take() if known else None

    def handoff_prepared(self, call_id: str, target: Briefing) -> list[Effect]:
        """The callables of a handoff are through."""
        self._calls.prepared(call_id, target)
        return self._effects.take()

    def handoff_failed(self, call_id: str, reason: str) -> list[Effect]:
        """A callable of a handoff raised."""
        self._calls.prepare_failed(call_id, reason)
        return self._effects.take()

    def checked(self, check_id: str, result: object, now: float) -> list[Effect]:
        """A guardrail gave this for the text that it was to check: anything true trips it."""
        self._answers.checked(check_id, result, now)
        return self._effects.take()

    def check_failed(self, check_id: str, reason: str, now: float) -> list[Effect]:
        """A guardrail raised this."""
        self._answers.check_failed(check_id, reason, now)
        return self._effects.take()

    def played(self, item_id: str, content_index: int, nbytes: int) -> None:
        """A sink reports what was really heard."""
        self._answers.saying.playback.played(item_id, content_index, nbytes)

    def taken(self, item_id: str, content_index: int, nbytes: int) -> None:
        """Audio was taken to be played."""
        self._answers.saying.playback.taken(item_id, content_index, nbytes)

    def timed_out(self, name: str) -> list[Effect]:
        """A timer that an effect started has run out."""
        if update := self._updates.refused(name):
            self._update_failed(update, LATE, code="timeout")
            self._calls.floor_moved()
        self._hosted.timed_out(name)
        return self._effects.take()

    def bad_frame(self, error: TrioCodexError, frame: str | bytes) -> list[Effect]:
        """A frame that is not the protocol arrived; the conversation goes on. `frame` is for who records what the core is given."""
        self._effects.emit(ErrorEvent(ErrorInfo(type="protocol_error", message=str(error))))
        return self._effects.take()

    # --- the server ------------------------------------------------------------------------------------------------

    def receive(self, event: server.ServerEvent, now: float) -> list[Effect]:
        """An event of the server."""
        if (hears := self._HEARS_OFTEN.get(type(event))) is not None:
            hears(self, event, now)
            return self._effects.take()
        self._hosted.receive(event)
        if (hears := self._HEARS.get(type(event))) is not None:
            hears(self, event, now)
            self._calls.floor_moved()
        else:
            self._chronicle.receive(event)
        return self._effects.take()

    def _session_created(self, event: server.SessionCreated, now: float) -> None:
        self.session_id = getattr(event.session, "id", None) or self.session_id

    def _session_updated(self, event: server.SessionUpdated, now: float) -> None:
        self.session_id = getattr(event.session, "id", None) or self.session_id
        if (update := self._updates.acknowledged()) is None:
            self._configured(event.session)
            return
        self._configured(update.event.session)  # what the server does not tell is as it was asked for
        self._configured(event.session)
        if update.purpose is Purpose.HANDOFF:
            self._calls.applied()
        elif update.settings is not None:
            self._calls.settings = self.settings.overlaid(update.settings)
        self._updates.settle(update)

    def _configured(self, session: object) -> None:
        if not isinstance(session, RealtimeSession) or (audio := session.audio) is None:
            return
        if audio.input is not None:
            self._hearing.configured(audio.input)
        if audio.output is not None and audio.output.format is not None:
            self._answers.saying.playback.audio_format = format_of(audio.output.format)

    def _update_failed(self, update: Update, message: str, **details: Any) -> bool:
        """An update is refused, or not answered; says whether it was ours, for a handoff by the model, and is dealt with."""
        ours = update.purpose is Purpose.HANDOFF and self._calls.apply_refused(message, **details)
        opening_timeout = update.purpose is Purpose.OPENING and details.get("code") == "timeout"
        error = ConnectionFailed(message) if opening_timeout else ServerRefused(message, **details)
        self._updates.settle(update, error)
        return ours

    # --- input audio ---

    def _speech_started(self, event: server.InputAudioBufferSpeechStarted, now: float) -> None:
        self._hearing.turns.speech_started()
        self._effects.emit(SpeechStartedEvent(event.item_id, event.audio_start_ms))
        if self._hearing.turns.interrupts:
            self._answers.silence(now)
            self._calls.interrupted()

    def _speech_stopped(self, event: server.InputAudioBufferSpeechStopped, now: float) -> None:
        self._hearing.turns.detected(event.item_id)
        self._effects.emit(SpeechStoppedEvent(event.item_id, event.audio_end_ms))

    def _timeout_triggered(self, event: server.InputAudioBufferTimeoutTriggered, now: float) -> None:
        self._hearing.turns.detected(event.item_id)
        self._effects.emit(InputAudioTimeoutTriggeredEvent(event.item_id, event.audio_start_ms, event.audio_end_ms))

    def _committed(self, event: server.InputAudioBufferCommitted, now: float) -> None:
        if self._hearing.turns.committed(event.item_id, busy=self._answers.active is not None):
            self._answers.want(Cause.TURN, said_before=True)

    # --- responses ---

    def _begin(self, event: server.ResponseCreated | server.ResponseDone, now: float) -> Running | None:
        turns = self._hearing.turns
        running = self._answers.created(event.response, self.briefing, expected=turns.theirs)
        if running is not None and not running.out_of_band:
            turns.created(ours=running.ours)
        return running

    def _audio(self, event: server.ResponseOutputAudioDelta, now: float) -> None:
        running = self._answers.of(event.response_id)
        self._saying.audio(running, event.response_id, event.item_id, event.content_index, event.delta, now)

    def _audio_done(self, event: server.ResponseOutputAudioDone, now: float) -> None:
        running = self._answers.of(event.response_id)
        self._saying.audio_ended(running, event.response_id, event.item_id, event.content_index, now)

    def _transcript(self, event: server.ResponseOutputAudioTranscriptDelta, now: float) -> None:
        running = self._answers.of(event.response_id)
        self._saying.words(running, event.item_id, event.content_index, event.delta, spoken=True)

    def _text(self, event: server.ResponseOutputTextDelta, now: float) -> None:
        running = self._answers.of(event.response_id)
        self._saying.words(running, event.item_id, event.content_index, event.delta, spoken=False)

    def _transcript_done(self, event: server.ResponseOutputAudioTranscriptDone, now: float) -> None:
        running = self._answers.of(event.response_id)
        self._saying.said(running, event.item_id, event.content_index, event.transcript, spoken=True)

    def _text_done(self, event: server.ResponseOutputTextDone, now: float) -> None:
        running = self._answers.of(event.response_id)
        self._saying.said(running, event.item_id, event.content_index, event.text, spoken=False)

    def _output_item_done(self, event: server.ResponseOutputItemDone, now: float) -> None:
        running = self._answers.of(event.response_id) or Running(event.response_id, self.briefing, over=True)
        self._saying.item_done(running, event.item)
        if not running.out_of_band:
            self._chronicle.put(event.item, done=True)
            self._calls.called(running, event.item)

    def _response_done(self, event: server.ResponseDone, now: float) -> None:
        response, outcome = event.response, outcome_of(event.response)
        running = self._answers.find_response(response) or self._begin(event, now)  # some servers do not announce it
        if running is None or running.over:
            return
        if not running.out_of_band:
            for item in response.output or ():  # some servers tell items only here
                if id_of(item) not in self._chronicle.history:
                    self._chronicle.put(item, done=True)
                if outcome.status == "completed":
                    self._calls.called(running, item)
            self._chronicle.updated()
        if outcome.error is not None:
            self._effects.emit(ErrorEvent(outcome.error))
        if outcome.usage is not None:
            self.usage += outcome.usage
            self._effects.emit(UsageEvent(outcome.usage))
        self._effects.emit(ResponseDoneEvent(running.id, outcome.status, outcome.details, outcome.usage))
        if not running.out_of_band:
            self._effects.emit(AgentEndEvent(running.agent))
        self._answers.done(running, response, outcome, now)
        if not self._calls.response_done(running, outcome):
            self._answers.settle(running, outcome.status)
        self._answers.release(running)

    # --- errors ---

    def _server_error(self, event: server.Error, now: float) -> None:
        error = event.error
        self.expired = self.expired or error.code == "session_expired"
        if self._handled(error):
            self._effects.add(Note(f"the server refused {error.event_id}, as can happen: {error.code} {error.message}"))
        else:
            told = ErrorInfo(error.type, error.message, error.code, error.param, error.event_id)
            self._effects.emit(ErrorEvent(told))

    def _handled(self, error: ErrorDetails) -> bool:
        """Give the error to whom it answers; True when the user need not hear of it."""
        if update := self._updates.refused(error.event_id):
            details = {"type": error.type, "code": error.code, "param": error.param, "event_id": error.event_id}
            return self._update_failed(update, error.message, **details)
        known, silent = self._answers.refused(error)
        if known:
            return silent
        expected, want = self._hearing.turns.refused(error.event_id, error.code)
        if want:
            self._answers.want(Cause.TURN, said_before=True)
        return expected

    # Deltas are most of what comes; they neither call anything nor make anybody stop answering (2 µs less for each).
    _HEARS_OFTEN: ClassVar[Mapping[type, Callable[[Conversation, Any, float], object]]] = {
        server.ResponseOutputAudioDelta: _audio,
        server.ResponseOutputAudioTranscriptDelta: _transcript,
        server.ResponseOutputTextDelta: _text,
    }

    # Who hears what; the rest is about items, or changes nothing: streams that ask for it see it as a RawModelEvent.
    _HEARS: ClassVar[Mapping[type, Callable[[Conversation, Any, float], object]]] = {
        server.SessionCreated: _session_created,
        server.SessionUpdated: _session_updated,
        server.InputAudioBufferSpeechStarted: _speech_started,
        server.InputAudioBufferSpeechStopped: _speech_stopped,
        server.InputAudioBufferTimeoutTriggered: _timeout_triggered,
        server.InputAudioBufferCommitted: _committed,
        server.ResponseCreated: _begin,
        server.ResponseOutputAudioDone: _audio_done,
        server.ResponseOutputAudioTranscriptDone: _transcript_done,
        server.ResponseOutputTextDone: _text_done,
        server.ResponseOutputItemDone: _output_item_done,
        server.ResponseDone: _response_done,
        server.Error: _server_error,
    }


def _sendable(part: ContentPart) -> ContentPart:
    text = part.text
    return part if not text or text.isascii() else attrs.evolve(part, text=sendable(text))
