"""Faults in what is said: pure transformations of the events of one session, both ways.

An `EventFault` sees every event of the client before the peer does and every event of the peer before the client does. Deterministic: all
chance comes from the generator that it is given. Whatever is held back comes with a later event of the same response, so nothing needs
a clock. What comes out of one fault goes through the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from random import Random
from typing import Any, Final, Protocol, TypeAlias

import attrs

from trio_codex.errors import RemoteProtocolError
from trio_codex.protocol import (
    ClientEvent,
    ContentPart,
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    Error,
    ErrorDetails,
    FunctionCall,
    InputAudioBufferCommitted,
    Peer,
    PeerEffect,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseError,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    Say,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    StatusDetails,
    TranscriptionError,
    UnknownEvent,
    UserMessage,
    decode_client_event,
)
from trio_codex.server.faults.registry import Fault

__all__ = ["EVENT_FAULTS", "EventFaults"]

Values: TypeAlias = Mapping[str, Any]
Heard: TypeAlias = ClientEvent | Say
"""What becomes of a client event: events for the peer, and answers that the peer knows nothing of."""

_DELTAS: Final = (
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ResponseFunctionCallArgumentsDelta,
)
_TRANSCRIPTION: Final = (
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
)


class EventFaults:
    """The faults of one session, in the order in which they were asked for."""

    def __init__(self, faults: Sequence[Fault], *, seed: str) -> None:
        wanted = [fault for fault in faults if fault.name in EVENT_FAULTS]
        self._faults = [
            EVENT_FAULTS[fault.name](fault.values, Random(f"{seed} {at} {fault.name}"))  # noqa: S311 - not for secrets
            for at, fault in enumerate(wanted)
        ]

    def hear(self, event: ClientEvent) -> list[Heard]:
        """What an event of the client becomes: events for the peer, and answers to the client, in order."""
        return self._hear(event, 0)

    def _hear(self, event: ClientEvent, at: int) -> list[Heard]:
        if at == len(self._faults):
            return [event]
        heard: list[Heard] = []
        for given in self._faults[at].hear(event):
            heard += [given] if isinstance(given, Say) else self._hear(given, at + 1)
        return heard

    def say(self, event: ServerEvent) -> list[ServerEvent]:
        """What an event of the peer becomes."""
        events = [event]
        for fault in self._faults:
            events = [said for each in events for said in fault.say(each)]
        return events

    def receive_frame(self, peer: Peer, frame: str | bytes) -> list[PeerEffect]:
        """Hand a frame of the client to its peer; the effects are those of the peer and those of the faults."""
        try:
            event = decode_client_event(frame)
        except RemoteProtocolError:
            return peer.receive_frame(frame)
        effects: list[PeerEffect] = []
        for heard in self.hear(event):
            effects += [heard] if isinstance(heard, Say) else peer.receive(heard)
        return effects


class EventFault:
    """A fault that changes nothing; the others change what they are about."""

    def __init__(self, values: Values, random: Random) -> None:
        self.values = values
        self.random = random
        self._met = 0

    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        """What an event of the client becomes."""
        return (event,)

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """What an event of the peer becomes."""
        return (event,)

    def is_due(self) -> bool:
        """Whether this one of its kind is the `nth`."""
        self._met += 1
        nth: int = self.values["nth"]
        return nth in (0, self._met)

    def new_id(self) -> str:
        """An id of no event of the peer."""
        self._met += 1
        return f"event_fault_{self._met:04}"


class Expiry(EventFault):
    """The part of it that is said; the session's shell ends the session."""

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        is_it = isinstance(event, Error) and event.error.code == "session_expired"
        return () if is_it and self.values["event"] == "no" else (event,)


class RejectUpdate(EventFault):
    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        if not isinstance(event, SessionUpdate) or not self.is_due():
            return (event,)
        code = self.values["code"]
        return (_refusal(event, "invalid_request_error", code, f"The session.update was rejected ({code})."),)


class VadRace(EventFault):
    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        if isinstance(event, ResponseCreate) and not _is_beside(event) and self.is_due():
            return (ResponseCreate(), event)
        return (event,)


class ErrorEvent(EventFault):
    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        if not isinstance(event, ResponseCreate) or not self.is_due():
            return (event,)
        message = "The server had an error while processing your request. Sorry about that!"
        return (_refusal(event, self.values["type"], self.values["code"], message),)


class FailedResponse(EventFault):
    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if not isinstance(event, ResponseDone) or event.response.status != "completed" or not self.is_due():
            return (event,)
        message = "The server had an error while processing your request. Sorry about that!"
        error = ResponseError(type="server_error", code=self.values["code"], message=message)
        details = message if self.values["details"] == "string" else StatusDetails(type="failed", error=error)
        return (_ended(event, "failed", details),)


