"""The conversation and its tools: outputs, follow-ups, handoffs by the model and by the program."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import VAD, Driver, brief, get_weather, greeter, support
from trio_codex.agent import Agent, Handoff
from trio_codex.errors import LocalProtocolError, ServerRefused
from trio_codex.events import AgentStartEvent, HandoffEvent, ToolEndEvent, ToolStartEvent
from trio_codex.protocol import (
    CancelTool,
    Note,
    PrepareHandoff,
    ResponseParams,
    SessionSettings,
    StartTimer,
    StartTool,
)

HANDOFF = "transfer_to_techsupport"


# --- outputs -----------------------------------------------------------------------------------------------------------


def test_a_completed_call_starts_a_tool() -> None:
    driver = Driver().answering("r1")
    step = driver.called("r1", "c1", arguments='{"city":"Paris"}')
    assert step.only(ToolStartEvent) == ToolStartEvent(greeter, get_weather, "get_weather", "c1", '{"city":"Paris"}')
    call = step.only(StartTool).call
    assert (call.tool, call.call_id, call.response_id, call.agent) == (get_weather, "c1", "r1", greeter)
    assert step.types == []


def test_the_user_hears_of_the_end_before_the_output_is_sent() -> None:
    driver = Driver().calling("r1", "c1")
    step = driver.tool_ended("c1", "Sunny")
    assert step.only(ToolEndEvent) == ToolEndEvent(greeter, get_weather, "get_weather", "c1", "{}", "Sunny")
    assert step.types == ["conversation.item.create", "response.create"]
    assert step.sent[0]["item"] == {"type": "function_call_output", "call_id": "c1", "output": "Sunny"}
    kinds = [getattr(effect, "event", None) for effect in step]
    assert isinstance(kinds[0], ToolEndEvent)


@pytest.mark.parametrize("status", ["in_progress", "incomplete"])
def test_a_call_that_was_broken_off_is_no_call(status: str) -> None:
    driver = Driver().answering("r1")
    step = driver.called("r1", "c1", arguments='{"ci', status=status)
    assert not step.all(StartTool)
    assert "tool_start" not in step.told
    assert driver.cancelled("r1").types == []


def test_an_unknown_tool_is_answered_at_once() -> None:
    driver = Driver().answering("r1")
    step = driver.called("r1", "c1", "nonsense")
    assert step.only(ToolStartEvent).tool is None
    assert step.only(ToolEndEvent).output == "Error: Unknown tool nonsense"
    assert step.frame("conversation.item.create")["item"]["output"] == "Error: Unknown tool nonsense"
    assert driver.done("r1").types == ["response.create"]


def test_a_call_that_is_told_twice_runs_once() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1")
    assert not driver.called("r1", "c1").all(StartTool)
    call = {"id": "x", "type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"}
    assert not driver.done("r1", output=[call]).all(StartTool)
    assert driver.tool_ended("c1").types == ["conversation.item.create", "response.create"]
    assert driver.tool_ended("c1") == []


def test_a_call_that_only_the_end_of_the_response_tells_runs_too() -> None:
    driver = Driver().answering("r1")
    call = {"id": "x", "type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"}
    step = driver.done("r1", output=[call])
    assert step.only(StartTool)
    assert step.told.index("tool_start") < step.told.index("response_done")
    assert driver.tool_ended("c1").types == ["conversation.item.create", "response.create"]


# --- follow-ups --------------------------------------------------------------------------------------------------------


def test_parallel_calls_have_one_follow_up_after_the_last_output() -> None:
    driver = Driver().calling("r1", "c1", "c2", "c3")
    assert driver.tool_ended("c2").types == ["conversation.item.create"]
    assert driver.tool_ended("c1").types == ["conversation.item.create"]
    assert driver.tool_ended("c3").types == ["conversation.item.create", "response.create"]


def test_the_follow_up_waits_for_the_end_of_the_response() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1")
    assert driver.tool_ended("c1").types == ["conversation.item.create"]
    assert driver.done("r1").types == ["response.create"]


def test_the_follow_up_is_one_with_what_else_waits() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1")
    driver.tool_ended("c1")
    driver.message()
    driver.done("r1")
    driver.created("r2")
    assert driver.done("r2").types == []


@pytest.mark.parametrize("wanted", [(False,), (False, False), (True, False), (False, True)])
def test_there_is_no_follow_up_if_no_tool_wants_one(wanted: tuple[bool, ...]) -> None:
    calls = [f"c{number}" for number in range(len(wanted))]
    driver = Driver().calling("r1", *calls)
    for call_id, respond in zip(calls, wanted, strict=True):
        last = driver.tool_ended(call_id, respond=respond)
    assert ("response.create" in last.types) == any(wanted)


def test_an_answer_that_speech_cut_off_has_no_follow_up_but_its_outputs() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.called("r1", "c1")
    driver.started()
    driver.cancelled("r1")
    assert driver.tool_ended("c1").types == ["conversation.item.create"]


def test_an_answer_that_interrupt_cut_off_has_no_follow_up() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1")
    driver.interrupt()
    driver.done("r1")  # it was completed before the cancel arrived
    assert driver.tool_ended("c1").types == ["conversation.item.create"]


def test_speech_after_the_calling_answer_leaves_its_follow_up() -> None:
    driver = Driver(detection=VAD).calling("r1", "c1")
    driver.started()
    driver.stopped()
    driver.committed()
    driver.created("theirs", ours=False)
    assert driver.tool_ended("c1").types == ["conversation.item.create"]
    assert driver.done("theirs").types == ["response.create"]


@pytest.mark.parametrize("status", ["failed", "incomplete"])
def test_an_answer_that_ended_badly_has_its_follow_up_all_the_same(status: str) -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1")
    driver.done("r1", status)
    assert driver.tool_ended("c1").types == ["conversation.item.create", "response.create"]


def test_tools_that_want_it_are_cancelled_when_the_user_cuts_in() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.called("r1", "c1", "search")
    driver.called("r1", "c2", "get_weather")
    assert driver.started().only(CancelTool).call_id == "c1"
    driver = Driver().answering("r1")
    driver.called("r1", "c1", "search")
    assert driver.interrupt().only(CancelTool).call_id == "c1"


def test_speech_that_interrupts_nothing_cancels_no_tool() -> None:
    driver = Driver(detection={**VAD, "interrupt_response": False}).answering("r1")
    driver.called("r1", "c1", "search")
    assert not driver.started().all(CancelTool)


# --- handoffs by the model ---------------------------------------------------------------------------------------------


def test_a_handoff_on_the_wire_and_in_events() -> None:
    driver = Driver().answering("r1")
    step = driver.called("r1", "h1", HANDOFF)
    assert step.only(ToolStartEvent) == ToolStartEvent(greeter, None, HANDOFF, "h1", "{}")
    assert step.only(PrepareHandoff).call.handoff is not None
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))) == []
    done = driver.done("r1")
    assert done.told == ["history_updated", "response_done", "agent_end"]
    assert done.types == ["session.update"]
    assert done.frame("session.update")["session"]["instructions"] == "Mend it."
    assert [tool["name"] for tool in done.frame("session.update")["session"]["tools"]] == ["get_time"]
    assert driver.conversation.briefing.agent is greeter
    arrived = driver.updated()
    assert driver.conversation.briefing.agent is support
    assert arrived.told == ["handoff", "tool_end"]
    assert arrived.only(HandoffEvent) == HandoffEvent(greeter, support)
    assert arrived.only(ToolEndEvent).agent is greeter
    assert arrived.types == ["conversation.item.create", "response.create"]
    assert arrived.sent[0]["item"]["output"] == "Handoff complete. You are now connected to TechSupport."
    assert driver.created("r2").only(AgentStartEvent).agent is support


def test_a_handoff_waits_for_its_callables() -> None:
    driver = Driver().calling("r1", "h1", name=HANDOFF)
    assert driver.creates == 1
    step = driver.verb(driver.conversation.handoff_prepared("h1", brief(support)))
    assert step.types == ["session.update"]


def test_nobody_is_asked_to_speak_while_a_handoff_is_applied() -> None:
    driver = Driver().handing_over("h1")
    assert driver.message().types == ["conversation.item.create"]
    assert driver.respond().types == []
    arrived = driver.updated()
    assert arrived.types == ["conversation.item.create", "response.create"]


def test_a_handoff_that_raised_leaves_the_old_agent_and_tells_the_model() -> None:
    driver = Driver().calling("r1", "h1", name=HANDOFF)
    step = driver.verb(driver.conversation.handoff_failed("h1", "no license"))
    assert step.sent[0]["item"]["output"] == "Error: Handoff failed - no license"
    assert step.types == ["conversation.item.create", "response.create"]
    assert driver.conversation.briefing.agent is greeter
    assert driver.created("r2").only(AgentStartEvent).agent is greeter


def test_a_handoff_that_speech_cut_off_leaves_the_old_agent_and_asks_nothing() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.called("r1", "h1", HANDOFF)
    driver.verb(driver.conversation.handoff_prepared("h1", brief(support)))
    driver.started()
    step = driver.cancelled("r1")
    assert step.types == ["conversation.item.create"]
    assert step.only(ToolEndEvent).output == "Error: Handoff failed - the response was interrupted"
    assert driver.conversation.briefing.agent is greeter


def test_a_call_that_is_told_after_its_response_was_cut_off_has_no_follow_up() -> None:
    driver = Driver().answering("r1")
    driver.interrupt()
    driver.cancelled("r1", "client_cancelled")
    driver.called("r1", "c1")
    assert driver.tool_ended("c1").types == ["conversation.item.create"]


def test_an_ask_that_was_interrupted_is_cancelled_even_if_its_response_was_through() -> None:
    driver = Driver()
    driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.interrupt()
    (settled,) = driver.done("r1").settled
    assert settled.value.status == "cancelled"


def test_a_handoff_that_is_told_after_its_response_goes_on() -> None:
    driver = Driver().answering("r1")
    driver.done("r1")
    assert driver.called("r1", "h1", HANDOFF).only(PrepareHandoff).call.call_id == "h1"
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))).types == ["session.update"]


def test_a_handoff_that_is_told_after_its_response_was_cut_off_fails() -> None:
    driver = Driver().answering("r1")
    driver.interrupt()
    driver.cancelled("r1", "client_cancelled")
    step = driver.called("r1", "h1", HANDOFF)
    assert step.only(ToolEndEvent).output == "Error: Handoff failed - the response was interrupted"
    assert step.types == ["conversation.item.create"]


@pytest.mark.parametrize("by", ["speech", "interrupt"])
def test_a_handoff_that_is_interrupted_after_its_response_leaves_the_old_agent_and_asks_nothing(by: str) -> None:
    """The callables of the handoff still run; whoever cut in speaks next."""
    driver = Driver(detection=VAD).calling("r1", "h1", name=HANDOFF)
    step = driver.started() if by == "speech" else driver.interrupt()
    assert step.types == ["conversation.item.create"]
    assert step.only(ToolEndEvent).output == "Error: Handoff failed - the response was interrupted"
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))) == []
    assert driver.conversation.briefing.agent is greeter
    driver.message()
    assert driver.created("r2").only(AgentStartEvent).agent is greeter


def test_speech_that_does_not_interrupt_lets_a_handoff_go_on() -> None:
    driver = Driver(detection={**VAD, "interrupt_response": False}).calling("r1", "h1", name=HANDOFF)
    assert driver.started().types == []
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))).types == ["session.update"]


def test_an_interrupted_handoff_does_not_take_the_follow_up_of_its_neighbours() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1", "get_weather")
    driver.called("r1", "h1", HANDOFF)
    driver.done("r1")
    assert driver.interrupt().types == ["conversation.item.create"]
    assert driver.tool_ended("c1").types == ["conversation.item.create", "response.create"]


def test_an_ask_ends_with_its_interrupted_handoff() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "h1", HANDOFF)
    assert driver.done("r1").settled == []
    assert [settle.ticket for settle in driver.interrupt().settled] == [ticket]


@pytest.mark.parametrize("status", ["failed", "incomplete"])
def test_a_handoff_in_an_answer_that_ended_badly_is_told_with_a_follow_up(status: str) -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "h1", HANDOFF)
    step = driver.done("r1", status)
    assert step.only(ToolEndEvent).output == "Error: Handoff failed - the response was not completed"
    assert step.types == ["conversation.item.create", "response.create"]


def test_a_handoff_that_the_server_refuses_leaves_the_old_agent() -> None:
    driver = Driver().handing_over("h1")
    update = [frame for frame in driver.log.sent if frame["type"] == "session.update"][-1]
    step = driver.refused(update["event_id"], "invalid_value")
    assert step.sent[0]["item"]["output"] == "Error: Handoff failed - invalid_value"
    assert step.told == ["tool_end"]  # a frame that the session sent of itself, and its failure is dealt with
    assert "invalid_value" in step.only(Note).message
    assert step.types == ["conversation.item.create", "response.create"]
    assert driver.conversation.briefing.agent is greeter


def test_a_handoff_that_is_never_acknowledged_leaves_the_old_agent() -> None:
    driver = Driver().handing_over("h1")
    timer = driver.log.all(StartTimer)[-1]
    step = driver.verb(driver.conversation.timed_out(timer.name))
    assert step.only(ToolEndEvent).output.startswith("Error: Handoff failed - ")
    assert step.types == ["conversation.item.create", "response.create"]


def test_a_second_handoff_is_answered_not_queued() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "h1", HANDOFF)
    second = driver.called("r1", "h2", HANDOFF)
    assert second.only(ToolEndEvent).output == "Error: Handoff failed - another handoff is under way"
    driver.verb(driver.conversation.handoff_prepared("h1", brief(support)))
    assert driver.done("r1").types == ["session.update"]
    assert driver.updated().types == ["conversation.item.create", "response.create"]


def test_the_settings_go_out_only_when_nobody_answers() -> None:
    """The callables took so long that the user has spoken, and the old agent is answering again."""
    driver = Driver(detection=VAD).calling("r1", "h1", name=HANDOFF)
    driver.created("theirs", ours=False)
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))).types == []
    assert driver.done("theirs").types == ["session.update"]


def test_reports_on_handoffs_that_are_over_change_nothing() -> None:
    driver = Driver().calling("r1", "h1", name=HANDOFF)
    driver.verb(driver.conversation.handoff_failed("h1", "no"))
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))) == []
    assert driver.verb(driver.conversation.handoff_failed("h1", "no")) == []
    assert driver.verb(driver.conversation.handoff_prepared("other", brief(support))) == []


def test_a_report_on_an_earlier_handoff_does_not_end_a_later_one() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "h1", HANDOFF)
    driver.interrupt()
    driver.cancelled("r1", "client_cancelled")
    driver.calling("r2", "h2", name=HANDOFF)
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))) == []
    assert driver.verb(driver.conversation.handoff_failed("h1", "no")) == []
    assert driver.verb(driver.conversation.handoff_prepared("h2", brief(support))).types == ["session.update"]


def test_running_tools_keep_their_owner_over_a_handoff() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1", "get_weather")
    driver.called("r1", "h1", HANDOFF)
    driver.verb(driver.conversation.handoff_prepared("h1", brief(support)))
    driver.done("r1")
    assert driver.updated().types == ["conversation.item.create"]
    end = driver.tool_ended("c1")
    assert end.only(ToolEndEvent).agent is greeter
    assert end.types == ["conversation.item.create", "response.create"]


def test_a_response_calls_the_tools_of_the_agent_that_it_began_with() -> None:
    """It began before the handoff was acknowledged, so it knows the old agent's tools."""
    driver = Driver(detection=VAD).handing_over("h1")
    driver.created("theirs", ours=False)
    driver.updated(detection=VAD)
    assert driver.conversation.briefing.agent is support
    step = driver.called("theirs", "c1", "get_weather")
    assert step.only(StartTool).call.tool is get_weather
    assert step.only(ToolStartEvent).agent is greeter


