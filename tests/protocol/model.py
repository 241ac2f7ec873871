"""What a server knows, and what the API allows it to do: the other side of the conversation in the property tests.

A `ModelServer` takes the client's frames in order and puts its own events in order on their way; what happens in between is up to the
test. It keeps account of what is owed: every message, turn, batch of outputs and explicit request is a *reason* for one response.
A `response.create` without a reason, a truncation beyond the audio, an output that nobody asked for are `Unlawful`. It is lawful
itself, unless it is told to refuse something.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

import attrs

from tests.protocol.driver import MS
from trio_codex.protocol import REQUEST_KEY
from trio_codex.protocol.handoff import INTERRUPTED

RACE = "conversation_already_has_active_response"
EMPTY = "input_audio_buffer_commit_empty"

Frame = dict[str, Any]


class Unlawful(AssertionError):
    """The client did what it must not do."""


@attrs.define(eq=False)
class Reason:
    """Something that a response is owed for. `optional`: the client may have been told to forget it, or to forget its answer."""

    kind: str
    optional: bool = False
    spent: bool = False  # a response that may have been forgotten was given for it


@attrs.define(eq=False, repr=False)
class Answer:
    """A response in the making."""

    id: str
    event_id: str | None  # whose create it was; None for the server's own
    beside: bool = False
    reasons: list[Reason] = attrs.field(factory=list)  # what it was made for, and nobody has answered since
    item_id: str | None = None
    words: str = ""
    sound_ms: int = 0
    output: list[Frame] = attrs.field(factory=list)
    calls: list[str] = attrs.field(factory=list)
    status: str = "in_progress"
    heard_uncut: bool = False  # the client has heard of its end, and had not cut it off
    abandoned: bool = False  # nobody may want its turn to go on

    def __repr__(self) -> str:
        return self.id


class ModelServer:
    """See the module. `outbox` is on its way to the client."""

    def __init__(self, *, detection: bool, creates: bool = True, interrupts: bool = True, echo: bool = True) -> None:
        self.outbox: deque[Frame] = deque()
        self.detection, self.creates, self.interrupts, self.echo = detection, creates, interrupts, echo
        self.session: Frame = {"type": "realtime", "id": "sess_1"}
        self.refusals: dict[
            str, str
        ] = {}  # type of frame → code with which the next one is refused; "silence": not at all
        self.chain: list[str] = []
        self.texts: dict[str, str] = {}
        self.active: Answer | None = None
        self.answers: dict[str, Answer] = {}
        self.sound_ms: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.silent_calls: set[str] = set()  # calls whose output wants no answer
        self.reasons: list[Reason] = []
        self.manual: dict[str, Reason] = {}  # explicit requests that have not been answered, by event id
        self.turns: dict[str, Reason] = {}  # commits on their way that want an answer, by event id
        self.messages: dict[str, Reason] = {}  # messages on their way that want one, by item id
        self.unwanted: set[str] = set()  # responses that nobody needs any more: the client has to cancel them
        self.dropped: set[str] = set()  # updates that are never answered
        self.accepted = 0
        self._buffered_ms = 0
        self._speaking: str | None = None
        self._ended = False  # the detection ended a turn, and nobody has spoken since
        self._unanswered = False  # and nobody has answered it
        self._count = 0
        self.say("session.created", session=self.session)

    # --- talking ---------------------------------------------------------------------------------------------------

    def say(self, type_: str, **fields: Any) -> None:
        """Put an event on its way."""
        self.outbox.append({"type": type_, "event_id": self.new("event"), **fields})

    def new(self, kind: str) -> str:
        """A fresh id."""
        self._count += 1
        return f"s_{kind}_{self._count}"

    def refuse(self, frame: Frame, code: str) -> None:
        """Answer a frame with an error."""
        error = {"type": "invalid_request_error", "code": code, "message": code, "event_id": frame["event_id"]}
        self.say("error", error=error)

    def owed(self) -> list[str]:
        """What a response is still owed for."""
        return [reason.kind for reason in (*self.reasons, *self.manual.values()) if not reason.optional]

    def abandon(self) -> None:
        """Somebody who may have asked for any of this has gone."""
        self.forget()
        for answer in self.answers.values():
            answer.abandoned = True

    def forget(self) -> None:
        """The client was told to stop: what is owed need not be given any more."""
        for reason in (*self.reasons, *self.manual.values(), *self.turns.values(), *self.messages.values()):
            reason.optional = True
        for answer in self.answers.values():
            for reason in answer.reasons:
                reason.optional = True

    def unpaid(self, answer: Answer) -> None:
        """The client had withdrawn the request before it heard of the answer: what it did not know of yet is still owed."""
        for reason in answer.reasons:
            reason.spent = False
        self.reasons.extend(reason for reason in answer.reasons if reason not in self.reasons)
        answer.reasons.clear()

    # --- the client's frames ---------------------------------------------------------------------------------------

    def take(self, frame: Frame) -> None:
        """Obey a frame of the client."""
        code = self.refusals.pop(frame["type"], None)
        if code == "silence":
            self.dropped.add(frame["event_id"])
            return
        if code is not None:
            self.refuse(frame, code)
            if frame["type"] == "response.create":
                self.manual.pop(frame["event_id"], None)
                self.forget()
            return
        getattr(self, "_take_" + frame["type"].replace(".", "_"))(frame)

    def _take_session_update(self, frame: Frame) -> None:
        self.session |= frame["session"]
        detection = None
        if self.detection:
            detection = {
                "type": "server_vad",
                "create_response": self.creates,
                "interrupt_response": self.interrupts,
            }
        self.session["audio"] = {"input": {"turn_detection": detection}}
        self.say("session.updated", session=json.loads(json.dumps(self.session)))

    def _take_conversation_item_create(self, frame: Frame) -> None:
        item = frame["item"]
        item_id = item.get("id") or self.new("item")
        if item["type"] == "function_call_output":
            if item["output"].endswith(INTERRUPTED):
                self.silent_calls.add(item["call_id"])  # whoever cut in speaks next
            self._note_output(item["call_id"])
        text = "".join(part.get("text", "") for part in item.get("content", ()))
        self.add_item({**item, "id": item_id}, text, done=True)
        if reason := self.messages.pop(item_id, None):
            self.reasons.append(reason)

    def _note_output(self, call_id: str) -> None:
        caller = next((answer for answer in self.answers.values() if call_id in answer.calls), None)
        if caller is None:
            raise Unlawful(f"an output for {call_id}, which nobody called")
        self.outputs[call_id] = self.outputs.get(call_id, 0) + 1
        if self.outputs[call_id] > 1:
            raise Unlawful(f"a second output for {call_id}")
        self.batch_through(caller)

    def batch_through(self, answer: Answer) -> None:
        """All outputs are there and the client knows that the response is over: a follow-up is owed."""
        if answer.calls and answer.heard_uncut and all(self.outputs.get(call_id) for call_id in answer.calls):
            answer.heard_uncut = False
            if not self.silent_calls.issuperset(answer.calls):
                self.reasons.append(Reason("outputs", optional=answer.abandoned))

    def _take_conversation_item_truncate(self, frame: Frame) -> None:
        item_id, ms = frame["item_id"], frame["audio_end_ms"]
        there = self.sound_ms.get(item_id, 0)
        if not there or not 0 <= ms <= there:
            raise Unlawful(f"truncated {item_id} to {ms} ms of {there}")
        self.say("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=ms)

    def _take_input_audio_buffer_append(self, frame: Frame) -> None:
        self._buffered_ms += len(base64.b64decode(frame["audio"])) // MS

    def _take_input_audio_buffer_commit(self, frame: Frame) -> None:
        reason = self.turns.pop(frame["event_id"], None)
        if self._buffered_ms < 100:
            if reason and self._ended and self._unanswered:
                self.reasons.append(reason)
                self._unanswered = False
            self.refuse(frame, EMPTY)
            return
        self._commit(self._speaking or self.new("user"))
        if reason and (not self._ended or self._unanswered):
            self.reasons.append(reason)
        self._ended = self._unanswered = False

    def _take_response_create(self, frame: Frame) -> None:
        params = frame["response"]
        if params.get("conversation") == "none":
            self.manual.pop(frame["event_id"])
            self._begin(frame, beside=True)
        elif self.active is not None:
            self.refuse(frame, RACE)
        else:
            answer = self._begin(frame)
            self.accepted += 1
            if self.manual.pop(frame["event_id"], None) is None:
                if not self.reasons:
                    self.unwanted.add(answer.id)
                answer.reasons = list(self.reasons)
                self.reasons = [reason for reason in self.reasons if reason.optional and not reason.spent]
                for reason in self.reasons:
                    reason.spent = True
            self._unanswered = False

    def _take_response_cancel(self, frame: Frame) -> None:
        answer = self.answers.get(frame.get("response_id") or "")
        if answer is None or answer.status != "in_progress":
            self.refuse(frame, "response_cancel_not_active")
        else:
            self.end(answer, "cancelled", reason="client_cancelled")

    # --- items -----------------------------------------------------------------------------------------------------

    def add_item(self, item: Frame, text: str = "", *, done: bool) -> None:
        """An item joins the conversation."""
        previous = self.chain[-1] if self.chain else None
        self.chain.append(item["id"])
        self.texts[item["id"]] = text
        self.say("conversation.item.added", item=item, previous_item_id=previous)
        if done:
            self._item_done(item)

    def _item_done(self, item: Frame) -> None:
        at = self.chain.index(item["id"])
        self.say("conversation.item.done", item=item, previous_item_id=self.chain[at - 1] if at else None)

    def _commit(self, item_id: str) -> None:
        previous = self.chain[-1] if self.chain else None
        self._buffered_ms, self._speaking = 0, None
        self.say("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        content = [{"type": "input_audio", "transcript": None}]
        self.add_item({"id": item_id, "type": "message", "role": "user", "content": content}, done=True)

    # --- the user's voice ------------------------------------------------------------------------------------------

    @property
    def hears_speech(self) -> bool:
        """Whether the user is in the middle of a turn, as the detection sees it."""
        return self._speaking is not None

    def speech_starts(self) -> None:
        """The detection hears the user."""
        self._speaking = self.new("user")
        self._ended = self._unanswered = False
        self.say("input_audio_buffer.speech_started", item_id=self._speaking, audio_start_ms=0)
        if self.interrupts and self.active is not None:
            self.end(self.active, "cancelled", reason="turn_detected")

    def speech_stops(self, left_ms: int) -> None:
        """The detection ends the turn; some silence may be left in the buffer."""
        assert self._speaking is not None
        item_id = self._speaking
        self.say("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=0)
        self._commit(item_id)
        self._buffered_ms = left_ms
        self._ended = self._unanswered = True
        if self.creates and self.active is None:
            self._begin(None)
            for made_for in (self.reasons, *(answer.reasons for answer in self.answers.values())):
                made_for[:] = [reason for reason in made_for if reason.kind != "turn"]
            self._unanswered = False

    # --- answers ---------------------------------------------------------------------------------------------------

    def _begin(self, frame: Frame | None, *, beside: bool = False) -> Answer:
        event_id = frame["event_id"] if frame else None
        metadata = frame["response"]["metadata"] if frame and self.echo else None
        assert frame is None or frame["response"]["metadata"][REQUEST_KEY] == event_id
        answer = Answer(self.new("response"), event_id, beside)
        self.answers[answer.id] = answer
        if not beside:
            self.active = answer
        self.say("response.created", response=self._describe(answer, metadata))
        return answer

    def _describe(self, answer: Answer, metadata: Frame | None = None, **fields: Any) -> Frame:
        place = None if answer.beside else "conv_1"
        return {
            "id": answer.id, "status": answer.status, "conversation_id": place, "metadata": metadata, "output": [], **fields,
        }  # fmt: skip

    def speak(self, answer: Answer, words: str, sound_ms: int) -> None:
        """More of an answer: words, sound, or both."""
        if answer.item_id is None:
            answer.item_id = self.new("item")
            item = {
                "id": answer.item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": [],
            }  # fmt: skip
            self.say("response.output_item.added", response_id=answer.id, output_index=0, item=item)
            if not answer.beside:
                self.add_item(item, done=False)
        place = {"response_id": answer.id, "item_id": answer.item_id, "output_index": 0, "content_index": 0}
        if words:
            answer.words += words
            self.texts[answer.item_id] = answer.words
            self.say("response.output_audio_transcript.delta", **place, delta=words)
        if sound_ms:
            answer.sound_ms += sound_ms
            self.sound_ms[answer.item_id] = answer.sound_ms
            self.say("response.output_audio.delta", **place, delta=base64.b64encode(bytes(sound_ms * MS)).decode())

    def call(self, answer: Answer, name: str, *, whole: bool) -> None:
        """A function call, broken off unless `whole`; that ends the answer."""
        item = {
            "id": self.new("item"), "type": "function_call", "call_id": self.new("call"), "name": name, "arguments": "{}",
            "status": "completed" if whole else "incomplete",
        }  # fmt: skip
        if whole and not answer.beside:
            answer.calls.append(item["call_id"])
        answer.output.append(item)
        if not answer.beside:
            self.add_item({**item, "status": "in_progress", "arguments": ""}, done=False)
        self.say("response.output_item.done", response_id=answer.id, output_index=0, item=item)
        if not answer.beside:
            self._item_done(item)
        if not whole:
            self.end(answer, "incomplete", reason="max_output_tokens")

    def end(self, answer: Answer, status: str, *, reason: str | None = None) -> None:
        """An answer is over."""
        answer.status = status
        if answer.item_id is not None:
            place = {"response_id": answer.id, "item_id": answer.item_id, "output_index": 0, "content_index": 0}
            if answer.sound_ms:
                self.say("response.output_audio.done", **place)
            if answer.words:
                self.say("response.output_audio_transcript.done", **place, transcript=answer.words)
            item = {
                "id": answer.item_id, "type": "message", "role": "assistant",
                "status": "completed" if status == "completed" else "incomplete",
                "content": [{"type": "output_audio", "transcript": answer.words or None}],
            }  # fmt: skip
            answer.output.append(item)
            self.say("response.output_item.done", response_id=answer.id, output_index=0, item=item)
            if not answer.beside:
                self._item_done(item)
        if self.active is answer:
            self.active = None
        details = None if status == "completed" else {"type": status, "reason": reason}
        usage = {"total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
        described = self._describe(answer, status_details=details, output=answer.output, usage=usage)
        self.say("response.done", response=described)
