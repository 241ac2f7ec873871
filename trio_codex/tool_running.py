"""One call of a tool, from the model's arguments to the text that the model reads; the callables of a handoff; a guardrail's check;
another agent asked by a tool.

Owns what does not depend on where the call came from: approval, time limits, threads for sync functions, and the text when there is
no result. Sessions and text workflows run their calls through here, so a tool behaves alike in both. Sync functions run in threads
under a limiter; one that does not end by the time its call does is abandoned and logged by name. Whose tasks and cancel scopes the calls
have, and what becomes of the text, is the caller's business.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Final, Protocol

import attrs
import trio

from trio_codex.agent import HANDOFF_DONE, HANDOFF_FAILED, Agent, Guardrail, resolve_instructions
from trio_codex.errors import LocalProtocolError, ToolError
from trio_codex.hosted import HostedMcp
from trio_codex.logs import get_logger
from trio_codex.protocol import (
    Briefing,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    Item,
    Reply,
    ToolCall,
    UserMessage,
)
from trio_codex.tools import (
    APPROVAL_TIMED_OUT,
    CANCELLED,
    FAILED,
    REJECTED,
    TIMED_OUT,
    TOO_LONG,
    UNKNOWN_TOOL,
    Invocation,
    Tool,
    ToolContext,
    failure_text,
    serialize,
)

__all__ = [
    "LONGEST_OUTPUT",
    "THREADS",
    "Approvals",
    "NoVerdict",
    "RunSync",
    "Think",
    "ToolBench",
    "brief",
    "judge",
    "nothing_but_cancelled",
    "prepare_handoff",
    "run_inline",
    "run_sync_for",
]

_log: Final = get_logger("tools")

LONGEST_OUTPUT: Final = 1024 * 1024
"""Characters of a tool's result; the API takes frames of some MiB, and models far less."""

THREADS: Final = 16
"""Sync tools that run at the same time, per session; more wait."""


ROUNDS: Final = 10
"""Answers with calls that an agent gives before its last word, when it is asked by a tool."""

HANDED_OVER: Final = "another handoff is under way"


class RunSync(Protocol):
    """How a blocking function is run; the testing kit brings one for virtual time."""

    def __call__(self, function: Callable[[], Any], /) -> Awaitable[Any]:
        """Run it and give its value."""
        ...


async def run_inline(function: Callable[[], Any], /) -> Any:
    """Run a blocking function where it is called, after a checkpoint."""
    await trio.lowlevel.checkpoint()
    return function()


def run_sync_for(connector: object) -> RunSync | None:
    """How a session runs blocking functions if not in threads: as its connector wants it, or inline under a clock that jumps."""
    jumps = (
        getattr(trio.lowlevel.current_clock(), "autojump_threshold", math.inf) < math.inf
    )  # a thread looks idle to it
    wanted: RunSync | None = getattr(connector, "run_sync", None)
    return run_inline if wanted is None and jumps else wanted


@attrs.define(eq=False)
class _Approval:
    approved: bool
    decided: trio.Event = attrs.field(factory=trio.Event)
    message: str = APPROVAL_TIMED_OUT


class Approvals:
    """The calls that wait for somebody's approval. `ask` tells the user that one does."""

    def __init__(self, ask: Callable[[ToolCall, Tool], None]) -> None:
        self._ask = ask
        self._waiting: dict[str, _Approval] = {}

    def decide(self, call_id: str, *, approved: bool, message: str | None = None) -> None:
        """Approve or reject a call that waits. Raises LocalProtocolError when none does under this id."""
        approval = self._waiting.get(call_id)
        if approval is None or approval.decided.is_set():
            raise LocalProtocolError(
                f"no tool call {call_id!r} waits for approval; it may have been decided by its deadline"
            )
        approval.approved = approved
        approval.message = message or REJECTED
        approval.decided.set()

    async def refusal(self, call: ToolCall, tool: Tool) -> str | None:
        """Wait until the call is decided, by somebody or by its deadline: None, or the text for the model if it may not run."""
        return await self.decision(call.call_id, tool, partial(self._ask, call, tool))

    async def decision(self, call_id: str, tool: Tool | HostedMcp, ask: Callable[[], None]) -> str | None:
        """The same for any call, under the rules of `tool`; `ask` tells the user that it waits."""
        approval = self._waiting[call_id] = _Approval(approved=tool.approval_default == "approve")
        ask()
        try:
            limit = tool.approval_timeout
            with trio.move_on_after(limit) if limit is not None else trio.CancelScope():
                await approval.decided.wait()
        finally:
            del self._waiting[call_id]
        return None if approval.approved else approval.message


