"""A conversation in the hands of a test: verbs go in, the server's events go in as JSON, effects come out sorted.

`Driver.verb` and the phrases of the server (`created`, `said`, `called`, `done`, …) each give a `Step`: what that one input caused. Frames
pass through the codec in both directions, so a test reads and writes what the wire would carry.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from trio_codex.agent import Agent
from trio_codex.events import SessionEvent
from trio_codex.protocol import (
    REQUEST_KEY,
    Briefing,
    ClientEvent,
    ContentPart,
    Conversation,
    Effect,
    Emit,
    Play,
    Send,
    SessionSettings,
    Settle,
    ToolCall,
    decode_client_event,
    decode_server_event,
    encode_client_event,
)
from trio_codex.tools import tool

E = TypeVar("E")

MS = 48
"""Bytes of PCM16 at 24 kHz per ms."""


@tool
async def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"Sunny in {city}"


@tool
async def get_time() -> str:
    """Tell the time."""
    return "noon"


@tool(on_interrupt="cancel")
async def search(words: str) -> str:
    """Search for long."""
    return words


support = Agent(name="TechSupport", instructions="Mend it.", tools=[get_time])
greeter = Agent(name="Greeter", instructions="Greet.", tools=[get_weather, get_time, search], handoffs=[support])


def brief(agent: Agent) -> Briefing:
    """An agent with everything enabled."""
    return Briefing(
        agent=agent,
        instructions=str(agent.instructions),
        tools=tuple(agent.tools),
        handoffs=tuple(agent.resolved_handoffs()),
    )


class Step(list[Effect]):
    """The effects of one input, in order."""

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The frames for the server, as JSON objects."""
        sends = (effect for effect in self if isinstance(effect, Send))
        return [json.loads(encode_client_event(cast("ClientEvent", send.event))) for send in sends]

    @property
    def types(self) -> list[str]:
        """The types of these frames."""
        return [frame["type"] for frame in self.sent]

    @property
    def events(self) -> list[SessionEvent]:
        """What the user is told."""
        return [effect.event for effect in self if isinstance(effect, Emit)]

    @property
    def told(self) -> list[str]:
        """The kinds of what the user is told."""
        return [event.type for event in self.events]

    @property
    def played(self) -> bytes:
        """The audio that should sound."""
        return b"".join(effect.data for effect in self if isinstance(effect, Play))

    @property
    def settled(self) -> list[Settle]:
        """Verbs that got their answer."""
        return [effect for effect in self if isinstance(effect, Settle)]

    def only(self, kind: type[E]) -> E:
        """The one effect or event of this kind."""
        (found,) = self.all(kind)
        return found

    def all(self, kind: type[E]) -> list[E]:
        """All effects and events of this kind."""
        return [found for found in (*self, *self.events) if isinstance(found, kind)]

    def frame(self, type_: str) -> dict[str, Any]:
        """The one frame of this type."""
        (found,) = (frame for frame in self.sent if frame["type"] == type_)
        return found