def test_a_handoff_with_a_name_of_its_own() -> None:
    agent = Agent(name="A", handoffs=[Handoff(support, tool_name="get_help")])
    driver = Driver(agent=agent).answering("r1")
    assert driver.called("r1", "h1", "get_help").only(PrepareHandoff)


# --- what a handoff changes --------------------------------------------------------------------------------------------


def settings_of(driver: Driver, target: Agent) -> tuple[dict[str, Any], Driver]:
    driver.calling("r1", "h1", name=f"transfer_to_{target.name.lower()}")
    step = driver.verb(driver.conversation.handoff_prepared("h1", brief(target)))
    return step.frame("session.update")["session"], driver


deep = Agent(name="Deep", instructions="Low voice.", voice="ash")
high = Agent(name="High", instructions="High voice.", voice="coral", handoffs=[deep])


def test_a_handoff_changes_the_voice_as_long_as_nothing_was_heard() -> None:
    session, _ = settings_of(Driver(agent=high), deep)
    assert session["audio"] == {"output": {"voice": "ash"}}


def test_a_handoff_leaves_the_voice_once_something_was_heard() -> None:
    driver = Driver(agent=high).answering("r0")
    driver.sounded("r0", "m", 20)
    driver.done("r0")
    session, driver = settings_of(driver, deep)
    assert "audio" not in session
    note = driver.log.only(Note)
    assert "keeps the voice" in note.message
    assert note.warning


