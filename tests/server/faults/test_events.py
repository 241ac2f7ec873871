"""The faults in what is said, without a network: a peer, its client and the faults between them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from trio_codex.protocol import (
    Generate,
    Peer,
    PeerEffect,
    ResponseOutputAudioDelta,
    Say,
    ServerEvent,
    decode_server_event,
    encode_server_event,
)
from trio_codex.server.faults import FAULTS, EventFaults, parse_fault
from trio_codex.testing.strategies import client_events, server_events

EVENTS = [kind.name for kind in FAULTS.values() if kind.place == "events" and kind.name != "huge-item"]


def faults(*texts: str, seed: int = 0) -> EventFaults:
    return EventFaults([parse_fault(text) for text in texts], seed=str(seed))


class Talk:
    """A client that talks to a peer through faults. `said` is all that came."""

    def __init__(self, *texts: str, seed: int = 0) -> None:
        self.peer = Peer(model="m")
        self.faults = faults(*texts, seed=seed)
        self.said: list[ServerEvent] = []
        self.requests: list[str] = []
        self._take(self.peer.open())

    def _take(self, effects: Iterable[PeerEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Say):
                self.said += [decode_server_event(encode_server_event(said)) for said in self.faults.say(effect.event)]
            elif isinstance(effect, Generate):
                self.requests.append(effect.request.response_id)

    def send(self, kind: str, **fields: Any) -> list[ServerEvent]:
        before = len(self.said)
        self._take(self.faults.receive_frame(self.peer, json.dumps({"type": kind, **fields})))
        return self.said[before:]

    def answer(self, *steps: str | bytes | tuple[str, str]) -> list[ServerEvent]:
        """Answer the last request with words, audio and calls."""
        before = len(self.said)
        response_id = self.requests.pop()
        for step in steps:
            if isinstance(step, str):
                self._take(self.peer.answer_text(response_id, step))
            elif isinstance(step, bytes):
                self._take(self.peer.answer_audio(response_id, step))
            else:
                self._take(self.peer.answer_call(response_id, *step))
        self._take(self.peer.finish(response_id))
        return self.said[before:]


def kinds(events: Iterable[ServerEvent]) -> list[str]:
    return [event.type for event in events]


@pytest.mark.parametrize("name", EVENTS)
@settings(max_examples=max(settings.default.max_examples // 4, 1))  # for each of a dozen faults
@given(events=st.lists(server_events(), max_size=6), seed=st.integers(0, 5))
def test_whatever_is_said_is_a_frame_and_the_same_seed_says_the_same(
    name: str, events: list[ServerEvent], seed: int
) -> None:
    runs = []
    for _ in range(2):
        between = faults(name, seed=seed)
        runs.append([encode_server_event(said) for event in events for said in between.say(event)])
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", EVENTS)
@settings(max_examples=max(settings.default.max_examples // 4, 1))  # for each of a dozen faults
@given(events=st.lists(client_events(), max_size=6))
def test_no_event_of_the_client_is_lost_without_an_answer(name: str, events: list[Any]) -> None:
    between = faults(name)
    for event in events:
        heard = between.hear(event)
        assert event in heard or any(isinstance(each, Say) for each in heard)


def test_rejecting_an_update() -> None:
    talk = Talk("reject-update:nth=2,code=boo")
    assert kinds(talk.send("session.update", event_id="e1", session={"type": "realtime"})) == ["session.updated"]
    [error] = talk.send("session.update", event_id="e2", session={"type": "realtime"})
    assert (error.error.code, error.error.event_id) == ("boo", "e2")  # type: ignore[union-attr]
    assert kinds(talk.send("session.update", session={"type": "realtime"})) == ["session.updated"]


def test_a_race() -> None:
    said = Talk("vad-race").send("response.create", event_id="e1")
    assert kinds(said) == ["response.created", "rate_limits.updated", "error"]
    assert said[-1].error.code == "conversation_already_has_active_response"  # type: ignore[union-attr]
    assert said[-1].error.event_id == "e1"  # type: ignore[union-attr]


def test_no_race_beside_the_conversation() -> None:
    said = Talk("vad-race").send("response.create", response={"conversation": "none"})
    assert kinds(said) == ["response.created", "rate_limits.updated"]


@pytest.mark.parametrize("details", ["object", "string"])
def test_a_failed_response(details: str) -> None:
    talk = Talk(f"failed-response:details={details},code=boo")
    talk.send("response.create")
    done: Any = talk.answer("words")[-1]
    assert done.response.status == "failed"
    if details == "object":
        assert done.response.status_details.error.code == "boo"
    else:
        assert isinstance(done.response.status_details, str)


@pytest.mark.parametrize("status", ["incomplete", "cancelled", "completed"])
def test_cut_arguments_are_cut_everywhere(status: str) -> None:
    talk = Talk(f"cut-arguments:status={status}")
    talk.send("response.create")
    arguments = '{"city": "Oslo", "units": "Celsius degrees", "days": 5}'
    said: list[Any] = talk.answer(("weather", arguments))
    deltas = "".join(event.delta for event in said if event.type == "response.function_call_arguments.delta")
    [done] = [event for event in said if event.type == "response.function_call_arguments.done"]
    [item] = [event.item for event in said if event.type == "response.output_item.done"]
    assert 0 < len(deltas) < len(arguments)
    assert deltas == done.arguments == item.arguments == said[-1].response.output[0].arguments
    assert item.status == ("completed" if status == "completed" else "incomplete")
    assert said[-1].response.status == status
    talk.send("response.create")
    assert talk.answer(("weather", arguments))[-1].response.output[0].arguments == arguments  # type: ignore[union-attr]


PIECE = "AAAA" * 1600  # 100 ms


@pytest.mark.parametrize("when", ["before", "after", "never", "failed"])
def test_transcripts(when: str) -> None:
    talk = Talk(f"transcripts:when={when}")
    transcription = {"audio": {"input": {"transcription": {"model": "m"}, "turn_detection": None}}}
    talk.send("session.update", session={"type": "realtime", **transcription})
    talk.send("input_audio_buffer.append", audio=PIECE)
    [committed, *_] = talk.send("input_audio_buffer.commit")
    before = len(talk.said)
    talk.send("response.create")
    talk._take(talk.peer.transcribed(committed.item_id, "hello"))  # type: ignore[union-attr]
    talk.answer("words")
    said = kinds(talk.said[before:])
    told = "conversation.item.input_audio_transcription.completed"
    assert (told in said) == (when in ("before", "after"))
    assert ("conversation.item.input_audio_transcription.failed" in said) == (when == "failed")
    if when == "before":
        assert said.index(told) < said.index("response.created")
    if when == "after":
        assert said.index(told) > said.index("response.done")
    assert said.count("response.done") == said.count("response.created") == 1


def test_deltas_twice_or_elsewhere_but_never_lost() -> None:
    words = [f" {number}" for number in range(40)]
    for name in ("duplicate-deltas:chance=0.4", "reorder-deltas:chance=0.4"):
        talk, plain = Talk(name), Talk()
        for each in (talk, plain):
            each.send("response.create", response={"output_modalities": ["text"]})
            each.answer(*words)
        if name.startswith("reorder"):
            assert Counter(map(encode_server_event, talk.said)) == Counter(map(encode_server_event, plain.said))
            assert talk.said != plain.said
            assert kinds(talk.said) == kinds(plain.said)  # a delta stays among the deltas
        else:
            assert list(dict.fromkeys(map(encode_server_event, talk.said))) == list(
                map(encode_server_event, plain.said)
            )
            assert len(talk.said) > len(plain.said)


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8), seed=st.integers(0, 20))
def test_odd_bytes_add_up(pieces: list[bytes], seed: int) -> None:
    talk = Talk("odd-bytes", seed=seed)
    talk.send("response.create")
    said = [event.delta for event in talk.answer(*pieces) if isinstance(event, ResponseOutputAudioDelta)]
    assert b"".join(said) == b"".join(pieces)
    assert all(len(delta) % 2 for delta in said[:-1])
    assert all(said)


def test_a_huge_item_comes_once() -> None:
    talk = Talk("huge-item:size=1")
    said: list[Any] = talk.send("session.update", session={"type": "realtime"})
    assert kinds(said) == ["session.updated", "conversation.item.added", "conversation.item.done"]
    assert 2**20 - 5 <= len(said[1].item.content[0].text) <= 2**20
    assert kinds(talk.send("session.update", session={"type": "realtime"})) == ["session.updated"]


def test_the_beta_shape() -> None:
    talk = Talk("beta-session:names=yes")
    created: Any = talk.said[0]
    assert '"input_audio_format":"pcm16"' in encode_server_event(created)
    talk.send("response.create")
    assert any(event.extra.get("type") == "response.audio.delta" for event in talk.answer(b"abcd"))  # type: ignore[union-attr]
