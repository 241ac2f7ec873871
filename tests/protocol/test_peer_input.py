"""The input audio buffer, byte by byte, and the turns that are cut out of it."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from tests.protocol.client import SILENCE_100_MS, VOICE_100_MS, Client, kinds
from trio_codex.audio import AudioFormat
from trio_codex.protocol import (
    DropTranscribing,
    FinishTranscribing,
    Hear,
    Limits,
    ResetDetector,
    SetDetector,
    StartTranscribing,
)
from trio_codex.protocol.peer_input import InputBuffer


@pytest.fixture
def client() -> Client:
    return Client()


# --- the buffer ----------------------------------------------------------------------------------------------------------


def test_positions_go_on_when_audio_is_dropped() -> None:
    buffer = InputBuffer(AudioFormat.PCMU)
    buffer.append(b"a" * 80 + b"b" * 80)
    assert (buffer.start_ms, buffer.end_ms, buffer.duration_ms) == (0, 20, 20)
    assert buffer.cut(9, 11) == b"a" * 8 + b"b" * 8
    buffer.drop_before(10)
    assert (buffer.start_ms, buffer.end_ms, buffer.duration_ms) == (10, 20, 10)
    assert buffer.cut(0, 11) == b"b" * 8
    assert buffer.cut(19, 99) == b"b" * 8
    assert buffer.cut(0, 5) == buffer.cut(15, 12) == b""


@pytest.mark.parametrize(("ms", "start_ms"), [(5, 10), (10, 10), (15, 15), (20, 20), (25, 20)])
def test_only_what_is_there_can_be_dropped(ms: int, start_ms: int) -> None:
    buffer = InputBuffer(AudioFormat.PCMU)
    buffer.append(bytes(160))
    buffer.drop_before(10)
    buffer.drop_before(ms)
    assert (buffer.start_ms, buffer.end_ms) == (start_ms, 20)


def test_a_buffer_that_was_emptied_may_have_another_format() -> None:
    buffer = InputBuffer(AudioFormat.PCMU)
    buffer.append(bytes(160))
    buffer.drop_all()
    assert (buffer.start_ms, buffer.end_ms, buffer.format) == (20, 20, AudioFormat.PCMU)
    buffer.append(bytes(8))
    buffer.drop_all(AudioFormat.PCM16)
    buffer.append(bytes(48))
    assert (buffer.start_ms, buffer.end_ms, buffer.format) == (21, 22, AudioFormat.PCM16)


@pytest.mark.parametrize(
    ("samples", "quiet"),
    [([], True), ([999, -999], True), ([0, 1000], False), ([-1000, 0], False), ([-1], True)],
)
def test_samples_below_a_level_are_quiet(samples: list[int], quiet: bool) -> None:
    buffer = InputBuffer(AudioFormat.PCM16)
    buffer.append(array("h", samples).tobytes())
    assert buffer.is_quiet() is quiet
    buffer.append(b"\x7f")  # half a sample
    assert buffer.is_quiet() is quiet


@pytest.mark.parametrize(
    ("audio", "quiet"), [(b"", True), (b"\xff", True), (b"\xff\x7f", True), (b"\xff\x7f\xfe", False)]
)
def test_the_silence_of_g711_has_two_values(audio: bytes, quiet: bool) -> None:
    buffer = InputBuffer(AudioFormat.PCMU)
    buffer.append(audio * 10)
    assert buffer.is_quiet() is quiet


# --- turns ---------------------------------------------------------------------------------------------------------------


def test_what_is_cleared_is_forgotten_with_its_turn(client: Client) -> None:
    client.append(VOICE_100_MS)
    item_id = client.take(client.peer.speech_started(0, 100))[0]["item_id"]
    assert kinds(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert client.others() == [DropTranscribing(item_id), ResetDetector()]
    assert client.peer.speech_stopped(100) == []
    client.send("input_audio_buffer.clear")
    assert client.others() == [ResetDetector()]
    client.append(VOICE_100_MS)
    (started,) = client.take(client.peer.speech_started(0, 200))
    assert started["audio_start_ms"] == 100
    assert client.others() == [StartTranscribing(started["item_id"], VOICE_100_MS)]


def test_a_detector_that_is_off_is_not_told_of_a_clear(client: Client) -> None:
    client.manual().send("input_audio_buffer.clear")
    assert client.others() == []


@pytest.mark.parametrize("between", ["clear", "commit"])
def test_silence_after_a_turn_that_was_told_may_be_committed(client: Client, between: str) -> None:
    """What follows a detected turn is new only if somebody speaks; after the client's own word any audio is."""
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    client.take(client.peer.speech_stopped(100))
    client.append(VOICE_100_MS)
    client.send(f"input_audio_buffer.{between}")
    client.append(SILENCE_100_MS)
    assert kinds(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"


def test_a_turn_that_the_client_ends_begins_with_its_first_sound(client: Client) -> None:
    client.append(SILENCE_100_MS * 2 + VOICE_100_MS)
    client.take(client.peer.speech_started(150, 300))
    client.send("input_audio_buffer.commit")
    (reset, finish) = client.others()
    assert reset == ResetDetector()
    assert isinstance(finish, FinishTranscribing)
    assert finish.audio == SILENCE_100_MS[:2400] + VOICE_100_MS
    client.append(VOICE_100_MS)
    client.send("input_audio_buffer.commit")
    (_, finish) = client.others()
    assert isinstance(finish, FinishTranscribing)
    assert finish.audio == VOICE_100_MS


def test_a_turn_may_last_as_long_as_its_limit() -> None:
    client = Client(limits=Limits(turn_ms=200))
    client.append(VOICE_100_MS)
    client.take(client.peer.speech_started(0, 100))
    assert client.append(bytes(48 * 99)) == []
    assert client.append(bytes(48)) == []
    assert kinds(client.append(bytes(48)))[0] == "input_audio_buffer.speech_stopped"
    client.manual()
    for _ in range(2):
        assert client.append(VOICE_100_MS) == []
    assert kinds(client.append(bytes(48))) == ["error"]


def test_an_append_may_be_as_long_as_its_limit() -> None:
    client = Client(limits=Limits(append_bytes=4800))
    client.append(VOICE_100_MS)
    assert client.effects == [Hear(VOICE_100_MS)]


def test_silence_before_a_turn_is_kept_for_a_while() -> None:
    client = Client(limits=Limits(idle_ms=200, turn_ms=300))
    for _ in range(5):
        assert client.append(SILENCE_100_MS) == []
    (started,) = client.take(client.peer.speech_started(0, 500))
    assert started["audio_start_ms"] == 200
    assert client.others() == [StartTranscribing(started["item_id"], SILENCE_100_MS * 3)]


def test_a_turn_may_be_longer_than_what_silence_is_kept() -> None:
    client = Client(limits=Limits(idle_ms=100))
    client.append(VOICE_100_MS)
    (started,) = client.take(client.peer.speech_started(0, 100))
    for _ in range(4):
        client.append(VOICE_100_MS)
    client.take(client.peer.speech_stopped(500))
    assert client.others() == [FinishTranscribing(started["item_id"], VOICE_100_MS * 5)]


def test_a_conversation_that_is_full_takes_no_turn() -> None:
    client = Client(limits=Limits(items=1))
    client.update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}})
    client.answer()
    (error,) = client.take(client.peer.nobody_spoke())
    assert error["error"]["code"] == "conversation_full"