@pytest.mark.parametrize("answered", [True, False])
def test_a_voice_that_waited_for_another_update_is_left_out_if_audio_came_meanwhile(answered: bool) -> None:
    driver = Driver(agent=high)
    driver.verb(driver.conversation.respond(ResponseParams(conversation="none"))[1])
    timer = driver.verb(driver.conversation.update(SessionSettings(speed=1.2))[1]).only(StartTimer)
    assert driver.verb(driver.conversation.redirect(brief(deep))[1]).types == []
    driver.created("beside", conversation=None)
    driver.sounded("beside", "i1", 20)
    step = driver.updated() if answered else driver.verb(driver.conversation.timed_out(timer.name))
    assert "audio" not in step.frame("session.update")["session"]


def test_an_agent_without_a_voice_of_its_own_is_happy_with_any() -> None:
    driver = Driver(agent=Agent(name="High", voice="coral", handoffs=[support])).answering("r0")
    driver.sounded("r0", "m", 20)
    driver.done("r0")
    _, driver = settings_of(driver, support)
    assert not driver.log.all(Note)


def test_settings_of_the_user_win_after_a_handoff_too() -> None:
    driver = Driver(agent=high, settings=SessionSettings(instructions="Whisper.", voice="sage"))
    _, effects = driver.conversation.update(SessionSettings(instructions="Shout."))
    driver.verb(effects)
    driver.updated()
    session, _ = settings_of(driver, deep)
    assert session["instructions"] == "Shout."
    assert session["audio"] == {"output": {"voice": "sage"}}


