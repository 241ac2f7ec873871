"""What the agents of a conversation in writing have others do: tools, calls that the API makes itself, handoffs; and who is in charge.

Pure: effects go to the list that the dialogue gives away. Every call has exactly one output in the book. Handoffs are the machine of
`protocol`, where the target's settings are those of the next request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from trio_codex.agent import HANDOFF_DONE, HANDOFF_FAILED, Agent
from trio_codex.events import HandoffEvent, ToolEndEvent, ToolStartEvent
from trio_codex.protocol import (
    Briefing,
    CancelTool,
    FunctionCall,
    McpApprovalRequest,
    PrepareHandoff,
    StartTool,
    ToolCall,
    handoffs,
)
from trio_codex.tools import CANCELLED, UNKNOWN_TOOL
from trio_codex.voice.openai.book import Book, Entry
from trio_codex.voice.openai.effects import AskApproval, Effects

__all__ = ["Calls"]


class Calls:
    """The calls of a conversation. From `brief` to `end` a turn goes on; in it `begin` comes before each answer.

    `pending` are the calls of the answer that have no output yet, `wanted` says that another answer is to follow this one.
    """

    def __init__(self, agent: Agent, book: Book, effects: Effects) -> None:
        self.pending: set[str] = set()
        self.wanted: bool = False
        self._agent = agent
        self._book = book
        self._effects = effects
        self._open: dict[str, ToolCall] = {}  # those of earlier turns too
        self._state: handoffs.State | None = None  # None: between turns

    # --- turns and answers ---------------------------------------------------------------------------------------------

    @property
    def agent(self) -> Agent:
        """Who is in charge."""
        return self._agent if self._state is None else handoffs.in_charge(self._state).agent

    @property
    def briefing(self) -> Briefing:
        """What the agent in charge is, in this turn."""
        assert self._state is not None
        return handoffs.in_charge(self._state)

    def brief(self, briefing: Briefing) -> None:
        """The agent in charge is ready to answer."""
        self._state = handoffs.Settled(briefing)

    def begin(self) -> None:
        """An answer is asked for."""
        self.pending.clear()
        self.wanted = False

    def answered(self, *, completed: bool, reason: str) -> None:
        """The answer is over; unless it was completed, `reason` is why a handoff in it fails."""
        self.step(handoffs.ResponseEnded(completed, reason))

    def interrupt(self) -> None:
        """Somebody cut in: handoffs fail, tools go on unless they asked for it."""
        self.answered(completed=False, reason=handoffs.INTERRUPTED)
        self.step(handoffs.Interrupted())
        for call in self._open.values():
            if call.tool is not None and call.tool.on_interrupt == "cancel":
                self._effects.append(CancelTool(call.call_id))

    def end(self) -> None:
        """The turn is over."""
        self._agent, self._state = self.agent, None
        self.begin()

    def abandon(self) -> None:
        """No tool goes on."""
        self._book.outputs.update(dict.fromkeys(self._open, CANCELLED))
        self._open.clear()

    # --- calls ---------------------------------------------------------------------------------------------------------

    def called(self, by: Briefing, item: FunctionCall, raw: Mapping[str, Any]) -> bool:
        """The agent calls a function; gives False when this call is known already."""
        call = by.read_call(item)
        call_id = call.call_id
        if call_id in self._open or call_id in self._book.outputs:
            return False
        self._book.entries.append(
            Entry(item.id or call_id, "function_call", raw=raw, call=attrs.evolve(item, call_id=call_id))
        )
        self._open[call_id] = call
        self.pending.add(call_id)
        self._effects.emit(ToolStartEvent(call.agent, call.tool, call.name, call_id, call.arguments))
        if call.handoff is not None:
            self.step(handoffs.Requested(call))
        elif call.tool is None:
            self.ended(call_id, UNKNOWN_TOOL.format(name=call.name))
        else:
            self._effects.append(StartTool(call))
        return True

    def ended(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """A call is over; this is the text for the model."""
        call = self._open.pop(call_id, None)
        if call is None:
            return
        self._book.outputs[call_id] = output
        self._effects.emit(ToolEndEvent(call.agent, call.tool, call.name, call_id, call.arguments, output))
        if call_id in self.pending:
            self.pending.discard(call_id)
            self.wanted = self.wanted or respond

    def asks_approval(self, by: Briefing, item: McpApprovalRequest) -> None:
        """The API wants to make a call; of a server that nobody knows it may not."""
        self.wanted = True
        server = by.find_hosted(item.server_label)
        if server is None:
            self._book.approvals[item.id] = False
            return
        self.pending.add(item.id)
        self._effects.append(AskApproval(item.id, server, by.agent, item.name, item.arguments))

    def approved(self, request_id: str, *, approve: bool) -> None:
        """It was decided whether the API may make a call."""
        self._book.approvals[request_id] = approve
        self.pending.discard(request_id)

    # --- handoffs ------------------------------------------------------------------------------------------------------

    def prepares(self, call_id: str) -> bool:
        """Whether the callables of this handoff are running."""
        return isinstance(self._state, handoffs.Preparing) and self._state.call.call_id == call_id

    def step(self, given: handoffs.Given) -> None:
        """Go on with the handoff, if there is one."""
        assert self._state is not None
        self._state, outcomes = handoffs.step(self._state, given)
        for outcome in outcomes:
            match outcome:
                case handoffs.Prepare(call):
                    self._effects.append(PrepareHandoff(call))
                case handoffs.Apply():
                    self.step(handoffs.Updated())  # nobody has to agree: the next request says who answers
                case handoffs.Arrived(call, source, target) if call is not None:
                    self._effects.emit(HandoffEvent(source.agent, target.agent))
                    self.ended(call.call_id, HANDOFF_DONE.format(name=target.agent.name))
                case handoffs.Failed(call, reason) if call is not None:
                    self.ended(call.call_id, HANDOFF_FAILED.format(reason=reason))
