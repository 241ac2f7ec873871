"""A conversation in writing, between somebody and agents that take turns in answering: its history, and what follows from each event.

Pure: what comes in (a transcript, events of an answer, the end of a tool) gives effects as values, which the workflow performs at once. A
turn is one or more answers: each that has function calls is followed by another, once every call has its output. What was said goes
through the machine of guardrails here, what is to be done by others is the business of `calls`. Of an answer that was cut short, what was
heard is what was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from trio_codex.agent import Agent
from trio_codex.errors import RemoteProtocolError, VoiceError
from trio_codex.events import (
    AgentEndEvent,
    AgentStartEvent,
    ErrorEvent,
    ErrorInfo,
    GuardrailTrippedEvent,
    HistoryItem,
    ResponseDoneEvent,
    TextDeltaEvent,
    Usage,
    UsageEvent,
)
from trio_codex.protocol import (
    FEEDBACK,
    NOT_COMPLETED,
    Briefing,
    Check,
    FunctionCall,
    Guarded,
    McpApprovalRequest,
    StartCheck,
    Trip,
    handoffs,
    structure,
)
from trio_codex.voice.openai.book import Book, Entry
from trio_codex.voice.openai.calls import Calls
from trio_codex.voice.openai.effects import Effect, Effects, Say, StopAnswer
from trio_codex.voice.openai.responses import (
    OutputItemAdded,
    OutputItemDone,
    RefusalDelta,
    RefusalDone,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    StreamError,
    StreamEvent,
    TextDelta,
    TextDone,
    usage_of,
)

__all__ = ["Dialogue"]


@attrs.define
class _Answer:
    """One answer on its way."""

    briefing: Briefing
    guarded: Guarded[tuple[Entry, str]]
    id: str | None = None  # None: it has not begun
    messages: dict[str, Entry] = attrs.field(factory=dict)
    begun: bool = False  # something was said or called
    over: bool = False


class Dialogue:
    """The conversation. From `begin` to `finish` or `interrupt` a turn goes on; in it `brief` comes first, and `ask` begins each answer."""

    def __init__(self, agent: Agent) -> None:
        self._book = Book()
        self._effects = Effects()
        self._calls = Calls(agent, self._book, self._effects)
        self._checks: dict[str, tuple[_Answer, int]] = {}
        self._answer: _Answer | None = None
        self._turn = 0  # where the last turn begins among the entries
        self._kept = 0  # where the last answer begins among them
        self._said = ""  # in the last turn
        self._count = 0

    @property
    def agent(self) -> Agent:
        """Who is in charge."""
        return self._calls.agent

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """What was said, called and given back."""
        return self._book.history()

    # --- turns -------------------------------------------------------------------------------------------------------

    def begin(self, text: str) -> None:
        """Somebody said something."""
        self._turn, self._said = len(self._book.entries), ""
        self._book.entries.append(Entry(self._new_id("item"), "message", "user", text))

    def brief(self, briefing: Briefing) -> None:
        """The agent in charge is ready to answer."""
        self._calls.brief(briefing)

    def ask(self) -> tuple[Briefing, list[dict[str, Any]]]:
        """An answer is asked for: of whom, and with which input. Asking again forgets what little came of the answer before."""
        if self._answer is not None and not self._answer.over:
            del self._book.entries[self._kept :]
        self._kept = len(self._book.entries)
        self._calls.begin()
        briefing = self._calls.briefing
        self._answer = _Answer(briefing, Guarded(briefing.agent.guardrails))
        return briefing, self._book.as_input()

    @property
    def begun(self) -> bool:
        """Whether something of the answer was said or called, so that it cannot be asked for again."""
        return self._answer is not None and self._answer.begun

    @property
    def answered(self) -> bool:
        """Whether the answer is whole."""
        return self._answer is not None and self._answer.over

    @property
    def settled(self) -> bool:
        """Whether the answer is whole, its calls have their outputs, and nothing of it waits for a guardrail."""
        answer = self._answer
        return answer is not None and answer.over and not self._calls.pending and not answer.guarded.pending

    @property
    def wants_answer(self) -> bool:
        """Whether another answer is to follow."""
        return self._answer is not None and self._calls.wanted

    def finish(self) -> None:
        """The turn is over."""
        self._end()

    def interrupt(self) -> list[Effect]:
        """The turn is given up, if there is one: somebody cut in, or it failed. Tools go on unless they asked for it."""
        answer = self._answer
        if answer is None:
            self._end()
            return self._effects.take()
        answer.guarded.cut_off()
        self._calls.interrupt()
        for entry in answer.messages.values():
            if not answer.over or entry.said != entry.text:
                entry.heard = entry.said
        if not answer.over:
            self._done(answer, "cancelled")
        self._end()
        return self._effects.take()

    def abandon(self) -> None:
        """No tool goes on."""
        self._calls.abandon()

    def heard(self, text: str) -> None:
        """How much of what the last turn said was heard, after it was cut short."""
        self._book.heard(self._turn, text)

    def _end(self) -> None:
        self._calls.end()
        self._answer = None
        self._checks.clear()
        self._book.condense(self._turn)

    # --- an answer ---------------------------------------------------------------------------------------------------

    def receive(self, event: StreamEvent) -> list[Effect]:
        """An event of the answer. Raises VoiceError when it failed, RemoteProtocolError for an item that is none."""
        answer = self._answer
        if answer is None or answer.over:
            return []
        match event:
            case ResponseCreated(response=response):
                answer.id = str(response.get("id"))
                self._effects.emit(AgentStartEvent(answer.briefing.agent))
            case TextDelta() | RefusalDelta():
                self._words(answer, event.item_id, event.content_index, event.delta)
            case TextDone(text=text) | RefusalDone(refusal=text):
                self._whole(answer, event.item_id, event.content_index, text)
            case OutputItemAdded(item=item) if item.get("type") == "message":
                self._message(answer, str(item.get("id")))
            case OutputItemDone(item=item):
                self._item_done(answer, item)
            case ResponseCompleted(response=response):
                self._ended(answer, response, completed=True)
            case ResponseIncomplete(response=response):
                self._ended(answer, response, completed=False)
            case ResponseFailed(response=response):
                stated = response.get("error")
                error = stated if isinstance(stated, dict) else {"message": stated}
                raise _failed(str(error.get("message") or "no reason given"), error.get("code"))
            case StreamError(message=message, code=code):
                raise _failed(message, code)
        return self._effects.take()

    def _message(self, answer: _Answer, item_id: str) -> Entry:
        entry = answer.messages.get(item_id)
        if entry is None:
            entry = answer.messages[item_id] = Entry(item_id, "message", "assistant")
            self._book.entries.append(entry)
        return entry

    def _words(self, answer: _Answer, item_id: str, index: int, delta: str) -> None:
        if not delta:
            return
        answer.begun = True
        entry = self._message(answer, item_id)
        entry.text += delta
        part = (item_id, index)
        self._check(answer, answer.guarded.said(part, delta))
        answer.guarded.hold(part, (entry, delta))
        self._release(answer)
        self._effects.emit(TextDeltaEvent(item_id, delta))

    def _whole(self, answer: _Answer, item_id: str, index: int, text: str) -> None:
        entry = self._message(answer, item_id)
        if text and not entry.text:  # a server that does not stream its words
            self._words(answer, item_id, index, text)
        self._check(answer, answer.guarded.whole((item_id, index), text))
        self._release(answer)

    def _item_done(self, answer: _Answer, item: Mapping[str, Any]) -> None:
        match item.get("type"):
            case "message":
                self._message_done(answer, item)
            case "function_call":
                call: FunctionCall = structure(dict(item), FunctionCall)
                if call.status in (None, "completed") and self._calls.called(answer.briefing, call, item):
                    answer.begun = True
            case str(kind):
                self._book.entries.append(Entry(str(item.get("id")), kind, raw=item))
                if kind == "mcp_approval_request":
                    self._calls.asks_approval(answer.briefing, structure(dict(item), McpApprovalRequest))
                    answer.begun = True
            case _:
                raise RemoteProtocolError("required field missing", path="$.item.type")

    def _message_done(self, answer: _Answer, item: Mapping[str, Any]) -> None:
        item_id = str(item.get("id"))
        entry = self._message(answer, item_id)
        parts = item.get("content")
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict) and isinstance(text := part.get("text", part.get("refusal")), str):
                self._whole(answer, item_id, index, text)
        entry.raw = item

    def _ended(self, answer: _Answer, response: Mapping[str, Any], *, completed: bool) -> None:
        answer.over = answer.begun = True
        self._calls.answered(completed=completed, reason=NOT_COMPLETED)
        self._check(answer, answer.guarded.ended())
        self._release(answer)
        usage = usage_of(response)
        if usage is not None:
            self._effects.emit(UsageEvent(usage))
        self._done(answer, "completed" if completed else "incomplete", response.get("incomplete_details"), usage)

    def _done(
        self, answer: _Answer, status: str, details: Mapping[str, Any] | None = None, usage: Usage | None = None
    ) -> None:
        if answer.id is not None:
            self._effects.emit(ResponseDoneEvent(answer.id, status, details, usage))
            self._effects.emit(AgentEndEvent(answer.briefing.agent))

    # --- words that may be heard ---------------------------------------------------------------------------------------

    def _release(self, answer: _Answer) -> None:
        for entry, words in answer.guarded.take():
            piece = words
            if not entry.said:
                # What belongs to another message is another sentence, whatever the model thinks of blanks.
                piece = f"\n{words}" if self._said and not self._said[-1].isspace() else words
                entry.start = len(self._said) + len(piece) - len(words)
            entry.said += words
            self._said += piece
            self._effects.append(Say(piece))

    def checked(self, check_id: str, result: Any) -> list[Effect]:
        """A guardrail gave this for the text that it was to check: anything but None trips it."""
        if found := self._checks.pop(check_id, None):
            answer, index = found
            if result is None:
                self._check(answer, answer.guarded.passed(index))
                self._release(answer)
            else:
                self._trip(answer, index, result)
        return self._effects.take()

    def check_failed(self, check_id: str, reason: str) -> list[Effect]:
        """A guardrail raised this."""
        if check_id not in self._checks:
            return []
        answer, index = self._checks[check_id]
        self._effects.emit(ErrorEvent(ErrorInfo(type="guardrail_error", message=reason)))
        closed = answer.guarded.guardrails[index].on_error == "closed"
        return self.checked(check_id, reason if closed else None)

    def _check(self, answer: _Answer, outcomes: Iterable[Check | Trip]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Check):
                check_id = self._new_id("check")
                self._checks[check_id] = answer, outcome.index
                guardrail = answer.guarded.guardrails[outcome.index]
                text = answer.guarded.text(outcome.index)
                self._effects.append(StartCheck(check_id, guardrail, answer.briefing.agent, text))

    def _trip(self, answer: _Answer, index: int, result: Any) -> None:
        """The answer stops here, and its agent is told why; the next one is asked for when its calls have their outputs."""
        text = answer.guarded.text(index)
        if not any(isinstance(outcome, Trip) for outcome in answer.guarded.tripped(index)):
            return
        answer.guarded.cut_off()
        self._effects.emit(GuardrailTrippedEvent((result,), text))
        self._book.condense(self._kept)
        for entry in answer.messages.values():
            entry.heard = entry.said
        if not answer.over:
            answer.over = True
            self._calls.answered(completed=False, reason=handoffs.INTERRUPTED)
            self._effects.append(StopAnswer())
            self._done(answer, "cancelled")
        name = answer.guarded.guardrails[index].name
        self._book.entries.append(Entry(self._new_id("item"), "message", "developer", FEEDBACK.format(name=name)))
        self._calls.wanted = True

    # --- calls -------------------------------------------------------------------------------------------------------

    def approved(self, request_id: str, *, approve: bool) -> list[Effect]:
        """It was decided whether the API may make a call."""
        self._calls.approved(request_id, approve=approve)
        return self._effects.take()

    def tool_ended(self, call_id: str, output: str, *, respond: bool = True) -> list[Effect]:
        """A call is over; this is the text for the model."""
        self._calls.ended(call_id, output, respond=respond)
        return self._effects.take()

    def handoff_prepared(self, call_id: str, target: Briefing) -> list[Effect]:
        """The callables of a handoff are through."""
        return self._handoff(call_id, handoffs.Prepared(target))

    def handoff_failed(self, call_id: str, reason: str) -> list[Effect]:
        """A callable of a handoff raised."""
        return self._handoff(call_id, handoffs.PrepareFailed(reason))

    def _handoff(self, call_id: str, given: handoffs.Given) -> list[Effect]:
        if self._calls.prepares(call_id):
            self._calls.step(given)
        return self._effects.take()

    def _new_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_c{self._count}"


def _failed(message: str, code: object) -> VoiceError:
    return VoiceError(f"the answer failed: {message}", code=code if isinstance(code, str) else None)
