"""Which responses run: one at most in the conversation, any number beside it, and who may start or stop them.

Owns the running responses, and whether the user has kept silent since the last one. A response is announced at once; the
request to generate it goes out when the recogniser has given the words of everything that the response sees. Progress of
a response that is over is ignored: whoever generates it may not have noticed yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from trio_codex.grammar import Refusal, wrong_value
from trio_codex.protocol.items import Item, ItemReference, ResponseError, UserMessage
from trio_codex.protocol.peer_effects import AwaitSpeech, Generate, PeerEffect, StopGenerating
from trio_codex.protocol.peer_ids import Ids, Limits
from trio_codex.protocol.peer_items import ItemList, OwnItem, Record, record_of
from trio_codex.protocol.peer_responses import COMPLETED, ActiveResponse, Ending
from trio_codex.protocol.peer_session import ResponseConfig, SessionConfig, SessionState


class Responses:
    """The running responses of one session."""

    def __init__(self, session: SessionConfig, items: ItemList, ids: Ids, limits: Limits) -> None:
        self._session = session
        self._items = items
        self._ids = ids
        self._limits = limits
        self._conversation_id = ids.new("conv")
        self._running: dict[str, ActiveResponse] = {}
        self._speaker: str | None = None  # the response of the conversation
        self._voice_heard = False
        self._awaits_speech = False

    @property
    def conversation_id(self) -> str:
        """The id of the default conversation."""
        return self._conversation_id

    @property
    def state(self) -> SessionState:
        """What settings depend on."""
        return SessionState(voice_heard=self._voice_heard, answering=bool(self._running))

    @property
    def awaits_speech(self) -> bool:
        """Whether it is the user's turn, and nobody has spoken since the last response."""
        return self._awaits_speech

    def heard_speech(self) -> None:
        """The user speaks."""
        self._awaits_speech = False

    # --- beginning and end -----------------------------------------------------------------------------------------

    def create(self, overrides: Mapping[str, Any], given: Sequence[Item] | None = None) -> Iterator[PeerEffect]:
        """Begin a response; `given` replaces the conversation as what it sees. Raises Refusal."""
        config = ResponseConfig.of(self._session, overrides, self.state)
        if config.in_conversation and self._speaker is not None:
            raise Refusal(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._speaker}. "
                "Wait until the response is finished before creating a new one.",
            )
        if len(self._running) >= self._limits.responses:
            raise Refusal("rate_limit_exceeded", f"At most {self._limits.responses} responses may run at once.")
        context = list(self._items) if given is None else [self._seen(item, at) for at, item in enumerate(given)]
        response = ActiveResponse(
            config,
            context,
            conversation=self._items if config.in_conversation else None,
            conversation_id=self._conversation_id if config.in_conversation else None,
            ids=self._ids,
        )
        self._running[response.id] = response
        if config.in_conversation:
            self._speaker = response.id
            self._awaits_speech = False
        yield from response.open()
        if given is not None:
            yield from self._listen_to(context)
        yield from self.words_known()

    def cancel(self, response_id: str | None) -> Iterator[PeerEffect]:
        """The client wants no more of a response, by default of the one in the conversation. Raises Refusal."""
        wanted = response_id or self._speaker
        if wanted not in self._running:
            raise Refusal("response_cancel_not_active", "Cancellation failed: no active response found")
        yield from self._stop(wanted, Ending("cancelled", "client_cancelled"))

    def interrupt(self) -> Iterator[PeerEffect]:
        """The user speaks: the response in the conversation, if there is one, ends."""
        if self._speaker is not None:
            yield from self._stop(self._speaker, Ending("cancelled", "turn_detected"))

    def words_known(self) -> Iterator[PeerEffect]:
        """Generate what has waited for words and need not wait any longer."""
        for response in self._running.values():
            if not response.requested and not response.awaits_words:
                yield Generate(response.request())

    # --- progress --------------------------------------------------------------------------------------------------

    def text(self, response_id: str, delta: str) -> Iterator[PeerEffect]:
        """More text of the message, or more transcript of its audio."""
        if delta and (response := self._running.get(response_id)):
            yield from response.text(delta)
            yield from self._end_if_exhausted(response)

    def audio(self, response_id: str, data: bytes) -> Iterator[PeerEffect]:
        """More audio of the message."""
        if data and (response := self._running.get(response_id)):
            yield from response.audio(data)
            self._voice_heard = self._voice_heard or (response.spoke and response.config.in_conversation)
            yield from self._end_if_exhausted(response)

    def end_message(self, response_id: str) -> Iterator[PeerEffect]:
        """The message is complete."""
        if response := self._running.get(response_id):
            yield from response.end_message()

    def call(self, response_id: str, name: str, arguments: str) -> Iterator[PeerEffect]:
        """A function call."""
        if response := self._running.get(response_id):
            yield from response.call(name, arguments)
            yield from self._end_if_exhausted(response)

    def finish(self, response_id: str) -> Iterator[PeerEffect]:
        """Nothing more comes."""
        yield from self._end(response_id, COMPLETED)

    def fail(self, response_id: str, code: str, message: str) -> Iterator[PeerEffect]:
        """Whoever generated it could not."""
        error = ResponseError(type="server_error", code=code, message=message)
        yield from self._end(response_id, Ending("failed", error=error))

    # --- pieces ----------------------------------------------------------------------------------------------------

    def _seen(self, item: Item, at: int) -> Record:
        path = f"response.input[{at}]"
        if not isinstance(item, ItemReference):
            # Its words come by its id, which must not be that of an item of the conversation.
            mine = attrs.evolve(item, id=None) if isinstance(item, OwnItem) else item
            return record_of(mine, self._ids, self._session.input_format, path=path)
        record = self._items.find(item.id)
        if record is None:
            raise wrong_value(f"{path}.id", f"the item with id '{item.id}' does not exist.")
        return record

    def _listen_to(self, records: Sequence[Record]) -> Iterator[PeerEffect]:
        """Have the audio understood that the client put into a response's input."""
        for record in records:
            if (
                isinstance(record.item, UserMessage)
                and record.audio
                and record.words is None
                and not record.awaits_words
            ):
                yield self._items.ask_for_words(record)

    def _end_if_exhausted(self, response: ActiveResponse) -> Iterator[PeerEffect]:
        if response.exhausted:
            yield from self._stop(response.id, Ending("incomplete", "max_output_tokens"))

    def _stop(self, response_id: str, ending: Ending) -> Iterator[PeerEffect]:
        if self._running[response_id].requested:
            yield StopGenerating(response_id)
        yield from self._end(response_id, ending)

    def _end(self, response_id: str, ending: Ending) -> Iterator[PeerEffect]:
        response = self._running.pop(response_id, None)
        if response is None:
            return
        was_speaker = self._speaker == response_id
        if was_speaker:
            self._speaker = None
        yield from response.close(ending)
        if was_speaker and ending.reason != "turn_detected" and self._session.idle_timeout_ms is not None:
            self._awaits_speech = True
            yield AwaitSpeech(self._session.idle_timeout_ms + response.spoken_ms)
