"""Function calls: which tools run, which outputs are owed, and the handoff that some of them ask for.

Every completed call gets exactly one output while the session is open: a result, an error, "cancelled", "unknown tool". The calls of
one response are a batch; its outputs are followed by one request for an answer, after the response is done and the last output is
sent, and by none if the response was cut off by speech or `interrupt`, or if no tool of the batch wants one.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from trio_codex.agent import HANDOFF_DONE, HANDOFF_FAILED
from trio_codex.errors import ServerRefused
from trio_codex.events import HandoffEvent, ToolEndEvent, ToolStartEvent
from trio_codex.protocol import handoff as handoffs
from trio_codex.protocol.answers import Answers, Running
from trio_codex.protocol.client_events import ConversationItemCreate
from trio_codex.protocol.effects import CancelTool, Effects, Note, PrepareHandoff, Settle, StartTool, ToolCall
from trio_codex.protocol.floor import Cause
from trio_codex.protocol.items import FunctionCall, FunctionCallOutput
from trio_codex.protocol.settings import UNSET, Briefing, SessionSettings, session_object
from trio_codex.protocol.updates import Purpose, Updates
from trio_codex.tools import UNKNOWN_TOOL

_CUT_OFF: Final = frozenset({"turn_detected", "client_cancelled"})


@attrs.define
class _Batch:
    open: set[str] = attrs.field(factory=set)
    asks: frozenset[str] = frozenset()
    cause: Cause = Cause.TOOL_OUTPUT
    response_done: bool = False
    cut_off: bool = False
    wanted: bool = False  # some output of the batch wants an answer


class Calls:
    """The calls of a session and the agent in charge; every method may cause effects."""

    def __init__(
        self, effects: Effects, answers: Answers, updates: Updates, briefing: Briefing, settings: SessionSettings
    ) -> None:
        self.settings = settings
        self._effects = effects
        self._answers = answers
        self._updates = updates
        self._state: handoffs.State = handoffs.Settled(briefing)
        self._seen: set[str] = set()
        self._open: dict[str, ToolCall] = {}
        self._batches: dict[str, _Batch] = {}
        self._redirect: str | None = None  # the ticket of the `update_agent` under way

    @property
    def briefing(self) -> Briefing:
        """The agent in charge."""
        return handoffs.in_charge(self._state)

    # --- calls -----------------------------------------------------------------------------------------------------

    def called(self, running: Running, item: FunctionCall) -> None:
        """The model completed a function call."""
        call_id = item.call_id or item.id or ""
        if call_id in self._seen:
            return
        self._seen.add(call_id)
        handoff = self.briefing.find_handoff(item.name)
        tool = None if handoff else self.briefing.find_tool(item.name)
        call = ToolCall(
            call_id=call_id,
            name=item.name,
            arguments=item.arguments,
            response_id=running.id,
            agent=running.agent,
            tool=tool,
            handoff=handoff,
        )
        self._open[call_id] = call
        self._batches.setdefault(running.id, _Batch()).open.add(call_id)
        self._effects.emit(ToolStartEvent(call.agent, tool, call.name, call_id, call.arguments))
        if handoff is not None:
            self._step(handoffs.Requested(call))
        elif tool is None:
            self.ended(call_id, UNKNOWN_TOOL.format(name=call.name))
        else:
            self._effects.add(StartTool(call))

    def ended(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """A call is over: tell the user, then the model."""
        call = self._open.pop(call_id, None)
        if call is None:
            return
        self._effects.emit(ToolEndEvent(call.agent, call.tool, call.name, call_id, call.arguments, output))
        self._effects.send(ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output=output)))
        batch = self._batches[call.response_id]
        batch.open.discard(call_id)
        batch.wanted = batch.wanted or respond
        if call.handoff is not None:
            batch.cause = Cause.HANDOFF
        self._close_if_through(call.response_id, batch)

    def interrupted(self) -> None:
        """The user cut in: tools that asked for it are cancelled."""
        for call in self._open.values():
            if call.tool is not None and call.tool.on_interrupt == "cancel":
                self._effects.add(CancelTool(call.call_id))

    def response_done(self, running: Running, status: str, reason: str | None) -> bool:
        """A response is over; says whether a follow-up will go on with what was asked."""
        self._handoff_response_done(running, completed=status == "completed")
        batch = self._batches.get(running.id)
        if batch is None:
            return False
        batch.response_done = True
        batch.cut_off = running.cut or (status == "cancelled" and (reason is None or reason in _CUT_OFF))
        batch.asks = running.asks
        self._close_if_through(running.id, batch)
        return True

    def _close_if_through(self, response_id: str, batch: _Batch) -> None:
        if batch.open or not batch.response_done:
            return
        del self._batches[response_id]
        if batch.wanted and not batch.cut_off:
            self._answers.want(batch.cause, batch.asks)
        else:
            self._answers.settle(batch.asks, "cancelled" if batch.cut_off else "completed")

    # --- handoffs --------------------------------------------------------------------------------------------------

    def redirect(self, target: Briefing, ticket: str) -> bool:
        """The program puts another agent in charge; False when a handoff is under way already."""
        if not isinstance(self._state, handoffs.Settled):
            return False
        self._redirect = ticket
        self._step(handoffs.Requested(None, target, response_ended=self._answers.active is None))
        return True

    def prepared(self, call_id: str, target: Briefing) -> None:
        """The callables of a handoff are through."""
        if self._is_preparing(call_id):
            self._step(handoffs.Prepared(target))

    def prepare_failed(self, call_id: str, reason: str) -> None:
        """A callable of a handoff raised."""
        if self._is_preparing(call_id):
            self._step(handoffs.PrepareFailed(reason))

    def applied(self) -> None:
        """The server acknowledged the target's settings."""
        self._step(handoffs.Updated())

    def apply_refused(self, reason: str) -> None:
        """The server refused the target's settings, or did not answer."""
        self._step(handoffs.Refused(reason))

    def _is_preparing(self, call_id: str) -> bool:
        state = self._state
        return isinstance(state, handoffs.Preparing) and state.call is not None and state.call.call_id == call_id

    def _handoff_response_done(self, running: Running, *, completed: bool) -> None:
        state = self._state
        if not isinstance(state, handoffs.Preparing) or running.out_of_band:
            return
        if state.call is None or state.call.response_id == running.id:
            self._step(handoffs.ResponseEnded(completed and not running.cut))

    def _step(self, given: handoffs.Given) -> None:
        self._state, outcomes = handoffs.step(self._state, given)
        for outcome in outcomes:
            match outcome:
                case handoffs.Prepare(call):
                    self._effects.add(PrepareHandoff(call))
                case handoffs.Apply(target):
                    self._apply(target)
                case handoffs.Arrived(call, source, target):
                    self._arrived(call, source, target)
                case handoffs.Failed(call, reason, interrupted):
                    self._failed(call, reason, interrupted=interrupted)

    def _apply(self, target: Briefing) -> None:
        self._answers.hold(True)
        self._updates.submit(self._target_session(target), Purpose.HANDOFF)

    def _target_session(self, target: Briefing) -> dict[str, Any]:
        """What the target changes: instructions, tools and, as long as no audio was heard, the voice."""
        voice = self.settings.voice
        session = session_object(target, SessionSettings(instructions=self.settings.instructions, voice=voice))
        if self._answers.audible and session.pop("audio", None) is not None:
            if voice is UNSET and target.agent.voice != self.briefing.agent.voice:
                self._effects.add(
                    Note(f"{target.agent.name} keeps the voice of the call: it cannot change once audio was heard")
                )
        return session

    def _arrived(self, call: ToolCall | None, source: Briefing, target: Briefing) -> None:
        self._effects.emit(HandoffEvent(source.agent, target.agent))
        if call is None:
            self._settle_redirect(None)
        else:
            self.ended(call.call_id, HANDOFF_DONE.format(name=target.agent.name))
        self._answers.hold(False)

    def _failed(self, call: ToolCall | None, reason: str, *, interrupted: bool) -> None:
        if call is None:
            self._settle_redirect(ServerRefused(f"the agent stays {self.briefing.agent.name}: {reason}"))
        else:
            self.ended(call.call_id, HANDOFF_FAILED.format(reason=reason), respond=not interrupted)
        if not isinstance(self._state, handoffs.Applying):
            self._answers.hold(False)

    def _settle_redirect(self, error: ServerRefused | None) -> None:
        if self._redirect is not None:
            self._effects.add(Settle(self._redirect, error=error))
            self._redirect = None
