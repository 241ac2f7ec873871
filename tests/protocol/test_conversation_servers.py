"""Servers that are not quite the API: old, sparing, sloppy or confused. The conversation goes on, and nothing stays owed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import REQUEST_KEY, VAD, Driver, brief, support
from trio_codex.errors import ConnectionFailed, LocalProtocolError, RemoteProtocolError, ServerRefused
from trio_codex.events import AudioEvent, ErrorEvent, ResponseDoneEvent
from trio_codex.protocol import (
    ContentPart,
    ResponseParams,
    SessionSettings,
    StartTimer,
    StartTool,
    StopPlayback,
    decode_client_event,
)


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
    assert driver.called("another", "c1").only(StartTool).call.response_id == ("r1" if running else "another")
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
    done = driver.done("r1", output=[{**said, "status": "completed"}])
    assert done.told == ["history_added", "history_updated", "response_done", "agent_end"]
    assert driver.conversation.history[0].text == "hello"
    driver.item("m", status="in_progress")  # comes late
    assert driver.conversation.history[0].status == "completed"


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


def test_a_refusal_of_an_answer_beside_the_conversation_is_told_and_reaches_whoever_asked() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.respond(ResponseParams(conversation="none"), ask=True)
    step = driver.refused(driver.verb(effects).frame("response.create")["event_id"], "bad")
    (settled,) = step.settled
    assert (settled.ticket, type(settled.error)) == (ticket, ServerRefused)
    assert step.told == ["error"]


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


def test_what_nobody_waits_for_is_settled_for_nobody_and_abandoned_by_nobody() -> None:
    driver = Driver()
    create = driver.raw(type="response.create").frame("response.create")
    assert create["event_id"].startswith("event_")
    driver.created("r1")
    ticket, _ = driver.ask()
    assert driver.verb(driver.conversation.abandon(ticket, driver.now)) == []
    assert driver.done("r1").settled == []
    assert driver.message().frame("response.create")["event_id"].startswith("event_")


def test_responses_without_a_name() -> None:
    driver = Driver()
    assert driver.server("response.done", response={"status": "completed"}).only(ResponseDoneEvent).response_id == ""
    driver.message()
    driver.server("response.created", response={"status": "in_progress"})
    assert driver.interrupt().frame("response.cancel").get("response_id") is None


def test_a_response_to_somebody_else_is_not_for_whoever_asked_here() -> None:
    driver = Driver()
    driver.ask()
    metadata = {REQUEST_KEY: "somebody"}
    driver.server("response.created", response={"id": "r1", "status": "in_progress", "metadata": metadata})
    assert driver.done("r1").settled == []


def test_a_server_that_has_once_repeated_metadata_is_expected_to() -> None:
    driver = Driver().answering("r1")
    driver.done("r1")
    driver.ask()
    driver.created("theirs", ours=False)
    assert driver.done("theirs").settled == []


def test_answers_beside_the_conversation_go_to_who_is_named() -> None:
    driver = Driver()
    beside = ResponseParams(conversation="none")
    tickets = []
    for _ in range(2):
        ticket, effects = driver.conversation.respond(beside, ask=True)
        driver.verb(effects)
        tickets.append(ticket)
    driver.created("r2", conversation=None)
    (settled,) = driver.done("r2", conversation_id=None).settled
    assert settled.ticket == tickets[1]


def test_what_was_cut_off_stays_silent_after_many_answers() -> None:
    driver = Driver()
    for number in range(40):
        driver.answering(f"r{number}")
        driver.done(f"r{number}") if number < 39 else driver.interrupt()
    driver.cancelled("r39", "client_cancelled")
    assert driver.sounded("r39", "m", 10) == []
    assert len(driver.conversation._answers._late) < 40


def test_an_interruption_stops_what_sounds_and_what_is_about_to() -> None:
    assert len(Driver().answering("r1").interrupt().all(StopPlayback)) == 1
    driver = Driver().answering("r1")
    driver.item("m", status="in_progress")
    driver.sounded("r1", "m", 1000)
    driver.done("r1")
    driver.now = 0.5
    assert len(driver.interrupt().all(StopPlayback)) == 1
    assert driver.conversation.history[0].interrupted_at_ms == 500


# --- what a program says for itself ------------------------------------------------------------------------------------


def test_events_that_nobody_knows_go_as_they_are_with_an_id() -> None:
    driver = Driver()
    assert driver.raw(type="hologram.show", event_id="mine", of=["tea"]).sent == [
        {"type": "hologram.show", "event_id": "mine", "of": ["tea"]}
    ]
    for type_ in ("hologram.show", "output_audio_buffer.clear", "input_audio_buffer.clear"):
        assert driver.raw(type=type_).frame(type_)["event_id"].startswith("event_")
        nameless = decode_client_event(f'{{"type": "{type_}", "event_id": ""}}')
        event_id, effects = driver.conversation.send_raw(nameless)
        assert driver.verb(effects).frame(type_)["event_id"] == event_id != ""


def test_who_did_not_ask_is_told_nothing() -> None:
    driver = Driver()
    assert driver.respond().frame("response.create")["event_id"].startswith("event_")
    driver.created("r1")
    assert driver.done("r1").settled == []


@pytest.mark.parametrize(("opened", "kind"), [(False, ConnectionFailed), (True, ServerRefused)])
def test_settings_that_are_not_answered_in_time(opened: bool, kind: type[Exception]) -> None:
    driver = Driver(opened=opened)
    verbs = driver.conversation
    ticket, effects = verbs.update(SessionSettings(voice="ash")) if opened else verbs.open()
    (timer,) = driver.verb(effects).all(StartTimer)
    (settled,) = driver.verb(verbs.timed_out(timer.name)).settled
    assert (settled.ticket, type(settled.error)) == (ticket, kind)
    assert str(settled.error) == "the server did not acknowledge the settings in 10 s"


def test_a_frame_that_is_not_the_protocol_is_told_with_the_reason() -> None:
    driver = Driver()
    step = driver.verb(driver.conversation.bad_frame(RemoteProtocolError("no JSON at all"), "{"))
    assert step.only(ErrorEvent).error.type == "protocol_error"
    assert "no JSON at all" in step.only(ErrorEvent).error.message


def test_words_of_an_answer_that_was_cut_off_are_not_told_while_the_next_one_runs() -> None:
    driver = Driver().answering("r1")
    driver.interrupt()
    driver.cancelled("r1", "client_cancelled")
    driver.answering("r2")
    place = {"response_id": "r1", "item_id": "m", "output_index": 0, "content_index": 0}
    assert driver.server("response.output_text.delta", **place, delta="late").events == []


def test_a_message_goes_under_the_id_that_is_given_and_says_what_utf_8_can() -> None:
    driver = Driver()
    image = ContentPart(type="input_image", image_url="data:image/png;base64,AA==")
    item_id, effects = driver.conversation.send_message([ContentPart(type="input_text", text="a\ud800"), image])
    step = driver.verb(effects)
    item = step.frame("conversation.item.create")["item"]
    assert item_id.startswith("item_")
    assert item["id"] == item_id
    assert [part.get("text") for part in item["content"]] == ["a?", None]
    assert step.types[-1] == "response.create"


def test_two_handoffs_at_a_time_are_one_too_many() -> None:
    driver = Driver()
    ticket, effects = driver.conversation.redirect(brief(support))
    driver.verb(effects)
    assert ticket.startswith("redirect_")
    with pytest.raises(
        LocalProtocolError, match=r"^a handoff is under way; wait for its HandoffEvent or ToolEndEvent$"
    ):
        driver.conversation.redirect(brief(support))
