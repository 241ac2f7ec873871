"""The conversation and its sounds: what the user says, whose turn it is, barge-in, what was heard, the history."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.protocol.driver import MS, VAD, Driver
from trio_codex.errors import LocalProtocolError
from trio_codex.events import (
    Audio,
    AudioEndEvent,
    AudioEvent,
    AudioInterruptedEvent,
    ErrorEvent,
    ErrorInfo,
    HistoryAddedEvent,
    HistoryUpdatedEvent,
    InputAudioTimeoutTriggeredEvent,
    InputTranscriptEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    TextDeltaEvent,
    TranscriptDeltaEvent,
)
from trio_codex.protocol import Play, ResponseParams, SessionSettings, StopPlayback
from trio_codex.protocol.hearing import PIECE_BYTES

EMPTY = "input_audio_buffer_commit_empty"
APPEND, COMMIT = "input_audio_buffer.append", "input_audio_buffer.commit"


# --- the user's audio --------------------------------------------------------------------------------------------------


def test_audio_is_appended_and_the_last_chunk_committed() -> None:
    driver = Driver()
    assert driver.hear(100).types == [APPEND]
    assert driver.hear(100, commit=True).types == [APPEND, COMMIT, "response.create"]
    assert driver.creates == 1


def test_a_commit_may_leave_the_asking_to_the_user() -> None:
    driver = Driver()
    assert driver.hear(200, commit=True, respond=False).types == [APPEND, COMMIT]


def test_half_a_sample_waits_for_its_other_half() -> None:
    driver = Driver()
    sent = [driver.verb(driver.conversation.hear(chunk)).sent for chunk in (b"\x01", b"\x02\x03", b"\x04")]
    assert [[base64.b64decode(frame["audio"]) for frame in frames] for frames in sent] == [
        [],
        [b"\x01\x02"],
        [b"\x03\x04"],
    ]


def test_half_a_sample_survives_an_update_of_the_session() -> None:
    driver = Driver()
    driver.verb(driver.conversation.hear(b"\x01"))
    driver.updated(format={"type": "audio/pcm", "rate": 24000})
    (frame,) = driver.verb(driver.conversation.hear(b"\x02")).sent
    assert base64.b64decode(frame["audio"]) == b"\x01\x02"


def test_a_long_piece_goes_in_several_frames() -> None:
    driver = Driver()
    step = driver.verb(driver.conversation.hear(bytes(PIECE_BYTES + 2)))
    assert step.types == [APPEND, APPEND]


def test_no_audio_sends_nothing() -> None:
    assert Driver().hear(0).types == []


def test_there_is_nothing_to_commit_below_100_ms() -> None:
    driver = Driver()
    driver.hear(60)
    with pytest.raises(LocalProtocolError, match="99 ms"):
        driver.hear(39, commit=True)
    assert driver.hear(40, commit=True).types == [APPEND, COMMIT, "response.create"]
    with pytest.raises(LocalProtocolError, match="0 ms"):
        driver.hear(0, commit=True)


def test_cleared_audio_is_not_there_to_commit() -> None:
    driver = Driver()
    driver.hear(500)
    driver.raw(type="input_audio_buffer.clear")
    with pytest.raises(LocalProtocolError):
        driver.hear(0, commit=True)


def test_raw_audio_counts() -> None:
    driver = Driver()
    assert driver.raw(type=APPEND, audio=base64.b64encode(bytes(100 * MS)).decode()).types == [APPEND]
    assert driver.hear(0, commit=True).types == [COMMIT, "response.create"]


def test_a_raw_commit_asks_for_nothing() -> None:
    driver = Driver()
    driver.hear(200)
    assert driver.raw(type=COMMIT).types == [COMMIT]
    with pytest.raises(LocalProtocolError, match="only 0 ms"):
        driver.hear(0, commit=True)


def test_a_raw_commit_asks_for_nothing_though_the_server_detects_turns() -> None:
    driver = Driver(detection=VAD)
    driver.raw(type=COMMIT)
    assert driver.committed("u1").types == []
    driver.hear(200, commit=True)
    assert driver.committed("u2").types == ["response.create"]


def test_ms_follow_from_the_input_format() -> None:
    driver = Driver()
    driver.updated(format={"type": "audio/pcmu"})
    with pytest.raises(LocalProtocolError, match="50 ms"):
        driver.verb(driver.conversation.hear(bytes(400), commit=True))
    assert driver.verb(driver.conversation.hear(bytes(801), commit=True)).types == [APPEND, COMMIT, "response.create"]


# --- whose turn it is --------------------------------------------------------------------------------------------------


def test_with_detection_the_create_waits_for_what_the_server_made_of_the_commit() -> None:
    driver = Driver(detection=VAD)
    assert driver.hear(50, commit=True).types == [APPEND, COMMIT]
    assert driver.committed("u1").types == ["response.create"]


def test_an_answer_that_the_server_gives_itself_is_the_only_one() -> None:
    driver = Driver(detection=VAD)
    driver.started("u1")
    commit = driver.hear(500, commit=True).frame(COMMIT)
    driver.stopped("u1")
    driver.committed("u1")
    driver.created("theirs", ours=False)
    refused = driver.refused(commit["event_id"], EMPTY)
    assert refused.told == []
    driver.done("theirs")
    assert driver.creates == 0


def test_the_asking_is_ours_when_the_detection_creates_no_response() -> None:
    driver = Driver(detection={**VAD, "create_response": False})
    driver.started("u1")
    commit = driver.hear(500, commit=True).frame(COMMIT)
    driver.stopped("u1")
    assert driver.committed("u1").types == []
    assert driver.refused(commit["event_id"], EMPTY).types == ["response.create"]


@pytest.mark.parametrize("beside", [True, False])
def test_a_turn_that_was_answered_meanwhile_needs_no_answer(beside: bool) -> None:
    driver = Driver(detection={**VAD, "create_response": False})
    driver.started("u1")
    commit = driver.hear(500, commit=True).frame(COMMIT)
    driver.stopped("u1")
    driver.committed("u1")
    driver.verb(driver.conversation.respond(ResponseParams(conversation="none") if beside else None)[1])
    driver.created("r1", conversation=None if beside else "conv_1")
    assert driver.refused(commit["event_id"], EMPTY).types == (["response.create"] if beside else [])
    driver.done("r1", conversation_id=None if beside else "conv_1")
    assert driver.creates == 1 + beside


def test_the_answer_is_ours_when_the_server_could_not_give_it() -> None:
    """With interrupt_response off the server creates no response while one runs, so the turn is answered after it."""
    driver = Driver(detection={**VAD, "interrupt_response": False}).answering("r1")
    driver.started("u1")
    commit = driver.hear(500, commit=True).frame(COMMIT)
    driver.stopped("u1")
    driver.committed("u1")
    assert driver.refused(commit["event_id"], EMPTY).told == []
    assert driver.done("r1").types == ["response.create"]


@pytest.mark.parametrize("late", [False, True])
def test_a_commit_and_a_message_beside_it_are_answered_by_one_response(late: bool) -> None:
    driver = Driver(detection={**VAD, "create_response": False})
    if late:
        driver.started("u1")
        driver.stopped("u1")
    commit = driver.hear(500, commit=True).frame(COMMIT)
    if late:
        driver.committed("u1")
    assert driver.message().types == ["conversation.item.create", "response.create"]
    driver.refused(commit["event_id"], EMPTY) if late else driver.committed("u1")
    driver.created("r1")
    assert driver.done("r1").types == []


def test_an_answer_to_a_message_is_none_to_a_turn_that_was_committed_after_it() -> None:
    driver = Driver(detection=VAD)
    driver.message()
    driver.hear(500, commit=True)
    driver.created("r1")
    driver.committed("u1")
    assert driver.done("r1").types == ["response.create"]


def test_a_turn_that_somebody_else_answers_is_not_asked_for_again() -> None:
    driver = Driver().answering("r1")
    driver.hear(200, commit=True)
    driver.created("theirs", ours=False)
    assert driver.done("theirs").types == []


def test_an_answer_to_a_late_commit_is_not_wanted_once_somebody_else_has_given_it() -> None:
    driver = Driver(detection={**VAD, "create_response": False}).answering("r0")
    driver.done("r0")
    driver.started("u1")
    driver.stopped("u1")
    commit = driver.hear(500, commit=True).frame(COMMIT)
    driver.committed("u1")
    assert driver.refused(commit["event_id"], EMPTY).types == ["response.create"]
    driver.created("theirs", ours=False)
    driver.done("theirs")
    assert driver.created("r1").types == ["response.cancel"]


def test_a_turn_that_waits_behind_a_withdrawn_request_gets_its_own_answer() -> None:
    """The server answered the first turn itself, so our create for it is cancelled: the turn committed meanwhile is asked for again."""
    driver = Driver(detection={**VAD, "interrupt_response": False})
    driver.hear(300, commit=True)
    driver.hear(300, commit=True)
    assert driver.committed("u1").types == ["response.create"]
    driver.started("u2")
    driver.stopped("u2")
    driver.committed("u2")
    driver.created("theirs", ours=False)
    driver.started("u3")
    driver.done("theirs")
    assert driver.committed("u3").types == []
    assert driver.created("r1").types == ["response.cancel"]
    assert driver.cancelled("r1", "client_cancelled").types == ["response.create"]
    assert driver.created("r2").types == []
    assert driver.done("r2").types == []


def test_a_commit_of_nothing_at_all_is_an_error() -> None:
    driver = Driver(detection=VAD)
    commit = driver.hear(0, commit=True).frame(COMMIT)
    assert driver.refused(commit["event_id"], EMPTY).only(ErrorEvent).error.code == EMPTY


def test_the_idle_timeout_ends_a_turn_like_the_detection() -> None:
    driver = Driver(detection=VAD)
    commit = driver.hear(500, commit=True).frame(COMMIT)
    step = driver.server("input_audio_buffer.timeout_triggered", item_id="u1", audio_start_ms=10, audio_end_ms=20)
    assert step.events == [InputAudioTimeoutTriggeredEvent("u1", 10, 20)]
    driver.committed("u1")
    driver.created("theirs", ours=False)
    assert driver.refused(commit["event_id"], EMPTY).told == []
    assert driver.creates == 0


def test_what_the_server_does_not_tell_of_its_detection_is_as_it_was_asked_for() -> None:
    driver = Driver(settings=SessionSettings(turn_detection=None), opened=False)
    driver.verb(driver.conversation.open()[1])
    driver.server("session.updated", session={"type": "realtime", "id": "sess_1"})
    assert driver.hear(200, commit=True).types == [APPEND, COMMIT, "response.create"]


def test_speech_is_told() -> None:
    driver = Driver(detection=VAD)
    assert driver.started("u1").events == [SpeechStartedEvent("u1", 0)]
    assert driver.stopped("u1").events == [SpeechStoppedEvent("u1", 500)]


# --- what sounds -------------------------------------------------------------------------------------------------------


def test_audio_is_told_as_it_comes_and_played_in_whole_samples() -> None:
    driver = Driver().answering("r1")
    place = {"response_id": "r1", "item_id": "m", "output_index": 0, "content_index": 0}
    told, played = [], []
    for chunk in (b"\x01", b"\x02\x03", b"\x04"):
        step = driver.server("response.output_audio.delta", **place, delta=base64.b64encode(chunk).decode())
        told += [event.data for event in step.events if isinstance(event, AudioEvent)]
        played += [play.data for play in step.all(Play)]
    assert told == [b"\x01", b"\x02\x03", b"\x04"]
    assert played == [b"\x01\x02", b"\x03\x04"]


def test_half_a_sample_of_one_item_is_no_part_of_the_next() -> None:
    driver = Driver().answering("r1")
    place = {"response_id": "r1", "output_index": 0, "content_index": 0}
    for item_id in ("m", "n"):
        delta = base64.b64encode(b"\x01\x02\x03").decode()
        assert driver.server("response.output_audio.delta", **place, item_id=item_id, delta=delta).played == b"\x01\x02"


def test_the_names_of_the_beta_era_are_understood() -> None:
    driver = Driver().answering("r1")
    place = {"response_id": "r1", "item_id": "m", "output_index": 0, "content_index": 0}
    assert driver.server("response.audio.delta", **place, delta="AAAA").told == ["audio"]
    assert driver.server("response.audio.done", **place).events == [AudioEndEvent("m", 0)]
    assert driver.server("response.text.delta", **place, delta="x").told == ["text_delta"]


# --- barge-in ----------------------------------------------------------------------------------------------------------


def test_speech_stops_the_sound_and_truncates_to_what_was_heard() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.sounded("r1", "m", 2000)
    driver.now = 0.7
    step = driver.started()
    assert step.told == ["speech_started", "audio_interrupted"]
    assert step.only(AudioInterruptedEvent) == AudioInterruptedEvent("m", 0, 700)
    assert step.all(StopPlayback)
    truncate = step.frame("conversation.item.truncate")
    assert (truncate["item_id"], truncate["content_index"], truncate["audio_end_ms"]) == ("m", 0, 700)
    assert step.types == ["conversation.item.truncate"]  # the server cancels by itself


def test_interrupt_cancels_too() -> None:
    driver = Driver().answering("r1")
    driver.sounded("r1", "m", 2000)
    driver.now = 0.7
    step = driver.interrupt()
    assert step.types == ["response.cancel", "conversation.item.truncate"]
    assert step.frame("response.cancel")["response_id"] == "r1"


def test_interrupt_cancels_what_speech_has_already_silenced() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.started()
    assert driver.interrupt().types == ["response.cancel"]
    assert driver.interrupt().types == []


def test_nothing_of_a_silenced_answer_is_heard_any_more() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.sounded("r1", "m", 500)
    driver.started()
    for _ in range(2):
        assert driver.sounded("r1", "m", 500) == []
        assert driver.said("r1", "m", "words") == []
        assert driver.sound_done("r1", "m") == []
        driver.cancelled("r1")  # late frames after the end are no better


def test_nothing_more_comes_of_an_answer_that_was_done_when_it_was_silenced() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.sounded("r1", "m", 500)
    driver.done("r1")
    driver.started()
    assert driver.sounded("r1", "m", 500) == []


def test_the_next_answer_is_heard_again() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.started()
    driver.cancelled("r1")
    driver.answering("r2")
    assert driver.sounded("r2", "n", 10).told == ["audio"]


def test_an_answer_that_is_done_but_still_sounds_is_truncated() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.sounded("r1", "m", 5000)
    driver.sound_done("r1", "m")
    driver.done("r1")
    driver.now = 1.0
    step = driver.started()
    assert step.frame("conversation.item.truncate")["audio_end_ms"] == 1000
    assert "response.cancel" not in step.types


def test_an_answer_that_is_done_and_was_heard_is_not_truncated() -> None:
    """Though nobody has told that its sound is complete."""
    driver = Driver(detection=VAD).answering("r1")
    driver.sounded("r1", "m", 1000)
    driver.done("r1")
    driver.now = 2.0
    assert driver.started().types == []


def test_every_item_that_has_not_sounded_is_truncated_the_later_ones_at_0() -> None:
    driver = Driver(detection=VAD).answering("r1")
    for item_id in ("m", "n", "o"):
        driver.sounded("r1", item_id, 1000)
        driver.sound_done("r1", item_id)
    driver.now = 1.5
    cut = [(frame["item_id"], frame["audio_end_ms"]) for frame in driver.started().sent]
    assert cut == [("n", 500), ("o", 0)]


def test_how_much_was_heard_follows_from_the_output_format() -> None:
    driver = Driver()
    output = {"format": {"type": "audio/pcmu"}}
    driver.server("session.updated", session={"type": "realtime", "audio": {"output": output}})
    driver.answering("r1")
    driver.item("m", status="in_progress")
    driver.sounded("r1", "m", 100)  # that many bytes are 600 ms of it
    driver.now = 0.5
    assert driver.interrupt().frame("conversation.item.truncate")["audio_end_ms"] == 500


def test_an_answer_without_audio_is_not_truncated() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.said("r1", "m", "about to speak")
    step = driver.started()
    assert step.types == []
    assert step.told == ["speech_started"]


def test_speech_while_nothing_sounds_interrupts_nothing() -> None:
    driver = Driver(detection=VAD)
    assert driver.started().told == ["speech_started"]
    driver.answering("r1")
    driver.sounded("r1", "m", 100)
    driver.sound_done("r1", "m")
    driver.done("r1")
    driver.now = 10.0
    assert driver.started().told == ["speech_started"]


def test_speech_that_does_not_interrupt_leaves_the_answer_alone() -> None:
    driver = Driver(detection={**VAD, "interrupt_response": False}).answering("r1")
    driver.sounded("r1", "m", 1000)
    assert driver.started().types == []
    assert driver.sounded("r1", "m", 100).played


def test_an_answer_that_is_only_asked_for_is_cancelled_as_it_begins() -> None:
    driver = Driver()
    driver.message()
    assert driver.interrupt().types == []
    assert driver.created("r1").types == ["response.cancel"]
    assert driver.sounded("r1", "m", 100) == []
    assert driver.message().types == ["conversation.item.create"]
    assert driver.cancelled("r1", "client_cancelled").types == ["response.create"]


def test_an_ask_that_is_interrupted_on_its_way_and_loses_a_race_is_cancelled() -> None:
    driver = Driver().answering("r0")
    driver.done("r0")
    ticket, step = driver.ask()
    driver.interrupt()
    driver.created("theirs", ours=False)
    (settled,) = driver.refused(step.frame("response.create")["event_id"]).settled
    assert (settled.ticket, settled.value.status) == (ticket, "cancelled")


def test_a_message_after_an_interruption_survives_the_race_that_the_interrupted_one_lost() -> None:
    driver = Driver().answering("r0")
    driver.done("r0")
    create = driver.message("one").frame("response.create")
    driver.interrupt()
    driver.message("two")
    driver.created("theirs", ours=False)
    driver.refused(create["event_id"])
    assert driver.done("theirs").types == ["response.create"]


def test_interrupting_nothing_does_nothing() -> None:
    assert Driver().interrupt() == []


# --- what was heard ----------------------------------------------------------------------------------------------------


def test_reports_of_a_sink_count_before_all_else() -> None:
    driver = Driver().answering("r1")
    driver.sounded("r1", "m", 2000)
    driver.conversation.taken("m", 0, 1500 * MS)
    driver.conversation.played("m", 0, 400 * MS)
    driver.now = 1.0
    assert driver.interrupt().frame("conversation.item.truncate")["audio_end_ms"] == 400


def test_what_was_taken_counts_before_an_estimate() -> None:
    driver = Driver().answering("r1")
    driver.sounded("r1", "m", 2000)
    driver.conversation.taken("m", 0, 1500 * MS)
    driver.now = 1.0
    assert driver.interrupt().frame("conversation.item.truncate")["audio_end_ms"] == 1500


def test_more_than_was_received_is_never_heard() -> None:
    driver = Driver().answering("r1")
    driver.sounded("r1", "m", 200)
    driver.conversation.played("m", 0, 9000 * MS)
    assert driver.interrupt().frame("conversation.item.truncate")["audio_end_ms"] == 200


# --- the history -------------------------------------------------------------------------------------------------------


def updated(step: Any) -> tuple[Any, ...]:
    return tuple(step.only(HistoryUpdatedEvent).history)


def test_an_interrupted_answer_keeps_what_was_said_and_what_was_heard() -> None:
    driver = Driver(detection=VAD).answering("r1")
    driver.item("m", status="in_progress")
    driver.said("r1", "m", "one two three four")
    driver.sounded("r1", "m", 2000)
    driver.now = 1.0
    driver.started()
    driver.said("r1", "m", " five")
    driver.server("conversation.item.truncated", item_id="m", content_index=0, audio_end_ms=1000)
    content = [{"type": "output_audio", "transcript": None}]
    (item,) = updated(driver.item("m", done=True, status="incomplete", content=content))
    assert (item.text, item.text_heard, item.interrupted_at_ms) == ("one two three four five", "one two", 1000)


def test_the_history_is_told_when_an_item_is_done_transcribed_cut_or_deleted_never_per_delta() -> None:
    driver = Driver().answering("r1")
    added = driver.item("m", status="in_progress")
    assert added.told == ["history_added"]
    assert added.only(HistoryAddedEvent).item.id == "m"
    assert driver.said("r1", "m", "words").told == ["transcript_delta"]
    assert driver.item("m", done=True).told == ["history_updated"]
    assert driver.server("conversation.item.truncated", item_id="m", content_index=0, audio_end_ms=1).told == [
        "history_updated"
    ]
    assert driver.server("conversation.item.deleted", item_id="m").told == ["history_updated"]
    assert driver.conversation.history == ()


@pytest.mark.parametrize("spoken", [True, False])
def test_the_words_of_an_answer_are_whole_when_the_server_says_so(spoken: bool) -> None:
    kind, field = ("output_audio_transcript", "transcript") if spoken else ("output_text", "text")
    driver = Driver().answering("r1")
    driver.item("m", status="in_progress")
    place = {"response_id": "r1", "item_id": "m", "output_index": 0, "content_index": 0}
    driver.server(f"response.{kind}.delta", **place, delta="Hel")
    (part,) = driver.conversation.history[0].content
    assert (part.type, part.text) == ("output_audio" if spoken else "output_text", "Hel")
    assert driver.server(f"response.{kind}.done", **place, **{field: "Hello."}).told == []
    driver.server(f"response.{kind}.delta", **place, delta="lo.")
    assert driver.conversation.history[0].text == "Hello."


def test_a_server_that_has_cut_the_words_off_does_not_wipe_them() -> None:
    driver = Driver().answering("r1")
    driver.item("m", status="in_progress")
    driver.said("r1", "m", "Hello")
    place = {"response_id": "r1", "item_id": "m", "output_index": 0, "content_index": 0}
    driver.server("response.output_audio_transcript.done", **place, transcript="")
    assert driver.conversation.history[0].text == "Hello"


TRANSCRIPTION = "conversation.item.input_audio_transcription"


def test_what_the_user_said_is_told_piece_by_piece_and_whole() -> None:
    driver = Driver()
    driver.item("u", role="user", content=[{"type": "input_audio"}])
    delta = driver.server(f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="Good ")
    assert delta.events == [InputTranscriptEvent("u", "Good ", final=False)]
    delta = driver.server(f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="mo")
    assert delta.events == [InputTranscriptEvent("u", "Good mo", final=False)]
    whole = driver.server(
        f"{TRANSCRIPTION}.completed",
        item_id="u",
        content_index=0,
        transcript="Good morning",
        usage={"type": "duration", "seconds": 1},
    )
    assert whole.told == ["input_transcript", "history_updated"]
    assert whole.events[0] == InputTranscriptEvent("u", "Good morning", final=True)
    assert updated(whole)[0].text == "Good morning"
    late = driver.server(f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="rning")
    assert late.events == []


def test_pieces_of_a_transcript_stand_where_they_belong_though_their_item_comes_late() -> None:
    driver = Driver()
    driver.server(f"{TRANSCRIPTION}.delta", item_id="u", content_index=0, delta="Hear")
    driver.server(f"{TRANSCRIPTION}.delta", item_id="u", content_index=1, delta="Look")
    driver.server(f"{TRANSCRIPTION}.delta", item_id="u", content_index=1, delta=None)
    driver.server(f"{TRANSCRIPTION}.delta", item_id="v", delta="Well")
    for item_id in ("u", "v"):
        driver.item(item_id, role="user")
    heard = [[(part.type, part.text) for part in item.content] for item in driver.conversation.history]
    assert heard == [[("input_audio", "Hear"), ("input_audio", "Look")], [("input_audio", "Well")]]


def test_a_whole_transcript_is_of_what_was_heard() -> None:
    driver = Driver()
    usage = {"type": "duration", "seconds": 1}
    driver.server(f"{TRANSCRIPTION}.completed", item_id="u", content_index=0, transcript="Look", usage=usage)
    driver.item("u", role="user")
    (part,) = driver.conversation.history[0].content
    assert (part.type, part.text) == ("input_audio", "Look")


def test_who_was_cut_off_elsewhere_is_known() -> None:
    """Another client of the same session truncates as well."""
    driver = Driver().answering("r1")
    driver.item("m", status="in_progress")
    driver.server("conversation.item.truncated", item_id="m", content_index=0, audio_end_ms=700)
    assert driver.conversation.history[0].interrupted_at_ms == 700


def test_a_transcription_that_failed_is_told() -> None:
    error = {"type": "server_error", "message": "too noisy", "code": "noise", "param": "audio"}
    step = Driver().server(f"{TRANSCRIPTION}.failed", item_id="u", content_index=0, error=error)
    assert step.only(ErrorEvent).error == ErrorInfo("server_error", "too noisy", "noise", "audio")


def test_a_transcription_that_failed_for_no_reason_is_told() -> None:
    step = Driver().server(f"{TRANSCRIPTION}.failed", item_id="u", content_index=0, error={})
    assert step.only(ErrorEvent).error == ErrorInfo("transcription_failed", "the transcription failed")


@pytest.mark.parametrize(
    ("kind", "part"), [("output_audio_transcript", "output_audio"), ("output_text", "output_text")]
)
def test_whole_words_are_kept_though_nobody_knows_their_answer(kind: str, part: str) -> None:
    driver = Driver()
    place = {"response_id": "r9", "item_id": "m", "output_index": 0, "content_index": 0}
    words = {"transcript" if part == "output_audio" else "text": "Hello"}
    driver.server(f"response.{kind}.done", **place, **words)
    driver.item("m")
    assert [(part.type, part.text) for part in driver.conversation.history[0].content] == [(part, "Hello")]


@pytest.mark.parametrize("spoken", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_whoever_asked_gets_the_words_as_they_are_told_whole(spoken: bool, beside: bool) -> None:
    """Of an answer beside the conversation nobody else hears, though another one runs."""
    kind, field = ("output_audio_transcript", "transcript") if spoken else ("output_text", "text")
    driver = Driver()
    if beside:
        driver.answering("r1")
    asked = driver.conversation.respond(ResponseParams(conversation="none") if beside else None, ask=True)
    driver.verb(asked[1])
    conversation = None if beside else "conv_1"
    driver.created("r2", conversation=conversation)
    place = {"response_id": "r2", "item_id": "m", "output_index": 0, "content_index": 0}
    driver.server(f"response.{kind}.delta", **place, delta="Helo")
    driver.server(f"response.{kind}.done", **place, **{field: "Hello"})
    (settled,) = driver.done("r2", conversation_id=conversation).settled
    assert settled.value.transcript == "Hello"
    driver.item("m")
    assert driver.conversation.history[0].text == ("" if beside else "Hello")


def test_words_say_where_they_belong() -> None:
    driver = Driver().answering("r1")
    assert driver.said("r1", "m", "Hello").events == [TranscriptDeltaEvent("m", "Hello")]
    place = {"response_id": "r1", "item_id": "n", "output_index": 1, "content_index": 0}
    assert driver.server("response.output_text.delta", **place, delta="Hi").events == [TextDeltaEvent("n", "Hi")]


def test_the_sound_of_an_answer_beside_the_conversation_is_its_askers_alone() -> None:
    driver = Driver()
    driver.verb(driver.conversation.respond(ResponseParams(conversation="none"), ask=True)[1])
    driver.created("r1", conversation=None)
    step = driver.sounded("r1", "m", 10)
    assert (step.told, step.all(Play)) == ([], [])
    (settled,) = driver.done("r1", conversation_id=None).settled
    assert settled.value.audio == bytes(10 * MS)


@pytest.mark.parametrize("response_id", ["r1", "r9"])
def test_sound_says_where_it_belongs(response_id: str) -> None:
    driver = Driver()
    if response_id == "r1":
        driver.answering("r1")
    place = {"response_id": response_id, "item_id": "m", "output_index": 0, "content_index": 1}
    step = driver.server("response.output_audio.delta", **place, delta=base64.b64encode(bytes(480)).decode())
    assert step.only(AudioEvent).audio == Audio(bytes(480), "m", 1, response_id)
    assert step.only(Play) == Play(response_id, "m", 1, bytes(480))


@pytest.mark.parametrize("told", ["added", "done"])
def test_items_that_come_before_their_predecessor_find_their_place(told: str) -> None:
    driver = Driver()
    for item_id, previous in [("b", "a"), ("c", "b"), ("a", None)]:
        item = {"id": item_id, "type": "message", "role": "user", "content": []}
        driver.server(f"conversation.item.{told}", item=item, previous_item_id=previous)
    assert [item.id for item in driver.conversation.history] == ["a", "b", "c"]


def test_an_item_that_is_done_stays_done_whatever_comes_late() -> None:
    driver = Driver()
    driver.item("m", done=True, status="completed")
    driver.item("m", status="in_progress")
    assert driver.conversation.history[0].status == "completed"
