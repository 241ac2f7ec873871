"""Guardrails in a conversation: what is checked when, what a trip sends, and that it hits its own answer alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.protocol.driver import VAD, Driver, Step, brief, get_weather, support
from trio_codex.agent import Agent, Guardrail
from trio_codex.events import Audio, AudioEndEvent, AudioEvent, AudioInterruptedEvent, ErrorEvent, GuardrailTrippedEvent
from trio_codex.protocol import Note, Play, Reply, StartCheck, StopPlayback
from trio_codex.protocol.answers import FEEDBACK


def bad(text: str) -> bool:
    return "bad" in text


def guarded(**settings: Any) -> Agent:
    return Agent(name="Careful", tools=[get_weather], guardrails=[Guardrail(bad, **{"every": 10, **settings})])


HOLDING = guarded(every=100, hold="sentence")


class Call(Driver):
    """A driver whose checks are answered by the test."""

    def judge(self, step: Step, result: object = None) -> Step:
        """The verdict on the one check that this step began."""
        return self.verb(self.conversation.checked(step.only(StartCheck).check_id, result, self.now))

    def fail(self, step: Step, reason: str = "no network") -> Step:
        return self.verb(self.conversation.check_failed(step.only(StartCheck).check_id, reason, self.now))

    def words_done(self, response_id: str, item_id: str, text: str) -> Step:
        place = self._place(response_id, item_id)
        return self.server("response.output_audio_transcript.done", **place, transcript=text)

    def wrote(self, response_id: str, item_id: str, delta: str) -> Step:
        return self.server("response.output_text.delta", **self._place(response_id, item_id), delta=delta)


def call(agent: Agent | None = None, **settings: Any) -> Call:
    driver = Call(agent=agent or guarded(), **settings)
    driver.answering()
    return driver


def texts(step: Step) -> list[str]:
    return [check.text for check in step.all(StartCheck)]


# --- what is checked -----------------------------------------------------------------------------------------------------


def test_the_text_so_far_is_checked_every_so_often_and_at_the_end() -> None:
    driver = call()
    assert texts(driver.said("r1", "a1", "nine char")) == []
    first = driver.said("r1", "a1", "s and on")
    assert texts(first) == ["nine chars and on"]
    assert first.only(StartCheck).agent.name == "Careful"
    assert texts(driver.said("r1", "a1", " and on and on")) == []
    assert texts(driver.judge(first)) == ["nine chars and on and on and on"]
    assert texts(driver.said("r1", "a1", "!")) == []
    assert texts(driver.done("r1")) == []
    assert driver.creates == 1


def test_the_end_is_checked_once() -> None:
    driver = call()
    driver.said("r1", "a1", "hello")
    last = driver.words_done("r1", "a1", "hello")
    assert texts(last) == ["hello"]
    assert texts(driver.judge(last)) == []
    assert texts(driver.done("r1")) == []


def test_written_answers_are_checked() -> None:
    driver = call()
    assert texts(driver.wrote("r1", "a1", "something bad")) == ["something bad"]


@pytest.mark.parametrize("kind", ["text", "transcript"])
def test_words_that_only_the_items_tell_are_checked(kind: str) -> None:
    driver = call()
    part = {"type": "output_text" if kind == "text" else "output_audio", kind: "bad words"}
    item = {"id": "a1", "type": "message", "role": "assistant", "content": [part]}
    assert texts(driver.done("r1", output=[item])) == ["bad words"]


def test_words_are_checked_once_however_often_they_are_told() -> None:
    driver = call(guarded(every=1000))
    item = {"id": "a1", "type": "message", "role": "assistant"}
    content = [{"type": "output_audio", "transcript": "One."}, {"type": "output_audio", "transcript": "Two."}]
    for index, words in enumerate(("One.", "Two.")):
        place = {"response_id": "r1", "item_id": "a1", "output_index": 0, "content_index": index}
        driver.server("response.output_audio_transcript.delta", **place, delta=words)
    told = {"response_id": "r1", "output_index": 0, "item": item | {"content": content}}
    whole = driver.server("response.output_item.done", **told)
    assert texts(whole) == ["One.\nTwo."]
    check = whole.only(StartCheck)
    assert check.check_id.startswith("check_")
    assert check.guardrail is driver.conversation.briefing.agent.guardrails[0]
    assert texts(driver.judge(whole)) == []
    assert texts(driver.done("r1", output=[told["item"]])) == []


def test_a_trip_tells_the_text_that_was_checked() -> None:
    driver = call()
    check = driver.said("r1", "a1", "something bad")
    driver.said("r1", "a1", " and more")
    assert driver.judge(check, True).only(GuardrailTrippedEvent).message == "something bad"


def test_answers_beside_the_conversation_are_not_checked() -> None:
    driver = Call(agent=guarded())
    driver.raw(type="response.create", response={"conversation": "none"})
    driver.created("r1", conversation=None)
    assert texts(driver.said("r1", "a1", "something bad")) == []


def test_the_guardrails_are_those_of_the_agent_that_speaks() -> None:
    driver = Call(agent=Agent(name="Free", handoffs=[HOLDING]))
    driver.calling("r1", "h1", name="transfer_to_careful")
    assert texts(driver.said("r1", "a1", "A bad word.")) == []


# --- a trip --------------------------------------------------------------------------------------------------------------


def test_a_trip_cancels_cuts_tells_and_asks_again() -> None:
    driver = call()
    driver.sounded("r1", "a1", 1000)
    check = driver.said("r1", "a1", "something bad")
    driver.now = 0.3
    step = driver.judge(check, "found it")
    assert step.told == ["guardrail_tripped", "audio_interrupted"]
    assert step.only(GuardrailTrippedEvent) == GuardrailTrippedEvent(("found it",), "something bad")
    assert step.only(AudioInterruptedEvent) == AudioInterruptedEvent("a1", 0, 300)
    assert step.types == ["response.cancel", "conversation.item.truncate", "conversation.item.create"]
    assert step.frame("response.cancel")["response_id"] == "r1"
    assert step.frame("conversation.item.truncate")["audio_end_ms"] == 300
    message = step.frame("conversation.item.create")["item"]
    assert message["role"] == "system"
    assert message["content"] == [{"type": "input_text", "text": FEEDBACK.format(name="bad")}]
    assert step.only(StopPlayback) == StopPlayback("r1")
    assert driver.creates == 1
    assert driver.cancelled("r1", "client_cancelled").types == ["response.create"]


def test_after_a_trip_nothing_more_is_heard_or_checked() -> None:
    driver = call()
    driver.judge(driver.said("r1", "a1", "something bad"), True)
    assert driver.sounded("r1", "a1", 100) == []
    more = driver.said("r1", "a1", "more and more of it, and still bad")
    assert (more.told, texts(more)) == ([], [])
    assert texts(driver.done("r1", "cancelled")) == []


def test_one_trip_per_answer() -> None:
    agent = guarded().replace(guardrails=[Guardrail(bad, every=1), Guardrail(bad, every=1)])
    driver = call(agent)
    first, second = driver.said("r1", "a1", "bad").all(StartCheck)
    tripped = driver.verb(driver.conversation.checked(first.check_id, "one", 0.0))
    again = driver.verb(driver.conversation.checked(second.check_id, "two", 0.0))
    assert len(tripped.all(GuardrailTrippedEvent)) == 1
    assert again == []


def test_a_model_that_does_not_see_reason_is_not_asked_for_ever() -> None:
    driver = call()
    for number in range(1, 5):
        driver.judge(driver.said(f"r{number}", f"a{number}", "something bad"), True)
        driver.cancelled(f"r{number}", "client_cancelled")
        if number < 4:
            driver.created(f"r{number + 1}")
    assert driver.creates == 4
    note = driver.log.only(Note)
    assert note.message.startswith("4 answers in a row")
    assert note.warning
    driver.answering("r9")
    driver.judge(driver.said("r9", "a9", "something bad"), True)
    driver.cancelled("r9", "client_cancelled")
    assert driver.creates == 6, "a new question counts anew"


def test_a_late_verdict_hits_its_own_answer_and_not_the_next() -> None:
    driver = call()
    driver.sounded("r1", "a1", 1000)
    check = driver.said("r1", "a1", "something bad")
    driver.done("r1")
    driver.answering("r2")
    driver.sounded("r2", "a2", 1000)
    driver.now = 0.4
    step = driver.judge(check, True)
    assert step.types == ["conversation.item.truncate", "conversation.item.create"]
    assert step.frame("conversation.item.truncate")["item_id"] == "a1"
    assert step.only(StopPlayback) == StopPlayback("r1")
    assert driver.sounded("r2", "a2", 10).all(Play)
    driver.now = 0.5
    cut = driver.interrupt().only(AudioInterruptedEvent)
    assert cut == AudioInterruptedEvent("a2", 0, 100), "it began to sound when the first one was stopped"
    driver.cancelled("r2", "client_cancelled")
    assert driver.creates == 3, "the model is asked after the answer that ran"


def test_a_late_verdict_on_what_has_been_heard_still_tells_the_model() -> None:
    driver = call()
    driver.sounded("r1", "a1", 100)
    check = driver.said("r1", "a1", "something bad")
    driver.sound_done("r1", "a1")
    driver.done("r1")
    driver.now = 60.0
    assert driver.judge(check, True).types == ["conversation.item.create", "response.create"]


def test_a_verdict_after_the_user_cut_in_is_told_and_asks_for_nothing() -> None:
    driver = call(detection=VAD)
    driver.sounded("r1", "a1", 1000)
    check = driver.said("r1", "a1", "something bad")
    driver.started()
    step = driver.judge(check, True)
    assert step.told == ["guardrail_tripped"]
    assert step.types == ["conversation.item.create"]
    driver.cancelled("r1")
    assert driver.creates == 1


def test_tools_of_a_tripped_answer_are_answered_and_cause_no_second_question() -> None:
    driver = call()
    driver.called("r1", "c1")
    driver.judge(driver.said("r1", "a1", "something bad"), True)
    driver.cancelled("r1", "client_cancelled")
    assert driver.creates == 2
    driver.created("r2")
    assert driver.tool_ended("c1").types == ["conversation.item.create"]
    driver.done("r2")
    assert driver.creates == 2


def test_a_handoff_in_a_tripped_answer_fails() -> None:
    agent = guarded().replace(handoffs=[support])
    driver = call(agent)
    driver.called("r1", "h1", "transfer_to_techsupport")
    driver.judge(driver.said("r1", "a1", "something bad"), True)
    driver.cancelled("r1", "client_cancelled")
    assert driver.conversation.briefing.agent is agent


# --- held sound ----------------------------------------------------------------------------------------------------------


def test_held_sound_is_released_when_its_sentence_has_passed() -> None:
    driver = call(HOLDING)
    check = driver.said("r1", "a1", "All is well. And")
    assert driver.sounded("r1", "a1", 200) == []
    assert driver.judge(check) == []
    check = driver.said("r1", "a1", " more.")
    step = driver.judge(check)
    assert step.only(Play) == Play("r1", "a1", 0, bytes(200 * 48))
    assert step.only(AudioEvent).audio == Audio(bytes(200 * 48), "a1", 0, "r1")


def test_the_end_of_a_part_comes_after_its_sound() -> None:
    driver = call(HOLDING)
    driver.said("r1", "a1", "Well")
    driver.sounded("r1", "a1", 200)
    last = driver.words_done("r1", "a1", "Well")
    assert driver.sound_done("r1", "a1") == []
    driver.done("r1")
    assert driver.judge(last).told == ["audio", "audio_end"]


def test_held_sound_of_a_tripped_answer_is_never_heard_and_truncated_to_nothing() -> None:
    driver = call(HOLDING)
    driver.sounded("r1", "a1", 500)
    check = driver.said("r1", "a1", "Something bad.")
    driver.now = 5.0
    step = driver.judge(check, True)
    assert step.only(AudioInterruptedEvent) == AudioInterruptedEvent("a1", 0, 0)
    assert step.frame("conversation.item.truncate")["audio_end_ms"] == 0
    assert driver.log.played == b""
    assert driver.log.all(AudioEvent) == []
    assert driver.done("r1", "cancelled").played == b""


def test_what_was_heard_is_counted_from_when_it_was_released() -> None:
    driver = call(HOLDING)
    check = driver.said("r1", "a1", "Good.")
    driver.sounded("r1", "a1", 500)
    driver.now = 2.0
    driver.judge(check)
    driver.said("r1", "a1", " And")
    driver.sounded("r1", "a1", 500)
    driver.now = 2.2
    assert driver.interrupt().only(AudioInterruptedEvent).heard_ms == 200


def test_an_interruption_drops_what_is_held() -> None:
    driver = call(HOLDING, detection=VAD)
    check = driver.said("r1", "a1", "Good.")
    driver.sounded("r1", "a1", 500)
    assert driver.started().only(AudioInterruptedEvent).heard_ms == 0
    assert driver.judge(check) == []
    assert driver.log.played == b""


def test_answers_sound_in_the_order_in_which_they_began() -> None:
    driver = call(HOLDING)
    driver.said("r1", "a1", "One.")
    driver.sounded("r1", "a1", 100)
    slow = driver.log.all(StartCheck)[0]
    driver.done("r1")
    driver.answering("r2")
    check = driver.said("r2", "a2", "Two.")
    driver.sounded("r2", "a2", 100)
    assert driver.judge(check).played == b"", "the first answer still waits"
    step = driver.verb(driver.conversation.checked(slow.check_id, None, 0.0))
    assert [play.item_id for play in step.all(Play)] == ["a1", "a2"]


def test_an_answer_without_guardrails_waits_behind_one_that_is_held() -> None:
    driver = call(HOLDING.replace(handoffs=[support]))
    check = driver.said("r1", "a1", "I pass you on.")
    driver.sounded("r1", "a1", 100)
    driver.called("r1", "h1", "transfer_to_techsupport")
    driver.done("r1")
    driver.verb(driver.conversation.handoff_prepared("h1", brief(support)))
    driver.updated()
    driver.created("r2")
    assert driver.sounded("r2", "a2", 100).played == b""
    driver.sound_done("r2", "a2")
    step = driver.judge(check)
    assert [play.item_id for play in step.all(Play)] == ["a1", "a2"]
    assert driver.sounded("r2", "a3", 100).played, "nothing holds it any more"


def test_what_follows_a_stopped_answer_is_heard() -> None:
    driver = call(HOLDING)
    slow = driver.said("r1", "a1", "One bad.")
    driver.sounded("r1", "a1", 100)
    driver.done("r1")
    driver.answering("r2")
    check = driver.said("r2", "a2", "Two.")
    driver.sounded("r2", "a2", 100)
    driver.judge(check)
    assert [play.item_id for play in driver.judge(slow, True).all(Play)] == ["a2"]


def test_half_samples_are_joined_across_held_pieces() -> None:
    driver = call(HOLDING)
    check = driver.said("r1", "a1", "One.")
    place = driver._place("r1", "a1")
    for piece in ("AQ==", "AgM=", "BA=="):
        driver.server("response.output_audio.delta", **place, delta=piece)
    step = driver.judge(check)
    assert step.played == b"\1\2\3\4"
    assert [event.data for event in step.all(AudioEvent)] == [b"\1", b"\2\3", b"\4"]
    driver.sound_done("r1", "a1")
    driver.done("r1")
    driver.now = 1.0
    assert driver.interrupt().all(AudioInterruptedEvent) == []


def test_sound_that_is_done_when_its_words_are_not_is_still_ended() -> None:
    driver = call(HOLDING)
    driver.sounded("r1", "a1", 100)
    driver.sound_done("r1", "a1")
    step = driver.done("r1")
    assert len(step.all(AudioEvent)) == len(step.all(AudioEndEvent)) == 1


# --- who asked -----------------------------------------------------------------------------------------------------------


def asking(agent: Agent) -> tuple[Call, str]:
    driver = Call(agent=agent)
    ticket, _ = driver.ask()
    driver.created("r1")
    return driver, ticket


def test_whoever_asked_is_told_once_the_guardrails_are_through() -> None:
    driver, ticket = asking(HOLDING)
    check = driver.said("r1", "a1", "Good.")
    driver.sounded("r1", "a1", 100)
    assert driver.done("r1").settled == []
    (settled,) = driver.judge(check).settled
    reply = settled.value
    assert isinstance(reply, Reply)
    assert (settled.ticket, reply.status, reply.transcript, len(reply.audio)) == (ticket, "completed", "Good.", 4800)


def test_what_comes_after_the_end_is_checked_and_told_to_nobody() -> None:
    driver, _ = asking(HOLDING)
    check = driver.said("r1", "a1", "Good.")
    item = {"id": "a1", "type": "message", "role": "assistant", "content": []}
    driver.done("r1", output=[item])
    driver.said("r1", "a1", " Late.")
    driver.words_done("r1", "a1", "Late.")
    driver.server("response.output_item.done", response_id="r1", output_index=0, item=item | {"id": "a2"})
    (settled,) = driver.judge(driver.judge(check)).settled
    assert settled.value.transcript == "Good."
    assert [item.id for item in settled.value.items] == ["a1"]


def test_whoever_asked_for_what_was_stopped_gets_nothing_of_what_was_held() -> None:
    for late in (False, True):
        driver, _ = asking(HOLDING)
        driver.sounded("r1", "a1", 100)
        check = driver.said("r1", "a1", "One bad.")
        if late:
            driver.done("r1")
            (settled,) = driver.judge(check, True).settled
        else:
            driver.judge(check, True)
            driver.sounded("r1", "a1", 100)
            (settled,) = driver.cancelled("r1", "client_cancelled").settled
        assert (settled.value.status, settled.value.audio) == ("cancelled", b"")


def test_an_interruption_does_not_keep_whoever_asked_waiting() -> None:
    driver, _ = asking(HOLDING)
    driver.said("r1", "a1", "Good.")
    driver.done("r1")
    (settled,) = driver.interrupt().settled
    assert settled.value.status == "completed"


# --- guardrails that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_error", ["open", "closed"])
def test_a_guardrail_that_raises(on_error: str) -> None:
    driver = call(guarded(every=100, hold="sentence", on_error=on_error))
    driver.sounded("r1", "a1", 100)
    step = driver.fail(driver.said("r1", "a1", "Good."))
    error = step.only(ErrorEvent).error
    assert (error.type, error.message) == ("guardrail_error", "the guardrail bad raised no network")
    assert error.response_id == "r1"
    assert bool(step.played) is (on_error == "open")
    assert bool(step.all(GuardrailTrippedEvent)) is (on_error == "closed")


def test_a_verdict_that_nobody_waits_for_does_nothing() -> None:
    driver = call()
    assert driver.conversation.checked("check_c99", True, 0.0) == []
    assert driver.conversation.check_failed("check_c99", "why", 0.0) == []
