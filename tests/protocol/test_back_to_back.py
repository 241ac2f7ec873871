"""Both halves of the protocol against each other: a conversation and a peer, joined by two queues of frames.

Neither knows the other, and every frame passes through the codec. Whatever the user, the detector, the recogniser and the generation
do, the peer has nothing to complain of but races, and in the end both know the same conversation.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.protocol.driver import MS, brief, greeter, support
from trio_codex.errors import LocalProtocolError
from trio_codex.events import (
    AgentStartEvent,
    AudioInterruptedEvent,
    ErrorEvent,
    HandoffEvent,
    ToolEndEvent,
)
from trio_codex.protocol import (
    ClientEvent,
    ContentPart,
    Conversation,
    DropTranscribing,
    Effect,
    Emit,
    FinishTranscribing,
    Generate,
    Limits,
    Peer,
    PeerEffect,
    PrepareHandoff,
    Reply,
    ResponseParams,
    Say,
    Send,
    ServerVAD,
    SessionSettings,
    Settle,
    StartTool,
    StopGenerating,
    decode_server_event,
    encode_client_event,
    encode_server_event,
)
from trio_codex.protocol.floor import Floor

VOICE_100_MS = b"\x00\x40\x00\xc0" * 1200

EXPECTED = {
    "conversation_already_has_active_response",
    "response_cancel_not_active",
    "input_audio_buffer_commit_empty",
}
"""What can go wrong between two sides that cannot see each other."""


class Bench:
    """A conversation and its peer. Frames wait in two queues until they are carried over."""

    def __init__(self, settings: SessionSettings | None = None) -> None:
        self.now = 0.0
        self.conversation = Conversation(brief(greeter), settings)
        self.peer = Peer(model="gpt-realtime-2.1", limits=Limits(responses=1000))
        self.to_peer: deque[str] = deque()
        self.to_client: deque[str] = deque()
        self.generating: list[str] = []
        self.unrecognised: list[str] = []
        self.tools: list[str] = []
        self.handoffs: list[str] = []
        self.events: list[Any] = []
        self.settled: dict[str, Settle] = {}
        self.refusals: list[str] = []
        self.position_ms = 0
        self.obey(self.peer.open())
        ticket, effects = self.conversation.open()
        self.perform(effects)
        self.carry()
        assert self.settled[ticket].error is None

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(event):
                    self.to_peer.append(encode_client_event(cast("ClientEvent", event)))
                case Emit(event):
                    self.events.append(event)
                case StartTool(call):
                    self.tools.append(call.call_id)
                case PrepareHandoff(call):
                    self.handoffs.append(call.call_id)
                case Settle(ticket):
                    assert ticket not in self.settled
                    self.settled[ticket] = effect

    def obey(self, effects: Iterable[PeerEffect]) -> None:
        for effect in effects:
            match effect:
                case Say(event):
                    frame = encode_server_event(event)
                    self.to_client.append(frame)
                    body = json.loads(frame)
                    if body["type"] == "error":
                        self.refusals.append(body["error"]["code"])
                case Generate(request):
                    self.generating.append(request.response_id)
                case StopGenerating(response_id):
                    self.generating.remove(response_id)
                case FinishTranscribing(item_id):
                    self.unrecognised.append(item_id)
                case DropTranscribing(item_id):
                    assert item_id not in self.unrecognised

    def peer_takes(self) -> None:
        self.obey(self.peer.receive_frame(self.to_peer.popleft()))

    def client_hears(self) -> None:
        self.perform(self.conversation.receive(decode_server_event(self.to_client.popleft()), self.now))

    def carry(self) -> None:
        while self.to_peer or self.to_client:
            while self.to_peer:
                self.peer_takes()
            while self.to_client:
                self.client_hears()

    def message(self, text: str = "hello", *, respond: bool = True) -> None:
        self.perform(self.conversation.send_message([ContentPart(type="input_text", text=text)], respond=respond)[1])

    def ask(self, params: ResponseParams | None = None) -> str:
        ticket, effects = self.conversation.respond(params, ask=True)
        self.perform(effects)
        return ticket

    def finish(self) -> None:
        self.obey(self.peer.finish(self.generating.pop()))

    def settle_down(self) -> None:
        """Everything that runs comes to its end."""
        for _ in range(200):
            self.carry()
            if self.tools:
                self.perform(self.conversation.tool_ended(self.tools.pop(), "42", respond=True))
            elif self.handoffs:
                self.perform(self.conversation.handoff_prepared(self.handoffs.pop(), brief(support)))
            elif self.unrecognised:
                self.obey(self.peer.transcribed(self.unrecognised.pop(), "words"))
            elif self.generating:
                self.finish()
            else:
                return
        raise AssertionError("it never becomes quiet")

    def check(self) -> None:
        """Nothing is owed, and both know the same conversation."""
        self.settle_down()
        assert set(self.refusals) <= EXPECTED
        assert self.conversation._answers._floor == Floor()
        assert [item.id for item in self.conversation.history] == [record.id for record in self.peer._items]
        calls = [
            item.call_id
            for item in self.conversation.history
            if item.type == "function_call" and item.status == "completed"
        ]
        outputs = Counter(item.call_id for item in self.conversation.history if item.type == "function_call_output")
        assert outputs == Counter(calls)


# --- scenes ------------------------------------------------------------------------------------------------------------


def test_a_question_and_its_answer() -> None:
    bench = Bench()
    bench.message("What time is it?", respond=False)
    ticket = bench.ask()
    bench.carry()
    (response_id,) = bench.generating
    bench.obey(bench.peer.answer_text(response_id, "Noon."))
    bench.obey(bench.peer.answer_audio(response_id, bytes(100 * MS)))
    bench.check()
    reply = bench.settled[ticket].value
    assert isinstance(reply, Reply)
    assert (reply.transcript, len(reply.audio), reply.status) == ("Noon.", 100 * MS, "completed")
    assert [item.text for item in bench.conversation.history] == ["What time is it?", "Noon."]
    assert not bench.refusals


def test_a_tool_and_a_handoff() -> None:
    bench = Bench()
    bench.message()
    bench.carry()
    bench.obey(bench.peer.answer_call(bench.generating[0], "get_weather", '{"city":"Paris"}'))
    bench.finish()
    bench.carry()
    bench.perform(bench.conversation.tool_ended(bench.tools.pop(), "Sunny", respond=True))
    bench.carry()
    bench.obey(bench.peer.answer_call(bench.generating[0], "transfer_to_techsupport", "{}"))
    bench.finish()
    bench.check()
    assert bench.conversation.briefing.agent is support
    assert bench.peer.session["instructions"] == "Mend it."
    order = [event for event in bench.events if isinstance(event, AgentStartEvent | HandoffEvent | ToolEndEvent)]
    assert [event.type for event in order] == [
        "agent_start", "tool_end", "agent_start", "handoff", "tool_end", "agent_start",
    ]  # fmt: skip
    assert order[-1] == AgentStartEvent(support)
    assert not bench.refusals


def test_barge_in_truncates_what_the_peer_remembers() -> None:
    bench = Bench()
    bench.message()
    bench.carry()
    (response_id,) = bench.generating
    bench.obey(bench.peer.answer_audio(response_id, bytes(3000 * MS)))
    bench.carry()
    bench.now = 1.25
    bench.perform(bench.conversation.hear(VOICE_100_MS * 3))
    bench.carry()
    bench.obey(bench.peer.speech_started(0, 300))
    bench.carry()
    (interrupted,) = (event for event in bench.events if isinstance(event, AudioInterruptedEvent))
    assert interrupted.heard_ms == 1250
    record = next(record for record in bench.peer._items if record.item.id == interrupted.item_id)
    assert record.duration_ms == 1250
    assert not bench.refusals


def test_one_answer_whoever_noticed_first() -> None:
    """The detector ends the turn while our commit is on its way."""
    bench = Bench()
    bench.perform(bench.conversation.hear(VOICE_100_MS * 5))
    bench.carry()
    bench.obey(bench.peer.speech_started(0, 500))
    bench.perform(bench.conversation.hear(b"", commit=True))
    bench.obey(bench.peer.speech_stopped(500))
    bench.check()
    assert [event.type for event in bench.events].count("agent_start") == 1
    assert not [event for event in bench.events if isinstance(event, ErrorEvent)]


@pytest.mark.parametrize("create", [True, False])
def test_one_answer_without_the_commit_being_needed(create: bool) -> None:
    bench = Bench(SessionSettings(turn_detection=ServerVAD(create_response=create)))
    bench.perform(bench.conversation.hear(VOICE_100_MS * 5))
    bench.carry()
    bench.obey(bench.peer.speech_started(0, 500))
    bench.obey(bench.peer.speech_stopped(500))
    bench.carry()
    bench.perform(bench.conversation.hear(bytes(100 * MS), commit=True))
    bench.check()
    assert [event.type for event in bench.events].count("agent_start") == 1


def test_out_of_band_beside_a_running_answer() -> None:
    bench = Bench()
    bench.message()
    ticket = bench.ask(ResponseParams(conversation="none", input=(), instructions="Aside."))
    bench.carry()
    for response_id in bench.generating:
        bench.obey(bench.peer.answer_text(response_id, response_id))
    bench.check()
    assert bench.settled[ticket].value.transcript not in [item.text for item in bench.conversation.history]
    assert not bench.refusals


# --- anything at all ---------------------------------------------------------------------------------------------------


class BackToBack(RuleBasedStateMachine):
    """Users, detectors, recognisers and generations that do as they like."""

    @initialize(detection=st.booleans(), creates=st.booleans(), interrupts=st.booleans())
    def start(self, detection: bool, creates: bool, interrupts: bool) -> None:
        vad = ServerVAD(create_response=creates, interrupt_response=interrupts) if detection else None
        self.detection = detection
        self.bench = Bench(SessionSettings(turn_detection=vad))
        self.tickets: list[str] = []
        self.abandoned: set[str] = set()

    @rule(respond=st.booleans())
    def message(self, respond: bool) -> None:
        self.bench.message(respond=respond)

    @rule(beside=st.booleans())
    def ask(self, beside: bool) -> None:
        self.tickets.append(self.bench.ask(ResponseParams(conversation="none") if beside else None))

    @rule()
    @precondition(lambda self: self.tickets)
    def abandon(self) -> None:
        self.abandoned.add(self.tickets[-1])
        self.bench.perform(self.bench.conversation.abandon(self.tickets[-1], self.bench.now))

    @rule()
    def interrupt(self) -> None:
        self.bench.perform(self.bench.conversation.interrupt(self.bench.now))

    @rule(tenths=st.integers(0, 4), voice=st.booleans(), commit=st.booleans(), respond=st.booleans())
    def hear(self, tenths: int, voice: bool, commit: bool, respond: bool) -> None:
        pcm = (VOICE_100_MS if voice else bytes(100 * MS)) * tenths
        try:
            effects = self.bench.conversation.hear(pcm, commit=commit, respond=respond)
        except LocalProtocolError:
            return
        self.bench.perform(effects)

    @rule()
    def redirect(self) -> None:
        try:
            ticket, effects = self.bench.conversation.redirect(brief(support))
        except LocalProtocolError:
            return
        self.tickets.append(ticket)
        self.bench.perform(effects)

    @rule(seconds=st.sampled_from([0.05, 1.0]))
    def wait(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule(count=st.integers(1, 5))
    def peer_takes(self, count: int) -> None:
        for _ in range(min(count, len(self.bench.to_peer))):
            self.bench.peer_takes()

    @rule(count=st.integers(1, 9))
    def client_hears(self, count: int) -> None:
        for _ in range(min(count, len(self.bench.to_client))):
            self.bench.client_hears()

    @rule(respond=st.booleans())
    @precondition(lambda self: self.bench.tools)
    def tool_ends(self, respond: bool) -> None:
        self.bench.perform(self.bench.conversation.tool_ended(self.bench.tools.pop(0), "42", respond=respond))

    @rule(well=st.booleans())
    @precondition(lambda self: self.bench.handoffs)
    def handoff_prepared(self, well: bool) -> None:
        call_id, conversation = self.bench.handoffs.pop(0), self.bench.conversation
        effects = (
            conversation.handoff_prepared(call_id, brief(support))
            if well
            else conversation.handoff_failed(call_id, "no")
        )
        self.bench.perform(effects)

    # --- the peer's ears and mouth ---

    @rule(ms=st.integers(0, 300))
    @precondition(lambda self: self.detection)
    def speech_starts(self, ms: int) -> None:
        end = self.bench.peer._turns._buffer.end_ms
        self.bench.obey(self.bench.peer.speech_started(max(end - ms, 0), end))

    @rule(left_ms=st.integers(0, 200))
    @precondition(lambda self: self.detection)
    def speech_stops(self, left_ms: int) -> None:
        end = self.bench.peer._turns._buffer.end_ms
        self.bench.obey(self.bench.peer.speech_stopped(max(end - left_ms, 0)))

    @rule()
    @precondition(lambda self: self.bench.unrecognised)
    def words_are_recognised(self) -> None:
        self.bench.obey(self.bench.peer.transcribed(self.bench.unrecognised.pop(0), "words"))

    @rule(data=st.data(), what=st.sampled_from(["text", "audio", "call", "handoff", "nonsense", "finish", "fail"]))
    @precondition(lambda self: self.bench.generating)
    def generation_goes_on(self, data: st.DataObject, what: str) -> None:
        peer, response_id = self.bench.peer, data.draw(st.sampled_from(self.bench.generating))
        match what:
            case "text":
                effects = peer.answer_text(response_id, "word ")
            case "audio":
                effects = peer.answer_audio(response_id, bytes(300 * MS))
            case "call":
                effects = peer.answer_call(response_id, "get_time", "{}")
            case "handoff":
                effects = peer.answer_call(response_id, "transfer_to_techsupport", "{}")
            case "nonsense":
                effects = peer.answer_call(response_id, "nonsense", "{}")
            case "finish":
                self.bench.generating.remove(response_id)
                effects = peer.finish(response_id)
            case _:
                self.bench.generating.remove(response_id)
                effects = peer.fail(response_id, "overloaded", "Try again.")
        self.bench.obey(effects)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.check()
            for ticket in self.tickets:
                assert ticket in self.bench.settled or ticket in self.abandoned


def test_anything_at_all() -> None:
    run_state_machine_as_test(BackToBack)
