"""Faults in what streams: transcripts at another time, deltas twice or in another place, audio cut anew."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

import attrs

from trio_codex.protocol import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    Error,
    InputAudioBufferCommitted,
    RealtimeSession,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    TranscriptionError,
)
from trio_codex.server.faults.fault import EventFault, Values

__all__ = ["DuplicateDeltas", "OddBytes", "ReorderDeltas", "Transcripts"]

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


class Transcripts(EventFault):
    """Moves transcripts of the user. Nothing is moved while the session transcribes nothing."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._transcribes = False
        self._awaited: set[str] = set()  # turns whose transcript has not come
        self._answering: set[str | None] = set()
        self._held: list[ServerEvent] = []

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
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
    """Says deltas twice."""

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        if isinstance(event, _DELTAS) and self.random.random() < self.values["chance"]:
            return (event, event)
        return (event,)


class ReorderDeltas(EventFault):
    """Holds a delta until the next event of its item; so it never comes after the item's end."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._held: dict[str, ServerEvent] = {}

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
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
    """Cuts the audio of a part anew; what is left comes with its end."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._rest: dict[tuple[str, int], bytes] = {}

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
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
