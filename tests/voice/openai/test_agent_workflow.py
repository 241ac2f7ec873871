"""Agents in writing, against a service that says exactly what a test wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.voice.openai import answers
from trio_codex import Agent, Guardrail, Handoff, ToolContext, tool
from trio_codex.errors import ConfigurationError, LocalProtocolError, ToolError, VoiceError
from trio_codex.events import (
    GuardrailTrippedEvent,
    HandoffEvent,
    ResponseDoneEvent,
    SessionEvent,
    ToolApprovalRequiredEvent,
    ToolEndEvent,
    ToolStartEvent,
    Usage,
    UsageEvent,
)
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import FEEDBACK
from trio_codex.testing.steps import Steps
from trio_codex.voice import Transcript
from trio_codex.voice.openai import AgentWorkflow
from trio_codex.voice.openai.book import STILL_RUNNING

KEY = "sk-test-of-nobody"
HELLO = answers.answer(answers.message("Hel", "lo."))


def scripts(*streams: list[dict[str, Any]]) -> list[Any]:
    """A script for each answer."""

    def one(events: list[dict[str, Any]]) -> Any:
        async def script(request: Any, said: Any) -> None:
            await said.events(*events)

        return script

    return [one(events) for events in streams]


def workflow(service: Any, agent: Agent, **settings: Any) -> AgentWorkflow:
    return AgentWorkflow(agent, endpoint=service.endpoint, api_key=KEY, **settings)


async def turn(mind: Any, text: str = "Hi.") -> str:
    said: list[str] = []

    async def send(piece: str) -> None:
        said.append(piece)

    await mind.run(Transcript(text), send)
    return "".join(said)


def given(request: Any) -> list[Any]:
    """The input of a request, shortened: role and text, or the type and what it holds."""
    short = {
        "message": lambda item: (item["role"], item["content"]),
        "function_call": lambda item: ("call", item["name"]),
        "function_call_output": lambda item: ("output", item["output"]),
    }
    return [short.get(item.get("type"), lambda item: item.get("type"))(item) for item in request.json["input"]]


# --- answers -------------------------------------------------------------------------------------------------------------


async def test_an_answer_word_by_word(serving: Any) -> None:
    agent = Agent(instructions=lambda context: f"Be kind to {context}.")
    async with serving(*scripts(HELLO)) as service:
        mind = workflow(service, agent, context="Ada", options={"reasoning": {"effort": "low"}})
        said: list[str] = []

        async def send(piece: str) -> None:
            said.append(piece)

        await mind.run(Transcript("Hi."), send)
    assert said == ["Hel", "lo."]
    (request,) = service.asked
    assert request.path == "/v1/responses"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json == {
        "model": "gpt-5.6-luna",
        "instructions": "Be kind to Ada.",
        "input": [{"type": "message", "role": "user", "content": "Hi."}],
        "truncation": "auto",
        "reasoning": {"effort": "low"},
        "stream": True,
    }
    assert [(item.role, item.text) for item in mind.history] == [("user", "Hi."), ("assistant", "Hello.")]


async def test_history_over_turns_and_runs(serving: Any) -> None:
    async with serving(*scripts(HELLO)) as service:
        mind = workflow(service, Agent(), model="m")
        async with mind.open() as run:
            await turn(run, "One.")
            await turn(run, "Two.")
            assert service.connections == 1
        await turn(mind, "Three.")
    assert given(service.asked[2]) == [
        ("user", "One."),
        ("assistant", "Hello."),
        ("user", "Two."),
        ("assistant", "Hello."),
        ("user", "Three."),
    ]
    assert service.asked[0].json["model"] == "m"


async def test_words_are_said_before_the_answer_is_whole(serving: Any) -> None:
    heard = trio.Event()

    async def script(request: Any, said: Any) -> None:
        await said.begin("text/event-stream")
        for event in HELLO[:4]:
            await said.event(event)
        await heard.wait()
        for event in HELLO[4:]:
            await said.event(event)
        await said.end()

    async def send(piece: str) -> None:
        heard.set()

    async with serving(script) as service:
        await workflow(service, Agent()).run(Transcript("Hi."), send)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (answers.answer(answers.message("One."), answers.message("Two.")), "One.\nTwo."),
        (answers.answer(), ""),
        ([*answers.answer(answers.message("Cut"))[:-1], answers.completed("incomplete")], "Cut"),
        (
            [
                {"type": "response.refusal.delta", "item_id": "m", "content_index": 0, "delta": "I cannot."},
                {"type": "response.younger", "what": 1},
                answers.completed(),
            ],
            "I cannot.",
        ),
        ([answers.message("Not streamed.")[-1], answers.completed()], "Not streamed."),
    ],
)
async def test_answers(serving: Any, events: list[dict[str, Any]], expected: str) -> None:
    async with serving(*scripts(events)) as service:
        assert await turn(workflow(service, Agent())) == expected


# --- tools -------------------------------------------------------------------------------------------------------------


@tool
async def weather(city: str, call: ToolContext) -> str:
    """Get the weather."""
    return f"{call.context}: sunny in {city} for {call.agent.name}"


@tool
def broken() -> str:
    """Break."""
    raise ToolError("Try again.")


async def test_calls_at_the_same_time_and_one_answer_to_all(serving: Any) -> None:
    both = trio.Event()
    running = 0

    @tool
    async def slow() -> str:
        """Take time."""
        nonlocal running
        running += 1
        if running == 2:
            both.set()
        await both.wait()
        return "done"

    agent = Agent(name="Ann", tools=[weather, broken, slow])
    calls = answers.answer(
        answers.reasoning(),
        answers.message("Let me look."),
        answers.call("weather", '{"city":"Rome"}'),
        answers.call("slow"),
        answers.call("slow"),
        answers.call("broken"),
        answers.call("unheard_of"),
        answers.call("weather", "{"),
    )
    events: list[SessionEvent] = []
    async with serving(*scripts(calls, HELLO)) as service:
        mind = workflow(service, agent, context="ctx", on_event=events.append)
        assert await turn(mind) == "Let me look.\nHello."
        await turn(mind, "And?")
    tools = {each["name"]: each for each in service.asked[0].json["tools"]}
    assert tools["weather"]["strict"] is False
    assert tools["weather"]["parameters"]["required"] == ["city"]
    assert given(service.asked[1])[1:] == [
        "reasoning",
        ("assistant", [{"type": "output_text", "text": "Let me look.", "annotations": []}]),
        ("call", "weather"),
        ("output", "ctx: sunny in Rome for Ann"),
        ("call", "slow"),
        ("output", "done"),
        ("call", "slow"),
        ("output", "done"),
        ("call", "broken"),
        ("output", "Try again."),
        ("call", "unheard_of"),
        ("output", "Error: Unknown tool unheard_of"),
        ("call", "weather"),
        ("output", given(service.asked[1])[-1][1]),
    ]
    assert given(service.asked[1])[-1][1].startswith("Error: Invalid JSON arguments")
    assert "reasoning" not in given(service.asked[2])
    assert given(service.asked[2])[1] == ("assistant", "Let me look.")
    assert len([each for each in events if isinstance(each, ToolStartEvent)]) == 6
    assert len([each for each in events if isinstance(each, ToolEndEvent)]) == 6
    usage = Usage(total_tokens=5, input_tokens=3, output_tokens=2, cached_tokens=1, responses=1)
    assert [each.usage for each in events if isinstance(each, UsageEvent)] == [usage] * 3
    assert [item.type for item in mind.history][:4] == ["message", "message", "function_call", "function_call_output"]


async def test_an_output_that_wants_no_answer(serving: Any) -> None:
    @tool(respond=False)
    async def note() -> None:
        """Note it."""

    async with serving(*scripts(answers.answer(answers.call("note")), HELLO)) as service:
        assert await turn(workflow(service, Agent(tools=[note]))) == ""
    assert len(service.asked) == 1


@pytest.mark.parametrize(("approve", "output"), [(True, "42"), (False, "Not now.")])
async def test_approval(serving: Any, approve: bool, output: str) -> None:
    @tool(needs_approval=True)
    async def pay() -> int:
        """Pay."""
        return 42

    def on_event(event: SessionEvent) -> None:
        if isinstance(event, ToolApprovalRequiredEvent):
            asked.append(event)

    asked: list[ToolApprovalRequiredEvent] = []
    async with serving(*scripts(answers.answer(answers.call("pay", call_id="c1")), HELLO)) as service:
        mind = workflow(service, Agent(tools=[pay]), on_event=on_event)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn, mind)
            while not asked:  # noqa: ASYNC110 - what is waited for is an event of the workflow
                await trio.sleep(0.001)
            mind.approve("c1") if approve else mind.reject("c1", "Not now.")
            with pytest.raises(LocalProtocolError):
                mind.approve("c1")
    assert given(service.asked[1])[-1] == ("output", output)


async def test_a_model_without_an_end(serving: Any) -> None:
    async with serving(*(scripts(answers.answer(answers.call("unheard_of")))[0] for _ in range(20))) as service:
        with pytest.raises(VoiceError, match="no end of calls after 16 answers"):
            await turn(workflow(service, Agent()))
    assert len(service.asked) <= 16


async def test_an_agent_as_a_tool(serving: Any) -> None:
    poet = Agent(name="Poet", instructions="Write verse.")

    async def verse(request: Any, said: Any) -> None:
        item = answers.message("Roses are red.")[-1]["item"]
        await said.whole(200, {"id": "r", "status": "completed", "output": [item], "usage": None})

    asks, hello = scripts(answers.answer(answers.call("poet", '{"input":"Roses."}')), HELLO)
    async with serving(asks, verse, hello) as service:
        await turn(workflow(service, Agent(tools=[poet.as_tool()])))
    assert service.asked[1].json["instructions"] == "Write verse."
    assert given(service.asked[2])[-1] == ("output", "Roses are red.")


def asks_for_approval(label: str) -> list[dict[str, Any]]:
    item = {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": label, "name": "search", "arguments": "{}"}
    return [{"type": "response.output_item.done", "item": item}]


@pytest.mark.parametrize(
    ("label", "decide", "approved"), [("docs", True, True), ("docs", False, False), ("x", None, False)]
)
async def test_calls_that_the_api_makes(serving: Any, label: str, decide: bool | None, approved: bool) -> None:
    docs = HostedMcp(server_label="docs", server_url="https://docs.example", authorization="secret-of-docs")
    asked: list[SessionEvent] = []

    def on_event(event: SessionEvent) -> None:
        if isinstance(event, ToolApprovalRequiredEvent):
            asked.append(event)
            decided.start_soon(answer)

    async def answer() -> None:
        mind.approve("mcpr_1") if decide else mind.reject("mcpr_1")

    async with (
        serving(*scripts(answers.answer(asks_for_approval(label)), HELLO)) as service,
        trio.open_nursery() as decided,
    ):
        mind = workflow(service, Agent(tools=[docs]), on_event=on_event)
        assert await turn(mind) == "Hello."
        await turn(mind, "And?")
    assert service.asked[0].json["tools"] == [
        {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example", "authorization": "secret-of-docs"}
    ]
    assert service.asked[1].json["input"][1:] == [
        asks_for_approval(label)[0]["item"],
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": approved},
    ]
    assert given(service.asked[2]) == [("user", "Hi."), ("assistant", "Hello."), ("user", "And?")]
    assert len(asked) == (decide is not None)


# --- handoffs ------------------------------------------------------------------------------------------------------------


async def test_a_handoff(serving: Any) -> None:
    told: list[Any] = []
    support = Agent(name="Support", instructions="Mend it.", tools=[broken])
    greeter = Agent(name="Greeter", instructions="Greet.", handoffs=[Handoff(support, on_handoff=told.append)])
    events: list[SessionEvent] = []
    moves = answers.answer(answers.call("transfer_to_support"), answers.call("transfer_to_support"))
    async with serving(*scripts(moves, HELLO)) as service:
        mind = workflow(service, greeter, context="ctx", on_event=events.append)
        assert mind.current_agent is greeter
        assert await turn(mind) == "Hello."
        assert mind.current_agent is support
        await turn(mind, "Thanks.")
    assert told == ["ctx"]
    assert [each.json["instructions"] for each in service.asked] == ["Greet.", "Mend it.", "Mend it."]
    assert [each["name"] for each in service.asked[1].json["tools"]] == ["broken"]
    assert given(service.asked[1])[1:] == [
        ("call", "transfer_to_support"),
        ("output", "Handoff complete. You are now connected to Support."),
        ("call", "transfer_to_support"),
        ("output", "Error: Handoff failed - another handoff is under way"),
    ]
    (move,) = [each for each in events if isinstance(each, HandoffEvent)]
    assert (move.from_agent, move.to_agent) == (greeter, support)
    ends = [type(each) for each in events if isinstance(each, HandoffEvent | ToolEndEvent)]
    assert ends == [ToolEndEvent, HandoffEvent, ToolEndEvent]


async def test_a_handoff_that_fails(serving: Any) -> None:
    def refuse(context: Any) -> None:
        raise ToolError("They are away.")

    greeter = Agent(name="Greeter", handoffs=[Handoff(Agent(name="Support"), on_handoff=refuse)])
    async with serving(*scripts(answers.answer(answers.call("transfer_to_support")), HELLO)) as service:
        mind = workflow(service, greeter)
        await turn(mind)
    assert mind.current_agent is greeter
    assert given(service.asked[1])[-1] == ("output", "Error: Handoff failed - They are away.")


# --- guardrails ------------------------------------------------------------------------------------------------------------


async def test_a_guardrail_that_holds_lets_nothing_out(serving: Any) -> None:
    async def no_prices(text: str) -> str | None:
        return "a price" if "9" in text else None

    agent = Agent(guardrails=[Guardrail(no_prices, hold="sentence")])
    events: list[SessionEvent] = []
    first = answers.answer(answers.message("That is easy. ", "It costs 9. ", "Buy it."))
    async with serving(*scripts(first, HELLO)) as service:
        mind = workflow(service, agent, on_event=events.append)
        said = await turn(mind)
    assert said in ("That is easy. Hello.", "Hello.")
    (trip,) = [each for each in events if isinstance(each, GuardrailTrippedEvent)]
    assert trip.results == ("a price",)
    assert given(service.asked[1])[-1] == ("developer", FEEDBACK.format(name="no_prices"))
    assert "9" not in str(given(service.asked[1]))


async def test_a_trip_ends_the_request(serving: Any) -> None:
    hung_up = trio.Event()

    async def endless(request: Any, said: Any) -> None:
        await said.begin("text/event-stream")
        for event in answers.answer(answers.message("Bad words. ")):
            if not event["type"].endswith(("done", "completed")):
                await said.event(event)
        await said.hung_up.wait()
        hung_up.set()

    agent = Agent(guardrails=[Guardrail(lambda text: "Bad" in text, every=5)])
    async with serving(endless, *scripts(HELLO)) as service:
        assert (await turn(workflow(service, agent))).endswith("Hello.")
        with trio.fail_after(60):
            await hung_up.wait()


@pytest.mark.parametrize(("on_error", "asked"), [("open", 1), ("closed", 2)])
async def test_a_guardrail_that_raises(serving: Any, on_error: Any, asked: int) -> None:
    raised = False

    def check(text: str) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise ValueError("no idea")

    agent = Agent(guardrails=[Guardrail(check, on_error=on_error)])
    async with serving(*scripts(HELLO)) as service:
        await turn(workflow(service, agent))
    assert len(service.asked) == asked


# --- failures ------------------------------------------------------------------------------------------------------------


async def dies(request: Any, said: Any) -> None:
    await said.begin("text/event-stream")
    await said.event(answers.created())
    await said.die()


async def dies_later(request: Any, said: Any) -> None:
    await said.begin("text/event-stream")
    for event in HELLO[:4]:
        await said.event(event)
    await said.die()


async def stops(request: Any, said: Any) -> None:
    await said.events(answers.created())


BROKEN_OFF: list[Callable[..., Any]] = [dies, stops, scripts([answers.created(), answers.failed()])[0]]


@pytest.mark.parametrize("script", BROKEN_OFF)
async def test_an_answer_is_asked_for_again_before_its_first_word(
    serving: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_codex.voice.openai.agent_run.FIRST_DELAY_S", 0.001)
    async with serving(script, script, *scripts(HELLO)) as service:
        mind = workflow(service, Agent())
        assert await turn(mind) == "Hello."
        assert given(service.asked[2]) == [("user", "Hi.")]
        assert [item.text for item in mind.history] == ["Hi.", "Hello."]
    async with serving(script) as service:
        with pytest.raises(VoiceError, match="failed"):
            await turn(workflow(service, Agent()))
    assert len(service.asked) == 3


async def test_what_breaks_after_the_last_event_does_no_harm(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.begin("text/event-stream")
        for event in HELLO:
            await said.event(event)
        await said.die()

    async with serving(script) as service:
        assert await turn(workflow(service, Agent())) == "Hello."


async def test_but_not_after_it(serving: Any) -> None:
    async with serving(dies_later, *scripts(HELLO)) as service:
        mind = workflow(service, Agent())
        said: list[str] = []

        async def send(piece: str) -> None:
            said.append(piece)

        with pytest.raises(VoiceError, match="no whole answer came"):
            await mind.run(Transcript("Hi."), send)
        assert len(service.asked) == 1
        assert await turn(mind, "Again.") == "Hello."
        assert [(item.text, item.status) for item in mind.history][1:2] == [("Hel", "incomplete")]


async def fails_after_three(request: Any, said: Any) -> None:
    await said.begin("text/event-stream")
    for event in [*answers.answer(answers.message("One. ", "Two. ", "Three."))[:6], answers.failed()]:
        await said.event(event)
    await said.hung_up.wait()  # the client keeps no connection with half an answer in it


async def test_what_came_before_a_failure_is_said_by_the_slowest_voice(serving: Any) -> None:
    async with serving(fails_after_three) as service:
        mind = workflow(service, Agent())
        said: list[str] = []

        async def send(piece: str) -> None:
            await service.all_hung_up.wait()  # the request has failed
            said.append(piece)

        with pytest.raises(VoiceError, match="Out of order"):
            await mind.run(Transcript("Hi."), send)
    assert said == ["One. ", "Two. ", "Three."]
    assert [item.text for item in mind.history] == ["Hi.", "One. Two. Three."]


async def test_who_cuts_in_meanwhile_is_told_of_the_failure(serving: Any) -> None:
    async with serving(fails_after_three) as service:
        mind = workflow(service, Agent())
        with pytest.raises(VoiceError, match="Out of order"), trio.CancelScope() as scope:

            async def send(piece: str) -> None:
                await service.all_hung_up.wait()
                scope.cancel()
                await trio.sleep_forever()

            await mind.run(Transcript("Hi."), send)
        mind.on_interrupted("")
        assert mind.history[-1].text_heard == ""


@pytest.mark.parametrize(
    ("status", "code", "times"), [(401, "invalid_api_key", 1), (429, "insufficient_quota", 1), (503, "overloaded", 3)]
)
async def test_refusals(serving: Any, status: int, code: str, times: int) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(status, {"error": {"message": "No.", "code": code}}, "retry-after-ms: 1")

    async with serving(script) as service:
        with pytest.raises(VoiceError, match=r"the agent failed: No\.") as raised:
            await turn(workflow(service, Agent()))
    assert (raised.value.status, raised.value.code, len(service.asked)) == (status, code, times)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_text.delta", "item_id": 7},
        {"type": "response.output_item.done", "item": {"type": "function_call"}},
        {"type": "response.output_item.done", "item": {}},
        {"type": "error", "message": "Out of order.", "code": "nothing_helps"},
        {"type": "response.failed", "response": {"error": "Out of order."}},
        {"error": {"message": "Out of order.", "code": "nothing_helps"}},
    ],
)
async def test_what_is_no_answer(serving: Any, event: dict[str, Any]) -> None:
    async with serving(*scripts([event])) as service:
        with pytest.raises(VoiceError, match="failed: "):
            await turn(workflow(service, Agent()))
    assert len(service.asked) == 1


async def test_what_instructions_and_the_sender_raise_comes_out(serving: Any) -> None:
    error = LookupError("mine")

    def instructions(context: Any) -> str:
        raise error

    async def send(piece: str) -> None:
        raise error

    async with serving(*scripts(HELLO)) as service:
        with pytest.raises(LookupError) as raised:
            await turn(workflow(service, Agent(instructions=instructions)))
        assert raised.value is error
        with pytest.raises(LookupError) as raised:
            await workflow(service, Agent()).run(Transcript("Hi."), send)
        assert raised.value is error


async def test_what_the_listener_to_events_raises_comes_out(serving: Any) -> None:
    def on_event(event: SessionEvent) -> None:
        if event.type == "tool_end":
            raise LookupError("mine")

    async with serving(*scripts(answers.answer(answers.call("weather", '{"city":"Rome"}')), HELLO)) as service:
        with pytest.raises(LookupError, match="mine"):
            await turn(workflow(service, Agent(tools=[weather]), on_event=on_event))


async def test_nobody_said_anything(serving: Any) -> None:
    async with serving(*scripts(HELLO)) as service:
        mind = workflow(service, Agent())
        assert await turn(mind, " ") == ""
        assert (service.asked, mind.history) == ([], ())


async def test_one_turn_at_a_time(serving: Any) -> None:
    async with serving(*scripts(HELLO)) as service:
        mind = workflow(service, Agent())

        async def send(piece: str) -> None:
            with pytest.raises(ConfigurationError, match="one turn of it at a time"):
                await turn(mind)

        await mind.run(Transcript("Hi."), send)


def test_what_an_agent_is() -> None:
    with pytest.raises(ConfigurationError, match="made of an Agent"):
        AgentWorkflow("Ann")  # type: ignore[arg-type]


# --- somebody cuts in --------------------------------------------------------------------------------------------------


async def endless_words(request: Any, said: Any) -> None:
    await said.begin("text/event-stream")
    for event in answers.answer(answers.message("One two three. ", "Four five six."))[:5]:
        await said.event(event)
    await said.hung_up.wait()


async def test_what_was_heard_is_remembered(serving: Any) -> None:
    events: list[SessionEvent] = []
    async with serving(endless_words, *scripts(HELLO)) as service:
        mind = workflow(service, Agent(), on_event=events.append)
        with trio.CancelScope() as scope:

            async def send(piece: str) -> None:
                scope.cancel()

            await mind.run(Transcript("Hi."), send)
        with trio.fail_after(60):
            await service.all_hung_up.wait()
        assert [each.status for each in events if isinstance(each, ResponseDoneEvent)] == ["cancelled"]
        assert events[-1].type == "agent_end"
        mind.on_interrupted("One two")
        await turn(mind, "Stop.")
        assert given(service.asked[1]) == [("user", "Hi."), ("assistant", "One two"), ("user", "Stop.")]
        assert mind.history[1].text_heard == "One two"
        mind.on_interrupted("")
        await turn(mind, "Stop!")
        assert given(service.asked[2])[2:] == [("user", "Stop."), ("user", "Stop!")]


async def test_who_cuts_in_before_the_agent_is_ready_takes_nothing_back(serving: Any) -> None:
    async def instructions(context: Any) -> str:
        if stuck:
            await trio.sleep_forever()
        return "Help."

    stuck = False
    async with serving(*scripts(HELLO)) as service:
        mind = workflow(service, Agent(instructions=instructions))
        await turn(mind, "One.")
        stuck = True
        with trio.move_on_after(0.01):
            await turn(mind, "Two.")
        mind.on_interrupted("")
        stuck = False
        await turn(mind, "Three.")
    assert given(service.asked[1]) == [("user", "One."), ("assistant", "Hello."), ("user", "Two."), ("user", "Three.")]


async def test_what_was_heard_of_two_messages(serving: Any) -> None:
    parts = answers.answer(answers.message("One. "), answers.message("Two."))
    async with serving(*scripts(parts, HELLO)) as service:
        mind = workflow(service, Agent())
        assert await turn(mind) == "One. Two."
        mind.on_interrupted("One. Tw")
        await turn(mind, "Stop.")
    assert given(service.asked[1])[1:3] == [("assistant", "One. "), ("assistant", "Tw")]


@pytest.mark.parametrize(
    ("on_interrupt", "output"), [("continue", "done"), ("cancel", "Error: The call was cancelled before it was done")]
)
async def test_tools_when_somebody_cuts_in(serving: Any, on_interrupt: Any, output: str) -> None:
    begun, goes_on, ended = trio.Event(), trio.Event(), trio.Event()

    @tool(on_interrupt=on_interrupt)
    async def book() -> str:
        """Book it."""
        begun.set()
        await goes_on.wait()
        return "done"

    def on_event(event: SessionEvent) -> None:
        if isinstance(event, ToolEndEvent):
            ended.set()

    calls = answers.answer(answers.call("book"))
    async with serving(*scripts(calls, HELLO)) as service:
        mind = workflow(service, Agent(tools=[book]), on_event=on_event)
        async with mind.open() as run:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(turn, run)
                    await begun.wait()
                    scope.cancel()
            if on_interrupt == "continue":
                await turn(run, "Wait.")
                assert given(service.asked[1])[1:] == [("call", "book"), ("output", STILL_RUNNING), ("user", "Wait.")]
            goes_on.set()
            await ended.wait()
            await turn(run, "And now?")
    assert ("output", output) in given(service.asked[-1])


async def test_what_still_runs_ends_with_the_run(serving: Any) -> None:
    cancelled = trio.Event()
    begun = trio.Event()

    @tool
    async def book() -> None:
        """Book it."""
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with serving(*scripts(answers.answer(answers.call("book")), HELLO)) as service:
        mind = workflow(service, Agent(tools=[book]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn, mind)
            await begun.wait()
            nursery.cancel_scope.cancel()
        assert cancelled.is_set()
        await turn(mind, "And?")
    assert ("output", "Error: The call was cancelled before it was done") in given(service.asked[1])


async def test_cancelled_at_every_step_nothing_is_left(serving: Any) -> None:
    """Cancel after so many scheduler steps, until the turn is through before that; the conversation can always go on."""
    greeter = Agent(tools=[weather], handoffs=[Agent(name="Support")])
    calls = answers.answer(
        answers.message("Wait. "), answers.call("weather", '{"city":"Rome"}'), answers.call("transfer_to_support")
    )
    steps, through = 0, False
    while not through:
        steps += 7
        async with serving(*scripts(calls, HELLO)) as service:
            mind = workflow(service, greeter)
            with trio.CancelScope() as scope:
                trio.lowlevel.add_instrument(counting := Steps(steps, lambda task: scope.cancel()))
                try:
                    await turn(mind)
                    through = True
                finally:
                    trio.lowlevel.remove_instrument(counting)
            if service.connections:
                with trio.fail_after(60):
                    await service.all_hung_up.wait()
            calls_made = {item.call_id for item in mind.history if item.type == "function_call"}
            outputs = [item.call_id for item in mind.history if item.type == "function_call_output"]
            assert sorted(outputs, key=str) == sorted(calls_made, key=str)
            service.scripts = tuple(scripts(HELLO))
            assert await turn(mind, "Again.") == "Hello."
