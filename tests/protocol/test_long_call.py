"""A call of an hour in the core: 3,600 items and 100,000 deltas cost the same from beginning to end, and only the text stays."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import attrs

from tests.protocol.cost import counted
from tests.protocol.driver import MS, REQUEST_KEY, brief, greeter
from trio_codex.protocol import (
    AssistantMessage,
    ContentPart,
    Conversation,
    ConversationItemAdded,
    ConversationItemDone,
    Effect,
    FunctionCall,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
    Send,
    ServerEvent,
    SessionUpdated,
    UserMessage,
)
from trio_codex.protocol.history import History

SOUND = bytes(50 * MS)


KEPT = 600
"""Entries of all collections together: the ids of the last 256 frames of our own, the last 32 responses, and what is small."""


class Call:
    """A call in which every fifth answer calls a tool and every seventh is interrupted."""

    def __init__(self) -> None:
        self.conversation = Conversation(brief(greeter))
        self.conversation.open()
        self.now = 0.0
        self.turns = 0
        self.deltas = 0
        self.previous: str | None = None
        self.said(SessionUpdated(event_id="s", session=RealtimeSession()))

    def said(self, event: ServerEvent) -> list[Effect]:
        return self.conversation.receive(event, self.now)

    def item(self, item: UserMessage | AssistantMessage | FunctionCall, *, done: bool) -> None:
        kind = ConversationItemDone if done else ConversationItemAdded
        self.said(kind(event_id="s", item=item, previous_item_id=self.previous))
        if not done:
            self.previous = item.id

    def turn(self) -> None:
        """Two items, more with a tool, and about fifty deltas."""
        self.turns += 1
        turn = self.turns
        self.now += 2.0
        item_id, effects = self.conversation.send_message([ContentPart(type="input_text", text="go on")])
        (request,) = (
            send.event for send in effects if isinstance(send, Send) and isinstance(send.event, ResponseCreate)
        )
        self.item(UserMessage(id=item_id, content=(ContentPart(type="input_text", text="go on"),)), done=False)
        response = Response(
            id=f"r{turn}", conversation_id="c", metadata={REQUEST_KEY: request.event_id or ""}, status="in_progress"
        )
        self.said(ResponseCreated(event_id="s", response=response))
        self.speak(f"r{turn}", f"m{turn}")
        if turn % 7 == 0:
            self.said(InputAudioBufferSpeechStarted(event_id="s", item_id=f"u{turn}", audio_start_ms=0))
            self.said(InputAudioBufferCommitted(event_id="s", item_id=f"u{turn}"))
        if turn % 5 == 0:
            call = FunctionCall(id=f"f{turn}", call_id=f"c{turn}", name="get_time", arguments="{}", status="completed")
            self.item(call, done=False)
            self.said(ResponseOutputItemDone(event_id="s", response_id=f"r{turn}", output_index=1, item=call))
            self.conversation.tool_ended(f"c{turn}", "noon", respond=False)
        self.said(ResponseDone(event_id="s", response=attrs.evolve(response, status="completed")))

    def speak(self, response_id: str, item_id: str) -> None:
        place: dict[str, Any] = {
            "event_id": "s",
            "response_id": response_id,
            "item_id": item_id,
            "output_index": 0,
            "content_index": 0,
        }
        self.item(AssistantMessage(id=item_id, content=(), status="in_progress"), done=False)
        for _ in range(28):
            self.said(ResponseOutputAudioTranscriptDelta(**place, delta="word "))
            self.said(ResponseOutputAudioDelta(**place, delta=SOUND))
            self.deltas += 2
        self.said(ResponseOutputAudioDone(**place))
        said = ContentPart(type="output_audio", transcript="word " * 28)
        self.item(AssistantMessage(id=item_id, content=(said,), status="completed"), done=True)


def entries(root: object) -> int:
    """How many entries all collections hold that can be reached from here, the history left out."""
    total = 0
    seen: set[int] = set()
    stack = [root]
    while stack:
        found = stack.pop()
        if id(found) in seen or isinstance(found, (History, str, bytes, int, float, type, AssistantMessage)):
            continue
        seen.add(id(found))
        if isinstance(found, Collection):
            total += len(found)
            stack.extend(found.values() if isinstance(found, dict) else found)
        stack.extend(getattr(found, "__dict__", {}).values())
        slots = (name for cls in type(found).__mro__ for name in getattr(cls, "__slots__", ()))
        if type(found).__module__.startswith("trio_codex.protocol"):
            stack.extend(getattr(found, name) for name in slots if hasattr(found, name))
    return total


def test_an_hour() -> None:
    call = Call()

    def minutes(turns: int) -> Callable[[], None]:
        def work() -> None:
            for _ in range(turns):
                call.turn()

        return work

    minutes(200)()
    first = counted(minutes(800))
    second = counted(minutes(800))
    assert call.deltas >= 100_000
    assert len(call.conversation.history) >= 3_600
    assert second <= first * 1.01
    assert entries(call.conversation) < KEPT
    assert len(call.conversation._answers.saying.playback._tracks) <= 2
