"""A call of an hour in a whole session, in virtual time: with tools, a handoff, guardrails that hold the voice, interruptions, a listener
who never reads and a tool that sleeps all the time. What the session keeps is the text of the conversation, and nothing else grows.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_codex import Agent, Guardrail, Session, tool
from trio_codex.errors import ConnectionLost
from trio_codex.events import (
    AudioEvent,
    AudioInterruptedEvent,
    ErrorEvent,
    EventsLostEvent,
    GuardrailTrippedEvent,
    HandoffEvent,
    HistoryUpdatedEvent,
    SessionEvent,
    ToolEndEvent,
)
from trio_codex.protocol import AnswerRequest, FunctionCallOutput, SystemMessage
from trio_codex.protocol.history import History
from trio_codex.server import Answer
from trio_codex.testing import Caller, simulated_call

HOUR = 3600.0
SPARE = 20.0


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    await trio.sleep(0.3)
    return f"{word} means this"


@tool(respond=False)
async def remind() -> str:
    """Remind the user in an hour."""
    await trio.sleep(HOUR)
    return "an hour is over"


async def check(text: str) -> str | None:
    await trio.sleep(0.05)
    return "swearing" if "damned" in text else None


def agent(name: str) -> Agent:
    return Agent(name=name, tools=[look_up, remind], guardrails=[Guardrail(check, hold="sentence")])


FIRST = agent("First")
SECOND = agent("Second")
FIRST = FIRST.replace(handoffs=[SECOND])


async def respond(request: AnswerRequest, answer: Answer) -> None:
    """A model with a simple mind: it does what it is told."""
    item = request.items[-1]
    said = "".join(part.text or part.transcript or "" for part in getattr(item, "content", ()))
    match said.split():
        case _ if isinstance(item, FunctionCallOutput):
            await answer.say(f"I see. {item.output}.")
        case _ if isinstance(item, SystemMessage):
            await answer.say("I am sorry.")
        case ["look", word]:
            await answer.call("look_up", {"word": word})
        case ["remind", *_]:
            await answer.call("remind", {})
            await answer.say("I will.")
        case ["second", *_]:
            await answer.call("transfer_to_second", {})
        case ["swear"]:
            await answer.say("All is well. That damned thing. And more of it.")
        case _:
            await answer.say(
                f"You said {said}. That is a long story. It goes on and on. And it never ends. At last it does."
            )


@attrs.define
class Minutes:
    """What happened, in numbers; and the audio, in bytes."""

    counts: dict[str, int] = attrs.field(factory=dict)
    heard: int = 0
    errors: list[Any] = attrs.field(factory=list)

    async def follow(self, session: Session) -> None:
        try:
            async for event in session:
                self.note(event)
        except ConnectionLost:
            pass

    def note(self, event: SessionEvent) -> None:
        self.counts[event.type] = self.counts.get(event.type, 0) + 1
        if isinstance(event, AudioEvent):
            self.heard += len(event.data)
        if isinstance(event, ErrorEvent):
            self.errors.append(event.error)

    def of(self, kind: type[SessionEvent]) -> int:
        return self.counts.get(kind.type, 0)


async def talk(caller: Caller, turn: int) -> None:
    """One turn; there are seven kinds."""
    match turn % 7:
        case 0:
            await caller.say(f"look word{turn}")
            assert (await caller.hear()).startswith("I see.")
        case 3:
            await caller.say("swear")
            heard = [await caller.hear()]
            while "sorry" not in heard[-1]:
                heard.append(await caller.hear())
            assert "damned" not in " ".join(heard)
        case 5:
            await caller.say("tell me all")
            await trio.sleep(4)
            await caller.say("stop")  # in the middle
            while "You said stop." not in await caller.hear():
                pass
        case _:
            await caller.say(f"turn {turn}")
            assert f"You said turn {turn}." in await caller.hear()


def weight(session: Session) -> int:
    """The bytes of all that a session keeps, but for the text of the conversation and what is shared."""
    return sum(sys.getsizeof(found) for found in _kept(session))


def _kept(root: object) -> Iterator[object]:
    seen: set[int] = set()
    stack = [root]
    while stack:
        found = stack.pop()
        if id(found) in seen or isinstance(found, (History, HistoryUpdatedEvent, Agent, type)):
            continue
        seen.add(id(found))
        ours = type(found).__module__.startswith("trio_codex.") and not type(found).__module__.startswith(
            "trio_codex.testing"
        )
        if isinstance(found, Collection):
            yield found
            if not isinstance(found, (str, bytes)):
                stack.extend(found.values() if isinstance(found, dict) else found)
        elif ours:
            yield found
        if ours:
            stack.extend(getattr(found, "__dict__", {}).values())
            slots = (name for cls in type(found).__mro__ for name in getattr(cls, "__slots__", ()))
            stack.extend(getattr(found, name) for name in slots if hasattr(found, name))


@pytest.mark.deadline(2 * HOUR)
async def test_an_hour(autojump_clock: MockClock) -> None:
    minutes = Minutes()
    weights: list[int] = []
    async with simulated_call(FIRST, respond, pace=2.0) as (session, caller):
        with session.subscribe(buffer=64) as unread:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(minutes.follow, session)
                await caller.say("remind me")
                assert "I will." in await caller.hear()
                turn = 0
                while trio.current_time() < HOUR - SPARE:
                    if turn == 20:
                        await caller.say("second please")
                        await caller.hear()
                    await talk(caller, turn)
                    await trio.sleep(30)
                    turn += 1
                    if turn % 10 == 0:
                        weights.append(weight(session))
                nursery.cancel_scope.cancel()
            assert session.current_agent.name == "Second"
            assert len(session.history) > 2 * turn > 150
            assert isinstance(await anext(unread), EventsLostEvent)
    assert minutes.errors == []
    assert minutes.of(HandoffEvent) == 1
    assert minutes.of(GuardrailTrippedEvent) == (turn + 3) // 7
    assert minutes.of(AudioInterruptedEvent) >= turn // 7
    assert minutes.of(ToolEndEvent) > turn // 7, "a tool that sleeps does not keep the others waiting"
    assert minutes.heard > 20_000_000
    assert max(weights) < 1.05 * weights[len(weights) // 2], "the session grows"
    assert weights[-1] < 300_000
