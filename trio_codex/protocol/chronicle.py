"""What the user is told of the conversation's items: their coming, changing and going, and the transcripts of the user's speech.

Hears the server's events about items and keeps the history with them. `HistoryUpdatedEvent` comes when an item is done, transcribed, cut
or deleted, never per delta. Knows nothing of responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from trio_codex.events import (
    ErrorEvent,
    ErrorInfo,
    HistoryAddedEvent,
    HistoryUpdatedEvent,
    InputTranscriptEvent,
)
from trio_codex.protocol import server_events as server
from trio_codex.protocol.effects import Effects
from trio_codex.protocol.history import HEARD, ROOT, History, id_of
from trio_codex.protocol.items import Item


class Chronicle:
    """The history and the news of it; every method may cause effects."""

    def __init__(self, effects: Effects) -> None:
        self.history: History = History()
        self._effects = effects

    def receive(self, event: server.ServerEvent) -> None:
        """An event of the server; what is not about items changes nothing."""
        hears = self._HEARS.get(type(event))
        if hears is not None:
            hears(self, event)

    def put(self, item: Item, previous: str | None = None, *, done: bool) -> None:
        """An item is there; without `previous` its place is guessed until somebody tells."""
        if self.history.put(item, previous, done=done):
            self._effects.emit(HistoryAddedEvent(self.history[id_of(item)]))

    def updated(self) -> None:
        """Tell the whole history."""
        self._effects.emit(HistoryUpdatedEvent(self.history.items))

    def _added(self, event: server.ConversationItemAdded | server.ConversationItemCreated) -> None:
        self.put(event.item, _previous(event), done=False)

    def _done(self, event: server.ConversationItemDone) -> None:
        self.put(event.item, _previous(event), done=True)
        self.updated()

    def _deleted(self, event: server.ConversationItemDeleted) -> None:
        self.history.delete(event.item_id)
        self.updated()

    def _truncated(self, event: server.ConversationItemTruncated) -> None:
        self.history.truncate(event.item_id, event.content_index, event.audio_end_ms)
        self.updated()

    def _transcribing(self, event: server.ConversationItemInputAudioTranscriptionDelta) -> None:
        index = event.content_index or 0
        if self.history.delta(event.item_id, index, event.delta or "", HEARD):
            text = self.history.text(event.item_id, index)
            self._effects.emit(InputTranscriptEvent(event.item_id, text, final=False))

    def _transcribed(self, event: server.ConversationItemInputAudioTranscriptionCompleted) -> None:
        self.history.transcribe(event.item_id, event.content_index, event.transcript, HEARD)
        self._effects.emit(InputTranscriptEvent(event.item_id, event.transcript, final=True))
        self.updated()

    def _transcription_failed(self, event: server.ConversationItemInputAudioTranscriptionFailed) -> None:
        error = event.error
        message = error.message or "the transcription failed"
        told = ErrorInfo(error.type or "transcription_failed", message, error.code, error.param)
        self._effects.emit(ErrorEvent(told))

    _HEARS: ClassVar[Mapping[type, Callable[[Chronicle, Any], None]]] = {
        server.ConversationItemAdded: _added,
        server.ConversationItemCreated: _added,
        server.ConversationItemDone: _done,
        server.ConversationItemDeleted: _deleted,
        server.ConversationItemTruncated: _truncated,
        server.ConversationItemInputAudioTranscriptionDelta: _transcribing,
        server.ConversationItemInputAudioTranscriptionCompleted: _transcribed,
        server.ConversationItemInputAudioTranscriptionFailed: _transcription_failed,
    }


def _previous(
    event: server.ConversationItemAdded | server.ConversationItemCreated | server.ConversationItemDone,
) -> str | None:
    """What the item hangs on: null is the head, and what is not told is not known."""
    if event.previous_item_id is None and "previous_item_id" in event.extra:
        return ROOT
    return event.previous_item_id
