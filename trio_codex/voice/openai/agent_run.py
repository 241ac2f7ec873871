"""One run of an agent's workflow: what the dialogue wants done, performed, without a checkpoint in between.

An answer is read as fast as it comes and said by a task of its own, so that a slow voice does not keep the service waiting; of one that
fails, what came before is said. A turn's tasks end with its block; a tool that is to go on when somebody cuts in has a task in the
nursery of the run. An answer is asked for again only as long as nothing of it was said or called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio

from trio_codex.agent import Agent
from trio_codex.body import is_cancellation
from trio_codex.errors import ConfigurationError, ConnectionFailed, VoiceError
from trio_codex.events import SessionEvent, ToolApprovalRequiredEvent, Usage
from trio_codex.hosted import HostedTool
from trio_codex.http import Api
from trio_codex.logs import get_logger
from trio_codex.protocol import (
    AssistantMessage,
    Briefing,
    CancelTool,
    Emit,
    Item,
    PrepareHandoff,
    Reply,
    StartCheck,
    StartTool,
    ToolCall,
    unstructure,
)
from trio_codex.tool_running import (
    Approvals,
    NoVerdict,
    RunSync,
    ToolBench,
    brief,
    judge,
    nothing_but_cancelled,
    prepare_handoff,
)
from trio_codex.tools import CANCELLED, Tool
from trio_codex.voice.models import Send, Transcript
from trio_codex.voice.openai.client import answer, told
from trio_codex.voice.openai.dialogue import Dialogue
from trio_codex.voice.openai.effects import AskApproval, Effect, Say, StopAnswer
from trio_codex.voice.openai.responses import read_event, read_items, request_body, usage_of

__all__ = ["Mind", "Run"]

_log: Final = get_logger("voice")

ANSWERS: Final = 16
"""Answers in one turn, each of which but the last calls functions or is stopped by a guardrail; a model that goes on is a failure."""

RETRIES: Final = 2
FIRST_DELAY_S: Final = 0.5
ENDED_IN_S: Final = 0.25
"""How long a stream may stay open after its last event before the connection is given up instead of kept."""

_WHAT: Final = "the agent"


class Mind:
    """What an agent's workflow is, whether it runs or not: the conversation, and how it is carried on."""

    def __init__(
        self,
        agent: Agent,
        model: str,
        options: Mapping[str, Any],
        context: Any,
        on_event: Callable[[SessionEvent], object] | None,
        run_sync: RunSync | None,
    ) -> None:
        self.model = model
        self.options = options
        self.context = context
        self.run_sync = run_sync
        self.dialogue: Dialogue = Dialogue(agent)
        self.approvals: Approvals = Approvals(self._ask_for_approval)
        self.answering: bool = False
        self._on_event = on_event

    def emit(self, event: SessionEvent) -> None:
        """Tell the user. Raises what `on_event` raises."""
        if self._on_event is not None:
            self._on_event(event)

    def _ask_for_approval(self, call: ToolCall, tool: Tool) -> None:
        self.emit(ToolApprovalRequiredEvent(call.agent, tool, call.call_id, call.arguments))


