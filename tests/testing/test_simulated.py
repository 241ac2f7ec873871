from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_codex import Agent, SemanticVAD, SessionSettings, Transcription, events, open_realtime_session, tool
from trio_codex.errors import ConfigurationError, ConnectionLost, ServerRefused
from trio_codex.protocol import AnswerRequest, FunctionCallOutput
from trio_codex.server import Answer
from trio_codex.testing import simulated, simulated_call

pytestmark = pytest.mark.deadline(24 * 3600)


def echo(words: str) -> str:
    return f"You said {words}."


async def test_they_talk(autojump_clock: MockClock) -> None:
    async with simulated_call(None, echo) as (session, caller):
        began = trio.current_time()
        await caller.say("hello there")
        assert trio.current_time() - began == pytest.approx(12 * 0.06, abs=0.002)
        assert await caller.hear() == "You said hello there."
        await caller.say("good bye")
        assert await caller.hear() == "You said good bye."
        assert [item.role for item in session.history] == ["user", "assistant"] * 2
        assert caller.heard == ["You said hello there.", "You said good bye."]
    assert [request.modality for request in caller.server.requests] == ["audio", "audio"]


async def test_an_hour_and_nothing_grows(autojump_clock: MockClock) -> None:
    turns = 0
    async with simulated_call(None, echo) as (session, caller):
        while trio.current_time() < 3540:
            await caller.say(f"this is number {turns}")
            assert await caller.hear() == f"You said this is number {turns}."
            turns += 1
            await trio.sleep(90)
        assert turns > 30
        assert len(session.history) == 2 * turns
        assert session.usage.responses == turns


async def test_a_tool(autojump_clock: MockClock) -> None:
    @tool
    async def get_weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    async def responder(request: AnswerRequest, answer: Answer) -> None:
        match request.items[-1]:
            case FunctionCallOutput(output=output):
                await answer.say(f"It is {output}.")
            case _:
                await answer.call("get_weather", {"city": "Oslo"})

    async with simulated_call(Agent(tools=[get_weather]), responder) as (_, caller):
        await caller.say("What is the weather like?")
        assert await caller.hear() == "It is sunny in Oslo."


async def test_a_handoff(autojump_clock: MockClock) -> None:
    support = Agent(name="Support", instructions="I am the support.")

    async def responder(request: AnswerRequest, answer: Answer) -> None:
        if request.tools:
            await answer.call("transfer_to_support", {})
        else:
            await answer.say(request.instructions)

    async with simulated_call(Agent(name="Greeter", handoffs=[support]), responder) as (session, caller):
        await caller.say("My router is broken")
        assert await caller.hear() == "I am the support."
        assert session.current_agent is support


async def test_barge_in(autojump_clock: MockClock) -> None:
    story = "Once upon a time there was a very long story that nobody wanted to hear to its end."

    def responder(words: str) -> str:
        return "Yes?" if words == "stop" else story

    for pace in (1.0, 20.0):  # while it is generated, and when it is generated but still sounds
        async with simulated_call(None, responder, pace=pace) as (session, caller):
            with session.subscribe([events.AudioInterruptedEvent]) as interruptions:
                await caller.say("tell me a story")
                await trio.sleep(2.5)
                await caller.say("stop")
                first = await caller.hear()
                assert 0 < len(first) < len(story)
                assert story.startswith(first)
                assert await caller.hear() == "Yes?"
                interrupted = await anext(interruptions)
            told = next(item for item in session.history if item.id == interrupted.item_id)
            assert told.interrupted_at_ms == interrupted.heard_ms
            assert abs(interrupted.heard_ms - len(first) * 60) < 700


async def test_transcripts_are_what_was_said(autojump_clock: MockClock) -> None:
    settings = SessionSettings(
        turn_detection=SemanticVAD(eagerness="high"), transcription=Transcription(model="gpt-transcribe")
    )
    async with simulated_call(None, echo, settings=settings) as (session, caller):
        await caller.say("ich möchte Käse")
        assert await caller.hear() == "You said ich möchte Käse."
        assert [item.text for item in session.history] == ["ich möchte Käse", "You said ich möchte Käse."]