class CutArguments(EventFault):
    """Cuts a call at its first delta and lets its other events tell the same."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._cut: dict[str, str] = {}  # what is left of the calls' arguments, by item
        self._whole: set[str] = set()
        self._responses: set[str] = set()

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        status = self.values["status"]
        match event:
            case ResponseFunctionCallArgumentsDelta(item_id=item_id, delta=delta):
                if item_id in self._cut:
                    return ()
                if item_id in self._whole:
                    return (event,)
                if not self.is_due():
                    self._whole.add(item_id)
                    return (event,)
                self._cut[item_id] = delta[: max(len(delta) // 2, 1)]
                self._responses.add(event.response_id)
                return (attrs.evolve(event, delta=self._cut[item_id]),)
            case ResponseFunctionCallArgumentsDone(item_id=item_id) if item_id in self._cut:
                return (attrs.evolve(event, arguments=self._cut[item_id]),)
            case ResponseOutputItemDone(item=item) | ConversationItemDone(item=item):
                return (attrs.evolve(event, item=self._shortened(item)),)
            case ResponseDone(response=Response(id=response_id, output=output)) if response_id in self._responses:
                event = attrs.evolve(
                    event, response=attrs.evolve(event.response, output=tuple(map(self._shortened, output or ())))
                )
                if status == "completed":
                    return (event,)
                reason = "max_output_tokens" if status == "incomplete" else "turn_detected"
                return (_ended(event, status, StatusDetails(type=status, reason=reason)),)
        return (event,)

    def _shortened(self, item: Any) -> Any:
        if not isinstance(item, FunctionCall) or item.id not in self._cut:
            return item
        status = "completed" if self.values["status"] == "completed" else "incomplete"
        return attrs.evolve(item, arguments=self._cut[item.id], status=status)


class Transcripts(EventFault):
    """Moves transcripts of the user. Nothing is moved while the session transcribes nothing."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._transcribes = False
        self._awaited: set[str] = set()  # turns whose transcript has not come
        self._answering: set[str | None] = set()
        self._held: list[ServerEvent] = []

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if isinstance(event, SessionCreated | SessionUpdated):
            self._transcribes = _transcribes(event.session)
        when = self.values["when"]
        if when == "before":
            return self._before(event)
        if when == "after":
            return self._after(event)
        if not isinstance(event, _TRANSCRIPTION):
            return (event,)
        if when == "failed" and isinstance(event, ConversationItemInputAudioTranscriptionCompleted):
            return (_not_understood(event),)
        return ()

    def _before(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if isinstance(event, InputAudioBufferCommitted) and self._transcribes:
            self._awaited.add(event.item_id)
        if isinstance(event, _TRANSCRIPTION):
            if not isinstance(event, ConversationItemInputAudioTranscriptionDelta):
                self._awaited.discard(event.item_id)
            return (event, *self._release()) if not self._awaited else (event,)
        if self._held or (isinstance(event, ResponseCreated) and self._awaited):
            self._held.append(event)
            return self._release() if isinstance(event, ResponseDone | Error) else ()
        return (event,)

    def _after(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if isinstance(event, ResponseCreated):
            self._answering.add(event.response.id)
        elif isinstance(event, ResponseDone):
            self._answering.discard(event.response.id)
            return (event, *self._release())
        elif isinstance(event, _TRANSCRIPTION) and self._answering:
            self._held.append(event)
            return ()
        return (event,)

    def _release(self) -> list[ServerEvent]:
        held, self._held = self._held, []
        return held


class DuplicateDeltas(EventFault):
    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if isinstance(event, _DELTAS) and self.random.random() < self.values["chance"]:
            return (event, event)
        return (event,)


class ReorderDeltas(EventFault):
    """Holds a delta until the next event of its item; so it never comes after the item's end."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._held: dict[str, ServerEvent] = {}

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if isinstance(event, ResponseDone):
            held, self._held = [*self._held.values()], {}
            return (*held, event)
        item_id = getattr(event, "item_id", None) or getattr(getattr(event, "item", None), "id", None)
        waiting = self._held.pop(item_id, None) if item_id else None
        if not isinstance(event, _DELTAS):
            return (event,) if waiting is None else (waiting, event)
        if waiting is not None:
            return (event, waiting)
        if self.random.random() < self.values["chance"]:
            self._held[event.item_id] = event
            return ()
        return (event,)


class OddBytes(EventFault):
    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._rest: dict[tuple[str, int], bytes] = {}

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        match event:
            case ResponseOutputAudioDelta(item_id=item_id, content_index=part):
                data = self._rest.pop((item_id, part), b"") + event.delta
                size = len(data) - 2 * self.random.randrange(max(len(data) // 4, 1))
                size -= 1 - size % 2  # odd
                self._rest[item_id, part] = data[size:]
                return (attrs.evolve(event, delta=data[:size]),) if size > 0 else ()
            case ResponseOutputAudioDone(item_id=item_id, content_index=part):
                if rest := self._rest.pop((item_id, part), b""):
                    return (_delta_like(event, rest, self.new_id()), event)
        return (event,)


class HugeItem(EventFault):
    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if not isinstance(event, SessionUpdated) or self._met:
            return (event,)
        text = "huge " * (self.values["size"] * 2**20 // 5)
        item = UserMessage(
            id="item_fault_huge", status="completed", content=(ContentPart(type="input_text", text=text),)
        )
        return (
            event,
            ConversationItemAdded(event_id=self.new_id(), item=item),
            ConversationItemDone(event_id=self.new_id(), item=item),
        )


class UnknownEvents(EventFault):
    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._counter = count(1)

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        every = max(self.values["every"], 1)
        if next(self._counter) % every or isinstance(event, UnknownEvent):
            return (event,)
        kind = self.random.choice(["response.flux.delta", "session.weather", "conversation.item.dreamt"])
        unknown = UnknownEvent(kind, {"type": kind, "event_id": self.new_id(), "depth": {"of": [1, None, "x"]}})
        return (_with_extra(event, flux={"new": True}), unknown)


class MalformedEvents(EventFault):
    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._counter = count(1)

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        every = max(self.values["every"], 1)
        if next(self._counter) % every:
            return (event,)
        bodies: list[dict[str, Any]] = [
            {"type": "response.done", "response": 7},
            {"type": "response.output_audio.delta", "delta": "not base64!"},
            {"type": "conversation.item.added", "item": None},
        ]
        body = self.random.choice(bodies)
        return (event, UnknownEvent(body["type"], {"event_id": self.new_id(), **body}))


class BetaSession(EventFault):
    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        if isinstance(event, SessionCreated):
            return (
                UnknownEvent(event.type, {"type": event.type, "event_id": event.event_id, "session": _beta(event)}),
            )
        older = () if isinstance(event, UnknownEvent) else event.older
        if self.values["names"] == "no" or not older:
            return (event,)
        return (_with_extra(event, type=older[0]),)


class MakesFault(Protocol):
    """What makes a fault of one kind for one session."""

    def __call__(self, values: Values, random: Random, /) -> EventFault: ...


EVENT_FAULTS: Final[Mapping[str, MakesFault]] = {
    "expiry": Expiry,
    "reject-update": RejectUpdate,
    "vad-race": VadRace,
    "error-event": ErrorEvent,
    "failed-response": FailedResponse,
    "cut-arguments": CutArguments,
    "transcripts": Transcripts,
    "duplicate-deltas": DuplicateDeltas,
    "reorder-deltas": ReorderDeltas,
    "odd-bytes": OddBytes,
    "huge-item": HugeItem,
    "unknown-events": UnknownEvents,
    "malformed-events": MalformedEvents,
    "beta-session": BetaSession,
}


def _refusal(event: SessionUpdate | ResponseCreate, kind: str, code: str, message: str) -> Say:
    error = ErrorDetails(type=kind, code=code, message=message, event_id=event.event_id)
    return Say(Error(event_id=f"event_fault_{event.event_id or code}", error=error))


def _with_extra(event: Any, **extra: Any) -> ServerEvent:
    """An event of any known class with fields that its class does not have."""
    changed: ServerEvent = attrs.evolve(event, extra={**event.extra, **extra})
    return changed


def _is_beside(event: ResponseCreate) -> bool:
    return event.response is not None and event.response.conversation == "none"


def _ended(event: ResponseDone, status: str, details: StatusDetails | str) -> ResponseDone:
    extra = {name: value for name, value in event.response.extra.items() if name != "status_details"}
    response = attrs.evolve(event.response, status=status, status_details=details, extra=extra)
    return attrs.evolve(event, response=response)


def _transcribes(session: object) -> bool:
    if not isinstance(session, RealtimeSession):
        return True  # a transcription session does nothing else
    return bool(session.audio and session.audio.input and session.audio.input.transcription)


def _not_understood(
    event: ConversationItemInputAudioTranscriptionCompleted,
) -> ConversationItemInputAudioTranscriptionFailed:
    error = TranscriptionError(
        type="server_error", code="transcription_failed", message="The audio was not understood."
    )
    return ConversationItemInputAudioTranscriptionFailed(
        event_id=event.event_id, item_id=event.item_id, content_index=event.content_index, error=error
    )


def _delta_like(event: ResponseOutputAudioDone, data: bytes, event_id: str) -> ResponseOutputAudioDelta:
    return ResponseOutputAudioDelta(
        event_id=event_id,
        response_id=event.response_id,
        item_id=event.item_id,
        output_index=event.output_index,
        content_index=event.content_index,
        delta=data,
    )


def _beta(event: SessionCreated) -> Mapping[str, Any]:
    session = event.session
    return {
        "id": getattr(session, "id", None),
        "object": "realtime.session",
        "model": getattr(session, "model", None),
        "modalities": ["audio", "text"],
        "instructions": getattr(session, "instructions", None) or "",
        "voice": "alloy",
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
        },
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
    }
