"""The server's half of a realtime session: client events and the progress of speech and answers in, effects out.

Sans-IO and deterministic: no clock, no randomness; times come in as positions in the audio, ids from counters. Every
input is a method that returns the list of what is to be done, in order. What a client asks for wrongly becomes an
`error` event that names the client's event, and the session goes on. Composed of the session's settings, the items, the
user's turns and the running responses.

Invariants: `session.created` comes first; at most one response writes to the conversation; every response that was
created ends with one `response.done`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import attrs

from trio_codex.errors import RemoteProtocolError
from trio_codex.grammar import Refusal, wrong_value
from trio_codex.protocol.client_events import (
    CLIENT_EVENTS,
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from trio_codex.protocol.codec import decode_client_event, structure, unstructure
from trio_codex.protocol.items import AssistantMessage, ErrorDetails, FunctionCallOutput
from trio_codex.protocol.peer_effects import PeerEffect, ResetDetector, Say, explicit
from trio_codex.protocol.peer_floor import Responses
from trio_codex.protocol.peer_ids import Ids, Limits
from trio_codex.protocol.peer_input import Turns
from trio_codex.protocol.peer_items import ItemList, Record, record_of
from trio_codex.protocol.peer_rules import EVENT_ID
from trio_codex.protocol.peer_session import SessionConfig
from trio_codex.protocol.server_events import (
    ConversationCreated,
    ConversationInfo,
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    DurationUsage,
    Error,
    SessionCreated,
    SessionUpdated,
    TranscriptionError,
)
from trio_codex.protocol.sessions import RealtimeSession, TranscriptionSession
from trio_codex.protocol.wire import UnknownEvent

__all__ = ["Peer"]


class Peer:
    """One session, as its server sees it. `label` tells the ids of this session from those of others.

    `kind`: "realtime", or "transcription" for a session that hears and does not answer. `settings`: a session object to begin with,
    as in a `session.update`; one that is wrong raises `Refusal`.

    The shell calls `open` once, then `receive_frame` (or `receive`) for what the client sends and the other methods for
    what the turn detector, the recogniser and the generation report, and performs the effects of each call before the
    next.
    """

    def __init__(
        self,
        *,
        model: str,
        label: str = "1",
        expires_at: int = 0,
        limits: Limits | None = None,
        kind: str = "realtime",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        limits = limits or Limits()
        self._session = SessionConfig(model=model, session_id=f"sess_{label}", expires_at=expires_at, kind=kind)
        self._items = ItemList(kept_audio=limits.kept_audio_bytes, at_most=limits.items)
        self._ids = Ids(label, self._items.knows)
        self._responses = Responses(self._session, self._items, self._ids, limits)
        if settings is not None:
            self._session.update(settings, self._responses.state)
        self._turns = Turns(self._session, self._items, self._ids, limits)  # hears as the settings say

    @property
    def session(self) -> Mapping[str, Any]:
        """The effective session object."""
        return self._session.json

    def open(self) -> list[PeerEffect]:
        """The client is there."""
        effects: list[PeerEffect] = [Say(SessionCreated(event_id=self._ids.event(), session=self._session_object()))]
        if self._session.speaks:
            conversation = ConversationInfo(id=self._responses.conversation_id, object="realtime.conversation")
            effects.append(Say(ConversationCreated(event_id=self._ids.event(), conversation=conversation)))
        return [*effects, self._turns.detector()]

    def expire(self) -> list[PeerEffect]:
        """The session is over: it has lasted as long as it may."""
        message = "Your session hit the maximum duration."
        return [self._error(Refusal("session_expired", message), None)]

    # --- what the client sends -------------------------------------------------------------------------------------

    def receive_frame(self, frame: str | bytes) -> list[PeerEffect]:
        """A frame of the client; one that is no client event is answered with an error."""
        try:
            event = decode_client_event(frame)
        except RemoteProtocolError as error:
            path = error.path.removeprefix("$").removeprefix(".")
            code = "invalid_event" if path in ("", "type") else "invalid_value"
            return [self._error(Refusal(code, str(error), path or None), _event_id_in(frame))]
        return self.receive(event)

    def receive(self, event: ClientEvent) -> list[PeerEffect]:
        """An event of the client."""
        event_id = event.body.get("event_id") if isinstance(event, UnknownEvent) else event.event_id
        return self._decide(self._obey(event, event_id), event_id if isinstance(event_id, str) else None)

    def _obey(self, event: ClientEvent, event_id: Any) -> Iterator[PeerEffect]:
        if event_id is not None:
            EVENT_ID(event_id, "event_id")
        orders = self._OBEY if self._session.speaks else self._OBEY_HEARING
        obey = orders.get(type(event))
        if obey is None:
            supported = ", ".join(f"'{name}'" for name, known in CLIENT_EVENTS.items() if known in orders)
            message = f"Invalid value: '{event.type}'. Supported values are: {supported}."
            raise Refusal("invalid_value", message, "type")
        yield from obey(self, event)

    def _update_session(self, event: SessionUpdate) -> Iterator[PeerEffect]:
        self._session.update(unstructure(event.session), self._responses.state)
        yield Say(SessionUpdated(event_id=self._ids.event(), session=self._session_object()))
        yield from self._turns.reconfigured()

    def _append(self, event: InputAudioBufferAppend) -> Iterator[PeerEffect]:
        if self._turns.lasts_too_long:
            yield ResetDetector()
            yield from self.speech_stopped(self._turns.position_ms)  # what is refused then is none of this event's
        yield from self._turns.append(event.audio)

    def _commit(self, _: InputAudioBufferCommit) -> Iterator[PeerEffect]:
        yield from self._turns.commit()
        self._responses.heard_speech()

    def _clear(self, _: InputAudioBufferClear) -> Iterator[PeerEffect]:
        return self._turns.clear()

    def _create_item(self, event: ConversationItemCreate) -> Iterator[PeerEffect]:
        self._items.check_room(getattr(event.item, "id", None), event.previous_item_id, announced=self._turns.item_id)
        record = record_of(event.item, self._ids, self._session.input_format)
        if isinstance(record.item, FunctionCallOutput) and not self._items.made_call(record.item.call_id):
            message = f"Tool call ID '{record.item.call_id}' not found in conversation."
            raise Refusal("invalid_tool_call_id", message, "item.call_id")
        self._items.add(record, event.previous_item_id)
        link = self._items.link_of(record.id)
        yield Say(ConversationItemAdded(event_id=self._ids.event(), item=record.item, **link))
        yield Say(ConversationItemDone(event_id=self._ids.event(), item=record.item, **link))
        if record.audio:
            yield self._items.ask_for_words(record)

    def _retrieve_item(self, event: ConversationItemRetrieve) -> Iterator[PeerEffect]:
        record = self._find(event.item_id, "retriev")
        yield Say(ConversationItemRetrieved(event_id=self._ids.event(), item=record.retrieved()))

    def _delete_item(self, event: ConversationItemDelete) -> Iterator[PeerEffect]:
        self._items.remove(self._find(event.item_id, "delet").id)
        yield Say(ConversationItemDeleted(event_id=self._ids.event(), item_id=event.item_id))

    def _truncate_item(self, event: ConversationItemTruncate) -> Iterator[PeerEffect]:
        record = self._find(event.item_id, "truncat")
        if not isinstance(record.item, AssistantMessage) or not record.audio_bytes:
            message = "Only model output audio messages can be truncated"
            raise Refusal("unsupported_content_type", message, "item_id")
        if event.content_index != 0:
            raise wrong_value("content_index", f"there is no audio part {event.content_index}; use 0.")
        if event.audio_end_ms < 0:
            raise wrong_value("audio_end_ms", f"Expected a value >= 0, but got {event.audio_end_ms} instead.")
        if event.audio_end_ms > record.duration_ms:
            message = f"Audio content of {record.duration_ms}ms is already shorter than {event.audio_end_ms}ms"
            raise Refusal("invalid_value", message, "audio_end_ms")
        record.truncate(event.audio_end_ms)
        yield Say(
            ConversationItemTruncated(
                event_id=self._ids.event(), item_id=record.id, content_index=0, audio_end_ms=event.audio_end_ms
            )
        )

    def _create_response(self, event: ResponseCreate) -> Iterator[PeerEffect]:
        if event.response is None:
            return self._responses.create({})
        given = event.response.input
        return self._responses.create(unstructure(attrs.evolve(event.response, input=None)), given)

    def _cancel_response(self, event: ResponseCancel) -> Iterator[PeerEffect]:
        return self._responses.cancel(event.response_id)

    _OBEY: ClassVar[Mapping[type, Callable[[Peer, Any], Iterator[PeerEffect]]]] = {
        SessionUpdate: _update_session,
        InputAudioBufferAppend: _append,
        InputAudioBufferCommit: _commit,
        InputAudioBufferClear: _clear,
        ConversationItemCreate: _create_item,
        ConversationItemRetrieve: _retrieve_item,
        ConversationItemDelete: _delete_item,
        ConversationItemTruncate: _truncate_item,
        ResponseCreate: _create_response,
        ResponseCancel: _cancel_response,
    }

    _OBEY_HEARING: ClassVar[Mapping[type, Callable[[Peer, Any], Iterator[PeerEffect]]]] = {
        SessionUpdate: _update_session,
        InputAudioBufferAppend: _append,
        InputAudioBufferCommit: _commit,
        InputAudioBufferClear: _clear,
    }

    # --- what the turn detector hears ------------------------------------------------------------------------------

    def speech_started(self, audio_start_ms: int, heard_ms: int) -> list[PeerEffect]:
        """Speech is heard since `audio_start_ms`, padding included; the detector has listened up to `heard_ms`."""
        return self._decide(self._speech_started(audio_start_ms, heard_ms))

    def speech_stopped(self, audio_end_ms: int) -> list[PeerEffect]:
        """Silence has been heard for long enough; it ends at `audio_end_ms`."""
        return self._decide(self._speech_stopped(audio_end_ms))

    def _speech_started(self, audio_start_ms: int, heard_ms: int) -> Iterator[PeerEffect]:
        if self._turns.is_open:
            return
        self._responses.heard_speech()
        yield from self._turns.started(audio_start_ms, heard_ms)
        if self._detects("interrupt_response"):
            yield from self._responses.interrupt()

    def _speech_stopped(self, audio_end_ms: int) -> Iterator[PeerEffect]:
        if not self._turns.is_open:
            return
        yield from self._turns.stopped(audio_end_ms)
        if self._detects("create_response"):
            yield from self._responses.create({})

    def nobody_spoke(self) -> list[PeerEffect]:
        """The time that an `AwaitSpeech` gave is over."""
        return self._decide(self._nobody_spoke())

    def _nobody_spoke(self) -> Iterator[PeerEffect]:
        idle_ms = self._session.idle_timeout_ms
        if idle_ms is None or self._turns.is_open or not self._responses.awaits_speech:
            return
        yield from self._turns.timed_out(idle_ms)
        yield from self._responses.create({})

    def _detects(self, option: str) -> bool:
        return self._session.speaks and bool((self._session.turn_detection or {}).get(option))

    # --- what the recogniser understands ---------------------------------------------------------------------------

    def transcript_delta(self, item_id: str, delta: str) -> list[PeerEffect]:
        """More words of a turn that is being recognised."""
        record = self._items.find(item_id)
        if record is None or not record.reports_words or not delta:
            return []
        return [self._transcript_delta(item_id, delta)]

    def transcribed(self, item_id: str, transcript: str, *, rest: str | None = None) -> list[PeerEffect]:
        """All words of a turn, "" for none. `rest`: the end of them that no delta has told yet, by default all."""
        return list(self._transcribed(item_id, transcript, transcript if rest is None else rest))

    def _transcribed(self, item_id: str, transcript: str, rest: str) -> Iterator[PeerEffect]:
        record = self._items.take_words(item_id, transcript)
        if record is not None and record.reports_words:
            record.transcribe(transcript)
            for word in re.findall(r"\s*\S+|\s+$", rest):
                yield self._transcript_delta(item_id, word)
            yield Say(
                ConversationItemInputAudioTranscriptionCompleted(
                    event_id=self._ids.event(),
                    item_id=item_id,
                    content_index=0,
                    transcript=transcript,
                    usage=DurationUsage(seconds=record.duration_ms / 1000),
                )
            )
        yield from self._responses.words_known()

    def transcription_failed(self, item_id: str, message: str) -> list[PeerEffect]:
        """The recogniser gave up on a turn; it is answered as if nothing had been understood."""
        return list(self._transcription_failed(item_id, message))

    def _transcription_failed(self, item_id: str, message: str) -> Iterator[PeerEffect]:
        record = self._items.take_words(item_id, "")
        if record is not None and record.reports_words:
            error = TranscriptionError(type="server_error", code="transcription_failed", message=message)
            yield Say(
                ConversationItemInputAudioTranscriptionFailed(
                    event_id=self._ids.event(), item_id=item_id, content_index=0, error=error
                )
            )
        yield from self._responses.words_known()

    def _transcript_delta(self, item_id: str, delta: str) -> Say:
        return Say(
            ConversationItemInputAudioTranscriptionDelta(
                event_id=self._ids.event(), item_id=item_id, content_index=0, delta=delta
            )
        )

    # --- what whoever generates the answers reports ----------------------------------------------------------------

    def answer_text(self, response_id: str, delta: str) -> list[PeerEffect]:
        """More text of a message, or more transcript of its audio."""
        return list(self._responses.text(response_id, delta))

    def answer_audio(self, response_id: str, data: bytes) -> list[PeerEffect]:
        """More audio of a message, in the response's output format."""
        return list(self._responses.audio(response_id, data))

    def end_message(self, response_id: str) -> list[PeerEffect]:
        """A message is complete; the next text or audio begins another item."""
        return list(self._responses.end_message(response_id))

    def answer_call(self, response_id: str, name: str, arguments: str) -> list[PeerEffect]:
        """A function call; `arguments` is JSON text."""
        return list(self._responses.call(response_id, name, arguments))

    def finish(self, response_id: str) -> list[PeerEffect]:
        """A response is complete."""
        return list(self._responses.finish(response_id))

    def fail(self, response_id: str, code: str, message: str) -> list[PeerEffect]:
        """A response could not be generated."""
        return list(self._responses.fail(response_id, code, message))

    # --- pieces ----------------------------------------------------------------------------------------------------

    def _decide(self, steps: Iterator[PeerEffect], event_id: str | None = None) -> list[PeerEffect]:
        """The effects of some steps; a refusal ends them, and what came before it stands."""
        effects: list[PeerEffect] = []
        try:
            for effect in steps:
                effects.append(effect)  # noqa: PERF402 - `extend` does not say what it keeps of an iterator that raises
        except Refusal as refusal:
            effects.append(self._error(refusal, event_id))
        return effects

    def _session_object(self) -> RealtimeSession | TranscriptionSession:
        if self._session.speaks:
            return structure(self._session.json, RealtimeSession)
        return structure(self._session.json, TranscriptionSession)

    def _find(self, item_id: str, doing: str) -> Record:
        record = self._items.find(item_id)
        if record is None:
            message = f"Error {doing}ing item: the item with id '{item_id}' does not exist."
            raise Refusal(f"item_{doing}e_invalid_item_id", message, "item_id")
        return record

    def _error(self, refusal: Refusal, event_id: str | None) -> Say:
        details = explicit(
            type=refusal.kind, code=refusal.code, message=refusal.message, param=refusal.param, event_id=event_id
        )
        return Say(Error(event_id=self._ids.event(), error=ErrorDetails(**details)))


def _event_id_in(frame: str | bytes) -> str | None:
    """The client's id of an event that is otherwise wrong."""
    try:
        body = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    event_id = body.get("event_id") if isinstance(body, dict) else None
    return event_id if isinstance(event_id, str) and len(event_id) <= 512 else None