class Driver:
    """One conversation, opened and acknowledged unless told otherwise; `log` is everything that it ever caused.

    `detection`: the server's `turn_detection`, None for none. `echo`: the server repeats a create's metadata, as the API says.
    """

    def __init__(
        self,
        *,
        agent: Agent = greeter,
        settings: SessionSettings | None = None,
        detection: dict[str, Any] | None = None,
        echo: bool = True,
        opened: bool = True,
    ) -> None:
        self.conversation = Conversation(brief(agent), settings)
        self.now = 0.0
        self.log = Step()
        self.echo = echo
        self._events = 0
        self._items: list[str] = []
        if opened:
            self.verb(self.conversation.open()[1])
            self.updated(detection=detection)

    # --- verbs -----------------------------------------------------------------------------------------------------

    def verb(self, effects: Iterable[Effect]) -> Step:
        """Note what a verb caused: `driver.verb(driver.conversation.interrupt(driver.now))`."""
        step = Step(effects)
        self.log += step
        return step

    def message(self, text: str = "hello", *, respond: bool = True) -> Step:
        """Say something in writing."""
        return self.verb(
            self.conversation.send_message([ContentPart(type="input_text", text=text)], respond=respond)[1]
        )

    def hear(self, ms: int = 200, *, commit: bool = False, respond: bool = True) -> Step:
        """Send audio of this length."""
        return self.verb(self.conversation.hear(bytes(ms * MS), commit=commit, respond=respond))

    def respond(self) -> Step:
        """Ask for an answer explicitly."""
        return self.verb(self.conversation.respond()[1])

    def ask(self) -> tuple[str, Step]:
        """Ask for an answer and wait for it; gives the ticket."""
        ticket, effects = self.conversation.respond(ask=True)
        return ticket, self.verb(effects)

    def interrupt(self) -> Step:
        """Cut in."""
        return self.verb(self.conversation.interrupt(self.now))

    def raw(self, **event: Any) -> Step:
        """Send any client event."""
        return self.verb(self.conversation.send_raw(decode_client_event(json.dumps(event)))[1])

    def tool_ended(self, call_id: str, output: str = "42", *, respond: bool = True) -> Step:
        """A tool is through."""
        return self.verb(self.conversation.tool_ended(call_id, output, respond=respond))

    # --- the server ------------------------------------------------------------------------------------------------

    def server(self, type_: str, **fields: Any) -> Step:
        """Any event of the server."""
        self._events += 1
        frame = json.dumps({"type": type_, "event_id": f"server_{self._events}", **fields})
        return self.verb(self.conversation.receive(decode_server_event(frame), self.now))

    def updated(self, *, detection: dict[str, Any] | None = None, **audio: Any) -> Step:
        """The server acknowledges settings."""
        heard = {"turn_detection": detection, **audio}
        return self.server("session.updated", session={"type": "realtime", "id": "sess_1", "audio": {"input": heard}})

    @property
    def last_create(self) -> dict[str, Any]:
        """The `response.create` that was sent last."""
        return [frame for frame in self.log.sent if frame["type"] == "response.create"][-1]

    @property
    def creates(self) -> int:
        """How many were sent."""
        return self.log.types.count("response.create")

    def created(self, response_id: str, *, ours: bool = True, conversation: str | None = "conv_1") -> Step:
        """A response begins: for our last create, or on the server's own account."""
        metadata = self.last_create["response"]["metadata"] if ours and self.echo else None
        response = {"id": response_id, "status": "in_progress", "conversation_id": conversation, "metadata": metadata}
        return self.server("response.created", response=response)

    def done(self, response_id: str, status: str = "completed", **fields: Any) -> Step:
        """A response ends."""
        response = {"id": response_id, "status": status, "conversation_id": "conv_1", "output": [], **fields}
        return self.server("response.done", response=response)

    def cancelled(self, response_id: str, reason: str = "turn_detected") -> Step:
        """A response is cut off by the server."""
        return self.done(response_id, "cancelled", status_details={"type": "cancelled", "reason": reason})

    def item(self, item_id: str, *, done: bool = False, **item: Any) -> Step:
        """An item joins the conversation, or is finished there."""
        if item_id not in self._items:
            self._items.append(item_id)
        at = self._items.index(item_id)
        previous = self._items[at - 1] if at else None
        type_ = "conversation.item.done" if done else "conversation.item.added"
        item = {"id": item_id, "type": "message", "role": "assistant", "content": [], **item}
        return self.server(type_, item=item, previous_item_id=previous)

    def called(
        self,
        response_id: str,
        call_id: str,
        name: str = "get_weather",
        arguments: str = "{}",
        status: str = "completed",
    ) -> Step:
        """The model finishes a function call."""
        item = {
            "id": f"item_of_{call_id}",
            "type": "function_call",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
            "status": status,
        }
        return self.server("response.output_item.done", response_id=response_id, output_index=0, item=item)

    def sounded(self, response_id: str, item_id: str, ms: int) -> Step:
        """Audio of an answer comes."""
        delta = base64.b64encode(bytes(ms * MS)).decode()
        return self.server("response.output_audio.delta", **self._place(response_id, item_id), delta=delta)

    def sound_done(self, response_id: str, item_id: str) -> Step:
        """No more of it comes."""
        return self.server("response.output_audio.done", **self._place(response_id, item_id))

    def said(self, response_id: str, item_id: str, words: str) -> Step:
        """Words of what sounds come."""
        return self.server("response.output_audio_transcript.delta", **self._place(response_id, item_id), delta=words)

    def _place(self, response_id: str, item_id: str) -> dict[str, Any]:
        return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}

    def refused(self, event_id: str | None, code: str = "conversation_already_has_active_response") -> Step:
        """The server refuses an event of ours."""
        error = {"type": "invalid_request_error", "code": code, "message": code, "event_id": event_id}
        return self.server("error", error=error)

    def started(self, item_id: str = "user_1") -> Step:
        """The server's detection hears the user."""
        return self.server("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=0)

    def stopped(self, item_id: str = "user_1") -> Step:
        """The server's detection ends a turn."""
        return self.server("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=500)

    def committed(self, item_id: str = "user_1") -> Step:
        """The server makes an item of the buffer."""
        return self.server("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)

    # --- whole scenes ----------------------------------------------------------------------------------------------

    def answering(self, response_id: str = "r1") -> Driver:
        """A response of ours runs."""
        self.message()
        self.created(response_id)
        return self

    def calling(self, response_id: str = "r1", *calls: str, name: str = "get_weather") -> Driver:
        """A response of ours has called functions and is done."""
        self.answering(response_id)
        for call_id in calls:
            self.called(response_id, call_id, name)
        self.done(response_id)
        return self

    def handing_over(self, call_id: str = "h1", response_id: str = "r1") -> Driver:
        """A response of ours has called the handoff to TechSupport, whose callables are through."""
        self.calling(response_id, call_id, name="transfer_to_techsupport")
        self.verb(self.conversation.handoff_prepared(call_id, brief(support)))
        return self


VAD = {"type": "server_vad", "create_response": True, "interrupt_response": True}
"""Turn detection as it is by default."""

__all__ = [
    "MS",
    "REQUEST_KEY",
    "VAD",
    "Driver",
    "Step",
    "ToolCall",
    "brief",
    "get_time",
    "get_weather",
    "greeter",
    "search",
    "support",
]
