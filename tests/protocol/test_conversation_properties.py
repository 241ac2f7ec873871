"""The conversation against a model of the server, with everything that both have said still on its way.

Three machines share their rules: a lawful server without turn detection, one whose detection makes responses that race ours, and one that
refuses, drops, repeats and invents. At the end the server answers whatever it is asked, and nothing may stay owed.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.protocol import driver
from tests.protocol.driver import MS, brief
from tests.protocol.model import Frame, ModelServer, Reason
from trio_codex.errors import LocalProtocolError
from trio_codex.events import (
    AgentEndEvent,
    AgentStartEvent,
    AudioInterruptedEvent,
    ErrorEvent,
    HandoffEvent,
    ToolEndEvent,
    ToolStartEvent,
)
from trio_codex.protocol import (
    ContentPart,
    Conversation,
    Effect,
    Emit,
    InputAudioBufferCommit,
    Play,
    PrepareHandoff,
    ResponseParams,
    Send,
    SessionSettings,
    Settle,
    StartTimer,
    StartTool,
    decode_server_event,
    encode_client_event,
)
from trio_codex.protocol.floor import Floor

greeter, support = driver.greeter.replace(voice="coral"), driver.support.replace(voice="ash")

TOOLS = ["get_weather", "get_time", "search", "nonsense", "transfer_to_techsupport", "transfer_to_greeter"]


class Talk(RuleBasedStateMachine):
    """The rules that all servers share."""

    detection = False

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sent: deque[Frame] = deque()
        self.tools: list[str] = []
        self.handoffs: list[str] = []
        self.timers: list[str] = []
        self.tickets: Counter[str] = Counter()
        self.abandoned: set[str] = set()
        self.open_creates: set[str] = set()
        self.withdrawn = False  # the client has cause not to want the answer to its open create any more
        self.running: str | None = None  # the response of the conversation, as far as the client has heard
        self.cut: set[str] = set()
        self.received: Counter[str] = Counter()  # ms of audio by item
        self.transcribed: set[str] = set()
        self.events: list[Any] = []

    def begin(self, *, creates: bool = True, interrupts: bool = True, echo: bool = True) -> None:
        self.server = ModelServer(detection=self.detection, creates=creates, interrupts=interrupts, echo=echo)
        self.conversation = Conversation(brief(greeter))
        ticket, effects = self.conversation.open()
        self.tickets[ticket] = 0
        self.perform(effects)
        self.deliver_everything()
        assert self.tickets[ticket] == 1

    # --- the shell -------------------------------------------------------------------------------------------------

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(event):
                    self.post(json.loads(encode_client_event(event)))  # type: ignore[arg-type]
                case Emit(event):
                    self.events.append(event)
                case Play(response_id=response_id):
                    assert response_id not in self.cut, "audio of an answer that was cut off"
                case StartTool(call):
                    self.tools.append(call.call_id)
                case PrepareHandoff(call):
                    self.handoffs.append(call.call_id)
                case StartTimer(name):
                    self.timers.append(name)
                case Settle(ticket):
                    self.tickets[ticket] += 1
                    assert self.tickets[ticket] == 1, f"{ticket} was settled twice"

    def post(self, frame: Frame) -> None:
        match frame["type"]:
            case "response.create" if frame["response"].get("conversation") != "none":
                assert not self.open_creates, "two creates in flight"
                assert self.running is None, "a create while a response runs"
                self.open_creates.add(frame["event_id"])
                self.withdrawn = False
            case "response.cancel":
                self.cut.add(frame["response_id"])
            case "conversation.item.truncate":
                there = self.received[frame["item_id"]]
                assert there, "truncated what never came"
                assert 0 <= frame["audio_end_ms"] <= there
            case "session.update" if self.received:
                assert "voice" not in frame["session"].get("audio", {}).get("output", {}), (
                    "a voice after audio was heard"
                )
        self.sent.append(frame)

    def hear_event(self, frame: Frame) -> None:
        response = frame.get("response") or {}
        match frame["type"]:
            case "response.created" if response["conversation_id"] is not None:
                self.running = response["id"]
                if self.server.answers[response["id"]].event_id is not None:
                    self.open_creates.clear()
                else:
                    self.withdrawn = True
            case "response.output_audio.delta":
                self.received[frame["item_id"]] += self.last_sound_ms(frame)
            case "error":
                self.open_creates.discard(frame["error"].get("event_id"))
            case "input_audio_buffer.speech_started" if self.server.interrupts and self.running is not None:
                self.cut.add(self.running)
            case "response.done" if response["id"] == self.running:
                self.running = None
        self.perform(self.conversation.receive(decode_server_event(json.dumps(frame)), self.now))
        match frame["type"]:
            case "response.created" if response["conversation_id"] is not None:
                unwanted = response["id"] in self.server.unwanted
                assert not unwanted or response["id"] in self.cut, "an answer that nobody needs was not cancelled"
                if response["id"] in self.cut:
                    assert self.withdrawn, "an answer that is wanted was cancelled"
                    self.server.unpaid(self.server.answers[response["id"]])
            case "response.done" if response["conversation_id"] is not None:
                self.heard_the_end(self.server.answers[response["id"]])

    def last_sound_ms(self, frame: Frame) -> int:
        return len(frame["delta"]) * 3 // 4 // MS

    def heard_the_end(self, answer: Any) -> None:
        if answer.status != "cancelled" and answer.id not in self.cut:
            answer.heard_uncut = True
            self.server.batch_through(answer)

    # --- what the user does ----------------------------------------------------------------------------------------

    @rule(respond=st.booleans())
    def message(self, respond: bool) -> None:
        item_id, effects = self.conversation.send_message(
            [ContentPart(type="input_text", text="hello")], respond=respond
        )
        if respond:
            self.server.messages[item_id] = Reason("message")
        self.perform(effects)

    @rule(asks=st.booleans(), beside=st.booleans())
    def respond(self, asks: bool, beside: bool) -> None:
        params = ResponseParams(conversation="none") if beside else None
        ticket, effects = self.conversation.respond(params, ask=asks)
        self.server.manual[ticket] = Reason("manual")
        if asks:
            self.tickets[ticket] = 0
        self.perform(effects)

    @rule(data=st.data())
    @precondition(lambda self: any(count == 0 for count in self.tickets.values()))
    def abandon(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from([ticket for ticket, count in self.tickets.items() if count == 0]))
        self.abandoned.add(ticket)
        self.withdrawn = True
        self.server.abandon()
        self.perform(self.conversation.abandon(ticket, self.now))

    @rule()
    def interrupt(self) -> None:
        self.withdrawn = True
        self.server.forget()
        if self.running is not None:
            self.cut.add(self.running)
        self.perform(self.conversation.interrupt(self.now))

    @rule(ms=st.sampled_from([0, 40, 300]), commit=st.booleans(), respond=st.booleans())
    def hear(self, ms: int, commit: bool, respond: bool) -> None:
        try:
            effects = self.conversation.hear(bytes(ms * MS), commit=commit, respond=respond)
        except LocalProtocolError:
            return
        for effect in effects:
            if respond and isinstance(effect, Send) and isinstance(effect.event, InputAudioBufferCommit):
                self.server.turns[effect.event.event_id or ""] = Reason("turn")
        self.perform(effects)

    @rule(back=st.booleans())
    def redirect(self, back: bool) -> None:
        try:
            ticket, effects = self.conversation.redirect(brief(greeter if back else support))
        except LocalProtocolError:
            return
        self.tickets[ticket] = 0
        self.perform(effects)

    @rule()
    def update(self) -> None:
        ticket, effects = self.conversation.update(SessionSettings(tool_choice="auto"))
        self.tickets[ticket] = 0
        self.perform(effects)

    @rule(seconds=st.sampled_from([0.01, 0.2, 3.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(nbytes=st.integers(0, 20_000))
    @precondition(lambda self: self.received)
    def report(self, nbytes: int) -> None:
        self.conversation.played(next(reversed(self.received)), 0, nbytes)

    @rule(data=st.data(), respond=st.booleans())
    @precondition(lambda self: self.tools)
    def tool_ends(self, data: st.DataObject, respond: bool) -> None:
        call_id = self.tools.pop(data.draw(st.integers(0, len(self.tools) - 1)))
        if not respond:
            self.server.silent_calls.add(call_id)
        self.perform(self.conversation.tool_ended(call_id, "42", respond=respond))

    @rule(well=st.booleans(), back=st.booleans())
    @precondition(lambda self: self.handoffs)
    def handoff_prepared(self, well: bool, back: bool) -> None:
        call_id = self.handoffs.pop()
        if well:
            effects = self.conversation.handoff_prepared(call_id, brief(greeter if back else support))
        else:
            effects = self.conversation.handoff_failed(call_id, "no")
        self.perform(effects)

    # --- what is on its way arrives --------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4))
    @precondition(lambda self: self.sent)
    def server_takes(self, count: int) -> None:
        for _ in range(min(count, len(self.sent))):
            self.server.take(self.sent.popleft())

    @rule(count=st.integers(1, 8))
    @precondition(lambda self: self.server.outbox)
    def client_hears(self, count: int) -> None:
        for _ in range(min(count, len(self.server.outbox))):
            self.hear_event(self.server.outbox.popleft())

    @rule()
    def deliver_everything(self) -> None:
        while self.sent or self.server.outbox:
            while self.sent:
                self.server.take(self.sent.popleft())
            while self.server.outbox:
                self.hear_event(self.server.outbox.popleft())

    # --- what the server does --------------------------------------------------------------------------------------

    def answers(self) -> list[Any]:
        return [answer for answer in self.server.answers.values() if answer.status == "in_progress"]

    @rule(data=st.data(), words=st.sampled_from(["", "one two ", "three"]), sound_ms=st.sampled_from([0, 20, 700]))
    @precondition(lambda self: self.answers())
    def server_speaks(self, data: st.DataObject, words: str, sound_ms: int) -> None:
        self.server.speak(data.draw(st.sampled_from(self.answers())), words, sound_ms)

    @rule(data=st.data(), name=st.sampled_from(TOOLS), whole=st.sampled_from([True, True, True, False]))
    @precondition(lambda self: self.answers())
    def server_calls(self, data: st.DataObject, name: str, whole: bool) -> None:
        self.server.call(data.draw(st.sampled_from(self.answers())), name, whole=whole)

    @rule(data=st.data(), status=st.sampled_from(["completed", "completed", "incomplete", "failed"]))
    @precondition(lambda self: self.answers())
    def server_ends(self, data: st.DataObject, status: str) -> None:
        self.server.end(data.draw(st.sampled_from(self.answers())), status)

    # --- the end ---------------------------------------------------------------------------------------------------

    def settle_down(self) -> None:
        """The server answers whatever it is asked; tools and handoffs end."""
        self.server.refusals.clear()
        for _ in range(200):
            self.deliver_everything()
            if self.tools:
                self.perform(self.conversation.tool_ended(self.tools.pop(), "42", respond=True))
            elif self.handoffs:
                self.perform(self.conversation.handoff_prepared(self.handoffs.pop(), brief(support)))
            elif self.answers():
                self.server.end(self.answers()[0], "completed")
            elif self.server.dropped & set(self.timers):
                name = (self.server.dropped & set(self.timers)).pop()
                self.server.dropped.discard(name)
                self.perform(self.conversation.timed_out(name))
            else:
                return
        raise AssertionError("it never becomes quiet")

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        self.settle_down()
        assert self.conversation._answers._floor == Floor(), "somebody still waits"
        assert not self.open_creates
        assert self.server.owed() == [], "an answer stayed owed"
        for ticket, count in self.tickets.items():
            assert count == 1 or (ticket in self.abandoned and count == 0), f"{ticket} was settled {count} times"
        called = {call_id for answer in self.server.answers.values() for call_id in answer.calls}
        assert called == set(self.server.outputs), "a call has no output"
        self.check_history()
        self.check_events()
        self.check_what_is_kept()

    def check_history(self) -> None:
        history = self.conversation.history
        assert [item.id for item in history] == self.server.chain
        for item in history:
            if item.type == "message":
                assert item.text == self.server.texts[item.id], item
            if item.text_heard is not None:
                assert item.text.startswith(item.text_heard)

    def check_events(self) -> None:
        kinds = Counter(type(event) for event in self.events)
        assert kinds[AgentStartEvent] == kinds[AgentEndEvent]
        assert kinds[ToolStartEvent] == kinds[ToolEndEvent]
        agent = greeter
        for event in self.events:
            if isinstance(event, HandoffEvent):
                assert event.from_agent is agent
                agent = event.to_agent
            if isinstance(event, AudioInterruptedEvent):
                assert event.heard_ms >= 0
        assert self.conversation.briefing.agent is agent

    def check_what_is_kept(self) -> None:
        """Nothing of what is over is kept, but the history."""
        conversation = self.conversation
        assert not conversation._answers._running
        assert not conversation._answers._beside
        assert not conversation._answers.asks._open
        assert not conversation._calls._open
        assert not conversation._calls._batches
        assert not conversation._hearing.turns._commits
        assert conversation._updates._in_flight is None

    @invariant()
    def no_error_is_told_that_we_handle(self) -> None:
        for event in self.events:
            if isinstance(event, ErrorEvent):
                assert event.error.code not in (
                    "conversation_already_has_active_response",
                    "response_cancel_not_active",
                )


class LawfulServer(Talk):
    """No turn detection: the server only answers. It repeats metadata or, as some do, not."""

    @initialize(echo=st.booleans())
    def start(self, echo: bool) -> None:
        self.begin(echo=echo)


class RacingServer(Talk):
    """Turn detection that makes responses of its own, or leaves that to us."""

    detection = True

    @initialize(creates=st.booleans(), interrupts=st.booleans())
    def start(self, creates: bool, interrupts: bool) -> None:
        self.begin(creates=creates, interrupts=interrupts)

    @rule()
    @precondition(lambda self: not self.server.hears_speech)
    def speech_starts(self) -> None:
        self.server.speech_starts()

    @rule(left_ms=st.sampled_from([0, 300]))
    @precondition(lambda self: self.server.hears_speech)
    def speech_stops(self, left_ms: int) -> None:
        self.server.speech_stops(left_ms)


class UnkindServer(RacingServer):
    """Refuses, drops, repeats, invents; transcripts come when they like."""

    @rule(
        type_=st.sampled_from(["session.update", "response.create"]), code=st.sampled_from(["invalid_value", "silence"])
    )
    def refuse_next(self, type_: str, code: str) -> None:
        if type_ != "response.create" or code != "silence":
            self.server.refusals[type_] = code

    @rule()
    @precondition(lambda self: self.server.dropped & set(self.timers))
    def time_is_up(self) -> None:
        name = min(self.server.dropped & set(self.timers))
        self.server.dropped.discard(name)
        self.perform(self.conversation.timed_out(name))

    @rule(data=st.data(), text=st.sampled_from(["", "hello there"]), first=st.booleans())
    @precondition(lambda self: any(item_id.startswith("s_user") for item_id in self.server.chain))
    def transcript_comes(self, data: st.DataObject, text: str, first: bool) -> None:
        spoken = [item_id for item_id in self.server.chain if item_id.startswith("s_user")]
        item_id = data.draw(st.sampled_from(spoken))
        if item_id in self.transcribed:
            return
        self.transcribed.add(item_id)
        self.server.texts[item_id] = text
        event = {
            "type": "conversation.item.input_audio_transcription.completed", "event_id": "t", "item_id": item_id,
            "content_index": 0, "transcript": text, "usage": {"type": "duration", "seconds": 1},
        }  # fmt: skip
        if first:
            self.server.outbox.appendleft(event)  # before its item, perhaps
        else:
            self.server.outbox.append(event)

    REPEATED = ("response.done", "response.output_item.done", "conversation.item.done", "conversation.item.added")

    @rule(data=st.data())
    @precondition(lambda self: any(frame["type"] in self.REPEATED for frame in self.server.outbox))
    def a_frame_comes_twice(self, data: st.DataObject) -> None:
        places = [at for at, frame in enumerate(self.server.outbox) if frame["type"] in self.REPEATED]
        at = data.draw(st.sampled_from(places))
        later = data.draw(st.integers(at, len(self.server.outbox)))
        self.server.outbox.insert(later, self.server.outbox[at])

    @rule(frame=st.sampled_from(["novelty.happened", "rate_limits.updated", "error"]))
    def something_else_comes(self, frame: str) -> None:
        fields: dict[str, Frame] = {
            "novelty.happened": {"what": None},
            "rate_limits.updated": {"rate_limits": []},
            "error": {"error": {"type": "server_error", "message": "?"}},
        }
        self.server.say(frame, **fields[frame])


MORE = settings(max_examples=3 * settings().max_examples)
"""These find more than most, and run fast."""


def test_a_lawful_server() -> None:
    run_state_machine_as_test(LawfulServer, settings=MORE)


def test_a_server_whose_detection_races_ours() -> None:
    run_state_machine_as_test(RacingServer, settings=MORE)


def test_a_turn_that_crossed_a_withdrawn_request_is_answered_once() -> None:
    """The server answers a create that is withdrawn, and with it, unknown to the client yet, a turn committed before: it is owed again."""
    talk: Any = RacingServer()
    talk.begin(creates=True, interrupts=False)
    talk.redirect(back=False)  # the first commit's create waits for it
    talk.hear(ms=300, commit=True, respond=True)
    talk.server_takes(count=3)
    talk.speech_starts()
    talk.speech_stops(left_ms=0)
    talk.speech_starts()
    (detected,) = talk.answers()
    talk.server.end(detected, "completed")
    talk.hear(ms=300, commit=True, respond=True)
    talk.teardown()
    assert [answer.status for answer in talk.server.answers.values()] == ["completed", "cancelled", "completed"]


def test_an_unkind_server() -> None:
    run_state_machine_as_test(UnkindServer, settings=MORE)