def test_an_agent_is_not_missed_its_voice_where_the_user_has_set_one() -> None:
    driver = Driver(agent=high, settings=SessionSettings(voice="sage")).answering("r0")
    driver.sounded("r0", "m", 20)
    driver.done("r0")
    session, driver = settings_of(driver, deep)
    assert "audio" not in session
    assert driver.log.all(Note) == []


@pytest.mark.parametrize(
    ("ids", "call_id"), [({"id": "item"}, "item"), ({}, ""), ({"id": "item", "call_id": "c"}, "c")]
)
def test_a_call_without_an_id_of_its_own_has_that_of_its_item(ids: dict[str, str], call_id: str) -> None:
    driver = Driver().answering("r1")
    item = {"type": "function_call", "name": "get_time", "arguments": "{}", **ids}
    for _ in range(2):
        driver.server("response.output_item.done", response_id="r1", output_index=0, item=item)
    assert [event.call_id for event in driver.log.all(ToolStartEvent)] == [call_id]
    driver.tool_ended(call_id)
    driver.server("response.output_item.done", response_id="r1", output_index=0, item=item)
    assert len(driver.log.all(ToolStartEvent)) == 1


# --- handoffs by the program -------------------------------------------------------------------------------------------


def test_the_program_puts_an_agent_in_charge() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.redirect(brief(support))
    assert driver.verb(effects).types == ["session.update"]
    arrived = driver.updated()
    assert arrived.events == [HandoffEvent(greeter, support)]
    assert [settled.ticket for settled in arrived.settled] == [ticket]
    assert driver.conversation.briefing.agent is support


