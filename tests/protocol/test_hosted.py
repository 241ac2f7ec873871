"""Calls that the API makes by itself: told in any order and more than once, each begins once, ends once, and one answer follows."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from tests.protocol.driver import Driver, get_weather
from trio_codex.agent import Agent
from trio_codex.events import ErrorEvent, ToolApprovalRequiredEvent, ToolEndEvent, ToolStartEvent
from trio_codex.hosted import HostedMcp, HostedTool
from trio_codex.protocol import StartTimer

SHOP = HostedMcp(server_label="shop", server_url="https://shop.example/mcp")
clerk = Agent(name="Clerk", tools=[SHOP, get_weather])

Frame = tuple[str, dict[str, Any]]


def item(call_id: str, **fields: Any) -> dict[str, Any]:
    plain = {"id": call_id, "type": "mcp_call", "server_label": "shop", "name": "price", "arguments": ""}
    return plain | fields


def telling(call_id: str, output: str = "42") -> list[Frame]:
    """Everything that a server tells of one call, in its usual order."""
    place = {"item_id": call_id, "output_index": 0}
    whole = item(call_id, arguments='{"of":"tea"}', output=output)
    return [
        ("response.output_item.added", {"response_id": "r1", "output_index": 0, "item": item(call_id)}),
        ("conversation.item.added", {"item": item(call_id), "previous_item_id": None}),
        ("response.mcp_call_arguments.done", {"response_id": "r1", "arguments": '{"of":"tea"}', **place}),
        ("response.mcp_call.in_progress", place),
        ("response.mcp_call.completed", place),
        ("response.output_item.done", {"response_id": "r1", "output_index": 0, "item": whole}),
        ("conversation.item.done", {"item": whole, "previous_item_id": None}),
    ]


def calling() -> Driver:
    """A response runs in which the API calls."""
    return Driver(agent=clerk).answering("r1")


def tell(driver: Driver, *frames: Frame) -> None:
    for type_, fields in frames:
        driver.server(type_, **json.loads(json.dumps(fields)))


def starts_and_ends(driver: Driver) -> list[tuple[str, str, str]]:
    return [
        (type(event).__name__[4:-5], event.call_id, getattr(event, "output", ""))
        for event in driver.log.events
        if isinstance(event, ToolStartEvent | ToolEndEvent)
    ]


def quiet_after_one_answer(driver: Driver) -> None:
    """One answer has been asked for; when it is done nothing is owed and nothing is kept."""
    assert driver.creates == 2
    driver.created("r2")
    driver.done("r2")
    assert driver.creates == 2
    conversation = driver.conversation
    assert not conversation._hosted._calls
    assert not conversation._calls._batches
    assert not conversation._answers._running


@given(st.data())
def test_in_any_order_and_more_than_once(data: st.DataObject) -> None:
    frames = telling("m1", "one") + telling("m2", "two")
    again = data.draw(st.lists(st.sampled_from(frames), max_size=4))
    driver = calling()
    tell(driver, *data.draw(st.permutations(frames + again)))
    assert driver.creates == 1
    driver.done("r1")
    told = starts_and_ends(driver)
    assert Counter(told) == Counter(
        [("Start", "m1", ""), ("End", "m1", "one"), ("Start", "m2", ""), ("End", "m2", "two")]
    )
    for call_id in ("m1", "m2"):
        assert [what for what, whose, _ in told if whose == call_id] == ["Start", "End"]
    assert "function_call_output" not in str(driver.log.sent)
    quiet_after_one_answer(driver)


@pytest.mark.parametrize("told", range(1, 8))
def test_however_much_was_told_before_the_response_was_done(told: int) -> None:
    """The rest comes late; a call that had begun ends with what is told of it."""
    driver = calling()
    frames = telling("m1")
    tell(driver, *frames[:told])
    driver.done("r1")
    tell(driver, *frames[told:])
    assert starts_and_ends(driver) == [("Start", "m1", ""), ("End", "m1", "42")]
    quiet_after_one_answer(driver)


def test_calls_that_only_the_end_of_the_response_tells() -> None:
    driver = calling()
    driver.done("r1", output=[item("m1", arguments="{}", output="42")])
    assert starts_and_ends(driver) == [("Start", "m1", ""), ("End", "m1", "42")]
    quiet_after_one_answer(driver)


def test_one_answer_for_calls_here_and_there() -> None:
    for order in itertools.permutations(["hosted", "here", "done"]):
        driver = calling()
        driver.called("r1", "c1", "get_weather")
        tell(driver, *telling("m1")[:4])
        for what in order:
            if what == "hosted":
                tell(driver, *telling("m1")[4:])
            elif what == "here":
                driver.tool_ended("c1")
            else:
                driver.done("r1")
        quiet_after_one_answer(driver)


def test_a_call_of_an_answer_that_was_broken_off_is_over_and_nothing_follows() -> None:
    driver = calling()
    tell(driver, *telling("m1")[:4], *telling("m2")[:4])
    reason = {"type": "cancelled", "reason": "turn_detected"}
    driver.done("r1", "cancelled", status_details=reason, output=[item("m3", output="42")])
    over = "Error: The call was cancelled before it was done"
    assert starts_and_ends(driver)[2:] == [("End", "m1", over), ("End", "m2", over)]
    assert driver.creates == 1
    tell(driver, *telling("m1")[4:])
    assert len(starts_and_ends(driver)) == 4


def test_an_output_that_nobody_tells_is_empty_when_the_next_answer_is_over() -> None:
    driver = calling()
    tell(driver, *telling("m1")[:5])
    driver.done("r1")
    driver.created("r2")
    assert [what for what, *_ in starts_and_ends(driver)] == ["Start"]
    driver.done("r2")
    assert starts_and_ends(driver)[-1] == ("End", "m1", "")


@pytest.mark.parametrize(
    ("error", "output"),
    [
        ({"type": "http_error", "code": 500, "message": "no tea"}, "Error: no tea"),
        ({"type": "strange", "message": "no tea"}, "Error: no tea"),
        ({"type": "strange"}, "Error: the call failed"),
    ],
)
def test_a_call_that_failed_ends_with_the_reason(error: dict[str, Any], output: str) -> None:
    driver = calling()
    tell(driver, *telling("m1")[:4])
    whole = item("m1", arguments="{}", error=error)
    tell(driver, ("response.output_item.done", {"response_id": "r1", "output_index": 0, "item": whole}))
    assert starts_and_ends(driver)[-1] == ("End", "m1", output)


@pytest.mark.parametrize("first", [0, 1], ids=["told by its response", "announced"])
@pytest.mark.parametrize("second", [2, 3, 4, 5])
def test_a_call_begins_when_its_arguments_are_whole(first: int, second: int) -> None:
    """Or when the API is at it, whatever it has told."""
    driver, frames = calling(), telling("m1")
    tell(driver, frames[first])
    assert starts_and_ends(driver) == []
    tell(driver, frames[second])
    begun = driver.log.only(ToolStartEvent)
    assert (begun.agent, begun.name, begun.call_id) == (clerk, "price", "m1")
    assert begun.arguments == ('{"of":"tea"}' if second in (2, 5) else "")
    tell(driver, *frames[2:5])
    bare = {"response_id": "r1", "output_index": 0, "item": item("m1", output="42")}
    tell(driver, ("response.output_item.done", bare))
    assert driver.log.only(ToolEndEvent).arguments == '{"of":"tea"}'


def test_calls_of_an_answer_beside_the_conversation_are_told_to_nobody() -> None:
    driver = calling()
    driver.created("beside", ours=False, conversation=None)
    for type_, fields in telling("m1")[:3] + telling("m1")[5:6]:
        mine = {"response_id": "beside"} if "response_id" in fields else {}
        tell(driver, (type_, fields | mine))
    driver.done("beside", conversation_id=None, output=[telling("m1")[5][1]["item"]])
    assert starts_and_ends(driver) == []
    assert driver.creates == 1


def test_a_finished_item_begins_a_call_whoever_tells_it() -> None:
    bare = {"response_id": "r1", "output_index": 0, "item": item("m1")}
    for type_, fields in [
        ("conversation.item.done", {"item": item("m1"), "previous_item_id": None}),
        ("response.output_item.done", bare),
        ("response.done", {"response": {"id": "r1", "status": "completed", "output": [item("m1")]}}),
    ]:
        driver = calling()
        tell(driver, telling("m1")[0], telling("m1")[1])
        assert starts_and_ends(driver) == []
        tell(driver, (type_, fields))
        assert starts_and_ends(driver) == [("Start", "m1", "")], type_
        assert driver.log.only(ToolStartEvent).tool == HostedTool("price", "shop", "")


def test_calls_of_an_answer_that_nobody_knows_are_told_and_answered() -> None:
    driver = Driver(agent=clerk)
    tell(driver, *telling("m1"))
    assert starts_and_ends(driver) == [("Start", "m1", ""), ("End", "m1", "42")]
    assert driver.log.only(ToolEndEvent).agent is clerk
    assert driver.creates == 1


def test_a_server_may_want_no_answer_to_its_calls() -> None:
    driver = Driver(agent=Agent(name="Quiet", tools=[attrs.evolve(SHOP, respond=False)])).answering("r1")
    tell(driver, *telling("m1"))
    driver.done("r1")
    assert driver.creates == 1


def test_a_call_that_is_over_is_remembered_for_long_but_not_for_ever() -> None:
    driver = calling()
    calls = [f"m{number}" for number in range(300)]
    for call_id in calls:
        tell(driver, telling(call_id)[5])
    for call_id in calls[-200:]:
        tell(driver, telling(call_id)[5])
    assert [what for what, *_ in starts_and_ends(driver)] == ["Start", "End"] * 300
    assert len(driver.conversation._hosted._ended) < 300


# --- approval ----------------------------------------------------------------------------------------------------------

REQUEST = {"id": "a1", "type": "mcp_approval_request", "server_label": "shop", "name": "price", "arguments": "{}"}
ASKED: Frame = ("response.output_item.done", {"response_id": "r1", "output_index": 0, "item": REQUEST})
APPROVED = item("m1", arguments="{}", approval_request_id="a1")
MADE: list[Frame] = [
    ("response.output_item.added", {"response_id": "r2", "output_index": 0, "item": APPROVED}),
    ("response.mcp_call.completed", {"item_id": "m1", "output_index": 0}),
    ("response.output_item.done", {"response_id": "r2", "output_index": 0, "item": APPROVED | {"output": "42"}}),
]


def answer_in(frames: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (frame["item"] for frame in frames if frame["type"] == "conversation.item.create")
    assert found["id"].startswith("item_")
    return {name: found.get(name) for name in ("approval_request_id", "approve", "reason")}


def asked() -> Driver:
    driver = calling()
    tell(driver, ASKED)
    event = driver.log.only(ToolApprovalRequiredEvent)
    assert (event.agent, event.call_id, event.arguments) == (clerk, "a1", "{}")
    assert event.tool is not None
    assert event.tool.name == "price"
    return driver


def test_an_approved_call_is_made_in_the_next_answer() -> None:
    driver = asked()
    effects = driver.conversation.decide("a1", approved=True)
    assert effects is not None
    assert answer_in(driver.verb(effects).sent) == {"approval_request_id": "a1", "approve": True, "reason": None}
    driver.done("r1")
    driver.created("r2")
    tell(driver, *MADE)
    driver.done("r2")
    assert starts_and_ends(driver) == [("Start", "a1", ""), ("End", "a1", "42")]
    assert driver.creates == 3  # for the approval, and for what the call gave


@pytest.mark.parametrize(
    ("message", "reason", "output"),
    [
        (None, None, "Error: "),
        ("too dear", "too dear", "too dear"),
        ("Error: too dear", "too dear", "Error: too dear"),
    ],
)
def test_a_rejected_call_is_over_and_answered(message: str | None, reason: str | None, output: str) -> None:
    driver = asked()
    effects = driver.conversation.decide("a1", approved=False, message=message)
    assert effects is not None
    assert answer_in(driver.verb(effects).sent) == {"approval_request_id": "a1", "approve": False, "reason": reason}
    assert starts_and_ends(driver)[-1][2].startswith(output)
    driver.done("r1")
    quiet_after_one_answer(driver)


def test_a_call_is_decided_once() -> None:
    driver = asked()
    assert driver.conversation.decide("a1", approved=True) is not None
    assert driver.conversation.decide("a1", approved=False) is None
    assert driver.conversation.decide("nobody", approved=True) is None


def test_the_deadline_decides_if_nobody_has() -> None:
    driver = asked()
    timer = driver.log.all(StartTimer)[-1]
    assert (timer.name, timer.seconds) == ("approval of a1", 30.0)
    step = driver.verb(driver.conversation.timed_out(timer.name))
    late = "Nobody approved the call in time"
    assert answer_in(step.sent) == {"approval_request_id": "a1", "approve": False, "reason": late}
    assert starts_and_ends(driver)[-1] == ("End", "a1", f"Error: {late}")
    assert driver.verb(driver.conversation.timed_out(timer.name)) == []


def test_the_deadline_may_approve() -> None:
    ready = Agent(name="Ready", tools=[attrs.evolve(SHOP, approval_default="approve")])
    driver = Driver(agent=ready).answering("r1")
    tell(driver, ASKED)
    step = driver.verb(driver.conversation.timed_out("approval of a1"))
    assert answer_in(step.sent)["approve"] is True


def test_a_deadline_of_something_else_decides_nothing() -> None:
    assert asked().conversation.timed_out("a1") == []


@pytest.mark.parametrize(
    ("before", "call_id"),
    [
        ({}, "m1"),
        ({"arguments": "{}"}, "m1"),
        ({"arguments": '{"of":"tea"}'}, "a1"),
        ({"name": "stock"}, "a1"),
        ({"server_label": "bank"}, "a1"),
    ],
)
def test_a_request_is_about_the_call_that_was_told_before(before: dict[str, Any], call_id: str) -> None:
    """If it can be: the same function of the same server, with arguments that are the same or not told yet."""
    driver = calling()
    told = {"response_id": "r1", "output_index": 0, "item": item("m1", **before)}
    tell(driver, ("response.output_item.added", told), ASKED)
    assert driver.log.only(ToolApprovalRequiredEvent).call_id == call_id


def test_a_request_is_not_about_a_call_that_is_through() -> None:
    driver = calling()
    told = {"response_id": "r1", "output_index": 0, "item": item("m1", arguments="{}")}
    tell(driver, ("response.output_item.added", told), telling("m1")[4], ASKED)
    assert driver.log.only(ToolApprovalRequiredEvent).call_id == "a1"


def test_two_requests_for_the_same_are_two_calls() -> None:
    driver = asked()
    tell(
        driver, ("response.output_item.done", {"response_id": "r1", "output_index": 0, "item": REQUEST | {"id": "a2"}})
    )
    assert [event.call_id for event in driver.log.all(ToolApprovalRequiredEvent)] == ["a1", "a2"]


def test_an_approved_call_that_was_told_before_is_waited_for() -> None:
    driver = calling()
    told = {"response_id": "r1", "output_index": 0, "item": item("m1", arguments="{}")}
    tell(driver, ("response.output_item.added", told), ASKED)
    assert driver.conversation.decide("m1", approved=True) is not None
    driver.done("r1")
    assert driver.creates == 1
    made = {"response_id": "r1", "output_index": 0, "item": item("m1", arguments="{}", output="42")}
    tell(driver, telling("m1")[4], ("response.output_item.done", made))
    assert starts_and_ends(driver) == [("Start", "m1", ""), ("End", "m1", "42")]
    quiet_after_one_answer(driver)


def test_a_request_may_come_with_the_conversation_alone() -> None:
    driver = calling()
    tell(driver, ("conversation.item.added", {"item": REQUEST, "previous_item_id": None}))
    assert driver.log.all(ToolApprovalRequiredEvent) == []
    tell(driver, ("conversation.item.done", {"item": REQUEST, "previous_item_id": None}))
    assert driver.log.only(ToolApprovalRequiredEvent).call_id == "a1"


def test_a_request_may_come_with_the_end_of_the_response_alone() -> None:
    driver = calling()
    driver.done("r1", output=[REQUEST])
    assert driver.log.only(ToolApprovalRequiredEvent).call_id == "a1"


def test_a_request_that_is_told_twice_asks_once() -> None:
    driver = asked()
    tell(driver, ASKED, ("conversation.item.done", {"item": REQUEST, "previous_item_id": None}))
    assert len(driver.log.all(ToolApprovalRequiredEvent)) == 1


def test_a_list_that_failed_is_an_error() -> None:
    driver = Driver(agent=clerk)
    error = driver.server("mcp_list_tools.failed", item_id="i1").only(ErrorEvent).error
    assert error.type == "mcp_list_tools_failed"
    assert "i1" in error.message


def test_the_lists_of_tools_describe_the_calls() -> None:
    driver = calling()
    for label, name, description in [("shop", "price", "What it costs."), ("bank", "rate", None)]:
        tools = [{"name": name, "input_schema": {}, "description": description}]
        listed = {"type": "mcp_list_tools", "id": f"list of {label}", "server_label": label, "tools": tools}
        tell(driver, ("conversation.item.done", {"item": listed, "previous_item_id": None}))
    tell(driver, *telling("m1"))
    rate = item("m2", server_label="bank", name="rate", output="2")
    tell(driver, ("response.output_item.done", {"response_id": "r1", "output_index": 0, "item": rate}))
    tools = [event.tool for event in driver.log.all(ToolEndEvent)]
    assert tools == [HostedTool("price", "shop", "What it costs."), HostedTool("rate", "bank", "")]
