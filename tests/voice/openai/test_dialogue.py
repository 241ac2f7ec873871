"""The conversation in writing under any order of events: what is asked for next is always something that the API takes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.voice.openai import answers
from trio_codex import Agent, Guardrail, tool
from trio_codex.events import HandoffEvent, ToolEndEvent, ToolStartEvent
from trio_codex.protocol import Briefing, Emit, PrepareHandoff, StartCheck, StartTool
from trio_codex.voice.openai.book import STILL_RUNNING
from trio_codex.voice.openai.dialogue import Dialogue
from trio_codex.voice.openai.effects import Say, StopAnswer
from trio_codex.voice.openai.responses import read_event


@tool
async def wait() -> None:
    """Wait."""


@tool(on_interrupt="cancel", respond=False)
async def stop() -> None:
    """Stop."""


SUPPORT = Agent(name="Support", tools=[wait])
GREETER = Agent(
    name="Greeter", tools=[wait, stop], handoffs=[SUPPORT], guardrails=[Guardrail(lambda text: None, every=3)]
)
BRIEFINGS = {
    agent: Briefing(agent=agent, instructions=agent.name, tools=tuple(agent.tools), handoffs=agent.resolved_handoffs())
    for agent in (SUPPORT, GREETER)
}
WORDS = st.text("ab. ", min_size=1, max_size=8)


class Conversations(RuleBasedStateMachine):
    """A user, a service, tools and guardrails that do what the dialogue wants, or do not get to it."""

    def __init__(self) -> None:
        super().__init__()
        self.dialogue = Dialogue(GREETER)
        self.in_turn = False
        self.asked = False
        self.tools: list[str] = []
        self.handoffs: list[str] = []
        self.checks: list[str] = []
        self.started: list[str] = []
        self.ended: list[str] = []
        self.said = ""
        self.earlier: set[str] = set()

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case Say(text):
                    assert self.in_turn
                    assert text
                    self.said += text
                case StartTool(call):
                    self.tools.append(call.call_id)
                case PrepareHandoff(call):
                    self.handoffs.append(call.call_id)
                case StartCheck(check_id):
                    self.checks.append(check_id)
                case StopAnswer():
                    assert self.dialogue.answered
                case Emit(ToolStartEvent(call_id=call_id)):
                    self.started.append(call_id)
                case Emit(ToolEndEvent(call_id=call_id)):
                    self.ended.append(call_id)
                case Emit(HandoffEvent(to_agent=agent)):
                    assert self.dialogue.agent is agent

    @precondition(lambda self: not self.in_turn)
    @rule(text=WORDS)
    def hear(self, text: str) -> None:
        self.earlier = {item.id for item in self.dialogue.history}
        self.dialogue.begin(text)
        self.dialogue.brief(BRIEFINGS[self.dialogue.agent])
        self.in_turn, self.asked, self.said = True, False, ""
        self.ask()

    @precondition(lambda self: self.in_turn and self.dialogue.settled and self.dialogue.wants_answer)
    @rule()
    def ask(self) -> None:
        briefing, given = self.dialogue.ask()
        assert briefing.agent is self.dialogue.agent
        self.asked = True
        self.check_input(given)

    def check_input(self, given: list[dict[str, Any]]) -> None:
        """Every call has exactly one output, right behind it; nothing that was said is blank."""
        for index, item in enumerate(given):
            if item["type"] == "function_call":
                assert given[index + 1]["type"] == "function_call_output"
                assert given[index + 1]["call_id"] == item["call_id"]
                running = given[index + 1]["output"] == STILL_RUNNING
                assert running == (item["call_id"] not in self.ended)
            if item["type"] == "function_call_output":
                assert given[index - 1]["type"] == "function_call"
            if item["type"] == "message":
                assert item["content"]
            if item["type"] == "reasoning":
                assert self.in_turn
        calls = [item["call_id"] for item in given if item["type"] == "function_call"]
        assert len(calls) == len(set(calls))

    @precondition(lambda self: self.asked)
    @rule(
        parts=st.lists(
            st.one_of(
                st.lists(WORDS, min_size=1, max_size=3).map(lambda deltas: answers.message(*deltas)),
                st.sampled_from(["wait", "stop", "transfer_to_support", "unheard_of"]).map(answers.call),
                st.builds(answers.reasoning),
            ),
            max_size=3,
        ),
        ends=st.sampled_from(["completed", "completed", "incomplete", None]),
        cut=st.integers(0, 20),
    )
    def answer(self, parts: list[list[dict[str, Any]]], ends: str | None, cut: int) -> None:
        if self.dialogue.answered:
            return
        events = [event for part in parts for event in part]
        if ends is None:
            events = events[:cut]
        for event in [answers.created(), *events, *([answers.completed(ends)] if ends else [])]:
            read = read_event(json.dumps(event))
            if read is not None:
                self.perform(self.dialogue.receive(read))

    @precondition(lambda self: self.asked and not self.dialogue.begun)
    @rule()
    def ask_again(self) -> None:
        self.ask()

    @precondition(lambda self: self.tools)
    @rule(data=st.data())
    def end_tool(self, data: st.DataObject) -> None:
        call_id = self.tools.pop(data.draw(st.integers(0, len(self.tools) - 1)))
        self.perform(self.dialogue.tool_ended(call_id, "done", respond=data.draw(st.booleans())))

    @precondition(lambda self: self.handoffs)
    @rule(works=st.booleans())
    def end_handoff(self, works: bool) -> None:
        call_id = self.handoffs.pop()
        if works:
            self.perform(self.dialogue.handoff_prepared(call_id, BRIEFINGS[SUPPORT]))
        else:
            self.perform(self.dialogue.handoff_failed(call_id, "no"))

    @precondition(lambda self: self.checks)
    @rule(result=st.sampled_from([None, None, "bad"]), raises=st.booleans())
    def end_check(self, result: str | None, raises: bool) -> None:
        check_id = self.checks.pop(0)
        if raises:
            self.perform(self.dialogue.check_failed(check_id, "no idea"))
        else:
            self.perform(self.dialogue.checked(check_id, result))

    @precondition(lambda self: self.in_turn and self.dialogue.settled and not self.dialogue.wants_answer)
    @rule()
    def finish(self) -> None:
        self.dialogue.finish()
        self.in_turn = self.asked = False
        self.over()

    @precondition(lambda self: self.in_turn)
    @rule(heard=st.integers(0, 12))
    def cut_in(self, heard: int) -> None:
        self.perform(self.dialogue.interrupt())
        self.in_turn = self.asked = False
        self.checks.clear()
        self.handoffs.clear()
        self.over()
        self.dialogue.heard(self.said[:heard])
        kept = [
            item.text if item.text_heard is None else item.text_heard
            for item in self.dialogue.history  # the output of a call from an earlier turn may have come in between
            if item.role == "assistant" and item.id not in self.earlier
        ]
        assert "".join(kept) == self.said[:heard].replace("\n", "")  # which only stands between messages

    def over(self) -> None:
        """Between turns everything that was called has its output, but for tools that go on."""
        assert set(self.started) - set(self.ended) == set(self.tools)
        assert self.dialogue.interrupt() == []

    @invariant()
    def every_output_once(self) -> None:
        assert len(self.ended) == len(set(self.ended))
        assert set(self.ended) <= set(self.started)


TestConversations = Conversations.TestCase
