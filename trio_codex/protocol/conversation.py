"""The machine that a session runs: the server's events and the user's verbs go in, effects come out.

Composed of small parts (floor, handoff, history, playback, turns, updates), each of which fits on a screen; this module only says who
hears what, in which order. Mutable, synchronous and deterministic: the time comes in as `now` (seconds of any clock), ids come
from a counter. Every public method that changes something gives the effects of that change, to be performed at once and in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

import attrs

from trio_codex.audio import AudioFormat, WholeSamples
from trio_codex.errors import ConnectionFailed, LocalProtocolError, ServerRefused, TrioCodexError
from trio_codex.events import (
    AgentEndEvent,
    ErrorEvent,
    ErrorInfo,
    HistoryAddedEvent,
    HistoryItem,
    HistoryUpdatedEvent,
    InputAudioTimeoutTriggeredEvent,
    InputTranscriptEvent,
    ResponseDoneEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    Usage,
    UsageEvent,
)
from trio_codex.protocol import client_events as client, server_events as server
from trio_codex.protocol.answers import Answers, Running, failure_of
from trio_codex.protocol.calls import Calls
from trio_codex.protocol.client_events import ClientEvent
from trio_codex.protocol.codec import unstructure
from trio_codex.protocol.effects import Effect, Effects, Note, Send
from trio_codex.protocol.floor import Cause
from trio_codex.protocol.history import ROOT, History
from trio_codex.protocol.items import (
    ContentPart,
    ErrorDetails,
    FunctionCall,
    Item,
    Response,
    ResponseParams,
    StatusDetails,
    UserMessage,
)
from trio_codex.protocol.sessions import MediaFormat, RealtimeSession
from trio_codex.protocol.settings import Briefing, SessionSettings, session_object
from trio_codex.protocol.turns import Turns
from trio_codex.protocol.updates import Purpose, Update, Updates
from trio_codex.protocol.wire import UnknownEvent

PIECE_BYTES: Final = 4 * 1024 * 1024
"""A longer piece of input audio is sent in several appends; the API allows 15 MiB each."""

_LEAST_COMMIT_MS: Final = 100


class Conversation:
    """One conversation between a user and an agent, seen from the client. See the module for the rules of use."""

    def __init__(
        self, briefing: Briefing, settings: SessionSettings | None = None, history: Iterable[Item] = ()
    ) -> None:
        self.session_id: str | None = None
        self.usage = Usage()
        self.expired = False
        self._settings = settings or SessionSettings()
        self._opening_items = tuple(history)
        self._effects = Effects()
        self._history = History()
        self._turns = Turns()
        self._answers = Answers(self._effects, self._history)
        self._updates = Updates(self._effects)
        self._calls = Calls(self._effects, self._answers, self._updates, briefing, self._settings)
        self._input_format = AudioFormat.PCM16
        self._whole = WholeSamples()
        self._uncommitted = 0  # bytes of input audio since the last commit

    # --- what stands -----------------------------------------------------------------------------------------------

    @property
    def briefing(self) -> Briefing:
        """The agent in charge, as it takes part in this session."""
        return self._calls.briefing

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """The items of the conversation, in order."""
        return self._history.items

    # --- verbs -----------------------------------------------------------------------------------------------------

    def open(self) -> tuple[str, list[Effect]]:
        """Begin: the settings, then the items to start with. Gives the ticket that is settled when the server has agreed."""
        ticket = self._updates.submit(session_object(self.briefing, self._settings), Purpose.OPENING)
        for item in self._opening_items:
            self._effects.send(client.ConversationItemCreate(item=item))
        return ticket, self._effects.take()

    def send_message(self, content: Iterable[ContentPart], *, respond: bool = True) -> tuple[str, list[Effect]]:
        """Say something in writing; gives the new item's id."""
        item_id = self._effects.new_id("item")
        item = UserMessage(id=item_id, content=tuple(content))
        self._effects.send(client.ConversationItemCreate(item=item), room=True)
        if respond:
            self._answers.want(Cause.MESSAGE)
        return item_id, self._effects.take()

    def hear(self, audio: bytes, *, commit: bool = False, respond: bool = True) -> list[Effect]:
        """The user's audio. Raises LocalProtocolError when there is nothing worth committing; nothing is sent then."""
        heard_ms = self._input_format.duration_ms(self._uncommitted + len(self._whole.rest) + len(audio))
        if commit and not self._turns.detection and heard_ms < _LEAST_COMMIT_MS:
            raise LocalProtocolError(
                f"only {heard_ms} ms of audio are in the buffer; the API commits {_LEAST_COMMIT_MS} ms or more"
            )
        whole = self._whole.feed(audio)
        for start in range(0, len(whole), PIECE_BYTES):
            piece = whole[start : start + PIECE_BYTES]
            self._effects.send(client.InputAudioBufferAppend(audio=piece), room=start == 0)
        self._uncommitted += len(whole)
        if commit:
            self._commit(client.InputAudioBufferCommit(), respond=respond, room=not whole)
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

    def send_raw(self, event: ClientEvent) -> tuple[str, list[Effect]]:
        """Any client event. Those that the machine sequences (creates, updates, commits) take part in that; gives its event id."""
        if isinstance(event, UnknownEvent):
            event_id = str(event.body.get("event_id") or self._effects.new_id("event"))
            body = {**event.body, "event_id": event_id}
            self._effects.add(Send(attrs.evolve(event, body=body), room=True))
            return event_id, self._effects.take()
        if event.event_id is None:
            event = attrs.evolve(event, event_id=self._effects.new_id("event"))
        event_id = event.event_id or ""
        match event:
            case client.ResponseCreate(response=params):
                self._answers.request(params, event_id)
            case client.SessionUpdate():
                self._updates.submit_event(event, Purpose.RAW)
            case client.InputAudioBufferCommit():
                self._commit(event, respond=False, room=True)
            case client.InputAudioBufferAppend(audio=audio):
                self._uncommitted += len(audio)
                self._effects.send(event, room=True)
            case client.InputAudioBufferClear():
                self._empty_input()
                self._effects.send(event, room=True)
            case _:
                self._effects.send(event, room=True)
        return event_id, self._effects.take()

    def _commit(self, event: client.InputAudioBufferCommit, *, respond: bool, room: bool) -> None:
        event_id = self._effects.send(event, room=room)
        self._empty_input()
        if self._turns.commit(event_id, respond=respond):
            self._answers.want(Cause.TURN)

    def _empty_input(self) -> None:
        self._uncommitted = 0
        self._whole = WholeSamples(self._input_format.sample_width)  # half a sample that is left has no meaning

    # --- what the session reports ----------------------------------------------------------------------------------

    def tool_ended(self, call_id: str, output: str, *, respond: bool = True) -> list[Effect]:
        """A tool is through, with this output for the model."""
        self._calls.ended(call_id, output, respond=respond)
        return self._effects.take()

    def handoff_prepared(self, call_id: str, target: Briefing) -> list[Effect]:
        """The callables of a handoff are through."""
        self._calls.prepared(call_id, target)
        return self._effects.take()

    def handoff_failed(self, call_id: str, reason: str) -> list[Effect]:
        """A callable of a handoff raised."""
        self._calls.prepare_failed(call_id, reason)
        return self._effects.take()

    def played(self, item_id: str, content_index: int, nbytes: int) -> None:
        """A sink reports what was really heard."""
        self._answers.playback.played(item_id, content_index, nbytes)

    def taken(self, item_id: str, content_index: int, nbytes: int) -> None:
        """Audio was taken to be played."""
        self._answers.playback.taken(item_id, content_index, nbytes)

    def timed_out(self, name: str) -> list[Effect]:
        """A timer that an effect started has run out."""
        if update := self._updates.refused(name):
            self._update_failed(update, "the server did not answer in time", code="timeout")
        return self._effects.take()

    def bad_frame(self, error: TrioCodexError) -> list[Effect]:
        """A frame that is not the protocol arrived; the conversation goes on."""
        self._effects.emit(ErrorEvent(ErrorInfo(type="protocol_error", message=str(error))))
        return self._effects.take()

    # --- the server ------------------------------------------------------------------------------------------------

    def receive(self, event: server.ServerEvent, now: float) -> list[Effect]:
        """An event of the server."""
        hears = self._HEARS.get(type(event))
        if hears is not None:
            hears(self, event, now)
        return self._effects.take()

    def _session_created(self, event: server.SessionCreated, now: float) -> None:
        self.session_id = getattr(event.session, "id", None) or self.session_id

    def _session_updated(self, event: server.SessionUpdated, now: float) -> None:
        session = event.session
        self.session_id = getattr(session, "id", None) or self.session_id
        if isinstance(session, RealtimeSession) and session.audio is not None:
            self._configured(session)
        update = self._updates.acknowledged()
        if update is None:
            return
        match update.purpose:
            case Purpose.HANDOFF:
                self._calls.applied()
            case Purpose.USER if update.settings is not None:
                self._settings = self._settings.overlaid(update.settings)
                self._calls.settings = self._settings
        self._updates.settle(update)

    def _configured(self, session: RealtimeSession) -> None:
        audio = session.audio
        assert audio is not None
        if audio.input is not None:
            self._take_input_format(_format(audio.input.format))
            detection = audio.input.turn_detection
            if detection is not None:
                self._turns.configured(create=detection.create_response, interrupt=detection.interrupt_response)
            elif "turn_detection" in audio.input.extra:
                self._turns.switched_off()
        if audio.output is not None and audio.output.format is not None:
            self._answers.playback.audio_format = _format(audio.output.format)

    def _take_input_format(self, audio_format: AudioFormat) -> None:
        if audio_format is not self._input_format:
            self._input_format = audio_format
            self._whole = WholeSamples(audio_format.sample_width)

    def _update_failed(self, update: Update, message: str, **details: str | None) -> None:
        if update.purpose is Purpose.HANDOFF:
            self._calls.apply_refused(message)
        opening_timeout = update.purpose is Purpose.OPENING and details.get("code") == "timeout"
        error = ConnectionFailed(message) if opening_timeout else ServerRefused(message, **details)
        self._updates.settle(update, error)

    # --- input audio ---

    def _speech_started(self, event: server.InputAudioBufferSpeechStarted, now: float) -> None:
        self._turns.speech_started()
        self._effects.emit(SpeechStartedEvent(event.item_id, event.audio_start_ms))
        if self._turns.interrupts:
            self._answers.silence(now)
            self._calls.interrupted()

    def _speech_stopped(self, event: server.InputAudioBufferSpeechStopped, now: float) -> None:
        self._turns.detected(event.item_id)
        self._effects.emit(SpeechStoppedEvent(event.item_id, event.audio_end_ms))

    def _timeout_triggered(self, event: server.InputAudioBufferTimeoutTriggered, now: float) -> None:
        self._turns.detected(event.item_id)
        self._effects.emit(InputAudioTimeoutTriggeredEvent(event.item_id, event.audio_start_ms, event.audio_end_ms))

    def _committed(self, event: server.InputAudioBufferCommitted, now: float) -> None:
        if self._turns.committed(event.item_id):
            self._answers.want(Cause.TURN)

    # --- items ---

    def _item(
        self,
        event: server.ConversationItemAdded | server.ConversationItemCreated | server.ConversationItemDone,
        now: float,
    ) -> None:
        previous = event.previous_item_id
        if previous is None and "previous_item_id" in event.extra:
            previous = ROOT
        new = self._history.put(event.item, previous)
        item = self._history.get(getattr(event.item, "id", None) or "")
        if new and item is not None:
            self._effects.emit(HistoryAddedEvent(item))
        if isinstance(event, server.ConversationItemDone):
            self._history_updated()

    def _item_deleted(self, event: server.ConversationItemDeleted, now: float) -> None:
        self._history.delete(event.item_id)
        self._history_updated()

    def _item_truncated(self, event: server.ConversationItemTruncated, now: float) -> None:
        self._history.truncate(event.item_id, event.content_index, event.audio_end_ms)
        self._history_updated()

    def _transcribing(self, event: server.ConversationItemInputAudioTranscriptionDelta, now: float) -> None:
        index = event.content_index or 0
        self._history.delta(event.item_id, index, event.delta or "")
        text = self._history.text(event.item_id, index)
        self._effects.emit(InputTranscriptEvent(event.item_id, text, final=False))

    def _transcribed(self, event: server.ConversationItemInputAudioTranscriptionCompleted, now: float) -> None:
        self._history.transcribe(event.item_id, event.content_index, event.transcript)
        self._effects.emit(InputTranscriptEvent(event.item_id, event.transcript, final=True))
        self._history_updated()

    def _transcription_failed(self, event: server.ConversationItemInputAudioTranscriptionFailed, now: float) -> None:
        error = event.error
        message = error.message or "the transcription failed"
        self._error(ErrorInfo(error.type or "transcription_failed", message, error.code, error.param))

    def _history_updated(self) -> None:
        self._effects.emit(HistoryUpdatedEvent(self._history.items))

    # --- responses ---

    def _response_created(self, event: server.ResponseCreated, now: float) -> None:
        ours = self._answers.created(event.response, self.briefing.agent)
        if ours is not None:
            self._turns.created(ours=ours)

    def _audio(self, event: server.ResponseOutputAudioDelta, now: float) -> None:
        self._answers.audio(event.response_id, event.item_id, event.content_index, event.delta, now)

    def _audio_done(self, event: server.ResponseOutputAudioDone, now: float) -> None:
        self._answers.audio_ended(event.response_id, event.item_id, event.content_index)

    def _transcript(self, event: server.ResponseOutputAudioTranscriptDelta, now: float) -> None:
        self._answers.words(event.response_id, event.item_id, event.content_index, event.delta, spoken=True)

    def _text(self, event: server.ResponseOutputTextDelta, now: float) -> None:
        self._answers.words(event.response_id, event.item_id, event.content_index, event.delta, spoken=False)

    def _transcript_done(self, event: server.ResponseOutputAudioTranscriptDone, now: float) -> None:
        self._answers.said(event.response_id, event.item_id, event.content_index, event.transcript)

    def _text_done(self, event: server.ResponseOutputTextDone, now: float) -> None:
        self._answers.said(event.response_id, event.item_id, event.content_index, event.text)

    def _output_item_done(self, event: server.ResponseOutputItemDone, now: float) -> None:
        running = self._answers.running(event.response_id) or Running(event.response_id, self.briefing.agent)
        if running.out_of_band:
            return
        item = event.item
        if (getattr(item, "id", None) or "") not in self._history:
            self._history.put(item)  # servers that know no conversation.item.added
        if isinstance(item, FunctionCall) and item.status in (None, "completed"):
            self._calls.called(running, item)

    def _response_done(self, event: server.ResponseDone, now: float) -> None:
        response = event.response
        running = self._answers.done(response, self.briefing.agent)
        status = response.status or "completed"
        details = _details(response)
        if not running.out_of_band:
            self._history_updated()
        failure = failure_of(details) if status == "failed" else None
        if failure is not None:
            self._error(ErrorInfo(_failure_type(response), str(failure), failure.code, response_id=running.id or None))
        usage = _usage(response)
        if usage is not None:
            self.usage += usage
            self._answers.charge(running, usage)
            self._effects.emit(UsageEvent(usage))
        self._effects.emit(ResponseDoneEvent(running.id, status, details, usage))
        if not running.out_of_band:
            self._effects.emit(AgentEndEvent(running.agent))
        reason = details.get("reason") if isinstance(details, Mapping) else None
        if not self._calls.response_done(running, status, reason) or failure is not None:
            self._answers.settle(running.asks, status, failure)
        self._answers.release(running)

    # --- errors ---

    def _server_error(self, event: server.Error, now: float) -> None:
        error = event.error
        self.expired = self.expired or error.code == "session_expired"
        if self._handled(error):
            self._effects.add(Note(f"the server refused {error.event_id}, as can happen: {error.code} {error.message}"))
        else:
            self._error(ErrorInfo(error.type, error.message, error.code, error.param, error.event_id))

    def _handled(self, error: ErrorDetails) -> bool:
        """Give the error to whom it answers; True when the user need not hear of it."""
        if error.event_id is None:
            return False
        if update := self._updates.refused(error.event_id):
            self._update_failed(update, error.message, code=error.code, param=error.param, event_id=error.event_id)
            return False
        known, silent = self._answers.refused(error)
        if known:
            return silent
        expected, want = self._turns.refused(error.event_id, error.code)
        if want:
            self._answers.want(Cause.TURN)
        return expected

    def _error(self, error: ErrorInfo) -> None:
        self._effects.emit(ErrorEvent(error))

    # Who hears what. A type that is not named changes nothing here; streams that ask for it see it as a RawModelEvent.
    _HEARS: ClassVar[Mapping[type, Callable[[Conversation, Any, float], None]]] = {
        server.SessionCreated: _session_created,
        server.SessionUpdated: _session_updated,
        server.InputAudioBufferSpeechStarted: _speech_started,
        server.InputAudioBufferSpeechStopped: _speech_stopped,
        server.InputAudioBufferTimeoutTriggered: _timeout_triggered,
        server.InputAudioBufferCommitted: _committed,
        server.ConversationItemAdded: _item,
        server.ConversationItemCreated: _item,
        server.ConversationItemDone: _item,
        server.ConversationItemDeleted: _item_deleted,
        server.ConversationItemTruncated: _item_truncated,
        server.ConversationItemInputAudioTranscriptionDelta: _transcribing,
        server.ConversationItemInputAudioTranscriptionCompleted: _transcribed,
        server.ConversationItemInputAudioTranscriptionFailed: _transcription_failed,
        server.ResponseCreated: _response_created,
        server.ResponseOutputAudioDelta: _audio,
        server.ResponseOutputAudioDone: _audio_done,
        server.ResponseOutputAudioTranscriptDelta: _transcript,
        server.ResponseOutputAudioTranscriptDone: _transcript_done,
        server.ResponseOutputTextDelta: _text,
        server.ResponseOutputTextDone: _text_done,
        server.ResponseOutputItemDone: _output_item_done,
        server.ResponseDone: _response_done,
        server.Error: _server_error,
    }


def _format(wire: MediaFormat | None) -> AudioFormat:
    known = {audio_format.value: audio_format for audio_format in AudioFormat}
    return known.get((wire.type if wire else None) or "", AudioFormat.PCM16)


def _details(response: Response) -> Mapping[str, Any] | str | None:
    details = response.status_details
    if isinstance(details, StatusDetails):
        plain: Mapping[str, Any] = unstructure(details)
        return plain
    return details


def _failure_type(response: Response) -> str:
    details = response.status_details
    error = details.error if isinstance(details, StatusDetails) else None
    return (error.type if error else None) or "response_failed"


def _usage(response: Response) -> Usage | None:
    wire = response.usage
    if wire is None:
        return None
    given, made = wire.input_token_details, wire.output_token_details
    return Usage(
        total_tokens=wire.total_tokens or 0,
        input_tokens=wire.input_tokens or 0,
        output_tokens=wire.output_tokens or 0,
        cached_tokens=(given.cached_tokens if given else None) or 0,
        input_audio_tokens=(given.audio_tokens if given else None) or 0,
        output_audio_tokens=(made.audio_tokens if made else None) or 0,
        responses=1,
    )
