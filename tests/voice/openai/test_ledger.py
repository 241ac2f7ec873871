"""The books of a streamed transcription against a small server: no words are lost, none come twice, whatever is lost on the way."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.voice.openai.hearing import BLOCK, HearingServer, block, speech
from trio_codex.errors import VoiceError
from trio_codex.protocol import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    Error,
    ErrorDetails,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    ServerEvent,
    TranscriptionError,
)
from trio_codex.voice import Segment, SpeechStarted, SpeechStopped, Transcript, TranscriptDelta
from trio_codex.voice.models import Heard
from trio_codex.voice.openai.ledger import JUDGED_IN_S, LONGEST, Ledger, Setback

ITEM = "item_1"
USAGE = {"type": "duration", "seconds": 1}


def started(ms: int, item: str = ITEM) -> ServerEvent:
    return InputAudioBufferSpeechStarted(event_id="e", item_id=item, audio_start_ms=ms)


def stopped(ms: int, item: str = ITEM) -> ServerEvent:
    return InputAudioBufferSpeechStopped(event_id="e", item_id=item, audio_end_ms=ms)


def committed(item: str = ITEM) -> ServerEvent:
    return InputAudioBufferCommitted(event_id="e", item_id=item)


def completed(text: str, item: str = ITEM, **more: Any) -> ServerEvent:
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item, content_index=0, transcript=text, **({"usage": USAGE} | more)
    )


def send_all(ledger: Ledger, now: float = 0) -> bytes:
    sent = b""
    while piece := ledger.piece(now):
        sent += piece
    return sent


def texts(heard: list[Heard]) -> list[str]:
    return [each.text for each in heard if isinstance(each, Transcript) and each.text]


# --- no words are lost -------------------------------------------------------------------------------------------------

UTTERANCES = st.lists(st.tuples(st.integers(1, 4), st.integers(4, 8) | st.just(60)), min_size=1, max_size=5)


class Line:
    """A connection that may be lost at any time, with a server whose texts may be late and out of order."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.ledger = Ledger()
        self.heard: list[Heard] = []
        self.losses = 0
        self.now = 0.0
        self.connect()

    def connect(self) -> None:
        self.server = HearingServer(name=f"c{self.losses}_")
        self.coming: list[ServerEvent] = []
        self.late: list[list[ServerEvent]] = []
        self.ledger.reconnected()

    def say(self, event: Any) -> None:
        for each in self.server.receive(event):
            if isinstance(each, InputAudioBufferSpeechStarted | InputAudioBufferSpeechStopped | Error):
                self.coming.append(each)
            elif isinstance(each, InputAudioBufferCommitted):
                self.coming.append(each)
                self.late.append([])
            else:
                self.late[-1].append(each)

    def deliver(self, *, everything: bool) -> None:
        events, self.coming = self.coming, []
        for event in events:
            self.heard += self.ledger.receive(event)
        while self.late and (everything or self.chance.random() < 0.5):
            index = self.chance.randrange(len(self.late))
            self.heard += self.ledger.receive(self.late[index].pop(0))
            if not self.late[index]:
                del self.late[index]

    def maybe_lose(self) -> None:
        if self.losses < 4 and self.chance.random() < 0.1:
            self.losses += 1
            self.connect()

    def run(self, pcm: bytes) -> None:
        while pcm:
            size = self.chance.randint(1, 40 * BLOCK)
            self.ledger.hear(pcm[:size])
            pcm = pcm[size:]
            self.pump()
        self.ledger.end(500)
        while not self.ledger.over:
            self.pump()
            if not self.ledger.unsent and not self.coming and self.ledger.unjudged:
                self.ledger.committed()
                self.say(InputAudioBufferCommit())
            self.maybe_lose()
            self.deliver(everything=True)

    def pump(self) -> None:
        self.now += self.chance.choice((1, 8))
        while piece := self.ledger.piece(self.now):
            self.now += 0.01
            self.say(InputAudioBufferAppend(audio=piece))
            self.maybe_lose()
        self.deliver(everything=False)
        self.maybe_lose()