# --- settings of the ears ------------------------------------------------------------------------------------------------


def ears(client: Client, **fields: Any) -> list[str]:
    return kinds(client.update(audio={"input": fields}))


def test_another_format_forgets_the_turn_and_tells_the_detector(client: Client) -> None:
    client.append(VOICE_100_MS)
    item_id = client.take(client.peer.speech_started(0, 100))[0]["item_id"]
    assert ears(client, format={"type": "audio/pcmu"}) == ["session.updated"]
    detection = client.peer.session["audio"]["input"]["turn_detection"]
    detector = SetDetector(config=detection, format=AudioFormat.PCMU, position_ms=100)
    assert client.others() == [DropTranscribing(item_id), detector]
    assert ears(client, format={"type": "audio/pcmu"}) == ["session.updated"]
    assert client.others() == []
    client.append(b"\x01\x02\x03\x04" * 200)
    client.send("input_audio_buffer.commit")
    assert client.others() == [
        ResetDetector(),
        FinishTranscribing("item_1_0002", b"\x01\x02\x03\x04" * 200, AudioFormat.PCMU),
    ]


def test_another_format_and_no_detector_are_one_change(client: Client) -> None:
    assert ears(client, format={"type": "audio/pcma"}, turn_detection=None) == ["session.updated"]
    assert client.others() == [SetDetector(config=None, format=AudioFormat.PCMA, position_ms=0)]
    client.append(bytes(80))
    assert client.others() == [StartTranscribing("item_1_0001", b""), Hear(bytes(80))]


def test_a_detector_that_comes_keeps_what_is_in_the_buffer(client: Client) -> None:
    client.append(SILENCE_100_MS)
    client.manual().append(VOICE_100_MS)
    assert ears(client, turn_detection={"type": "server_vad"}) == ["session.updated"]
    detection = client.peer.session["audio"]["input"]["turn_detection"]
    detector = SetDetector(config=detection, format=AudioFormat.PCM16, position_ms=200)
    assert client.others() == [DropTranscribing("item_1_0001"), detector]
    client.send("input_audio_buffer.commit")
    assert client.others() == [ResetDetector(), FinishTranscribing("item_1_0002", SILENCE_100_MS + VOICE_100_MS)]


def test_another_detector_in_a_turn_leaves_the_turn_open(client: Client) -> None:
    client.append(VOICE_100_MS)
    item_id = client.take(client.peer.speech_started(0, 100))[0]["item_id"]
    ears(client, turn_detection={"type": "semantic_vad"})
    (detector,) = client.others()
    assert isinstance(detector, SetDetector)
    assert client.take(client.peer.speech_stopped(100))[0]["item_id"] == item_id