class Think(Protocol):
    """How another agent answers, beside the conversation: its words and calls, for these items and nothing else."""

    def __call__(self, briefing: Briefing, items: Sequence[Item], /) -> Awaitable[Reply]:
        """Answer in writing, once; calls are given and not made. Cancelling cancels the answer."""
        ...


class ToolBench:
    """Where the calls of one session or workflow are made. `context` is its user's; `run_sync` replaces the threads."""

    def __init__(
        self, context: Any, approvals: Approvals, run_sync: RunSync | None = None, think: Think | None = None
    ) -> None:
        self.context = context
        self.approvals = approvals
        self._think = think
        self._run_sync = run_sync or self._in_thread

    async def output(self, call: ToolCall, tool: Tool) -> str:
        """Make a call and give the text for the model, whatever happens; cancelling it cancels the tool."""
        try:
            invocation = tool.bind(call.arguments, self._context_of(call))
            if tool.needs_approval is not False and await invocation.needs_approval():
                refusal = await self.approvals.refusal(call, tool)
                if refusal is not None:
                    return refusal
            if tool.timeout is None:
                return _bounded(serialize(await self._call(tool, invocation)))
            with trio.move_on_after(tool.timeout):
                return _bounded(serialize(await self._call(tool, invocation)))
            return TIMED_OUT.format(seconds=tool.timeout)
        except Exception as error:
            if not isinstance(error, ToolError):
                _log.info("the tool %s raised %s", tool.name, type(error).__name__)
            return failure_text(error)

    def _context_of(self, call: ToolCall) -> ToolContext:
        if self._think is None:
            return ToolContext(self.context, call.agent, call.call_id)
        return ToolContext(self.context, call.agent, call.call_id, partial(self._delegate, self._think))

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
                _log.warning("the sync tool %s was abandoned: its thread runs on until the function returns", tool.name)
            raise

    @cached_property
    def _limiter(self) -> trio.CapacityLimiter:
        return trio.CapacityLimiter(THREADS)

    async def _in_thread(self, function: Callable[[], Any], /) -> Any:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=self._limiter)

    # --- other agents ----------------------------------------------------------------------------------------------

    async def _delegate(self, think: Think, agent: Agent, text: str) -> str:
        """Let an agent answer a text, tools and handoffs included: its words. Raises ToolError when it comes to no end."""
        items: list[Item] = [UserMessage(content=(ContentPart(type="input_text", text=text),))]
        briefing = await brief(agent, self.context)
        for _ in range(ROUNDS):
            reply = await think(briefing, items)
            calls = [item for item in reply.items if isinstance(item, FunctionCall)]
            if reply.status == "cancelled":
                raise ToolError(CANCELLED)
            if not calls:
                await self._pass(briefing.agent, reply.transcript)
                return reply.transcript
            briefing, outputs = await self._answered(briefing, calls)
            items += [*calls, *outputs]
        raise ToolError(FAILED.format(message=f"{agent.name} came to no end within {ROUNDS} rounds of calls"))

    async def _answered(self, briefing: Briefing, calls: Sequence[FunctionCall]) -> tuple[Briefing, list[Item]]:
        """Make the calls of one answer, all at once: who answers next, and the outputs in the order of the calls."""
        asked = [briefing.read_call(item) for item in calls]
        outputs = [CANCELLED] * len(calls)
        passing_on = next((call for call in asked if call.handoff is not None), None)
        successor = briefing

        async def make(place: int, call: ToolCall) -> None:
            nonlocal successor
            if call is passing_on:
                prepared = await prepare_handoff(call, self.context, lambda target: None)
                if isinstance(prepared, Briefing):
                    successor = prepared
                    outputs[place] = HANDOFF_DONE.format(name=prepared.agent.name)
                else:
                    outputs[place] = HANDOFF_FAILED.format(reason=prepared)
            elif call.handoff is not None:
                outputs[place] = HANDOFF_FAILED.format(reason=HANDED_OVER)
            elif call.tool is None:
                outputs[place] = UNKNOWN_TOOL.format(name=call.name)
            else:
                outputs[place] = await self.output(call, call.tool)

        async with trio.open_nursery() as nursery:
            for place, call in enumerate(asked):
                nursery.start_soon(make, place, call, name=f"tool {call.name}")
        return successor, [
            FunctionCallOutput(call_id=call.call_id, output=output) for call, output in zip(asked, outputs, strict=True)
        ]

    async def _pass(self, agent: Agent, text: str) -> None:
        """Let the agent's guardrails judge its answer. Raises ToolError when one trips."""
        for guardrail in agent.guardrails:
            verdict = await judge(guardrail, text, self.context, agent)
            tripped = guardrail.on_error == "closed" if isinstance(verdict, NoVerdict) else verdict is not None
            if tripped:
                message = f"the answer of {agent.name} was stopped by the guardrail {guardrail.name}"
                raise ToolError(FAILED.format(message=message))


