"""Tools of MCP servers that the API calls: what of it a session tells, approves and asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
import trio

from trio_codex import Agent, Session, open_realtime_session, tool
from trio_codex.errors import ConfigurationError, LocalProtocolError
from trio_codex.events import (
    ErrorEvent,
    HistoryUpdatedEvent,
    RawModelEvent,
    SessionEvent,
    ToolApprovalRequiredEvent,
    ToolEndEvent,
    ToolStartEvent,
)
from trio_codex.hosted import HostedMcp, HostedTool
from trio_codex.protocol import (
    ConversationItemCreate,
    FunctionCallOutput,
    McpApprovalResponse,
    ResponseCreate,
    SessionUpdate,
    encode_client_event,
)
from trio_codex.secret import Secret
from trio_codex.session.streams import EventStream
from trio_codex.testing import Call, Line, answer, scripted, scripted_session
from trio_codex.tools import APPROVAL_TIMED_OUT, CANCELLED, REJECTED

CLOCK = "virtual"

DOCS = HostedMcp(server_label="docs", server_url="https://docs.example.com/mcp")
SEARCH = HostedTool("search", "docs")
ARGUMENTS = '{"query":"reset"}'


@attrs.define
class Api:
    """What the API says of hosted calls, in its order."""

    line: Line
    response_id: str = "resp_1"

    async def list_tools(self) -> None:
        await self.line.say("mcp_list_tools.in_progress", item_id="mcpl_1")
        found = {"name": "search", "description": "Search the manuals.", "input_schema": {"type": "object"}}
        item = {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "docs", "tools": [found]}
        await self.line.say("conversation.item.added", item={**item, "tools": []})
        await self.line.say("conversation.item.done", item=item)
        await self.line.say("mcp_list_tools.completed", item_id="mcpl_1")

    async def begin(self) -> None:
        response = {"id": self.response_id, "status": "in_progress", "conversation_id": "conv"}
        await self.line.say("response.created", response=response)

    async def done(self, status: str = "completed", **details: Any) -> None:
        response = {"id": self.response_id, "status": status, "conversation_id": "conv", "output": [], **details}
        await self.line.say("response.done", response=response)

    async def tell(self, end: str, item: dict[str, Any]) -> None:
        await self.line.say(f"response.output_item.{end}", response_id=self.response_id, output_index=0, item=item)
        await self.line.say(f"conversation.item.{end}", item=item)

    async def call(self, item_id: str = "mcp_1", **fields: Any) -> dict[str, Any]:
        """The model calls; gives the item."""
        item = {"id": item_id, "type": "mcp_call", "server_label": "docs", "name": "search", "arguments": "", **fields}
        await self.tell("added", item)
        where = {"response_id": self.response_id, "output_index": 0, "item_id": item_id}
        await self.line.say("response.mcp_call_arguments.delta", **where, delta=ARGUMENTS)
        await self.line.say("response.mcp_call_arguments.done", **where, arguments=ARGUMENTS)
        return {**item, "arguments": ARGUMENTS}

    async def ask(self, request_id: str = "mcpr_1") -> None:
        """The API asks for approval."""
        item = {"id": request_id, "type": "mcp_approval_request", "server_label": "docs", "name": "search"}
        await self.tell("added", {**item, "arguments": ""})
        await self.tell("done", {**item, "arguments": ARGUMENTS})

    async def progress(self, *, to: str, item_id: str = "mcp_1") -> None:
        await self.line.say(f"response.mcp_call.{to}", item_id=item_id, output_index=0)


@contextmanager
def told(session: Session, *more: type[SessionEvent]) -> Iterator[EventStream]:
    with session.subscribe([ToolStartEvent, ToolEndEvent, ToolApprovalRequiredEvent, ErrorEvent, *more]) as stream:
        yield stream


async def approval(line: Line, *, within: float = 60) -> McpApprovalResponse:
    item = (await line.expect(ConversationItemCreate, within=within)).item
    assert isinstance(item, McpApprovalResponse)
    return item


def ended(agent: Agent, output: str, call_id: str = "mcp_1", hosted: HostedTool = SEARCH) -> ToolEndEvent:
    return ToolEndEvent(agent, hosted, "search", call_id, ARGUMENTS, output)


# --- the server is told -------------------------------------------------------------------------------------------------


async def test_the_api_is_given_the_server_and_nobody_else_its_keys() -> None:
    hosted = HostedMcp(
        server_label="calendar",
        connector_id="connector_googlecalendar",
        authorization="ya29.private",
        headers={"X-Tenant": "tenant-private", "X-Key": Secret("key-private")},
        allowed_tools=["search", "read"],
        require_approval={"never": {"tool_names": ["search"]}},
        server_description="My calendar.",
    )
    async with scripted(acknowledge=False) as peer, trio.open_nursery() as nursery:

        async def connect() -> None:
            async with open_realtime_session(Agent(tools=[hosted]), transport=peer, api_key="sk-test"):
                pass

        nursery.start_soon(connect)
        update = await peer.line.expect(SessionUpdate)
        assert "private" not in f"{hosted!r} {update!r} {Agent(tools=[hosted])!r}"
        assert json.loads(encode_client_event(update))["session"]["tools"] == [
            {
                "type": "mcp",
                "server_label": "calendar",
                "connector_id": "connector_googlecalendar",
                "server_description": "My calendar.",
                "authorization": "ya29.private",
                "headers": {"X-Tenant": "tenant-private", "X-Key": "key-private"},
                "allowed_tools": ["search", "read"],
                "require_approval": {"never": {"tool_names": ["search"]}},
            }
        ]
        await peer.line.acknowledge(update)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"server_label": "no blanks", "server_url": "https://a"}, "server_label: 'no blanks' is not"),
        ({"server_label": "a"}, "give one of server_url, connector_id and tunnel_id"),
        ({"server_label": "a", "server_url": "https://a", "connector_id": "c"}, "give one of"),
        ({"server_label": "a", "server_url": "a.com"}, "must begin with https://"),
        ({"server_label": "a", "server_url": "https://a", "require_approval": "maybe"}, "require_approval must be"),
        ({"server_label": "a", "server_url": "https://a", "approval_default": "maybe"}, "approval_default must be"),
        ({"server_label": "a", "server_url": "https://a", "approval_timeout": 0}, "must be seconds above 0 or None"),
        ({"server_label": "a", "server_url": "https://a", "allowed_tools": "search"}, "names of tools in a list"),
        ({"server_label": "a", "server_url": "https://a", "headers": {"K": 1}}, "'K' must be a text"),
        ({"server_label": "a", "server_url": "https://a", "is_enabled": "yes"}, "must be callable"),
    ],
)
def test_a_server_that_cannot_be_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        HostedMcp(**settings)


def test_two_servers_of_one_label_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than one tool or handoff named docs"):
        Agent(tools=[DOCS, HostedMcp(server_label="docs", tunnel_id="t")])


async def test_a_server_that_is_not_enabled_is_not_told() -> None:
    async def never(context: Any) -> bool:
        return context is not None

    async with scripted_session(Agent(tools=[attrs.evolve(DOCS, is_enabled=never)])) as (_, line):
        assert line.settings["tools"] == []


async def test_lists_of_tools_stand_in_the_history_and_their_failure_is_an_error() -> None:
    async with scripted_session(Agent(tools=[DOCS])) as (session, line):
        with told(session, HistoryUpdatedEvent, RawModelEvent) as events:
            await Api(line).list_tools()
            async for event in events:
                if isinstance(event, HistoryUpdatedEvent):
                    assert [item.type for item in event.history] == ["mcp_list_tools"]
                    break
            await line.say("mcp_list_tools.failed", item_id="mcpl_2")
            async for event in events:
                if isinstance(event, ErrorEvent):
                    assert (event.error.type, "mcpl_2" in event.error.message) == ("mcp_list_tools_failed", True)
                    break


# --- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["while the response runs", "after the response"])
async def test_a_call_begins_and_ends_and_then_an_answer_is_asked_for(when: str) -> None:
    agent, search = Agent(tools=[DOCS]), HostedTool("search", "docs", "Search the manuals.")
    async with scripted_session(agent) as (session, line):
        api = Api(line)
        await api.list_tools()
        with told(session) as events:
            await api.begin()
            item = await api.call()
            assert await anext(events) == ToolStartEvent(agent, search, "search", "mcp_1", ARGUMENTS)
            if when == "after the response":
                await api.tell("done", item)
                await api.done(output=[item])
            await api.progress(to="in_progress")
            await line.expect_nothing(10)
            await api.progress(to="completed")
            over = {**item, "output": "Hold the button."}
            if when == "after the response":
                await line.say("conversation.item.done", item=over)
            else:
                await api.tell("done", over)
                await api.done(output=[over])
            assert await anext(events) == ended(agent, "Hold the button.", hosted=search)
            await answer(line, await line.expect(ResponseCreate), "Hold it.")
            await line.expect_nothing(30)
        call = session.history[1]
        assert (call.type, call.name, call.arguments, call.output) == (
            "mcp_call",
            "search",
            ARGUMENTS,
            "Hold the button.",
        )


async def test_ask_gives_what_is_said_after_the_call() -> None:
    async with scripted_session(Agent(tools=[DOCS])) as (session, line), trio.open_nursery() as nursery:

        async def script() -> None:
            await line.expect(ConversationItemCreate)
            create = await line.expect(ResponseCreate)
            api = Api(line)
            await line.say("response.created", response={"id": "resp_1", "metadata": create.response.metadata})
            item = await api.call()
            await api.done(output=[item])
            await api.progress(to="completed")
            await line.say("conversation.item.done", item={**item, "output": "42"})
            await answer(line, await line.expect(ResponseCreate), "It is 42.")

        nursery.start_soon(script)
        assert (await session.ask("What is it?")).transcript == "It is 42."


@pytest.mark.parametrize(
    ("error", "output"),
    [
        ({"type": "tool_execution_error", "message": "no such page"}, "Error: no such page"),
        ({"type": "http_error", "code": 502, "message": "bad gateway"}, "Error: bad gateway"),
        ({"type": "another_error", "message": "odd"}, "Error: odd"),
    ],
)
async def test_a_call_that_fails_ends_with_the_reason_and_an_answer(error: dict[str, Any], output: str) -> None:
    agent = Agent(tools=[DOCS])
    async with scripted_session(agent) as (session, line):
        with told(session) as events:
            api = Api(line)
            await api.begin()
            item = await api.call()
            await api.done()
            await api.progress(to="failed")
            await line.expect(ResponseCreate)
            await line.say("conversation.item.done", item={**item, "error": error})
            assert isinstance(await anext(events), ToolStartEvent)
            assert await anext(events) == ended(agent, output)


async def test_a_call_whose_output_nobody_tells_ends_with_the_next_answer() -> None:
    agent = Agent(tools=[DOCS])
    async with scripted_session(agent) as (session, line):
        with told(session) as events:
            api = Api(line)
            await api.begin()
            await api.call()
            await api.done()
            await api.progress(to="completed")
            await answer(line, await line.expect(ResponseCreate), "Here you are.")
            assert isinstance(await anext(events), ToolStartEvent)
            assert await anext(events) == ended(agent, "")


async def test_one_answer_for_all_calls_of_a_response_wherever_they_run() -> None:
    @tool
    async def nap() -> str:
        """Sleep a little."""
        await trio.sleep(20)
        return "rested"

    async with scripted_session(Agent(tools=[DOCS, nap])) as (_, line):
        api = Api(line)
        await api.begin()
        items = [await api.call("mcp_1"), await api.call("mcp_2")]
        here = {
            "id": "f",
            "type": "function_call",
            "call_id": "c",
            "name": "nap",
            "arguments": "{}",
            "status": "completed",
        }
        await api.tell("done", here)
        await api.done(output=[*items, here])
        for item in items:
            await api.progress(to="completed", item_id=item["id"])
            await line.say("conversation.item.done", item={**item, "output": "found"})
        assert isinstance((await line.expect(ConversationItemCreate)).item, FunctionCallOutput)
        await answer(line, await line.expect(ResponseCreate), "All done.")
        await line.expect_nothing(30)


async def test_without_respond_no_answer_is_asked_for() -> None:
    async with scripted_session(Agent(tools=[attrs.evolve(DOCS, respond=False)])) as (_, line):
        api = Api(line)
        await api.begin()
        item = await api.call()
        await api.done()
        await line.say("conversation.item.done", item={**item, "output": "noted"})
        await line.expect_nothing(30)


async def test_a_call_that_is_told_again_is_one_call() -> None:
    async with scripted_session(Agent(tools=[DOCS])) as (session, line):
        with told(session) as events:
            api = Api(line)
            await api.begin()
            over = {**await api.call(), "output": "found"}
            for _ in range(2):
                await api.tell("done", over)
                await api.progress(to="completed")
            await api.done(output=[over])
            await line.expect(ResponseCreate)
            await line.expect_nothing(30)
            await session.aclose()
            assert [event.type async for event in events] == ["tool_start", "tool_end"]


async def test_a_call_that_is_broken_off_is_over_and_nothing_follows() -> None:
    agent = Agent(tools=[DOCS])
    async with scripted_session(agent) as (session, line):
        with told(session) as events:
            api = Api(line)
            await api.begin()
            await api.call()
            details = {"type": "cancelled", "reason": "turn_detected"}
            await api.done("cancelled", status_details=details)
            assert isinstance(await anext(events), ToolStartEvent)
            assert await anext(events) == ended(agent, CANCELLED)
            await line.expect_nothing(30)


async def test_calls_of_the_past_and_beside_the_conversation_are_not_ours_to_answer() -> None:
    past = {
        "id": "mcp_0",
        "type": "mcp_call",
        "server_label": "docs",
        "name": "search",
        "arguments": "{}",
        "output": "old",
    }
    async with scripted_session(Agent(tools=[DOCS]), history=[past]) as (session, line):
        with told(session) as events:
            assert (await line.expect(ConversationItemCreate)).item.id == "mcp_0"
            await line.say("conversation.item.added", item=past)
            await line.say("conversation.item.done", item=past)
            await session.respond(conversation="none")
            create = await line.expect(ResponseCreate)
            response = {"id": "resp_1", "conversation_id": None, "metadata": create.response.metadata}
            await line.say("response.created", response=response)
            api = Api(line)
            item = {"id": "mcp_1", "type": "mcp_call", "server_label": "docs", "name": "search", "arguments": ARGUMENTS}
            where = {"response_id": "resp_1", "output_index": 0}
            await line.say("response.output_item.done", **where, item={**item, "output": "found"})
            await api.progress(to="completed")
            await line.say("response.done", response={**response, "status": "completed", "output": []})
            await line.expect_nothing(30)
            await session.aclose()
            assert [event async for event in events] == []


async def test_a_function_named_like_the_server_is_unknown() -> None:
    async with scripted_session(Agent(tools=[DOCS])) as (_, line):
        await answer(line, calls=[Call("c", "docs")])
        assert (await line.expect(ConversationItemCreate)).item.output == "Error: Unknown tool docs"


# --- approval ----------------------------------------------------------------------------------------------------------


async def asking(line: Line, api: Api) -> dict[str, Any]:
    """A response that ends with a call which waits for approval."""
    await api.begin()
    item = await api.call()
    await api.ask()
    await api.done()
    return item


async def test_an_approved_call_goes_on() -> None:
    agent = Agent(tools=[DOCS])
    async with scripted_session(agent) as (session, line):
        api = Api(line)
        with told(session) as events:
            item = await asking(line, api)
            assert isinstance(await anext(events), ToolStartEvent)
            asked = await anext(events)
            assert asked == ToolApprovalRequiredEvent(agent, SEARCH, "mcp_1", ARGUMENTS)
            await session.approve(asked.call_id)
            said = await approval(line)
            assert (said.approval_request_id, said.approve, said.reason) == ("mcpr_1", True, None)
            with pytest.raises(LocalProtocolError, match="waits for approval"):
                await session.approve(asked.call_id)
            await api.progress(to="in_progress")
            await line.expect_nothing(30)
            await api.progress(to="completed")
            await line.expect(ResponseCreate)
            await line.say("conversation.item.done", item={**item, "approval_request_id": "mcpr_1", "output": "found"})
            assert await anext(events) == ended(agent, "found")


@pytest.mark.parametrize("message", [None, "Ask me tomorrow."])
async def test_a_rejected_call_is_over_and_answered(message: str | None) -> None:
    agent = Agent(tools=[DOCS])
    async with scripted_session(agent) as (session, line):
        api = Api(line)
        with told(session) as events:
            item = await asking(line, api)
            await session.reject("mcpr_1", message)
            said = await approval(line)
            assert (said.approval_request_id, said.approve, said.reason) == ("mcpr_1", False, message)
            await line.expect(ResponseCreate)
            await line.say("conversation.item.done", item={**item, "approval_request_id": "mcpr_1"})
            await session.aclose()
            *_, last = [event async for event in events]
            assert last == ended(agent, message or REJECTED)


@pytest.mark.parametrize("default", ["reject", "approve"])
async def test_the_deadline_decides(default: Any) -> None:
    agent = Agent(tools=[attrs.evolve(DOCS, approval_timeout=5.0, approval_default=default)])
    async with scripted_session(agent) as (session, line):
        with told(session) as events:
            await asking(line, Api(line))
            await line.expect_nothing(4.9)
            said = await approval(line, within=0.2)
            assert said.approve is (default == "approve")
            with pytest.raises(LocalProtocolError):
                await session.approve("mcp_1")
            if default == "reject":
                assert said.reason == "Nobody approved the call in time"
                await line.expect(ResponseCreate)
                await session.aclose()
                *_, last = [event async for event in events]
                assert last == ended(agent, APPROVAL_TIMED_OUT)


async def test_without_a_deadline_an_approval_waits() -> None:
    async with scripted_session(Agent(tools=[attrs.evolve(DOCS, approval_timeout=None)])) as (session, line):
        await asking(line, Api(line))
        await line.expect_nothing(100)
        await session.approve("mcp_1")
        assert (await approval(line)).approve


async def test_a_call_that_is_told_only_once_it_is_approved() -> None:
    agent = Agent(tools=[DOCS])
    async with scripted_session(agent) as (session, line):
        with told(session) as events:
            api = Api(line)
            await api.begin()
            await api.ask()
            await api.done()
            assert isinstance(await anext(events), ToolStartEvent)
            assert (await anext(events)).call_id == "mcpr_1"
            await session.approve("mcpr_1")
            assert (await approval(line)).approve
            create = await line.expect(ResponseCreate)
            api.response_id = "resp_2"
            await line.say("response.created", response={"id": "resp_2", "metadata": create.response.metadata})
            item = await api.call(approval_request_id="mcpr_1")
            await api.done(output=[item])
            await line.expect_nothing(30)
            await api.progress(to="completed")
            await line.say("conversation.item.done", item={**item, "output": "found"})
            await answer(line, await line.expect(ResponseCreate), "Found it.")
            await line.expect_nothing(30)
            assert await anext(events) == ended(agent, "found", "mcpr_1")
