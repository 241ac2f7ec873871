"""The running calls of a session, and its guardrails' checks: one task and one cancel scope per call, in the session's nursery.

The reader never waits for user code. Whatever a tool does, the model gets exactly one output for its call: the core sees to that, this
module only reports how the call ended. Once `stop` is called, nothing begins and nothing is reported any more. How a call is made, and
the text for the model, are `tool_running`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property, partial
from typing import Any

import trio

from trio_codex.events import ToolApprovalRequiredEvent
from trio_codex.protocol import (
    Briefing,
    Effect,
    Item,
    Reply,
    StartCheck,
    ToolCall,
    check_response,
    unstructure,
)
from trio_codex.session.shell import Shell
from trio_codex.tool_running import (
    Approvals,
    NoVerdict,
    RunSync,
    ToolBench,
    judge,
    nothing_but_cancelled,
    prepare_handoff,
)
from trio_codex.tools import CANCELLED, Tool
from trio_codex.waiters import Waiters, wait_among, wake_all


class ToolRunner:
    """The running calls of a session. `start` and `cancel` never wait."""

    def __init__(self, shell: Shell, context: Any, run_sync: RunSync | None) -> None:
        self._shell = shell
        shell.user_tasks = self
        self._context = context
        self._run_sync = run_sync
        self._nursery: trio.Nursery | None = None  # None: no call may begin
        self._running: list[trio.CancelScope] = []
        self._calls: dict[str, trio.CancelScope] = {}  # those of them that can be cancelled one by one
        self._patient: Waiters = []  # who waits until none runs

    @cached_property
    def _bench(self) -> ToolBench:
        """For the first call, which many sessions never make."""
        return ToolBench(self._context, Approvals(self._ask), self._run_sync, self._think)

    @property
    def approvals(self) -> Approvals:
        """The calls that wait for approval."""
        return self._bench.approvals

    def begin(self, nursery: trio.Nursery) -> None:
        """From now on calls run, in this nursery."""
        self._nursery = nursery

    def end(self) -> None:
        """Nothing begins and nothing is reported any more; all calls are cancelled."""
        self._nursery = None
        for scope in self._running:
            scope.cancel(reason="the session is left")

    async def stop(self) -> None:
        """The same, and wait until they have ended."""
        self.end()
        while self._running:
            await wait_among(self._patient)

    # --- what the core asks for ------------------------------------------------------------------------------------

    def start(self, call: ToolCall) -> None:
        """Run a tool in a task of its own."""
        assert call.tool is not None
        self._calls[call.call_id] = scope = trio.CancelScope()
        self._begin(partial(self._run, call, call.tool), f"tool {call.name}", scope)

    def cancel(self, call_id: str) -> None:
        """Cancel one call; the model is told."""
        if scope := self._calls.get(call_id):
            scope.cancel(reason="the user interrupted")

    def prepare(self, call: ToolCall) -> None:
        """Run the callables of a handoff in a task of its own."""
        self._begin(partial(self._prepare, call), f"handoff {call.name}", trio.CancelScope())

    def check(self, check: StartCheck) -> None:
        """Let a guardrail judge a text in a task of its own."""
        self._begin(partial(self._check, check), f"guardrail {check.guardrail.name}", trio.CancelScope())

    # --- running ---------------------------------------------------------------------------------------------------

    def _begin(self, job: Callable[[trio.CancelScope], Awaitable[None]], name: str, scope: trio.CancelScope) -> None:
        if self._nursery is not None:
            self._running.append(scope)
            self._nursery.start_soon(self._hold, job, scope, name=name)

    async def _hold(self, job: Callable[[trio.CancelScope], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Do a job, which runs the user's code in the scope."""
        try:
            await job(scope)
        finally:
            self._running.remove(scope)
            if not self._running:
                wake_all(self._patient)

    def _ask(self, call: ToolCall, tool: Tool) -> None:
        self._shell.feeds.put(ToolApprovalRequiredEvent(call.agent, tool, call.call_id, call.arguments))

    async def _run(self, call: ToolCall, tool: Tool, scope: trio.CancelScope) -> None:
        output = CANCELLED
        try:
            with scope, nothing_but_cancelled(call):
                output = await self._bench.output(call, tool)
        finally:
            del self._calls[call.call_id]
        self._report(lambda: self._shell.conversation.tool_ended(call.call_id, output, respond=tool.respond))

    async def _think(self, briefing: Briefing, items: Sequence[Item]) -> Reply:
        """Have another agent answer, beside the conversation and in writing."""
        overrides = {
            "conversation": "none",
            "instructions": briefing.instructions,
            "input": [unstructure(item) for item in items],
            "tools": [each.schema() for each in briefing.functions],
            "tool_choice": "auto",
            "output_modalities": ["text"],
        }
        return await self._shell.ask(check_response(overrides, briefing, model=self._shell.model))

    async def _prepare(self, call: ToolCall, scope: trio.CancelScope) -> None:
        conversation = self._shell.conversation
        with scope:
            prepared = await prepare_handoff(call, self._context, self._shell.check_agent)
            if isinstance(prepared, str):
                self._report(lambda: conversation.handoff_failed(call.call_id, prepared))
            else:
                self._report(lambda: conversation.handoff_prepared(call.call_id, prepared))

    async def _check(self, check: StartCheck, scope: trio.CancelScope) -> None:
        conversation = self._shell.conversation
        with scope:
            verdict = await judge(check.guardrail, check.text, self._context, check.agent)
            if isinstance(verdict, NoVerdict):
                self._report(lambda: conversation.check_failed(check.check_id, verdict.reason, trio.current_time()))
            else:
                self._report(lambda: conversation.checked(check.check_id, verdict, trio.current_time()))

    def _report(self, effects: Callable[[], list[Effect]]) -> None:
        """Tell the core how a call ended, unless the session is being left."""
        if self._nursery is not None:
            self._shell.perform(effects())
