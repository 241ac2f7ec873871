"""What holds for the peer whatever a client, a detector and a responder do, in any order."""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_codex.protocol import (
    DropTranscribing,
    FinishTranscribing,
    Generate,
    Limits,
    Peer,
    PeerEffect,
    Say,
    StartTranscribing,
    StopGenerating,
    encode_server_event,
)

TEXTS = st.text("ab ", max_size=8)
PARTS = st.sampled_from([{"type": "input_text", "text": "a"}, {"type": "input_audio", "audio": "AAAA"}])
IDS = st.sampled_from([None, None, "mine", "item_1_0002", "item_1_0005"])
"""What a client calls its items: the last two are what the server calls its own."""


class Conversation(RuleBasedStateMachine):
    """Drives a peer and keeps the books that a client could keep."""

    KIND = "realtime"

    def __init__(self) -> None:
        super().__init__()
        self.peer = Peer(model="m", kind=self.KIND, limits=Limits(items=30, idle_ms=500, turn_ms=1500))
        self.heard_ms = 0
        self.items: list[str] = []
        self.open_responses: dict[str, bool] = {}  # id → writes to the conversation
        self.generating: set[str] = set()
        self.transcribing: Counter[str] = Counter()
        self.unanswered: list[str] = []
        self.event_ids: set[str] = set()
        self.deltas: defaultdict[tuple[str, str], str] = defaultdict(str)
        self.audio_bytes: Counter[str] = Counter()
        self.take(self.peer.open())

    # --- what a client could see -----------------------------------------------------------------------------------

    def take(self, effects: Sequence[PeerEffect]) -> None:
        for effect in effects:
            match effect:
                case Say(event):
                    self.see(json.loads(encode_server_event(event)))
                case Generate(request):
                    assert request.response_id in self.open_responses
                    assert request.response_id not in self.generating
                    self.generating.add(request.response_id)
                case StopGenerating(response_id):
                    self.generating.remove(response_id)
                case StartTranscribing(item_id):
                    self.transcribing[item_id] += 1
                    assert self.transcribing[item_id] == 1
                case DropTranscribing(item_id):
                    assert self.transcribing.pop(item_id) == 1
                case FinishTranscribing(item_id):
                    self.transcribing.pop(item_id, None)
                    self.unanswered.append(item_id)

    def see(self, event: dict[str, Any]) -> None:
        assert event["event_id"] not in self.event_ids
        self.event_ids.add(event["event_id"])
        match event["type"]:
            case "response.created":
                in_conversation = event["response"]["conversation_id"] is not None
                assert not (in_conversation and any(self.open_responses.values()))
                self.open_responses[event["response"]["id"]] = in_conversation
            case "response.done":
                del self.open_responses[event["response"]["id"]]
                usage = event["response"]["usage"]
                assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                self.deltas[event["item_id"], "text"] += event["delta"]
            case "response.output_audio.delta":
                self.audio_bytes[event["item_id"]] += len(base64.b64decode(event["delta"]))
            case "response.output_audio_transcript.done":
                assert self.deltas[event["item_id"], "text"] == event["transcript"]
            case "response.output_text.done":
                assert self.deltas[event["item_id"], "text"] == event["text"]
            case "conversation.item.added":
                assert event["item"]["id"] not in self.items
                previous = event["previous_item_id"]
                place = 0 if previous is None else self.items.index(previous) + 1
                self.items.insert(place, event["item"]["id"])
            case "conversation.item.done":
                assert event["item"]["id"] in self.items
            case "conversation.item.deleted":
                self.items.remove(event["item_id"])
            case kind if kind.startswith("response."):
                assert event["response_id"] in self.open_responses
            case _:
                self.hear(event)

    def hear(self, event: dict[str, Any]) -> None:
        """What is said of the user."""
        match event["type"]:
            case "conversation.item.input_audio_transcription.delta":
                self.deltas[event["item_id"], "words"] += event["delta"]
            case "conversation.item.input_audio_transcription.completed":
                assert self.deltas[event["item_id"], "words"] == event["transcript"]
            case "input_audio_buffer.timeout_triggered":
                assert 0 <= event["audio_start_ms"] <= event["audio_end_ms"] == self.heard_ms
                assert not any(self.open_responses.values())

    # --- what may happen -------------------------------------------------------------------------------------------

    def send(self, kind: str, **fields: Any) -> None:
        self.take(self.peer.receive_frame(json.dumps({"type": kind, **fields})))

    def some_item(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([*self.items, "nobody"]), "item")

    @rule(pieces=st.integers(0, 12), level=st.sampled_from([b"\0\0", b"\0\x40"]))
    def append(self, pieces: int, level: bytes) -> None:
        for _ in range(pieces):
            before = len(self.event_ids)
            self.send("input_audio_buffer.append", audio=base64.b64encode(level * 2400).decode())
            self.heard_ms += 100 if len(self.event_ids) == before else 0

    @rule(back=st.integers(0, 800))
    def detector_starts(self, back: int) -> None:
        self.take(self.peer.speech_started(max(self.heard_ms - back, 0), self.heard_ms))

    @rule(back=st.integers(0, 100))
    def detector_stops(self, back: int) -> None:
        self.take(self.peer.speech_stopped(max(self.heard_ms - back, 0)))

    @rule(kind=st.sampled_from(["commit", "clear"]))
    def end_turn(self, kind: str) -> None:
        self.send(f"input_audio_buffer.{kind}")

    @rule(
        detection=st.sampled_from(
            [
                None,
                {"type": "server_vad", "idle_timeout_ms": 5000},
                {"type": "semantic_vad", "interrupt_response": False},
            ]
        ),
        model=st.sampled_from(["whisper-1", "gpt-transcribe"]),
    )
    def change_ears(self, detection: dict[str, Any] | None, model: str) -> None:
        ears = {"turn_detection": detection, "transcription": {"model": model}}
        self.send("session.update", session={"type": self.KIND, "audio": {"input": ears}})

    @rule()
    def keep_silent(self) -> None:
        self.take(self.peer.nobody_spoke())

    @rule(data=st.data(), part=PARTS, item_id=IDS)
    def create_item(self, data: st.DataObject, part: dict[str, str], item_id: str | None) -> None:
        previous = data.draw(st.sampled_from([None, "root", "nobody", *self.items]))
        item = {"type": "message", "role": "user", "content": [part], **({"id": item_id} if item_id else {})}
        self.send("conversation.item.create", item=item, **({"previous_item_id": previous} if previous else {}))

    @rule(data=st.data(), verb=st.sampled_from(["delete", "retrieve"]))
    def use_item(self, data: st.DataObject, verb: str) -> None:
        self.send(f"conversation.item.{verb}", item_id=self.some_item(data))

    @rule(data=st.data(), ms=st.integers(-1, 300))
    def truncate(self, data: st.DataObject, ms: int) -> None:
        self.send("conversation.item.truncate", item_id=self.some_item(data), content_index=0, audio_end_ms=ms)

    @rule(
        modality=st.sampled_from(["audio", "text"]),
        beside=st.booleans(),
        tokens=st.sampled_from(["inf", 4]),
        given=st.sampled_from(
            [
                None,
                [],
                [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_audio", "audio": "AAAA"}],
                        "id": "mine",
                    }
                ],
            ]
        ),
    )
    def create_response(self, modality: str, beside: bool, tokens: int | str, given: list[Any] | None) -> None:
        conversation = "none" if beside else "auto"
        response = {"output_modalities": [modality], "conversation": conversation, "max_output_tokens": tokens}
        self.send("response.create", response=response if given is None else {**response, "input": given})

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        wanted = data.draw(st.sampled_from([None, "nobody", *self.open_responses]))
        self.send("response.cancel", **({"response_id": wanted} if wanted else {}))

    @rule(data=st.data(), text=TEXTS, pieces=st.integers(0, 2))
    def progress(self, data: st.DataObject, text: str, pieces: int) -> None:
        if not self.generating:
            return
        response_id = data.draw(st.sampled_from(sorted(self.generating)))
        self.take(self.peer.answer_text(response_id, text))
        self.take(self.peer.answer_audio(response_id, bytes(480 * pieces)))

    @rule(data=st.data(), way=st.sampled_from(["finish", "fail", "call", "end_message"]))
    def conclude(self, data: st.DataObject, way: str) -> None:
        if not self.generating:
            return
        response_id = data.draw(st.sampled_from(sorted(self.generating)))
        match way:
            case "finish":
                self.generating.remove(response_id)
                self.take(self.peer.finish(response_id))
            case "fail":
                self.generating.remove(response_id)
                self.take(self.peer.fail(response_id, "server_error", "x"))
            case "call":
                self.take(self.peer.answer_call(response_id, "f", '{"a": 1}'))
            case _:
                self.take(self.peer.end_message(response_id))

    @rule(words=TEXTS, fails=st.booleans())
    def understand(self, words: str, fails: bool) -> None:
        if self.unanswered:
            item_id = self.unanswered.pop(0)
            self.take(self.peer.transcription_failed(item_id, "x") if fails else self.peer.transcribed(item_id, words))

    @invariant()
    def everything_that_can_be_answered_is_asked_for(self) -> None:
        if not self.unanswered:
            assert self.generating == set(self.open_responses)


class Dictation(Conversation):
    """The same with a session that only writes down, which is asked for everything all the same."""

    KIND = "transcription"

    @invariant()
    def nothing_is_ever_answered(self) -> None:
        assert not self.open_responses


TestDictation = Dictation.TestCase
TestConversation = Conversation.TestCase
