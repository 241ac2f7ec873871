"""The conversation, rule by rule: opening, who asks for answers, `ask`, events and their order, errors, updates, raw events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import REQUEST_KEY, VAD, Driver, brief, greeter, support
from trio_codex.errors import ConnectionFailed, RemoteProtocolError, ServerRefused
from trio_codex.events import (
    AgentEndEvent,
    AgentStartEvent,
    ErrorEvent,
    ResponseDoneEvent,
    UsageEvent,
)
from trio_codex.protocol import (
    AssistantMessage,
    Conversation,
    ConversationItemDelete,
    Note,
    Reply,
    ResponseParams,
    SessionSettings,
    StartTimer,
    StopPlayback,
    UserMessage,
    structure,
)

# --- opening -----------------------------------------------------------------------------------------------------------


def test_opening_sends_the_settings_without_waiting_for_the_server() -> None:
    driver = Driver(opened=False)
    assert driver.conversation.session_id is None
    ticket, effects = driver.conversation.open()
    step = driver.verb(effects)
    assert step.types == ["session.update"]
    session = step.frame("session.update")["session"]
    assert session["type"] == "realtime"
    assert session["instructions"] == "Greet."
    assert step.only(StartTimer).seconds == 10.0
    assert driver.server("session.created", session={"type": "realtime", "id": "sess_7"}).settled == []
    assert driver.conversation.session_id == "sess_7"
    (settled,) = driver.server("session.updated", session={"type": "realtime"}).settled
    assert (settled.ticket, settled.error) == (ticket, None)
    assert driver.conversation.session_id == "sess_7"
    driver.updated()
    assert driver.conversation.session_id == "sess_1"


def test_opening_sends_the_items_to_start_with() -> None:
    item = structure({"type": "message", "role": "user", "content": []}, UserMessage)
    _, effects = Conversation(brief(greeter), None, [item, item]).open()
    assert Driver(opened=False).verb(effects).types == ["session.update"] + 2 * ["conversation.item.create"]


def test_a_refused_setting_is_the_answer_to_opening() -> None:
    driver = Driver(opened=False)
    ticket, effects = driver.conversation.open()
    sent = driver.verb(effects).frame("session.update")["event_id"]
    (settled,) = driver.refused(sent, "invalid_value").settled
    assert settled.ticket == ticket
    assert isinstance(settled.error, ServerRefused)
    assert (settled.error.code, settled.error.event_id) == ("invalid_value", sent)


def test_a_server_that_never_agrees_is_a_failed_connection() -> None:
    driver = Driver(opened=False)
    ticket, effects = driver.conversation.open()
    timer = driver.verb(effects).only(StartTimer)
    (settled,) = driver.verb(driver.conversation.timed_out(timer.name)).settled
    assert settled.ticket == ticket
    assert isinstance(settled.error, ConnectionFailed)


# --- who asks for answers ----------------------------------------------------------------------------------------------


def test_a_message_is_an_item_and_a_create() -> None:
    driver = Driver()
    step = driver.message("Hello")
    assert step.types == ["conversation.item.create", "response.create"]
    assert step.sent[0]["event_id"].startswith("event_c")
    item = step.sent[0]["item"]
    assert item["content"] == [{"type": "input_text", "text": "Hello"}]
    create = step.sent[1]
    assert create["response"]["metadata"] == {REQUEST_KEY: create["event_id"]}


def test_a_message_may_leave_the_asking_to_the_user() -> None:
    driver = Driver()
    assert driver.message(respond=False).types == ["conversation.item.create"]
    assert driver.respond().types == ["response.create"]


def test_what_asks_automatically_meanwhile_is_answered_by_one_response() -> None:
    driver = Driver().answering("r1")
    driver.message("two")
    driver.message("three")
    driver.hear(200, commit=True)
    assert driver.creates == 1
    assert driver.done("r1").types == ["response.create"]
    driver.created("r2")
    assert driver.done("r2").types == []


def test_manual_requests_each_get_their_own_in_order() -> None:
    driver = Driver().answering("r1")
    driver.respond()
    driver.message()
    _, asked = driver.ask()
    driver.raw(type="response.create", event_id="mine", response={"instructions": "Sing."})
    driver.message()
    assert asked.types == []
    ids = []
    for number in range(1, 6):
        done = driver.done(f"r{number}")
        ids += [frame["event_id"] for frame in done.sent]
        if done.sent:
            driver.created(f"r{number + 1}")
    assert len(ids) == len(set(ids)) == 4
    assert ids[3] == "mine"
    assert driver.last_create["response"]["instructions"] == "Sing."


def test_nothing_is_asked_for_between_a_create_and_its_response() -> None:
    driver = Driver()
    driver.message("one")
    assert driver.message("two").types == ["conversation.item.create"]
    driver.created("r1")
    assert driver.done("r1").types == ["response.create"]


def test_out_of_band_responses_run_beside_the_conversation() -> None:
    driver = Driver().answering("r1")
    step = driver.verb(driver.conversation.respond(ResponseParams(conversation="none"))[1])
    assert step.types == ["response.create"]
    assert driver.created("beside", conversation=None).told == []
    assert driver.message().types == ["conversation.item.create"]
    done = driver.done("beside", conversation_id=None, usage={"total_tokens": 5})
    assert done.types == []
    assert done.told == ["usage", "response_done"]
    assert driver.done("r1").types == ["response.create"]


def test_out_of_band_words_and_sounds_are_not_the_conversations() -> None:
    driver = Driver()
    driver.verb(driver.conversation.respond(ResponseParams(conversation="none"))[1])
    driver.created("beside", conversation=None)
    assert driver.said("beside", "m", "secret") == []
    assert driver.sounded("beside", "m", 100) == []
    assert driver.called("beside", "c1") == []
    assert driver.conversation.history == ()


# --- races -------------------------------------------------------------------------------------------------------------


def test_a_create_that_lost_a_race_is_sent_again_after_the_other_response() -> None:
    driver = Driver()
    create = driver.message().frame("response.create")
    driver.created("theirs", ours=False)
    lost = driver.refused(create["event_id"])
    assert lost.types == []
    assert lost.told == []
    assert lost.only(Note)
    again = driver.done("theirs").frame("response.create")
    assert again == create


def test_a_race_that_is_known_only_by_its_refusal() -> None:
    """Some servers do not repeat metadata, so their own response was taken for ours."""
    driver = Driver(echo=False)
    ticket, step = driver.ask()
    driver.created("theirs")
    driver.said("theirs", "m", "not for you")
    driver.refused(step.frame("response.create")["event_id"])
    assert driver.done("theirs").types == ["response.create"]
    driver.created("ours")
    driver.said("ours", "n", "for you")
    (settled,) = driver.done("ours").settled
    assert settled.ticket == ticket
    assert settled.value.transcript == "for you"


def test_the_answer_that_the_detection_owes_is_not_taken_for_ours() -> None:
    """Nobody knows yet whether the server repeats metadata, and our create comes only after its answer is done."""
    driver = Driver(detection=VAD)
    ticket, _ = driver.ask()
    driver.started()
    driver.stopped()
    driver.committed()
    driver.created("theirs", ours=False)
    assert driver.done("theirs").settled == []
    driver.message()
    driver.created("r1")
    driver.said("r1", "m", "Yours.")
    assert reply_of(driver.done("r1"), ticket).transcript == "Yours."


def test_a_refusal_that_names_no_event_can_only_mean_the_create_in_flight() -> None:
    driver = Driver().answering("r0")
    driver.done("r0")
    create = driver.message().frame("response.create")
    driver.created("theirs", ours=False)
    assert driver.refused(None).told == []
    assert driver.refused(create["event_id"]).told == []
    assert driver.done("theirs").types == ["response.create"]


def test_a_create_refused_for_another_reason_is_an_error_and_the_next_goes() -> None:
    driver = Driver()
    create = driver.respond().frame("response.create")
    driver.respond()
    step = driver.refused(create["event_id"], "invalid_value")
    assert step.only(ErrorEvent).error.event_id == create["event_id"]
    assert step.types == ["response.create"]


def test_the_metadata_of_the_user_is_kept() -> None:
    driver = Driver()
    params = ResponseParams(metadata={"topic": "weather"})
    create = driver.verb(driver.conversation.respond(params)[1]).frame("response.create")
    assert create["response"]["metadata"] == {"topic": "weather", REQUEST_KEY: create["event_id"]}
    full = ResponseParams(metadata={str(number): "x" for number in range(16)})
    driver.created("r1")
    driver.done("r1")
    create = driver.verb(driver.conversation.respond(full)[1]).frame("response.create")
    assert create["response"]["metadata"] == full.metadata


# --- ask ---------------------------------------------------------------------------------------------------------------


def reply_of(step: Any, ticket: str) -> Reply:
    (settled,) = step.settled
    assert settled.ticket == ticket
    assert settled.error is None
    assert isinstance(settled.value, Reply)
    return settled.value


def test_ask_gives_the_words_the_audio_the_usage_and_the_items() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.said("r1", "m", "Good ")
    driver.said("r1", "m", "morning")
    driver.sounded("r1", "m", 20)
    item = {"id": "m", "type": "message", "role": "assistant", "content": []}
    reply = reply_of(driver.done("r1", output=[item], usage={"total_tokens": 7}), ticket)
    assert (reply.transcript, len(reply.audio), reply.status) == ("Good morning", 960, "completed")
    assert reply.usage.total_tokens == 7
    (answer,) = reply.items
    assert isinstance(answer, AssistantMessage)
    assert answer.id == "m"


def test_the_items_of_an_answer_are_there_even_if_its_end_does_not_tell_them() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.done("r1", output=None)
    (item,) = reply_of(driver.tool_ended("c1", respond=False), ticket).items
    assert item.type == "function_call"


def test_ask_goes_on_over_the_tools() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.said("r1", "m", "Let me see. ")
    driver.called("r1", "c1")
    assert driver.done("r1", usage={"total_tokens": 1}).settled == []
    assert driver.tool_ended("c1").settled == []
    driver.created("r2")
    driver.said("r2", "n", "Sunny.")
    reply = reply_of(driver.done("r2", usage={"total_tokens": 2}), ticket)
    assert reply.transcript == "Let me see. Sunny."
    assert (reply.usage.total_tokens, reply.usage.responses) == (3, 2)


def test_ask_goes_on_over_a_handoff() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "h1", "transfer_to_techsupport")
    driver.done("r1")
    driver.verb(driver.conversation.handoff_prepared("h1", brief(support)))
    assert driver.updated().types == ["conversation.item.create", "response.create"]
    driver.created("r2")
    driver.said("r2", "m", "Support here.")
    assert reply_of(driver.done("r2"), ticket).transcript == "Support here."


def test_ask_goes_on_when_its_follow_up_is_coalesced_with_others() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.done("r1")
    driver.message()
    driver.created("r2")
    driver.tool_ended("c1")
    driver.message()
    assert driver.done("r2").settled == []
    driver.created("r3")
    driver.said("r3", "m", "Both.")
    assert reply_of(driver.done("r3"), ticket).transcript == "Both."
    assert driver.creates == 3


def test_ask_goes_on_when_its_follow_up_loses_a_race() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.done("r1")
    create = driver.tool_ended("c1").frame("response.create")
    driver.created("theirs", ours=False)
    driver.said("theirs", "x", "Not this.")
    driver.refused(create["event_id"])
    assert driver.done("theirs").settled == []
    driver.created("r2")
    driver.said("r2", "m", "This.")
    assert reply_of(driver.done("r2"), ticket).transcript == "This."


def test_ask_ends_when_no_tool_wants_a_follow_up() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.done("r1")
    assert reply_of(driver.tool_ended("c1", respond=False), ticket).status == "completed"
    assert driver.creates == 1


@pytest.mark.parametrize(
    ("status", "details"),
    [
        ("cancelled", {"type": "cancelled", "reason": "turn_detected"}),
        ("incomplete", {"type": "incomplete", "reason": "max_output_tokens"}),
    ],
)
def test_ask_returns_cancelled_and_incomplete_answers_with_their_status(status: str, details: dict[str, Any]) -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.said("r1", "m", "Half")
    reply = reply_of(driver.done("r1", status, status_details=details), ticket)
    assert (reply.status, reply.transcript) == (status, "Half")


def test_a_cancelled_ask_does_not_wait_for_its_tools() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    assert reply_of(driver.cancelled("r1"), ticket).status == "cancelled"
    assert driver.tool_ended("c1").types == ["conversation.item.create"]


def test_a_failed_answer_raises() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    error = {"type": "server_error", "code": "overloaded", "message": "Try again."}
    (settled,) = driver.done("r1", "failed", status_details={"type": "failed", "error": error}).settled
    assert settled.ticket == ticket
    assert isinstance(settled.error, ServerRefused)
    assert (str(settled.error), settled.error.code) == ("Try again.", "overloaded")


def test_a_refused_ask_raises() -> None:
    driver = Driver()
    ticket, step = driver.ask()
    (settled,) = driver.refused(step.frame("response.create")["event_id"], "invalid_value").settled
    assert settled.ticket == ticket
    assert isinstance(settled.error, ServerRefused)


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_ask_out_of_band(status: str) -> None:
    driver = Driver().answering("r1")
    ticket, effects = driver.conversation.respond(ResponseParams(conversation="none"), ask=True)
    driver.verb(effects)
    driver.created("beside", conversation=None)
    driver.said("beside", "m", "Psst")
    (settled,) = driver.done("beside", status, conversation_id=None).settled
    assert settled.ticket == ticket
    if status == "completed":
        assert settled.value.transcript == "Psst"
    else:
        assert isinstance(settled.error, ServerRefused)


def test_a_refused_ask_out_of_band_raises() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.respond(ResponseParams(conversation="none"), ask=True)
    sent = driver.verb(effects).frame("response.create")["event_id"]
    (settled,) = driver.refused(sent, "invalid_value").settled
    assert settled.ticket == ticket


# --- giving up an ask --------------------------------------------------------------------------------------------------


def test_an_abandoned_ask_that_waits_is_never_sent() -> None:
    driver = Driver().answering("r1")
    ticket, _ = driver.ask()
    assert driver.verb(driver.conversation.abandon(ticket, 0.0)) == []
    assert driver.done("r1").types == []


def test_an_abandoned_ask_that_runs_is_cancelled_and_silenced() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.sounded("r1", "m", 500)
    driver.now = 0.1
    step = driver.verb(driver.conversation.abandon(ticket, driver.now))
    assert step.types == ["response.cancel", "conversation.item.truncate"]
    assert driver.sounded("r1", "m", 500).played == b""
    assert driver.cancelled("r1", "client_cancelled").settled == []


def test_what_was_said_before_an_abandoned_ask_is_heard_to_its_end() -> None:
    driver = Driver()
    driver.message()
    driver.created("r1")
    driver.sounded("r1", "before", 500)
    driver.done("r1")
    ticket, _ = driver.ask()
    driver.created("r2")
    driver.sounded("r2", "m", 500)
    step = driver.verb(driver.conversation.abandon(ticket, driver.now))
    assert step.types == ["response.cancel", "conversation.item.truncate"]
    assert step.frame("conversation.item.truncate")["item_id"] == "m"
    assert step.only(StopPlayback) == StopPlayback("r2")
    driver.cancelled("r2", "client_cancelled")
    truncated = driver.verb(driver.conversation.interrupt(driver.now)).frame("conversation.item.truncate")
    assert truncated["item_id"] == "before"  # it had gone on


def test_an_abandoned_ask_on_its_way_is_cancelled_when_its_response_begins() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    assert driver.verb(driver.conversation.abandon(ticket, 0.0)) == []
    assert driver.created("r1").types == ["response.cancel"]


def test_an_abandoned_ask_that_lost_a_race_is_not_sent_again() -> None:
    driver = Driver()
    ticket, step = driver.ask()
    driver.created("theirs", ours=False)
    driver.verb(driver.conversation.abandon(ticket, 0.0))
    driver.refused(step.frame("response.create")["event_id"])
    assert driver.done("theirs").types == []


def test_an_abandoned_ask_out_of_band_is_cancelled() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.respond(ResponseParams(conversation="none"), ask=True)
    driver.verb(effects)
    assert driver.verb(driver.conversation.abandon(ticket, 0.0)) == []
    assert driver.created("beside", conversation=None).types == ["response.cancel"]


def test_an_abandoned_asks_tools_are_answered_but_not_followed_up() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.done("r1")
    assert driver.verb(driver.conversation.abandon(ticket, 0.0)) == []
    assert driver.tool_ended("c1").types == ["conversation.item.create"]


def test_what_others_wait_for_too_survives_an_abandoned_ask() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.called("r1", "c1")
    driver.tool_ended("c1")
    driver.message()  # joins the follow-up
    driver.done("r1")
    driver.created("r2")
    assert driver.verb(driver.conversation.abandon(ticket, 0.0)) == []


def test_what_the_server_answered_itself_survives_an_abandoned_ask() -> None:
    driver = Driver(detection=VAD)
    driver.created("theirs", ours=False)
    driver.called("theirs", "c1")
    ticket, _ = driver.ask()
    driver.done("theirs")
    driver.created("r1")
    driver.called("r1", "c2")
    driver.tool_ended("c1")
    driver.tool_ended("c2")
    driver.verb(driver.conversation.abandon(ticket, 0.0))
    assert driver.cancelled("r1", "client_cancelled").types == ["response.create"]


def test_abandoning_twice_or_after_the_answer_changes_nothing() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    driver.done("r1")
    assert driver.verb(driver.conversation.abandon(ticket, 0.0)) == []
    assert driver.verb(driver.conversation.abandon("nothing", 0.0)) == []


# --- events and their order --------------------------------------------------------------------------------------------


def test_an_answer_is_told_from_start_to_end() -> None:
    driver = Driver()
    driver.message()
    assert driver.created("r1").events == [AgentStartEvent(greeter)]
    assert driver.item("m", status="in_progress").told == ["history_added"]
    assert driver.said("r1", "m", "Hi").told == ["transcript_delta"]
    assert driver.sounded("r1", "m", 20).told == ["audio"]
    assert driver.sound_done("r1", "m").told == ["audio_end"]
    assert driver.item("m", done=True, status="completed").told == ["history_updated"]
    done = driver.done("r1", usage={"total_tokens": 3, "input_tokens": 1, "output_tokens": 2})
    assert done.told == ["history_updated", "usage", "response_done", "agent_end"]
    assert done.only(AgentEndEvent).agent is greeter
    ended = done.only(ResponseDoneEvent)
    assert (ended.status, ended.usage) == ("completed", done.only(UsageEvent).usage)


def test_the_end_of_a_failed_answer_is_told_in_order() -> None:
    driver = Driver().answering("r1")
    details = {"type": "failed", "error": {"type": "server_error", "message": "Sorry."}}
    done = driver.done("r1", "failed", status_details=details, usage={"total_tokens": 3})
    assert done.told == ["history_updated", "error", "usage", "response_done", "agent_end"]
    error = done.only(ErrorEvent).error
    assert (error.type, error.message, error.response_id) == ("server_error", "Sorry.", "r1")


@pytest.mark.parametrize(
    ("details", "message"),
    [
        (None, 'response.done failed (status="failed")'),
        ("out of memory", "out of memory"),
        ({"type": "failed"}, 'response.done failed (status="failed")'),
        ({"type": "failed", "reason": "no reason"}, "no reason"),
        ({"type": "failed", "error": {"message": ""}}, 'response.done failed (status="failed")'),
        ({"type": "failed", "error": {"code": "x", "message": "y"}}, "y"),
    ],
)
def test_a_failure_has_a_message_whatever_the_server_told(details: Any, message: str) -> None:
    driver = Driver().answering("r1")
    assert driver.done("r1", "failed", status_details=details).only(ErrorEvent).error.message == message


@pytest.mark.parametrize("reason", ["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"])
def test_how_an_answer_ended_is_told(reason: str) -> None:
    driver = Driver().answering("r1")
    status = "cancelled" if reason.endswith(("detected", "cancelled")) else "incomplete"
    done = driver.done("r1", status, status_details={"type": status, "reason": reason})
    ended = done.only(ResponseDoneEvent)
    assert (ended.status, ended.status_details) == (status, {"type": status, "reason": reason})
    assert "error" not in done.told


def test_usage_adds_up() -> None:
    driver = Driver()
    details = {"audio_tokens": 4, "cached_tokens": 2}
    for number in range(3):
        driver.answering(f"r{number}")
        usage = {"total_tokens": 10, "input_tokens": 6, "output_tokens": 4, "input_token_details": details}
        assert driver.done(f"r{number}", usage=usage).only(UsageEvent).usage.total_tokens == 10
    assert (driver.conversation.usage.total_tokens, driver.conversation.usage.responses) == (30, 3)
    assert (driver.conversation.usage.cached_tokens, driver.conversation.usage.input_audio_tokens) == (6, 12)


def test_responses_of_the_server_are_told_too() -> None:
    driver = Driver()
    assert driver.created("theirs", ours=False).events == [AgentStartEvent(greeter)]
    assert driver.done("theirs").events[-1] == AgentEndEvent(greeter)


# --- errors ------------------------------------------------------------------------------------------------------------


def test_an_error_of_the_server_is_told_and_the_session_goes_on() -> None:
    driver = Driver()
    error = {"type": "server_error", "code": "x", "message": "y", "param": "z", "event_id": None}
    told = driver.server("error", error=error).only(ErrorEvent).error
    assert (told.type, told.code, told.message, told.param) == ("server_error", "x", "y", "z")
    assert driver.message().types == ["conversation.item.create", "response.create"]


def test_a_cancel_that_came_too_late_is_no_error() -> None:
    driver = Driver().answering("r1")
    cancel = driver.interrupt().frame("response.cancel")
    driver.done("r1")
    late = driver.refused(cancel["event_id"], "response_cancel_not_active")
    assert late.told == []
    assert late.only(Note)


def test_a_truncation_that_the_server_does_not_like_is_no_error() -> None:
    driver = Driver().answering("r1")
    driver.sounded("r1", "m", 100)
    truncate = driver.interrupt().frame("conversation.item.truncate")
    assert driver.refused(truncate["event_id"], "invalid_value").told == []


def test_a_frame_that_is_not_the_protocol_is_told() -> None:
    driver = Driver()
    step = driver.verb(driver.conversation.bad_frame(RemoteProtocolError("not JSON"), "{"))
    assert step.only(ErrorEvent).error.type == "protocol_error"


def test_the_end_of_the_sessions_time_is_remembered() -> None:
    driver = Driver()
    assert not driver.conversation.expired
    assert driver.refused(None, "session_expired").told == ["error"]
    assert driver.conversation.expired


def test_events_of_unknown_types_change_nothing() -> None:
    driver = Driver().answering("r1")
    assert driver.server("novelty.happened", what=1) == []
    assert driver.server("rate_limits.updated", rate_limits=[]) == []
    assert driver.done("r1").types == []


# --- changing settings -------------------------------------------------------------------------------------------------


def test_an_update_is_settled_when_the_server_has_acknowledged_it() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.update(SessionSettings(speed=1.2))
    assert driver.verb(effects).frame("session.update")["session"]["audio"] == {"output": {"speed": 1.2}}
    (settled,) = driver.updated().settled
    assert (settled.ticket, settled.error) == (ticket, None)


def test_updates_go_out_one_after_the_other() -> None:
    driver = Driver()
    first, effects = driver.conversation.update(SessionSettings(speed=1.2))
    driver.verb(effects)
    second, effects = driver.conversation.update(SessionSettings(speed=1.3))
    assert driver.verb(effects).types == []
    step = driver.updated()
    assert step.types == ["session.update"]
    assert step.settled[0].ticket == first
    assert driver.updated().settled[0].ticket == second


def test_an_update_that_is_refused_or_never_answered_raises() -> None:
    driver = Driver()
    first, effects = driver.conversation.update(SessionSettings(speed=1.2))
    sent = driver.verb(effects).frame("session.update")["event_id"]
    step = driver.refused(sent, "invalid_value")
    (settled,) = step.settled
    assert settled.ticket == first
    assert isinstance(settled.error, ServerRefused)
    assert step.told == ["error"]  # the session did not send it of itself
    second, effects = driver.conversation.update(SessionSettings(speed=1.3))
    timer = driver.verb(effects).only(StartTimer)
    (settled,) = driver.verb(driver.conversation.timed_out(timer.name)).settled
    assert settled.ticket == second
    assert isinstance(settled.error, ServerRefused)
    assert settled.error.code == "timeout"
    assert driver.verb(driver.conversation.timed_out(timer.name)) == []


# --- raw events --------------------------------------------------------------------------------------------------------


def test_a_raw_event_gets_an_id_and_keeps_its_own() -> None:
    driver = Driver()
    event_id, effects = driver.conversation.send_raw(ConversationItemDelete(item_id="x"))
    assert driver.verb(effects).sent[0]["event_id"] == event_id
    step = driver.raw(type="conversation.item.delete", item_id="x", event_id="mine")
    assert step.sent == [{"type": "conversation.item.delete", "item_id": "x", "event_id": "mine"}]


def test_a_raw_event_of_an_unknown_type_is_sent_as_it_is() -> None:
    driver = Driver()
    (frame,) = driver.raw(type="novelty.please", deep={"a": [1, None]}).sent
    assert frame.pop("event_id")
    assert frame == {"type": "novelty.please", "deep": {"a": [1, None]}}


def test_errors_that_answer_raw_events_are_told() -> None:
    driver = Driver()
    driver.raw(type="response.cancel", event_id="mine")
    assert driver.refused("mine", "response_cancel_not_active").told == ["error"]


def test_raw_creates_wait_for_the_floor() -> None:
    driver = Driver().answering("r1")
    assert driver.raw(type="response.create", event_id="mine").types == []
    assert driver.done("r1").frame("response.create")["event_id"] == "mine"


def test_raw_creates_out_of_band_do_not_wait() -> None:
    driver = Driver().answering("r1")
    step = driver.raw(type="response.create", response={"conversation": "none", "input": []})
    assert step.frame("response.create")["response"]["input"] == []


def test_raw_updates_take_part_in_the_sequence() -> None:
    driver = Driver()
    driver.raw(type="session.update", session={"type": "realtime", "instructions": "x"}, event_id="mine")
    ticket, effects = driver.conversation.update(SessionSettings(speed=1.2))
    assert driver.verb(effects).types == []
    assert driver.updated().types == ["session.update"]
    assert driver.updated().settled[0].ticket == ticket


def test_a_raw_update_that_is_refused_is_told() -> None:
    driver = Driver()
    driver.raw(type="session.update", session={"type": "realtime"}, event_id="mine")
    assert driver.refused("mine", "invalid_value").told == ["error"]


def test_a_raw_cancel_is_an_interruption_by_the_client() -> None:
    driver = Driver().answering("r1")
    driver.called("r1", "c1")
    driver.raw(type="response.cancel")
    driver.cancelled("r1", "client_cancelled")
    assert driver.tool_ended("c1").types == ["conversation.item.create"]
