"""Guardrails in whole conversations: whenever verdicts come, whoever cuts in, however late, each answer is judged by its own.

The machine of a lawful server, with agents whose guardrails hold the voice, and verdicts as one more thing that takes its time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.protocol import test_conversation_properties as conversations
from tests.protocol.model import Frame, Reason
from trio_codex.agent import Guardrail
from trio_codex.events import GuardrailTrippedEvent
from trio_codex.protocol import Effect, Emit, Play, Send, StartCheck
from trio_codex.protocol.client_events import ConversationItemCreate
from trio_codex.protocol.items import SystemMessage


@attrs.define
class Heard:
    """An answer as the client has met it."""

    text: str = ""
    passed: int = 0  # how much of the text has passed
    pieces: deque[tuple[int, int]] = attrs.field(factory=deque)  # sound that came and did not sound: bytes, least text
    played: bool = False
    over: bool = False
    stopped: bool = False
    trips: int = 0


class GuardedTalk(conversations.Talk):
    """A server that only answers, and guardrails that take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, Heard] = {}
        self.checks: list[tuple[StartCheck, str]] = []  # those under way, and whose answer each is about
        self.judging: str | None = None
        self.told: Counter[str] = Counter()

    @initialize(every=st.sampled_from([1, 5, 100]), hold=st.booleans(), echo=st.booleans())
    def start(self, every: int, hold: bool, echo: bool) -> None:
        guardrails = [Guardrail(len, every=every, hold="sentence" if hold else None), Guardrail(len, every=2 * every)]
        self.hold = hold
        self.agents = [agent.replace(guardrails=guardrails) for agent in (conversations.greeter, conversations.support)]
        self.before = conversations.greeter, conversations.support
        conversations.greeter, conversations.support = self.agents
        self.begin(echo=echo)

    # --- the shell -------------------------------------------------------------------------------------------------

    def perform(self, effects: Iterable[Effect]) -> None:
        effects = list(effects)
        super().perform(effects)
        for effect in effects:
            match effect:
                case StartCheck():
                    self.begin_check(effect)
                case Play():
                    self.play(effect)
                case Emit(GuardrailTrippedEvent()):
                    assert self.judging is not None
                    self.heard[self.judging].trips += 1
                    assert self.heard[self.judging].trips == 1, "tripped twice"
                    self.stop(self.judging)
                case Send(ConversationItemCreate(item=SystemMessage())):
                    self.server.reasons.append(Reason("feedback", optional=True))

    def begin_check(self, check: StartCheck) -> None:
        (about,) = {response_id for response_id, heard in self.heard.items() if self.speaking == response_id} or {""}
        assert about, "a check of nothing"
        assert self.heard[about].text.startswith(check.text)
        self.checks.append((check, about))

    def play(self, play: Play) -> None:
        heard = self.heard[play.response_id]
        assert not heard.stopped, "heard after it was stopped"
        nbytes, least = heard.pieces.popleft()
        assert len(play.data) == nbytes, "lost or out of order"
        if self.hold:
            assert heard.passed >= least or (heard.over and heard.passed == len(heard.text)), (
                "before its words had passed"
            )
        heard.played = True
        later = list(self.heard)[list(self.heard).index(play.response_id) + 1 :]
        assert not any(self.heard[response_id].played for response_id in later), "before an answer that came earlier"

    def stop(self, *response_ids: str) -> None:
        for response_id in response_ids:
            self.heard[response_id].stopped = True

    def hear_event(self, frame: Frame) -> None:
        self.speaking = frame.get("response_id") or (frame.get("response") or {}).get("id")
        heard = self.heard.get(self.speaking or "")
        match frame["type"]:
            case "response.created" if frame["response"]["conversation_id"] is not None:
                self.heard[frame["response"]["id"]] = Heard()
            case "response.output_audio_transcript.delta" if heard:
                heard.text += frame["delta"]
            case "response.output_audio.delta" if heard:
                words_first = bool(heard.text)
                heard.pieces.append((self.last_sound_ms(frame) * conversations.MS, len(heard.text) + (not words_first)))
            case "response.done" if heard:
                heard.over = True
        super().hear_event(frame)

    @rule(
        data=st.data(), words=st.sampled_from(["So it is. ", "And", " ends!"]), sound_ms=st.sampled_from([0, 20, 700])
    )
    @precondition(lambda self: self.answers())
    def server_ends_a_sentence(self, data: st.DataObject, words: str, sound_ms: int) -> None:
        self.server.speak(data.draw(st.sampled_from(self.answers())), words, sound_ms)

    # --- verdicts --------------------------------------------------------------------------------------------------

    @rule()
    def interrupt(self) -> None:
        self.stop(*self.heard)
        super().interrupt()

    @rule(data=st.data(), trips=st.sampled_from([False, False, True]), fails=st.booleans())
    @precondition(lambda self: self.checks)
    def verdict(self, data: st.DataObject, trips: bool, fails: bool) -> None:
        self.judge(data.draw(st.integers(0, len(self.checks) - 1)), trips=trips, fails=fails)

    def judge(self, place: int, *, trips: bool = False, fails: bool = False) -> None:
        check, about = self.checks.pop(place)
        self.judging = self.speaking = about
        heard = self.heard[about]
        if trips:
            self.cut.add(about)
        elif check.guardrail.hold or not self.hold:
            heard.passed = max(heard.passed, len(check.text))
        if fails and not trips:
            self.perform(self.conversation.check_failed(check.check_id, "no network", self.now))
        else:
            self.perform(self.conversation.checked(check.check_id, "found" if trips else None, self.now))

    # --- the end ---------------------------------------------------------------------------------------------------

    def settle_down(self) -> None:
        for _ in range(100):
            super().settle_down()
            if not self.checks:
                return
            self.judge(0)
        raise AssertionError("it is checked for ever")

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "before"):
                conversations.greeter, conversations.support = self.before
        for response_id, heard in self.heard.items():
            assert heard.over
            assert heard.stopped or not heard.pieces or response_id in self.cut, "lost"
        saying: Any = self.conversation._answers.saying if self.heard else None
        if saying is not None:
            assert not saying._line
            assert not saying._checks


def test_guardrails_in_a_conversation() -> None:
    run_state_machine_as_test(GuardedTalk)
