"""Function calls: which tools run, which outputs are owed, and the handoff that some of them ask for.

Every completed call gets exactly one output while the session is open: a result, an error, "cancelled", "unknown tool". The calls of
one response are a batch; its outputs are followed by one request for an answer, after the response is done and the last output is
sent, and by none if the response was cut off by speech or `interrupt`, if no tool of the batch wants one, or if whoever asked has gone.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from trio_codex.agent import HANDOFF_DONE, HANDOFF_FAILED
from trio_codex.errors import ServerRefused
from trio_codex.events import HandoffEvent, ToolEndEvent, ToolStartEvent
from trio_codex.protocol import handoff as handoffs
from trio_codex.protocol.answers import Answers
from trio_codex.protocol.client_events import ConversationItemCreate
from trio_codex.protocol.effects import CancelTool, Effects, Note, PrepareHandoff, Settle, StartTool, ToolCall
from trio_codex.protocol.floor import SESSION, Cause
from trio_codex.protocol.items import FunctionCall, FunctionCallOutput, Item
from trio_codex.protocol.outcomes import Outcome
from trio_codex.protocol.running import Running
from trio_codex.protocol.settings import UNSET, Briefing, SessionSettings, session_object
from trio_codex.protocol.updates import Purpose, Updates
from trio_codex.tools import UNKNOWN_TOOL

NOT_COMPLETED: Final = "the response was not completed"


@attrs.define
class _Batch:
    """The calls of one response."""

    running: Running
    open: set[str] = attrs.field(factory=set)
    cause: Cause = Cause.TOOL_OUTPUT
    cut_off: bool = False
    wanted: bool = False  # some output of the batch wants an answer
    status: str = "completed"


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
        self._target: Briefing | None = None  # whose settings go out as soon as nobody answers
        self._refusal: dict[str, Any] = {}
        self._redirect: str | None = None  # the ticket of the `update_agent` under way
        self._open: dict[str, tuple[ToolCall, _Batch]] = {}
        self._batches: dict[Running, _Batch] = {}

    @property
    def briefing(self) -> Briefing:
        """The agent in charge."""
        return handoffs.in_charge(self._state)

    # --- calls -----------------------------------------------------------------------------------------------------

    def called(self, running: Running, item: Item) -> None:
        """The model made an item; if that is a completed function call, and not told again, it is made."""
        if not isinstance(item, FunctionCall) or item.status not in (None, "completed"):
            return
        call = running.briefing.read_call(item, running.id)
        call_id = call.call_id
        if call_id in self._open or call_id in running.calls:
            return
        running.calls.add(call_id)
        batch = self._batch(running)
        batch.open.add(call_id)
        self._open[call_id] = call, batch
        self._effects.emit(ToolStartEvent(call.agent, call.tool, call.name, call_id, call.arguments))
        if call.handoff is not None:
            self._step(handoffs.Requested(call))
            if running.over:  # the call came late
                self._handoff_response_done(running, completed=not running.cut, cut_off=running.cut)
        elif call.tool is None:
            self.ended(call_id, UNKNOWN_TOOL.format(name=call.name))
        else:
            self._effects.add(StartTool(call))

    def ended(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """A call is over: tell the user, then the model."""
        if call_id not in self._open:
            return
        call, batch = self._open.pop(call_id)
        self._effects.emit(ToolEndEvent(call.agent, call.tool, call.name, call_id, call.arguments, output))
        self._effects.send(ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output=output)))
        batch.open.discard(call_id)
        batch.wanted = batch.wanted or respond
        if call.handoff is not None:
            batch.cause = Cause.HANDOFF
        self._close_if_through(batch)

    def hosted_began(self, running: Running, call_id: str) -> None:
        """The API makes a call for the model: the response's turn is not over before it."""
        self._batch(running).open.add(call_id)

    def hosted_ended(self, running: Running, call_id: str, *, respond: bool = True) -> None:
        """The API is through with its call and has the output; who is to answer it waits to be asked, as after any call."""
        batch = self._batch(running)
        batch.open.discard(call_id)
        batch.wanted = batch.wanted or respond
        self._close_if_through(batch)

    def _batch(self, running: Running) -> _Batch:
        return self._batches.setdefault(running, _Batch(running, cut_off=running.over and running.cut))

    def interrupted(self) -> None:
        """The user cut in: tools that asked for it are cancelled, and so is a handoff that only waits for its callables."""
        for call, _ in self._open.values():
            if call.tool is not None and call.tool.on_interrupt == "cancel":
                self._effects.add(CancelTool(call.call_id))
        self._step(handoffs.Interrupted())

    def response_done(self, running: Running, outcome: Outcome) -> bool:
        """A response is over; says whether its turn goes on: outputs are owed or a follow-up is."""
        batch = self._batches.get(running)
        if batch is None:
            return False
        batch.cut_off = running.cut or outcome.cut_off
        batch.status = "cancelled" if batch.cut_off else outcome.status
        if batch.cut_off:
            self._answers.settle(running, batch.status)
        self._handoff_response_done(running, completed=outcome.status == "completed", cut_off=batch.cut_off)
        self._close_if_through(batch)
        return True

    def _close_if_through(self, batch: _Batch) -> None:
        running = batch.running
        if batch.open or not running.over or self._batches.get(running) is not batch:
            return
        del self._batches[running]
        if batch.wanted and not batch.cut_off and self._answers.asks.want(running.askers):
            self._answers.want(batch.cause, running.askers or frozenset({SESSION}))
        else:
            self._answers.settle(running, batch.status)

    # --- handoffs --------------------------------------------------------------------------------------------------

    def redirect(self, target: Briefing, ticket: str) -> bool:
        """The program puts another agent in charge; False when a handoff is under way already."""
        if not isinstance(self._state, handoffs.Settled):
            return False
        self._redirect = ticket
        self._step(handoffs.Redirected(target))
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

    def apply_refused(self, reason: str, **details: Any) -> bool:
        """The server refused the target's settings, or did not answer; `details` are those of its error.

        Says whether a call had asked for them: then the model is told why, and the user by the call's end.
        """
        told = isinstance(self._state, handoffs.Applying) and self._state.call is not None
        self._refusal = details
        self._step(handoffs.Refused(reason))
        return told

    def floor_moved(self) -> None:
        """Somebody may have stopped answering, or an update been answered, for which the settings of a handoff wait.

        They are not queued behind other updates: what is in them depends on whether audio has been heard when they go out.
        """
        if self._target is not None and self._updates.idle and not self._answers.busy:
            target, self._target = self._target, None
            self._updates.submit(self._target_session(target), Purpose.HANDOFF)

    def _is_preparing(self, call_id: str) -> bool:
        state = self._state
        return isinstance(state, handoffs.Preparing) and state.call.call_id == call_id

    def _handoff_response_done(self, running: Running, *, completed: bool, cut_off: bool) -> None:
        state = self._state
        if isinstance(state, handoffs.Preparing) and state.call.call_id in running.calls:
            reason = handoffs.INTERRUPTED if cut_off else NOT_COMPLETED
            self._step(handoffs.ResponseEnded(completed and not cut_off, reason))

    def _step(self, given: handoffs.Given) -> None:
        self._state, outcomes = handoffs.step(self._state, given)
        for outcome in outcomes:
            match outcome:
                case handoffs.Prepare(call):
                    self._effects.add(PrepareHandoff(call))
                case handoffs.Apply(target):
                    self._target = target
                case handoffs.Arrived(call, source, target):
                    self._arrived(call, source, target)
                case handoffs.Failed(call, reason):
                    self._failed(call, reason)
        # The old agent is asked nothing more while the new one's settings are on their way.
        self._answers.hold(isinstance(self._state, handoffs.Applying))
        self.floor_moved()

    def _target_session(self, target: Briefing) -> dict[str, Any]:
        """What the target changes: instructions, tools and, as long as no audio was heard, the voice."""
        voice = self.settings.voice
        session = session_object(target, SessionSettings(instructions=self.settings.instructions, voice=voice))
        if self._answers.saying.audible:
            session.pop("audio", None)
            wanted = target.agent.voice if voice is UNSET else None
            if wanted is not None and wanted != self.briefing.agent.voice:
                note = f"{target.agent.name} keeps the voice of the call: it cannot change once audio was heard"
                self._effects.add(Note(note, warning=True))
        return session

    def _arrived(self, call: ToolCall | None, source: Briefing, target: Briefing) -> None:
        self._effects.emit(HandoffEvent(source.agent, target.agent))
        if call is None:
            self._settle_redirect(None)
        else:
            self.ended(call.call_id, HANDOFF_DONE.format(name=target.agent.name))

    def _failed(self, call: ToolCall | None, reason: str) -> None:
        if call is None:
            text = f"the agent stays {self.briefing.agent.name}: {reason}"
            self._settle_redirect(ServerRefused(text, **self._refusal))
        else:
            # Who cut in speaks next; nobody waits for the agent's account of it.
            respond = reason != handoffs.INTERRUPTED
            self.ended(call.call_id, HANDOFF_FAILED.format(reason=reason), respond=respond)

    def _settle_redirect(self, error: ServerRefused | None) -> None:
        if self._redirect is not None:
            self._effects.add(Settle(self._redirect, error=error))
            self._redirect = None
