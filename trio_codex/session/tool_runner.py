"""Running tools and preparing handoffs: one task and one cancel scope per call, in a nursery of their own.

The reader never waits for user code. Sync tools run in threads under a limiter of the session's own; a thread that does not end by the
time its call does is abandoned and logged by name. Whatever a tool does, the model gets exactly one output for its call: the
core sees to that, this module only reports how the call ended. Once `stop` is called, nothing begins and nothing is reported any more.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import attrs
import trio

from trio_codex.agent import Agent, resolve_instructions
from trio_codex.errors import LocalProtocolError, ToolError
from trio_codex.events import ToolApprovalRequiredEvent
from trio_codex.protocol import Briefing, Effect, ToolCall
from trio_codex.session.shell import Shell, log
from trio_codex.tools import (
    APPROVAL_TIMED_OUT,
    CANCELLED,
    REJECTED,
    TIMED_OUT,
    TOO_LONG,
    Invocation,
    Tool,
    ToolContext,
    failure_text,
    serialize,
)

LONGEST_OUTPUT: Final = 1024 * 1024
"""Characters of a tool's result; the API takes frames of some MiB, and models far less."""

THREADS: Final = 16
"""Sync tools that run at the same time, per session; more wait."""


class RunSync(Protocol):
    """How a blocking function is run; the testing kit brings one for virtual time."""

    def __call__(self, function: Callable[[], Any], /) -> Awaitable[Any]:
        """Run it and give its value."""
        ...


@attrs.define(eq=False)
class _Approval:
    call: ToolCall
    approved: bool
    decided: trio.Event = attrs.field(factory=trio.Event)
    message: str = APPROVAL_TIMED_OUT


async def brief(agent: Agent, context: Any) -> Briefing:
    """Resolve an agent for one session: instructions, and what of its tools and handoffs is enabled. Raises what its callables raise."""
    return Briefing(
        agent=agent,
        instructions=await resolve_instructions(agent, context),
        tools=tuple([tool for tool in agent.tools if await tool.enabled(context, agent)]),
        handoffs=tuple([handoff for handoff in agent.resolved_handoffs() if await handoff.enabled(context, agent)]),
    )