class Run:
    """A workflow with its connections, for the length of a run; itself a Workflow."""

    def __init__(self, mind: Mind, api: Api, nursery: trio.Nursery) -> None:
        self._mind = mind
        self._dialogue = mind.dialogue
        self._api = api
        self._tools = nursery
        self._bench = ToolBench(mind.context, mind.approvals, mind.run_sync, self._think)
        self._scopes: dict[str, trio.CancelScope] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._failure: Exception | None = None  # of a task of the turn
        self._turn: trio.Nursery
        self._words: trio.MemorySendChannel[str]
        self._stream = trio.CancelScope()  # of the answer that is coming

    def on_interrupted(self, heard: str) -> None:
        """See AgentWorkflow."""
        self._dialogue.heard(heard)

    # --- a turn --------------------------------------------------------------------------------------------------------

    async def run(self, transcript: Transcript, send: Send, /) -> None:
        """See AgentWorkflow."""
        mind, dialogue = self._mind, self._dialogue
        if mind.answering:
            raise ConfigurationError("an AgentWorkflow has one conversation, and answers one turn of it at a time")
        if not str(transcript).strip():
            return  # nobody said anything
        mind.answering = True
        self._failure = None
        try:
            dialogue.begin(str(transcript))
            dialogue.brief(await brief(dialogue.agent, mind.context))
            async with trio.open_nursery() as saying:
                self._words, words = trio.open_memory_channel[str](math.inf)  # one turn's words at most
                saying.start_soon(self._say, words, send, name="agent's words")
                with self._words:
                    async with trio.open_nursery() as self._turn:
                        try:
                            await self._answer()
                        except Exception as error:  # so that no group is put around it
                            self._fail(error)
            if self._failure is None:
                dialogue.finish()
        except (BaseExceptionGroup, trio.Cancelled) as ended:  # noqa: ASYNC103 - a failure takes its place
            if self._failure is None or not is_cancellation(ended):
                raise
        finally:
            self._report(dialogue.interrupt)  # which does nothing to a turn that is finished
            mind.answering = False
        if self._failure is not None:
            raise self._failure

    async def _answer(self) -> None:
        dialogue = self._dialogue
        for _ in range(ANSWERS):
            with trio.CancelScope() as self._stream:
                await self._receive()
            while not dialogue.settled:
                await self._changed.park()
            if not dialogue.wants_answer:
                return
        raise VoiceError(f"{_WHAT} failed: no end of calls after {ANSWERS} answers in one turn")

    async def _receive(self) -> None:
        """One answer, from the request to its last event."""
        attempt = 0
        while True:
            try:
                return await self._attempt()
            except ConnectionFailed as error:
                if self._dialogue.begun or attempt == RETRIES:
                    raise VoiceError(f"{_WHAT} failed: {error.what}", status=error.status) from error
            except VoiceError as error:
                # A refused request has been made again already.
                if self._dialogue.begun or attempt == RETRIES or error.status is not None or not error.retryable:
                    raise
            _log.info("an answer broke off before anything was said; asking again")
            await trio.sleep(FIRST_DELAY_S * 2.0**attempt)
            attempt += 1

    async def _attempt(self) -> None:
        dialogue = self._dialogue
        body = {**self._body(*dialogue.ask()), "stream": True}
        async with answer(self._api, _WHAT, "responses", json=body) as given:
            events = given.events()
            while not dialogue.answered:
                try:
                    data = (await anext(events)).data
                except StopAsyncIteration:
                    raise ConnectionFailed("the answer ended before it was whole") from None
                with told(_WHAT):
                    event = read_event(data)
                    effects = dialogue.receive(event) if event is not None else []
                self._perform(effects)
            with suppress(ConnectionFailed), trio.move_on_after(ENDED_IN_S):
                async for _ in events:  # so that the connection can be kept
                    pass

    def _body(self, briefing: Briefing, given: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        return request_body(self._mind.model, briefing, given, self._mind.options)

    async def _say(self, words: trio.MemoryReceiveChannel[str], send: Send) -> None:
        with words:
            try:
                async for text in words:
                    await send(text)
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        """The turn ends with this error, the first of them; only what it said already is still spoken."""
        self._failure = self._failure or error
        self._turn.cancel_scope.cancel(reason="the turn failed")

    # --- effects -------------------------------------------------------------------------------------------------------

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say(text):
                    self._words.send_nowait(text)
                case Emit(event):
                    self._mind.emit(event)
                case StartTool(call):
                    self._scopes[call.call_id] = trio.CancelScope()
                    self._tools.start_soon(self._run_tool, call, name=f"tool {call.name}")
                case CancelTool(call_id):
                    if scope := self._scopes.get(call_id):
                        scope.cancel(reason="the user interrupted")
                case PrepareHandoff(call):
                    self._turn.start_soon(self._prepare, call, name=f"handoff {call.name}")
                case StartCheck():
                    self._turn.start_soon(self._check, effect, name=f"guardrail {effect.guardrail.name}")
                case AskApproval():
                    self._turn.start_soon(self._approve, effect, name=f"approval of {effect.name}")
                case StopAnswer():
                    self._stream.cancel(reason="a guardrail tripped")
        self._changed.unpark_all()

    def _report(self, effects: Callable[[], list[Effect]]) -> None:
        """What a task has to tell; what the user's `on_event` raises then is a failure of the turn, if there is one."""
        try:
            self._perform(effects())
        except Exception as error:
            if not self._mind.answering:
                _log.exception("on_event raised between two turns")
            else:
                self._fail(error)

    async def _run_tool(self, call: ToolCall) -> None:
        assert call.tool is not None
        tool, output = call.tool, CANCELLED
        try:
            with self._scopes[call.call_id], nothing_but_cancelled(call):
                output = await self._bench.output(call, tool)
        finally:
            del self._scopes[call.call_id]
        self._report(lambda: self._dialogue.tool_ended(call.call_id, output, respond=tool.respond))

    async def _prepare(self, call: ToolCall) -> None:
        prepared = await prepare_handoff(call, self._mind.context, lambda target: None)
        if isinstance(prepared, str):
            self._report(lambda: self._dialogue.handoff_failed(call.call_id, prepared))
        else:
            self._report(lambda: self._dialogue.handoff_prepared(call.call_id, prepared))

    async def _approve(self, asked: AskApproval) -> None:
        """Ask the user about a call that the API wants to make."""
        tool = HostedTool(asked.name, asked.server.name)
        event = ToolApprovalRequiredEvent(asked.agent, tool, asked.request_id, asked.arguments)
        try:
            ask = partial(self._mind.emit, event)
            refusal = await self._mind.approvals.decision(asked.request_id, asked.server, ask)
        except Exception as error:  # of the user's `on_event`
            self._fail(error)
        else:
            self._report(lambda: self._dialogue.approved(asked.request_id, approve=refusal is None))

    async def _check(self, check: StartCheck) -> None:
        verdict = await judge(check.guardrail, check.text, self._mind.context, check.agent)
        if isinstance(verdict, NoVerdict):
            self._report(lambda: self._dialogue.check_failed(check.check_id, verdict.reason))
        else:
            self._report(lambda: self._dialogue.checked(check.check_id, verdict))

    async def _think(self, briefing: Briefing, items: Sequence[Item]) -> Reply:
        """Have another agent answer, beside the conversation."""
        with told(f"the agent {briefing.agent.name}"):
            body = self._body(briefing, [unstructure(item) for item in items])
            response = (await self._api.request("POST", "responses", json=body)).json()
            found = read_items(response)
        words = [part.text or "" for item in found if isinstance(item, AssistantMessage) for part in item.content]
        return Reply("".join(words), b"", str(response.get("status")), usage_of(response) or Usage(), tuple(found))