@pytest.mark.parametrize("begun", [False, True])
def test_it_waits_for_the_answer_that_runs_or_is_on_its_way(begun: bool) -> None:
    driver = Driver()
    driver.message()
    if begun:
        driver.created("r1")
    _, effects = driver.conversation.redirect(brief(support))
    assert driver.verb(effects).types == []
    assert driver.message().types == ["conversation.item.create"]
    if not begun:
        driver.created("r1")
    assert driver.done("r1").types == ["session.update"]
    assert driver.updated().types == ["response.create"]


def test_it_waits_no_longer_when_the_create_is_refused() -> None:
    driver = Driver()
    create = driver.message().frame("response.create")
    driver.verb(driver.conversation.redirect(brief(support))[1])
    assert driver.refused(create["event_id"], "invalid_value").types == ["session.update"]


def test_a_refused_change_of_agent_raises() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.redirect(brief(support))
    sent = driver.verb(effects).frame("session.update")["event_id"]
    step = driver.refused(sent, "invalid_value")
    (settled,) = step.settled
    assert settled.ticket == ticket
    assert isinstance(settled.error, ServerRefused)
    assert str(settled.error) == "the agent stays Greeter: invalid_value"
    assert (settled.error.code, settled.error.event_id) == ("invalid_value", sent)
    assert step.told == ["error"]
    assert driver.conversation.briefing.agent is greeter
    assert driver.message().types == ["conversation.item.create", "response.create"]


def test_one_change_of_agent_at_a_time() -> None:
    driver = Driver()
    driver.verb(driver.conversation.redirect(brief(support))[1])
    with pytest.raises(LocalProtocolError):
        driver.conversation.redirect(brief(greeter))
    driver.updated()
    assert driver.verb(driver.conversation.redirect(brief(greeter))[1]).types == ["session.update"]


def test_the_models_handoff_is_turned_away_while_the_program_changes_the_agent() -> None:
    driver = Driver().answering("r1")
    driver.verb(driver.conversation.redirect(brief(support))[1])
    step = driver.called("r1", "h1", HANDOFF)
    assert step.only(ToolEndEvent).output == "Error: Handoff failed - another handoff is under way"
    assert driver.done("r1").types == ["session.update"]
    assert driver.updated().types == ["response.create"]
