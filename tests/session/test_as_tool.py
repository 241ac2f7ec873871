"""An agent as another agent's tool: it answers beside the conversation, with its own tools, and the caller reads its words."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_codex import Agent, Guardrail, ToolContext, tool
from trio_codex.events import HistoryAddedEvent, ToolApprovalRequiredEvent, ToolEndEvent
from trio_codex.protocol import (
    ConversationItemCreate,
    FunctionCallOutput,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
    unstructure,
)
from trio_codex.testing import Call, Line, answer, scripted_session

CLOCK = "virtual"


@tool
async def get_time(city: str, call: ToolContext) -> str:
    """Tell the time."""
    return f"noon in {city} for {call.context} ({call.agent.name})"


clerk = Agent(name="Clerk", instructions="You are a clerk.")
expert = Agent(
    name="Time Expert",
    instructions=lambda context: f"You know the time, {context}.",
    tools=[get_time],
    handoffs=[clerk],
    handoff_description="It knows the time.",
)


def boss(agent: Agent = expert, **settings: Any) -> Agent:
    return Agent(name="Boss", tools=[agent.as_tool(**settings)])


async def beside(line: Line) -> tuple[ResponseCreate, ResponseParams]:
    create = await line.expect(ResponseCreate)
    assert create.response is not None
    assert create.response.conversation == "none"
    return create, create.response


def said(params: ResponseParams) -> list[Any]:
    """The items that the agent is to read, in short."""
    items = [unstructure(item) for item in params.input or ()]
    return [item.get("output") or item.get("name") or item["content"][0]["text"] for item in items]


async def output(line: Line) -> str:
    item = (await line.expect(ConversationItemCreate)).item
    assert isinstance(item, FunctionCallOutput)
    assert item.call_id == "call_1"
    return item.output


async def test_the_agent_answers_beside_the_conversation() -> None:
    async with scripted_session(boss(), context="me") as (session, line):
        with session.subscribe([HistoryAddedEvent, ToolEndEvent]) as stream:
            await answer(line, calls=[Call("call_1", "time_expert", '{"input": "What time is it in Rome?"}')])
            create, params = await beside(line)
            assert params.instructions == "You know the time, me."
            assert said(params) == ["What time is it in Rome?"]
            assert [unstructure(each)["name"] for each in params.tools or ()] == ["get_time", "transfer_to_clerk"]
            assert list(params.output_modalities or ()) == ["text"]
            await answer(line, create, words="It is noon.")
            assert await output(line) == "It is noon."
            await line.expect(ResponseCreate)
            await session.aclose()
            kinds = [(event.type, getattr(event, "output", "")) async for event in stream]
            assert kinds == [("history_added", ""), ("tool_end", "It is noon.")]
        assert session.current_agent.name == "Boss"


async def test_it_has_its_own_tools() -> None:
    async with scripted_session(boss(), context="me") as (_, line):
        await answer(line, calls=[Call("call_1", "time_expert", '{"input": "Well?"}')])
        create, _ = await beside(line)
        calls = [Call("call_2", "get_time", '{"city": "Rome"}'), Call("call_3", "nothing")]
        await answer(line, create, calls=calls)
        create, params = await beside(line)
        noon = "noon in Rome for me (Time Expert)"
        assert said(params) == ["Well?", "get_time", "nothing", noon, "Error: Unknown tool nothing"]
        await answer(line, create, words="Noon.")
        assert await output(line) == "Noon."


async def test_it_may_hand_over() -> None:
    async with scripted_session(boss(), context="me") as (session, line):
        await answer(line, calls=[Call("call_1", "time_expert", '{"input": "Well?"}')])
        create, _ = await beside(line)
        await answer(line, create, calls=[Call(f"call_{n}", "transfer_to_clerk") for n in (2, 3)])
        create, params = await beside(line)
        assert params.instructions == "You are a clerk."
        assert said(params)[-2:] == [
            "Handoff complete. You are now connected to Clerk.",
            "Error: Handoff failed - another handoff is under way",
        ]
        await answer(line, create, words="Clerk here.")
        assert await output(line) == "Clerk here."
        assert session.current_agent.name == "Boss"


async def test_its_guardrails_check_its_answer() -> None:
    for words, text in (
        ("all good", "all good"),
        ("all bad", "Error: the answer of Clerk was stopped by the guardrail b"),
    ):

        def b(text: str) -> bool:
            return "bad" in text

        async with scripted_session(boss(clerk.replace(guardrails=[Guardrail(b)]))) as (_, line):
            await answer(line, calls=[Call("call_1", "clerk", '{"input": "Well?"}')])
            create, _ = await beside(line)
            await answer(line, create, words=words)
            assert await output(line) == text


@pytest.mark.parametrize(("on_error", "text"), [("open", "Hm."), ("closed", "was stopped by the guardrail broken")])
async def test_a_guardrail_that_raises(on_error: Any, text: str) -> None:
    def broken(text: str) -> bool:
        raise ValueError

    async with scripted_session(boss(clerk.replace(guardrails=[Guardrail(broken, on_error=on_error)]))) as (_, line):
        await answer(line, calls=[Call("call_1", "clerk", '{"input": "Well?"}')])
        create, _ = await beside(line)
        await answer(line, create, words="Hm.")
        assert text in await output(line)


async def test_a_failed_answer_is_an_error_for_the_model() -> None:
    async with scripted_session(boss(clerk)) as (_, line):
        await answer(line, calls=[Call("call_1", "clerk", '{"input": "Well?"}')])
        create, _ = await beside(line)
        error = {"type": "server_error", "code": "oops", "message": "It broke."}
        await answer(line, create, status="failed", details={"type": "failed", "error": error})
        assert await output(line) == "Error: It broke."


async def test_a_cancelled_answer_is_told_as_such() -> None:
    async with scripted_session(boss(clerk)) as (_, line):
        await answer(line, calls=[Call("call_1", "clerk", '{"input": "Well?"}')])
        create, _ = await beside(line)
        await answer(line, create, words="I was", status="cancelled")
        assert await output(line) == "Error: The call was cancelled before it was done"


async def test_an_agent_that_comes_to_no_end_is_stopped() -> None:
    async with scripted_session(boss(), context="me") as (_, line):
        await answer(line, calls=[Call("call_1", "time_expert", '{"input": "Well?"}')])
        for number in range(10):
            create, _ = await beside(line)
            await answer(line, create, calls=[Call(f"call_9{number}", "get_time", '{"city": "Rome"}')])
        assert await output(line) == "Error: Time Expert came to no end within 10 rounds of calls"


async def test_a_time_limit_cancels_its_answer() -> None:
    async with scripted_session(boss(clerk, timeout=2.0)) as (_, line):
        await answer(line, calls=[Call("call_1", "clerk", '{"input": "Well?"}')])
        create, _ = await beside(line)
        response = {"id": "resp_9", "status": "in_progress", "conversation_id": None}
        assert create.response is not None
        await line.say("response.created", response={**response, "metadata": create.response.metadata})
        await trio.sleep(3)
        assert (await line.expect(ResponseCancel)).response_id == "resp_9"
        assert await output(line) == "Error: The tool took longer than 2 s and was stopped"


async def test_speech_goes_on_while_it_answers() -> None:
    async with scripted_session(boss(clerk)) as (session, line):
        await answer(line, calls=[Call("call_1", "clerk", '{"input": "Well?"}')])
        create, _ = await beside(line)
        await session.send_message("Are you there?")
        await line.expect(ConversationItemCreate)
        spoken = await line.expect(ResponseCreate)
        await answer(line, spoken, words="Yes.", audio=b"\1\1")
        await answer(line, create, words="Noon.")
        assert await output(line) == "Noon."
        await line.expect(ResponseCreate)


async def test_its_tools_may_need_approval() -> None:
    @tool(needs_approval=True)
    async def pay(euros: int) -> str:
        """Pay."""
        return f"paid {euros}"

    async with scripted_session(boss(clerk.replace(tools=[pay]))) as (session, line):
        with session.subscribe([ToolApprovalRequiredEvent]) as stream:
            await answer(line, calls=[Call("call_1", "clerk", '{"input": "Pay."}')])
            create, _ = await beside(line)
            await answer(line, create, calls=[Call("call_2", "pay", '{"euros": 5}')])
            event = await anext(stream)
            assert event.agent.name == "Clerk"
            await session.approve(event.call_id)
            create, params = await beside(line)
            assert said(params)[-1] == "paid 5"
            await answer(line, create, words="Paid.")
            assert await output(line) == "Paid."


async def test_agents_may_ask_agents_in_turn() -> None:
    inner = boss(Agent(name="Middle", instructions="middle", tools=[clerk.as_tool()]))
    async with scripted_session(inner) as (_, line):
        await answer(line, calls=[Call("call_1", "middle", '{"input": "one"}')])
        create, _ = await beside(line)
        await answer(line, create, calls=[Call("call_2", "clerk", '{"input": "two"}')])
        create, params = await beside(line)
        assert (params.instructions, said(params)) == ("You are a clerk.", ["two"])
        await answer(line, create, words="three")
        create, params = await beside(line)
        assert said(params)[-1] == "three"
        await answer(line, create, words="four")
        assert await output(line) == "four"


async def test_a_tool_of_the_users_own_may_ask_an_agent() -> None:
    @tool
    async def twice(call: ToolContext) -> list[str]:
        """Ask twice."""
        return [await call.delegate(clerk, text) for text in ("one", "two")]

    async with scripted_session(Agent(tools=[twice])) as (_, line):
        await answer(line, calls=[Call("call_1", "twice")])
        for words in ("uno", "due"):
            create, _ = await beside(line)
            await answer(line, create, words=words)
        assert await output(line) == '["uno","due"]'
