"""A conversation in writing, between somebody and agents that take turns in answering: its history, and what follows from each event.

Pure: what comes in (a transcript, events of an answer, the end of a tool) gives effects as values, which the workflow performs at once. A
turn is one or more answers: each that has function calls is followed by another, once every call has its output. Handoffs are the
machine of `protocol`, where the target's settings are those of the next request; guardrails are its machine too. Of an answer that was
cut short, what was heard is what was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from trio_codex.agent import HANDOFF_DONE, HANDOFF_FAILED, Agent
from trio_codex.errors import RemoteProtocolError, VoiceError
from trio_codex.events import (
    AgentEndEvent,
    AgentStartEvent,
    ErrorEvent,
    ErrorInfo,
    GuardrailTrippedEvent,
    HandoffEvent,
    HistoryItem,
    ResponseDoneEvent,
    TextDeltaEvent,
    ToolEndEvent,
    ToolStartEvent,
    Usage,
    UsageEvent,
)
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import (
    FEEDBACK,
    NOT_COMPLETED,
    Briefing,
    CancelTool,
    Check,
    Emit,
    FunctionCall,
    Guarded,
    McpApprovalRequest,
    PrepareHandoff,
    StartCheck,
    StartTool,
    ToolCall,
    Trip,
    handoffs,
    structure,
)
from trio_codex.tools import CANCELLED, UNKNOWN_TOOL
from trio_codex.voice.openai.book import Book, Entry
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

__all__ = ["AskApproval", "Dialogue", "Effect", "Say", "StopAnswer"]


@attrs.frozen
class Say:
    """Say this piece of text."""

    text: str


@attrs.frozen
class StopAnswer:
    """Give up the answer that is coming."""


@attrs.frozen
class AskApproval:
    """Ask whether the API may make this call; report to `approved`."""

    request_id: str
    server: HostedMcp
    agent: Agent
    name: str
    arguments: str


Effect: TypeAlias = Say | StopAnswer | AskApproval | Emit | StartTool | CancelTool | PrepareHandoff | StartCheck


@attrs.define
class _Answer:
    """One answer on its way."""

    briefing: Briefing
    guarded: Guarded[tuple[Entry, str]]
    id: str | None = None  # None: it has not begun
    messages: dict[str, Entry] = attrs.field(factory=dict)
    calls: set[str] = attrs.field(factory=set)  # those without an output
    begun: bool = False  # something was said or called
    over: bool = False
    wanted: bool = False  # another answer is to follow


class Dialogue:
    """The conversation. From `begin` to `finish` or `interrupt` a turn goes on; in it `brief` comes first, and `ask` begins each answer."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._book = Book()
        self._open: dict[str, ToolCall] = {}  # running calls, of earlier turns too
        self._checks: dict[str, tuple[_Answer, int]] = {}
        self._state: handoffs.State | None = None  # None: between turns
        self._answer: _Answer | None = None
        self._turn = 0  # where the last turn begins among the entries
        self._kept = 0  # where the last answer begins among them
        self._said = ""  # in the last turn
        self._count = 0
        self._effects: list[Effect] = []

    @property
    def agent(self) -> Agent:
        """Who is in charge."""
        return self._agent if self._state is None else handoffs.in_charge(self._state).agent

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
        self._state = handoffs.Settled(briefing)

    def ask(self) -> tuple[Briefing, list[dict[str, Any]]]:
        """An answer is asked for: of whom, and with which input. Asking again forgets what little came of the answer before."""
        assert self._state is not None
        if self._answer is not None and not self._answer.over:
            del self._book.entries[self._kept :]
        self._kept = len(self._book.entries)
        briefing = handoffs.in_charge(self._state)
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
        return answer is not None and answer.over and not answer.calls and not answer.guarded.pending

    @property
    def wants_answer(self) -> bool:
        """Whether another answer is to follow."""
        return self._answer is not None and self._answer.wanted

    def finish(self) -> None:
        """The turn is over."""
        self._end()

    def interrupt(self) -> list[Effect]:
        """The turn is given up, if there is one: somebody cut in, or it failed. Tools go on unless they asked for it."""
        answer = self._answer
        if self._state is None or answer is None:
            self._end()
            return self._take()
        answer.guarded.cut_off()
        self._step(handoffs.ResponseEnded(False, handoffs.INTERRUPTED))
        self._step(handoffs.Interrupted())
        for call in self._open.values():
            if call.tool is not None and call.tool.on_interrupt == "cancel":
                self._effects.append(CancelTool(call.call_id))
        for entry in answer.messages.values():
            if not answer.over or entry.said != entry.text:
                entry.heard = entry.said
        if not answer.over:
            self._done(answer, "cancelled")
        self._end()
        return self._take()

    def abandon(self) -> None:
        """No tool goes on."""
        self._book.outputs.update(dict.fromkeys(self._open, CANCELLED))
        self._open.clear()

    def heard(self, text: str) -> None:
        """How much of what the last turn said was heard, after it was cut short."""
        self._book.heard(self._turn, text)

    def _end(self) -> None:
        if self._state is not None:
            self._agent = handoffs.in_charge(self._state).agent
        self._state = self._answer = None
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
                self._emit(AgentStartEvent(answer.briefing.agent))
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
        return self._take()

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
        self._emit(TextDeltaEvent(item_id, delta))

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
                if call.status in (None, "completed"):
                    self._called(answer, call, item)
            case str(kind):
                self._book.entries.append(Entry(str(item.get("id")), kind, raw=item))
                if kind == "mcp_approval_request":
                    self._asks_approval(answer, structure(dict(item), McpApprovalRequest))
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
        self._step(handoffs.ResponseEnded(completed, NOT_COMPLETED))
        self._check(answer, answer.guarded.ended())
        self._release(answer)
        usage = usage_of(response)
        if usage is not None:
            self._emit(UsageEvent(usage))
        self._done(answer, "completed" if completed else "incomplete", response.get("incomplete_details"), usage)

    def _done(
        self, answer: _Answer, status: str, details: Mapping[str, Any] | None = None, usage: Usage | None = None
    ) -> None:
        if answer.id is not None:
            self._emit(ResponseDoneEvent(answer.id, status, details, usage))
            self._emit(AgentEndEvent(answer.briefing.agent))

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
        return self._take()

    def check_failed(self, check_id: str, reason: str) -> list[Effect]:
        """A guardrail raised this."""
        if check_id not in self._checks:
            return []
        answer, index = self._checks[check_id]
        self._emit(ErrorEvent(ErrorInfo(type="guardrail_error", message=reason)))
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
        self._emit(GuardrailTrippedEvent((result,), text))
        self._book.condense(self._kept)
        for entry in answer.messages.values():
            entry.heard = entry.said
        if not answer.over:
            answer.over = True
            self._step(handoffs.ResponseEnded(False, handoffs.INTERRUPTED))
            self._effects.append(StopAnswer())
            self._done(answer, "cancelled")
        name = answer.guarded.guardrails[index].name
        self._book.entries.append(Entry(self._new_id("item"), "message", "developer", FEEDBACK.format(name=name)))
        answer.wanted = True

    # --- calls -------------------------------------------------------------------------------------------------------

    def _called(self, answer: _Answer, item: FunctionCall, raw: Mapping[str, Any]) -> None:
        call_id = item.call_id or item.id or ""
        if call_id in self._open or call_id in self._book.outputs:
            return
        answer.begun = True
        handoff = answer.briefing.find_handoff(item.name)
        call = ToolCall(
            call_id=call_id,
            name=item.name,
            arguments=item.arguments,
            response_id="",
            agent=answer.briefing.agent,
            tool=None if handoff else answer.briefing.find_tool(item.name),
            handoff=handoff,
        )
        self._book.entries.append(
            Entry(item.id or call_id, "function_call", raw=raw, call=attrs.evolve(item, call_id=call_id))
        )
        self._open[call_id] = call
        answer.calls.add(call_id)
        self._emit(ToolStartEvent(call.agent, call.tool, call.name, call_id, call.arguments))
        if handoff is not None:
            self._step(handoffs.Requested(call))
        elif call.tool is None:
            self._output(call_id, UNKNOWN_TOOL.format(name=call.name))
        else:
            self._effects.append(StartTool(call))

    def _asks_approval(self, answer: _Answer, item: McpApprovalRequest) -> None:
        """The API wants to make a call; of a server that nobody knows it may not."""
        request_id = item.id
        answer.begun = answer.wanted = True
        server = answer.briefing.find_hosted(item.server_label)
        if server is None:
            self._book.approvals[request_id] = False
            return
        answer.calls.add(request_id)
        self._effects.append(AskApproval(request_id, server, answer.briefing.agent, item.name, item.arguments))

    def approved(self, request_id: str, *, approve: bool) -> list[Effect]:
        """It was decided whether the API may make a call."""
        self._book.approvals[request_id] = approve
        if self._answer is not None:
            self._answer.calls.discard(request_id)
        return self._take()

    def tool_ended(self, call_id: str, output: str, *, respond: bool = True) -> list[Effect]:
        """A call is over; this is the text for the model."""
        self._output(call_id, output, respond=respond)
        return self._take()

    def _output(self, call_id: str, output: str, *, respond: bool = True) -> None:
        call = self._open.pop(call_id, None)
        if call is None:
            return
        self._book.outputs[call_id] = output
        self._emit(ToolEndEvent(call.agent, call.tool, call.name, call_id, call.arguments, output))
        if self._answer is not None and call_id in self._answer.calls:
            self._answer.calls.discard(call_id)
            self._answer.wanted = self._answer.wanted or respond

    # --- handoffs ------------------------------------------------------------------------------------------------------

    def handoff_prepared(self, call_id: str, target: Briefing) -> list[Effect]:
        """The callables of a handoff are through."""
        if self._prepares(call_id):
            self._step(handoffs.Prepared(target))
        return self._take()

    def handoff_failed(self, call_id: str, reason: str) -> list[Effect]:
        """A callable of a handoff raised."""
        if self._prepares(call_id):
            self._step(handoffs.PrepareFailed(reason))
        return self._take()

    def _prepares(self, call_id: str) -> bool:
        return isinstance(self._state, handoffs.Preparing) and self._state.call.call_id == call_id

    def _step(self, given: handoffs.Given) -> None:
        assert self._state is not None
        self._state, outcomes = handoffs.step(self._state, given)
        for outcome in outcomes:
            match outcome:
                case handoffs.Prepare(call):
                    self._effects.append(PrepareHandoff(call))
                case handoffs.Apply():
                    self._step(handoffs.Updated())  # nobody has to agree: the next request says who answers
                case handoffs.Arrived(call, source, target) if call is not None:
                    self._emit(HandoffEvent(source.agent, target.agent))
                    self._output(call.call_id, HANDOFF_DONE.format(name=target.agent.name))
                case handoffs.Failed(call, reason) if call is not None:
                    self._output(call.call_id, HANDOFF_FAILED.format(reason=reason))

    def _emit(self, event: Any) -> None:
        self._effects.append(Emit(event))

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _new_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_c{self._count}"


def _failed(message: str, code: object) -> VoiceError:
    return VoiceError(f"the answer failed: {message}", code=code if isinstance(code, str) else None)
