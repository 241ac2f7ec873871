"""Servers that are not quite the API: old, sparing, sloppy or confused. The conversation goes on, and nothing stays owed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import VAD, Driver, brief, support
from trio_codex.errors import ServerRefused
from trio_codex.events import AudioEvent, ErrorEvent
from trio_codex.protocol import ResponseParams, StartTool


def quiet(driver: Driver) -> bool:
    """Whether a message is asked for at once: nobody answers, and nothing waits."""
    return driver.message().types == ["conversation.item.create", "response.create"]


def test_a_server_that_does_not_repeat_metadata() -> None:
    driver = Driver(echo=False)
    for number in range(3):
        ticket, _ = driver.ask()
        driver.created(f"r{number}")
        assert driver.done(f"r{number}").settled[0].ticket == ticket
    assert quiet(driver)


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("said", ["absent", "null"])
def test_a_server_that_says_of_no_response_where_it_belongs(said: str, echo: bool) -> None:
    driver = Driver(echo=echo)
    fields: dict[str, Any] = {} if said == "absent" else {"conversation_id": None}
    for number in range(3):
        ticket, _ = driver.ask()
        metadata = driver.last_create["response"]["metadata"] if echo else None
        response = {"id": f"r{number}", "metadata": metadata, **fields}
        assert driver.server("response.created", response=response).told == ["agent_start"]
        done = driver.server("response.done", response={**response, "status": "completed"})
        assert [settled.ticket for settled in done.settled] == [ticket]
    assert quiet(driver)


def test_a_server_that_repeats_nothing_answers_out_of_band_requests_in_order() -> None:
    driver = Driver(echo=False)
    tickets = []
    for _ in range(2):
        ticket, effects = driver.conversation.respond(ResponseParams(conversation="none"), ask=True)
        driver.verb(effects)
        tickets.append(ticket)
    for number in range(2):
        driver.created(f"b{number}", conversation=None)
    settled = [driver.done(f"b{number}", conversation_id=None).settled[0].ticket for number in range(2)]
    assert settled == tickets


def test_somebody_elses_response_beside_the_conversation() -> None:
    driver = Driver().answering("r1")
    assert driver.created("foreign", ours=False, conversation=None).told == []
    assert driver.sounded("foreign", "x", 100) == []
    driver.done("foreign", conversation_id=None)
    assert driver.done("r1").types == []
    assert quiet(driver)


def test_responses_without_an_id() -> None:
    driver = Driver()
    for _ in range(2):
        driver.message()
        driver.server("response.created", response={"status": "in_progress"})
        assert driver.server("response.done", response={"status": "completed"}).told[-1] == "agent_end"
    assert quiet(driver)


def test_an_end_without_an_id_is_that_of_the_response_that_runs() -> None:
    driver = Driver().answering("r1")
    done = driver.server("response.done", response={"status": "completed"})
    assert done.told == ["history_updated", "response_done", "agent_end"]
    assert quiet(driver)


def test_an_end_without_a_status_is_a_good_end() -> None:
    driver = Driver()
    ticket, _ = driver.ask()
    driver.created("r1")
    (settled,) = driver.server("response.done", response={"id": "r1"}).settled
    assert (settled.ticket, settled.value.status) == (ticket, "completed")


def test_a_server_that_never_announces_its_responses() -> None:
    driver = Driver()
    ticket, step = driver.ask()
    metadata = step.frame("response.create")["response"]["metadata"]
    assert driver.sounded("r1", "m", 100).only(AudioEvent)
    done = driver.done("r1", metadata=metadata)
    assert done.told == ["agent_start", "history_updated", "response_done", "agent_end"]
    assert done.settled[0].ticket == ticket
    assert quiet(driver)


def test_a_server_that_uses_its_ids_again() -> None:
    driver = Driver()
    for _ in range(3):
        ticket, _ = driver.ask()
        driver.created("r")
        assert driver.called("r", "c").only(StartTool)
        driver.done("r")
        driver.tool_ended("c")
        driver.created("r")
        assert driver.sounded("r", "m", 10).played
        assert driver.done("r").settled[0].ticket == ticket
    assert quiet(driver)


def test_frames_that_come_twice() -> None:
    driver = Driver()
    driver.message()
    create = driver.last_create
    for _ in range(2):
        driver.created("r1")
        driver.called("r1", "c1")
    first = driver.done("r1")
    assert first.types == []
    assert driver.done("r1") == []
    driver.tool_ended("c1")
    assert driver.creates == 2
    assert driver.refused(create["event_id"]).told == ["error"]  # long answered
    driver.created("r2")
    assert driver.done("r2").types == []
    assert quiet(driver)


def test_a_call_that_comes_after_the_end_of_its_response() -> None:
    driver = Driver().answering("r1")
    driver.done("r1")
    assert driver.called("r1", "c1").only(StartTool)
    assert driver.tool_ended("c1").types == ["conversation.item.create", "response.create"]


def test_a_call_that_comes_after_the_end_of_a_silenced_response_has_no_follow_up() -> None:
    driver = Driver().answering("r1")
    driver.interrupt()
    driver.done("r1")
    driver.called("r1", "c1")
    assert driver.tool_ended("c1").types == ["conversation.item.create"]


def test_a_handoff_that_is_called_after_the_end_of_its_response() -> None:
    driver = Driver().answering("r1")
    driver.done("r1")
    driver.called("r1", "h1", "transfer_to_techsupport")
    assert driver.verb(driver.conversation.handoff_prepared("h1", brief(support))).types == ["session.update"]
    assert driver.updated().types == ["conversation.item.create", "response.create"]


@pytest.mark.parametrize("running", [True, False])
def test_a_call_of_a_response_that_nobody_knows(running: bool) -> None:
    driver = Driver()
    if running:
        driver.answering("r1")
    assert driver.called("another", "c1").only(StartTool)
    followed = driver.tool_ended("c1").types
    assert followed == ["conversation.item.create", *([] if running else ["response.create"])]
    if running:
        assert driver.done("r1").types == ["response.create"]


def test_a_create_of_the_servers_own_that_was_lost_is_no_news() -> None:
    """With interrupt_response off the detection may want to answer while somebody does."""
    driver = Driver(detection={**VAD, "interrupt_response": False}).answering("r1")
    assert driver.refused(None).told == []
    driver.message()
    assert driver.done("r1").types == ["response.create"]


def test_a_lost_create_that_names_no_event_is_not_ours_if_the_server_names_events() -> None:
    driver = Driver(detection={**VAD, "interrupt_response": False}).answering("r0")
    driver.done("r0")
    driver.raw(type="response.cancel", event_id="mine")
    driver.refused("mine", "response_cancel_not_active")
    create = driver.message().frame("response.create")
    driver.created("theirs", ours=False)
    assert driver.refused(None).told == []
    driver.done("theirs")
    driver.created("r1")
    assert driver.done("r1").types == []
    assert [frame["event_id"] for frame in driver.log.sent].count(create["event_id"]) == 1


def test_a_race_against_a_response_that_is_never_announced() -> None:
    driver = Driver(detection=VAD)
    create = driver.message().frame("response.create")
    assert driver.refused(create["event_id"]).told == []
    assert driver.message().types == ["conversation.item.create"]
    assert driver.done("theirs").types == ["response.create"]


def test_items_without_announcements_and_without_places() -> None:
    """The beta era: `conversation.item.created`, and what follows only in `response.output_item.done`."""
    driver = Driver().answering("r1")
    user = {"id": "u", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert driver.server("conversation.item.created", item=user).told == ["history_added"]
    call = {"id": "f", "type": "function_call", "call_id": "c1", "name": "get_time", "arguments": ""}
    driver.server("conversation.item.created", item={**call, "status": "in_progress"})
    item = {**call, "status": "completed", "arguments": '{"a":1}'}
    driver.server("response.output_item.done", response_id="r1", output_index=0, item=item)
    said = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "hello"}]}
    done = driver.server("response.output_item.done", response_id="r1", output_index=1, item=said)
    assert done.told == ["history_added"]
    texts = [(item.id, item.text or item.arguments) for item in driver.conversation.history]
    assert texts == [("u", "hi"), ("f", '{"a":1}'), ("m", "hello")]


def test_items_that_only_the_end_of_a_response_tells() -> None:
    driver = Driver().answering("r1")
    said = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
    done = driver.done("r1", output=[said])
    assert done.told == ["history_added", "history_updated", "response_done", "agent_end"]
    assert driver.conversation.history[0].text == "hello"


def test_an_item_done_that_overtakes_its_announcement_still_finds_its_place() -> None:
    driver = Driver().answering("r1")
    for item_id, previous in (("a", None), ("c", "b")):
        item = {"id": item_id, "type": "message", "role": "user", "content": []}
        driver.server("conversation.item.added", item=item, previous_item_id=previous)
    item = {"id": "b", "type": "message", "role": "assistant", "status": "completed", "content": []}
    driver.server("response.output_item.done", response_id="r1", output_index=0, item=item)
    late = {**item, "status": "in_progress"}
    assert driver.server("conversation.item.added", item=late, previous_item_id="a").told == []
    assert [(item.id, item.status) for item in driver.conversation.history] == [
        ("a", None), ("b", "completed"), ("c", None),
    ]  # fmt: skip


def test_acknowledgements_that_nobody_waits_for() -> None:
    driver = Driver()
    assert driver.updated().settled == []
    assert quiet(driver)


@pytest.mark.parametrize(
    "session",
    [
        {},
        {"type": "realtime"},
        {"type": "transcription"},
        {"type": "novelty", "id": 7},
        {"type": "realtime", "audio": {}},
        {"type": "realtime", "audio": {"input": {"format": {"type": "audio/opus"}}}},
        {"modalities": ["text"], "turn_detection": None, "voice": "alloy"},
    ],
)
def test_session_objects_of_all_kinds(session: dict[str, Any]) -> None:
    driver = Driver(opened=False)
    ticket, effects = driver.conversation.open()
    driver.verb(effects)
    driver.server("session.created", session=session)
    assert driver.server("session.updated", session=session).settled[0].ticket == ticket
    assert quiet(driver)


def test_a_refusal_reaches_whoever_asked_with_all_that_the_server_says() -> None:
    driver = Driver()
    ticket, step = driver.ask()
    event_id = step.frame("response.create")["event_id"]
    details = {"type": "invalid_request_error", "code": "bad", "param": "response", "event_id": event_id}
    (settled,) = driver.server("error", error={"message": "no such thing", **details}).settled
    refusal = settled.error
    assert isinstance(refusal, ServerRefused)
    assert (settled.ticket, str(refusal)) == (ticket, "no such thing")
    assert {name: getattr(refusal, name) for name in details} == details


def test_a_create_that_was_lost_to_an_answer_of_the_servers_own_is_asked_again_though_no_event_is_named() -> None:
    driver = Driver(echo=False)
    driver.message()
    assert driver.refused(None).events == []
    driver.created("r1", ours=False)
    assert driver.done("r1").types == ["response.create"]


def test_an_error_that_names_no_event_is_told_though_something_was_cancelled() -> None:
    driver = Driver().answering("r1")
    driver.interrupt()
    assert driver.refused(None, "out_of_paper").only(ErrorEvent).error.code == "out_of_paper"
    assert driver.refused(None, "response_cancel_not_active").events == []


def test_a_response_that_does_not_say_where_it_belongs_belongs_to_the_conversation() -> None:
    driver = Driver().answering("r1")
    driver.done("r1")
    step = driver.server("response.created", response={"id": "r2", "status": "in_progress"})
    assert step.told == ["agent_start"]
    assert driver.created("r3", ours=False, conversation=None).told == []