@given(UTTERANCES, st.integers())
def test_every_utterance_comes_once_and_in_order(utterances: list[tuple[int, int]], seed: int) -> None:
    line = Line(Random(seed))
    line.run(block(0) * 3 + speech(*utterances))
    assert " ".join(texts(line.heard)).split() == [f"u{number + 1}" for number in range(len(utterances))]
    spoken = [each for each in line.heard if isinstance(each, SpeechStarted | SpeechStopped)]
    assert all(isinstance(each, SpeechStopped if index % 2 else SpeechStarted) for index, each in enumerate(spoken))
    assert [each.audio_ms for each in spoken] == sorted(each.audio_ms for each in spoken)


def test_a_long_turn_survives_two_losses_in_a_row() -> None:
    """What was silence to one connection is none to the next: it has to say so itself."""
    ledger = Ledger()
    for second in range(15):
        ledger.hear(block(1) * 10)
        send_all(ledger, second)
        ledger.receive(started(0))
    for _ in range(3):
        assert ledger.reconnected() == 15 * 48_000
        send_all(ledger, 20)


# --- bounds --------------------------------------------------------------------------------------------------------------


def test_silence_is_not_kept() -> None:
    ledger = Ledger()
    for second in range(100):
        ledger.hear(bytes(48_000))
        send_all(ledger, second)
    assert len(ledger._kept) <= (JUDGED_IN_S + 1) * 48_000
    assert ledger.reconnected() <= (JUDGED_IN_S + 1) * 48_000