async def test_silence_is_no_turn(autojump_clock: MockClock) -> None:
    async with simulated_call(None, echo) as (session, caller):
        await trio.sleep(600)
        assert session.history == ()
        with pytest.raises(trio.TooSlowError):
            await caller.hear(within=5)


async def test_several_sessions_of_one_server(autojump_clock: MockClock) -> None:
    async with simulated(echo) as server, trio.open_nursery() as nursery:

        async def talk(number: int) -> None:
            async with open_realtime_session(Agent(), transport=server, api_key="sk-test") as session:
                assert (await session.ask(f"number {number}")).transcript == f"You said number {number}."

        for number in range(5):
            nursery.start_soon(talk, number)
    assert len(server.peers) == len(server.requests) == 5


async def test_without_a_responder_it_stands_in(autojump_clock: MockClock) -> None:
    async with simulated_call() as (_, caller):
        await caller.say("hello")
        assert await caller.hear()


async def test_what_a_responder_raises_fails_the_test(autojump_clock: MockClock) -> None:
    error = AssertionError("not what I expected")

    async def responder(request: AnswerRequest, answer: Answer) -> None:
        raise error

    with pytest.raises(AssertionError) as caught:
        async with simulated_call(None, responder) as (session, _):
            with pytest.raises(ServerRefused):
                await session.ask("hello")
    assert caught.value is error


async def test_the_tests_own_error_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with simulated_call(None, echo):
            raise ValueError("mine")


# --- faults ----------------------------------------------------------------------------------------------------------


async def test_a_session_expires_in_virtual_time(autojump_clock: MockClock) -> None:
    async with simulated_call(None, echo, faults=["expiry:after=1800"]) as (session, caller):
        await caller.say("hello")
        await caller.hear()
        with pytest.raises(ConnectionLost) as caught:
            async for _ in session:
                pass
        assert caught.value.code == 1001
        assert trio.current_time() == pytest.approx(1800, abs=1)
        with pytest.raises(ConnectionLost):
            await caller.say("anybody there?")


async def test_faults_of_the_session(autojump_clock: MockClock) -> None:
    faults = ["vad-race", "odd-bytes", "huge-item:size=1", "unknown-events"]
    async with simulated_call(None, echo, faults=faults, seed=3) as (session, caller):
        await caller.say("hello there")
        assert await caller.hear() == "You said hello there."
        assert (await session.ask("again")).transcript == "You said again."


async def test_a_refused_session(autojump_clock: MockClock) -> None:
    with pytest.raises(ConnectionLost, match="model_not_found"):
        async with simulated_call(None, echo, faults=["refused-session"]):
            raise AssertionError


@pytest.mark.parametrize("fault", ["latency:ms=5", "unauthorized"])
async def test_faults_of_sockets_are_refused(fault: str) -> None:
    with pytest.raises(ConfigurationError, match="needs a server with sockets"):
        async with simulated(echo, faults=[fault]):
            raise AssertionError


def test_the_same_seed_is_the_same_call() -> None:
    def run(seed: int) -> list[Any]:
        seen: list[Any] = []

        async def main() -> None:
            async with simulated_call(None, echo, faults=["duplicate-deltas:chance=0.4"], seed=seed) as (
                session,
                caller,
            ):
                with session.subscribe([events.RawModelEvent]) as stream:
                    await caller.say("one two three")
                    await caller.hear()
                    await session.aclose()
                    async for event in stream:
                        data: Any = event.data
                        seen.append((data["type"], data.get("delta")))

        trio.run(main, clock=MockClock(autojump_threshold=0))
        return seen

    assert run(1) == run(1)
    assert run(1) != run(2)