class ToolRunner:
    """The running calls of a session. `start` and `cancel` never wait."""

    def __init__(self, shell: Shell, context: Any, run_sync: RunSync | None) -> None:
        self._shell = shell
        self._context = context
        self._run_sync = run_sync or self._in_thread
        self._limiter = trio.CapacityLimiter(THREADS)
        self._scopes: dict[str, trio.CancelScope] = {}
        self._approvals: dict[str, _Approval] = {}
        self._nursery: trio.Nursery | None = None  # None: no call may begin
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Own the tasks of all calls, until `stop`."""
        try:
            with self._scope:
                async with trio.open_nursery() as self._nursery:
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._nursery = None
            self._ended.set()

    async def stop(self) -> None:
        """Cancel all calls and wait until they have ended."""
        self._nursery = None
        self._scope.cancel(reason="the session is left")
        await self._ended.wait()

    # --- what the core asks for ------------------------------------------------------------------------------------

    def start(self, call: ToolCall) -> None:
        """Run a tool in a task of its own."""
        assert call.tool is not None
        if self._nursery is not None:
            self._scopes[call.call_id] = trio.CancelScope()
            self._nursery.start_soon(self._run, call, call.tool, name=f"tool {call.name}")

    def cancel(self, call_id: str) -> None:
        """Cancel one call; the model is told."""
        if scope := self._scopes.get(call_id):
            scope.cancel(reason="the user interrupted")

    def prepare(self, call: ToolCall) -> None:
        """Run the callables of a handoff in a task of its own."""
        if self._nursery is not None:
            self._nursery.start_soon(self._prepare, call, name=f"handoff {call.name}")

    def _report(self, effects: Callable[[], list[Effect]]) -> None:
        """Tell the core how a call ended, unless the session is being left."""
        if self._nursery is not None:
            self._shell.perform(effects())

    # --- approval --------------------------------------------------------------------------------------------------

    def decide(self, call_id: str, *, approved: bool, message: str | None = None) -> None:
        """Approve or reject a call that waits. Raises LocalProtocolError when none does under this id."""
        approval = self._approvals.get(call_id)
        if approval is None or approval.decided.is_set():
            raise LocalProtocolError(
                f"no tool call {call_id!r} waits for approval; it may have been decided by its deadline"
            )
        approval.approved = approved
        approval.message = message or REJECTED
        approval.decided.set()

    async def _approved(self, call: ToolCall, tool: Tool) -> _Approval:
        approval = self._approvals[call.call_id] = _Approval(call, approved=tool.approval_default == "approve")
        self._shell.feeds.put(ToolApprovalRequiredEvent(call.agent, tool, call.call_id, call.arguments))
        try:
            limit = tool.approval_timeout
            with trio.move_on_after(limit) if limit is not None else trio.CancelScope():
                await approval.decided.wait()
        finally:
            del self._approvals[call.call_id]
        return approval

    # --- running ---------------------------------------------------------------------------------------------------

    async def _run(self, call: ToolCall, tool: Tool) -> None:
        scope = self._scopes[call.call_id]
        output = CANCELLED
        try:
            with scope, _nothing_but_cancelled(call):
                output = await self._output(call, tool)
        finally:
            del self._scopes[call.call_id]
        self._report(lambda: self._shell.conversation.tool_ended(call.call_id, output, respond=tool.respond))

    async def _output(self, call: ToolCall, tool: Tool) -> str:
        """The text for the model, whatever happens."""
        try:
            invocation = tool.bind(call.arguments, ToolContext(self._context, call.agent, call.call_id))
            if await invocation.needs_approval():
                approval = await self._approved(call, tool)
                if not approval.approved:
                    return approval.message
            with trio.move_on_after(tool.timeout) if tool.timeout is not None else trio.CancelScope() as limit:
                return _bounded(serialize(await self._call(tool, invocation)))
            if limit.cancelled_caught:
                assert tool.timeout is not None
                return TIMED_OUT.format(seconds=tool.timeout)
        except Exception as error:
            if not isinstance(error, ToolError):
                log.info("the tool %s raised %s", tool.name, type(error).__name__)
            return failure_text(error)
        return CANCELLED

    async def _call(self, tool: Tool, invocation: Invocation) -> Any:
        if tool.is_async:
            return await invocation()
        gate = threading.Lock()  # whoever passes it first decides whether the function runs at all

        def run() -> Any:
            return invocation() if gate.acquire(blocking=False) else None

        try:
            return await self._run_sync(run)
        except trio.Cancelled:
            if not gate.acquire(blocking=False):
                log.warning("the sync tool %s was abandoned: its thread runs on until the function returns", tool.name)
            raise

    async def _in_thread(self, function: Callable[[], Any], /) -> Any:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=self._limiter)

    async def _prepare(self, call: ToolCall) -> None:
        assert call.handoff is not None
        conversation = self._shell.conversation
        try:
            with _nothing_but_cancelled(call):
                await call.handoff.notify(self._context, call.handoff.read_input(call.arguments.strip() or "{}"))
                target = await brief(call.handoff.target, self._context)
                self._shell.check_agent(target)
        except Exception as error:
            log.info("the handoff %s raised %s", call.name, type(error).__name__)
            reason = failure_text(error).removeprefix("Error: ")
            self._report(lambda: conversation.handoff_failed(call.call_id, reason))
        else:
            self._report(lambda: conversation.handoff_prepared(call.call_id, target))


@contextmanager
def _nothing_but_cancelled(call: ToolCall) -> Iterator[None]:
    """A call that fails while it is being cancelled is cancelled: nobody is left to be told of the failure."""
    try:
        yield
    except BaseExceptionGroup as group:
        cancelled, rest = group.split(trio.Cancelled)
        if cancelled is None or (rest is not None and not isinstance(rest, Exception)):
            raise
        if rest is not None:
            log.warning("%s was cancelled and failed as it ended: %r", call.name, rest.exceptions)
        raise cancelled from None


def _bounded(output: str) -> str:
    """One tool that returns too much must not cost the connection, nor the model its context."""
    if len(output) <= LONGEST_OUTPUT:
        return output
    return TOO_LONG.format(length=len(output), limit=LONGEST_OUTPUT)
