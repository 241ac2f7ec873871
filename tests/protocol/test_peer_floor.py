"""Which responses of the peer run, what they see, and when they wait for words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.protocol.client import VOICE_100_MS, Client, error_of, kinds
from trio_codex.audio import AudioFormat
from trio_codex.protocol import AwaitSpeech, FinishTranscribing, Generate, PeerEffect, StopGenerating
from trio_codex.protocol.items import UserMessage

HEARD = {"type": "input_audio", "audio": base64.b64encode(b"\xff\x7f\x00" * 100).decode()}


def message(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(content)}


@pytest.fixture
def client() -> Client:
    return Client()


def words_of(effect: PeerEffect) -> list[str | None]:
    """What a request to generate says that the user said."""
    assert isinstance(effect, Generate)
    return [item.content[0].transcript for item in effect.request.items if isinstance(item, UserMessage)]


# --- what it sees --------------------------------------------------------------------------------------------------------


def test_audio_in_the_input_of_a_response_is_understood_first(client: Client) -> None:
    client.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    client.respond(input=[message(HEARD), message(HEARD)])
    one, other = client.others()
    assert isinstance(one, FinishTranscribing)
    assert isinstance(other, FinishTranscribing)
    assert one == FinishTranscribing("item_1_0001", b"\xff\x7f\x00" * 100, AudioFormat.PCMU)
    assert client.take(client.peer.transcribed(one.item_id, "one")) == []
    assert client.others() == []
    assert client.take(client.peer.transcribed(other.item_id, "two")) == []
    (generate,) = client.others()
    assert words_of(generate) == ["one", "two"]


def test_what_is_understood_or_being_understood_is_not_asked_for_again(client: Client) -> None:
    item = {**message(HEARD), "id": "mine"}
    client.send("conversation.item.create", item=item)
    assert [type(effect) for effect in client.others()] == [FinishTranscribing]
    seen = {"conversation": "none", "input": [{"type": "item_reference", "id": "mine"}]}
    client.respond(**seen)
    assert client.others() == []
    client.take(client.peer.transcribed("mine", "one"))
    (generate,) = client.others()
    assert words_of(generate) == ["one"]
    client.respond(**seen)
    (generate,) = client.others()
    assert words_of(generate) == ["one"]


def test_words_of_an_item_beside_the_conversation_are_not_taken_for_those_of_one_in_it(client: Client) -> None:
    item = {**message(HEARD), "id": "mine"}
    client.send("conversation.item.create", item=item)
    beside = client.respond(conversation="none", input=[item])
    (finish,) = client.others()
    assert isinstance(finish, FinishTranscribing)
    assert finish.item_id != "mine"
    client.take(client.peer.transcribed(finish.item_id, "beside"))
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert (generate.request.response_id, words_of(generate)) == (beside, ["beside"])
    client.respond()
    assert client.others() == []
    client.take(client.peer.transcribed("mine", "in it"))
    assert [words_of(effect) for effect in client.others()] == [["in it"]]


def test_audio_of_others_and_text_are_not_asked_for(client: Client) -> None:
    _, spoken = client.answer()
    text = {"type": "input_text", "text": "x"}
    client.respond(input=[{"type": "item_reference", "id": spoken}, message(text), message({"type": "input_audio"})])
    (generate,) = client.others()
    assert isinstance(generate, Generate)
    assert len(generate.request.items) == 3


def test_responses_that_waited_for_the_same_words_begin_in_their_order(client: Client) -> None:
    client.manual().append(VOICE_100_MS)
    item_id = client.send("input_audio_buffer.commit")[0]["item_id"]
    waiting = [client.respond(conversation=conversation) for conversation in ("none", "auto", "none")]
    beside = client.respond(conversation="none", input=[])
    assert [type(effect) for effect in client.others()] == [Generate]
    client.take(client.peer.transcribed(item_id, "hi"))
    assert [words_of(effect) for effect in client.others()] == [["hi"]] * 3
    requests = [effect.request.response_id for effect in client.others() if isinstance(effect, Generate)]
    assert requests == waiting
    client.send("response.cancel", response_id=beside)
    assert client.others() == [StopGenerating(beside)]


# --- whose turn it is ----------------------------------------------------------------------------------------------------


def patient(**detection: Any) -> Client:
    client = Client()
    detection = {"type": "server_vad", "idle_timeout_ms": 5000, **detection}
    client.update(audio={"input": {"turn_detection": detection}})
    return client


def test_silence_counts_when_the_sound_of_the_answer_is_over() -> None:
    client = patient()
    response_id = client.respond()
    client.peer.answer_audio(response_id, bytes(48 * 100 + 24))
    client.peer.answer_audio(response_id, bytes(48 * 100))
    client.take(client.peer.finish(response_id))
    assert client.others() == [AwaitSpeech(5200)]
    response_id = client.respond(audio={"output": {"format": {"type": "audio/pcma"}}})
    client.peer.answer_audio(response_id, bytes(8 * 70))
    client.send("response.cancel")
    assert client.others() == [StopGenerating(response_id), AwaitSpeech(5070)]


def test_nobody_is_awaited_after_an_answer_beside_or_one_that_speech_cut_off() -> None:
    client = patient()
    beside = client.respond(conversation="none")
    client.take(client.peer.finish(beside))
    assert client.others() == []
    assert client.peer.nobody_spoke() == []
    response_id = client.respond()
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    assert not [effect for effect in client.others() if isinstance(effect, AwaitSpeech)]
    assert StopGenerating(response_id) in client.others()


def test_an_answer_that_ends_while_somebody_speaks_is_followed_by_no_silence() -> None:
    client = patient(interrupt_response=False)
    response_id = client.respond()
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    client.take(client.peer.finish(response_id))
    assert client.others() == [AwaitSpeech(5000)]
    assert client.peer.nobody_spoke() == []


def test_a_silence_that_nobody_waits_for_any_more_is_no_turn() -> None:
    client = patient()
    client.answer()
    client.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": None}}})
    assert client.peer.nobody_spoke() == []


def test_an_answer_beside_the_conversation_leaves_the_user_s_turn() -> None:
    client = patient()
    client.answer()
    client.respond(conversation="none")
    assert kinds(client.take(client.peer.nobody_spoke()))[0] == "input_audio_buffer.timeout_triggered"


# --- what is heard of an answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "fixed"),
    [({}, True), ({"output_modalities": ["text"]}, False), ({"conversation": "none"}, False)],
)
def test_a_voice_is_fixed_by_what_the_conversation_heard(client: Client, response: dict[str, Any], fixed: bool) -> None:
    response_id = client.respond(**response)
    client.peer.answer_text(response_id, "Hello.")
    client.peer.answer_audio(response_id, b"")
    assert kinds(client.update(audio={"output": {"voice": "ash"}})) == ["session.updated"]
    client.peer.answer_audio(response_id, bytes(48))
    client.peer.finish(response_id)
    other = client.respond(conversation="none")
    client.peer.answer_audio(other, bytes(48))
    client.peer.finish(other)
    events = client.update(audio={"output": {"voice": "echo"}})
    if fixed:
        assert error_of(events)["code"] == "cannot_update_voice"
    else:
        assert kinds(events) == ["session.updated"]


def test_progress_of_what_does_not_run_is_ignored(client: Client) -> None:
    response_id = client.respond()
    assert client.peer.answer_text(response_id, "") == []
    assert client.peer.answer_audio(response_id, b"") == []
    assert client.peer.end_message(response_id) == []
    client.peer.finish(response_id)
    for late in (
        client.peer.answer_text(response_id, "x"),
        client.peer.answer_audio(response_id, bytes(2)),
        client.peer.end_message(response_id),
        client.peer.answer_call(response_id, "f", "{}"),
        client.peer.finish(response_id),
        client.peer.fail(response_id, "server_error", "x"),
    ):
        assert late == []


def test_tokens_of_any_kind_run_out(client: Client) -> None:
    response_id = client.respond(max_output_tokens=2)
    assert (
        kinds(client.take(client.peer.answer_audio(response_id, bytes(48 * 50))))[-1] == "response.output_audio.delta"
    )
    assert kinds(client.take(client.peer.answer_audio(response_id, bytes(48))))[-1] == "response.done"
    response_id = client.respond(max_output_tokens=2)
    assert kinds(client.take(client.peer.answer_call(response_id, "f", "{}")))[-1] == "conversation.item.done"
    assert kinds(client.take(client.peer.answer_call(response_id, "f", '{"a":1}')))[-1] == "response.done"