# --- agents and handoffs -----------------------------------------------------------------------------------------------


async def brief(agent: Agent, context: Any) -> Briefing:
    """Resolve an agent for one session: instructions, and what of its tools and handoffs is enabled. Raises what its callables raise."""
    return Briefing(
        agent=agent,
        instructions=await resolve_instructions(agent, context),
        tools=tuple([tool for tool in agent.tools if await tool.enabled(context, agent)]),
        handoffs=tuple([handoff for handoff in agent.resolved_handoffs() if await handoff.enabled(context, agent)]),
    )


async def prepare_handoff(call: ToolCall, context: Any, check: Callable[[Briefing], None]) -> Briefing | str:
    """Run the callables of a handoff and `check` its target: the target's briefing, or the text that says why not."""
    assert call.handoff is not None
    try:
        with nothing_but_cancelled(call):
            await call.handoff.notify(context, call.handoff.read_input(call.arguments.strip() or "{}"))
            target = await brief(call.handoff.target, context)
            check(target)
            return target
    except Exception as error:
        _log.info("the handoff %s raised %s", call.name, type(error).__name__)
        return failure_text(error).removeprefix("Error: ")


# --- guardrails --------------------------------------------------------------------------------------------------------


@attrs.frozen
class NoVerdict:
    """A guardrail raised; `reason` says what."""

    reason: str


async def judge(guardrail: Guardrail, text: str, context: Any, agent: Agent) -> Any | NoVerdict:
    """Let a guardrail judge a text: what it gives if that is true, which trips it, else None; or that it raised. Cancelling cancels it."""
    try:
        with nothing_but_cancelled(guardrail):
            return (
                await guardrail.judge(text, context, agent) or None
            )  # whether it is true is asked here: that may raise
    except Exception as error:
        _log.warning("the guardrail %s raised %s", guardrail.name, type(error).__name__)
        return NoVerdict(failure_text(error).removeprefix("Error: "))


# --- cancelling --------------------------------------------------------------------------------------------------------


@contextmanager
def nothing_but_cancelled(call: ToolCall | Guardrail) -> Iterator[None]:
    """A call that fails while it is being cancelled is cancelled: nobody is left to be told of the failure."""
    try:
        yield
    except BaseExceptionGroup as group:
        cancelled, rest = group.split(trio.Cancelled)
        if cancelled is None or (rest is not None and not isinstance(rest, Exception)):
            raise
        if rest is not None:
            _log.warning("%s was cancelled and failed as it ended: %r", call.name, rest.exceptions)
        raise cancelled from None


def _bounded(output: str) -> str:
    """One tool that returns too much must not cost the connection, nor the model its context."""
    if len(output) <= LONGEST_OUTPUT:
        return output
    return TOO_LONG.format(length=len(output), limit=LONGEST_OUTPUT)