def test_a_turn_without_an_end_is_bounded() -> None:
    ledger = Ledger()
    ledger.hear(bytes(BLOCK))
    send_all(ledger)
    ledger.receive(started(0))
    for _ in range(LONGEST // 480_000 + 5):
        ledger.hear(bytes(480_000))
        send_all(ledger)
    assert len(ledger._kept) <= LONGEST + 2


def test_whole_samples_only() -> None:
    ledger = Ledger()
    for byte in b"abcdefg":
        ledger.hear(bytes([byte]))
    assert send_all(ledger) == b"abcdef"
    ledger.end(1)
    assert send_all(ledger) == b"g" + bytes(49)
    assert ledger.over


# --- what is told --------------------------------------------------------------------------------------------------------


def test_turns_come_in_the_order_of_speech() -> None:
    ledger = Ledger()
    ledger.hear(bytes(10 * BLOCK))
    send_all(ledger)
    for event in (started(0, "a"), stopped(200, "a"), committed("a"), started(500, "b"), stopped(800, "b")):
        ledger.receive(event)
    assert ledger.receive(completed("second", "b")) == []
    assert ledger.waits
    assert ledger.receive(completed("first", "a")) == [
        Transcript("first", duration_s=0.2, usage=USAGE),
        Transcript("second", duration_s=0.3, usage=USAGE),
    ]
    assert not ledger.waits


def test_positions_count_on_over_connections() -> None:
    ledger = Ledger()
    ledger.hear(bytes(10 * BLOCK))
    send_all(ledger)
    ledger.receive(started(0))
    assert ledger.receive(stopped(400)) == [SpeechStopped(400)]
    ledger.receive(completed("one"))
    assert ledger.progress
    assert ledger.reconnected() == 6 * BLOCK
    send_all(ledger)
    assert ledger.receive(started(100, "b")) == [SpeechStarted(500)]


def test_what_is_heard_again_is_not_told_again() -> None:
    ledger = Ledger()
    ledger.hear(bytes(10 * BLOCK))
    send_all(ledger)
    delta = HearingServer(blocks=[1])._turn(0)[1]
    assert ledger.receive(started(0, "item_a0")) == [SpeechStarted(0)]
    assert ledger.receive(stopped(500, "item_a0")) == [SpeechStopped(500)]
    assert ledger.receive(delta) == [TranscriptDelta("u")]
    assert ledger.reconnected() == 10 * BLOCK
    send_all(ledger)
    assert ledger.receive(started(0, "item_a0")) == []
    assert ledger.receive(stopped(500, "item_a0")) == []
    assert ledger.receive(delta) == []
    assert texts(ledger.receive(completed("u1", "item_a0"))) == ["u1"]
    assert ledger.receive(started(700, "b")) == [SpeechStarted(700)]


def test_everything_that_a_transcript_says() -> None:
    ledger = Ledger()
    segment = ConversationItemInputAudioTranscriptionSegment(
        event_id="e", item_id=ITEM, content_index=0, id="s", text="hi", speaker="A", start=0, end=1
    )
    assert ledger.receive(segment) == []
    usage = {"type": "duration", "seconds": 1}
    assert ledger.receive(completed("hi", usage=usage)) == [
        Transcript("hi", segments=[Segment("hi", 0, 1, "A", "s")], usage=usage)
    ]


# --- the end -------------------------------------------------------------------------------------------------------------


def test_a_loud_rest_is_waited_for_and_a_quiet_one_is_not() -> None:
    for loud in (0, 1):
        ledger = Ledger()
        ledger.hear(block(0) * 20 + block(loud))
        ledger.end(0)
        send_all(ledger)
        assert ledger.unjudged is bool(loud)
        assert ledger.over is not ledger.unjudged


def test_the_servers_own_turn_does_not_answer_the_commit() -> None:
    ledger = Ledger()
    ledger.hear(block(1) * 10)
    ledger.end(0)
    send_all(ledger)
    ledger.committed()
    ledger.receive(started(0, "a"))
    ledger.receive(stopped(500, "a"))
    ledger.receive(committed("a"))
    ledger.receive(completed("one", "a"))
    assert ledger.waits
    ledger.receive(committed("b"))
    assert texts(ledger.receive(completed("two", "b"))) == ["two"]
    assert ledger.over


def test_a_server_that_stops_the_turn_before_it_answers_the_commit() -> None:
    ledger = Ledger()
    ledger.hear(block(1) * 10)
    ledger.end(0)
    send_all(ledger)
    ledger.receive(started(0, "a"))
    ledger.committed()
    ledger.receive(stopped(1000, "a"))
    ledger.receive(committed("a"))
    assert texts(ledger.receive(completed("one", "a"))) == ["one"]
    assert ledger.over


def test_there_may_be_nothing_to_commit() -> None:
    ledger = Ledger()
    ledger.hear(block(1) * 10)
    ledger.end(0)
    send_all(ledger)
    ledger.committed()
    details = ErrorDetails(type="invalid_request_error", code="input_audio_buffer_commit_empty", message="Empty.")
    ledger.receive(Error(event_id="e", error=details))
    assert ledger.over


# --- failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["server_error", "session_expired", "rate_limit_exceeded"])
def test_what_passes_is_a_setback(code: str) -> None:
    details = ErrorDetails(type="invalid_request_error", code=code, message="Later.")
    with pytest.raises(Setback, match=r"Later\."):
        Ledger().receive(Error(event_id="e", error=details))


@pytest.mark.parametrize("code", ["insufficient_quota", "invalid_value", None])
def test_what_lasts_is_told(code: str | None) -> None:
    details = ErrorDetails(type="invalid_request_error", code=code, message="Never.")
    with pytest.raises(VoiceError, match=r"speech to text failed: Never\.") as raised:
        Ledger().receive(Error(event_id="e", error=details))
    assert raised.value.code == code


@pytest.mark.parametrize(("code", "expected"), [("audio_unintelligible", Setback), ("insufficient_quota", VoiceError)])
def test_a_turn_that_failed_is_tried_again_unless_nothing_helps(code: str, expected: type[Exception]) -> None:
    error = TranscriptionError(code=code, message="No.")
    with pytest.raises(expected):
        Ledger().receive(
            ConversationItemInputAudioTranscriptionFailed(event_id="e", item_id=ITEM, content_index=0, error=error)
        )
