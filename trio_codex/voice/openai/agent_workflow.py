"""An Agent as the mind of a voice pipeline: it answers in writing, by `/responses`, with its tools, handoffs and guardrails."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from trio_codex.agent import Agent
from trio_codex.body import open_services
from trio_codex.callables import check_callable
from trio_codex.credentials import Endpoint, KeySource
from trio_codex.errors import ConfigurationError
from trio_codex.events import HistoryItem, SessionEvent
from trio_codex.given import check_seconds, check_text
from trio_codex.http import open_api
from trio_codex.tool_running import RunSync
from trio_codex.voice.models import Send, Transcript
from trio_codex.voice.openai.agent_run import Mind, Run

__all__ = ["DEFAULT_MODEL", "AgentWorkflow"]

DEFAULT_MODEL = "gpt-5.6-luna"


class AgentWorkflow:
    """A Workflow that lets an Agent answer: the same agents as in realtime sessions, on `/responses`.

    ::

        pipeline = VoicePipeline(AgentWorkflow(agent))

    `model` None: `gpt-5.6-luna`. `context` is handed to tools, instructions and guardrails, as in a session; instructions and
    `is_enabled` are asked at the beginning of every turn. `options` are further fields of the request (`{"reasoning": {"effort":
    "low"}}`). `on_event`, sync and quick, is given ToolStartEvent, HandoffEvent, UsageEvent and the other events of sessions that apply.

    The conversation is kept in `history` over turns and runs, with what was heard of answers that were cut short; `current_agent` is who
    answers next. One turn at a time. `timeout` is how many seconds the service may be silent.
    """

    def __init__(
        self,
        agent: Agent,
        model: str | None = None,
        *,
        endpoint: Endpoint | None = None,
        api_key: KeySource | None = None,
        context: Any = None,
        options: Mapping[str, Any] | None = None,
        on_event: Callable[[SessionEvent], object] | None = None,
        timeout: float = 120.0,
        run_sync: RunSync | None = None,
    ) -> None:
        if not isinstance(agent, Agent):
            raise ConfigurationError(f"an AgentWorkflow is made of an Agent, not of {agent!r}")
        if on_event is not None:
            check_callable(on_event, "event", where="AgentWorkflow on_event")
        check_text(model, where="AgentWorkflow model", or_none=True)
        check_seconds(timeout, where="AgentWorkflow timeout")
        self._mind = Mind(agent, model or DEFAULT_MODEL, options or {}, context, on_event, run_sync)
        self._endpoint = endpoint
        self._api_key = api_key
        self._timeout = timeout

    @property
    def current_agent(self) -> Agent:
        """Who answers, after the handoffs so far."""
        return self._mind.dialogue.agent

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """The conversation as it stands, in the order of its turns."""
        return self._mind.dialogue.history

    def approve(self, call_id: str) -> None:
        """Let a call be made that waits for approval (ToolApprovalRequiredEvent). Raises LocalProtocolError when none waits so named."""
        self._mind.approvals.decide(call_id, approved=True)

    def reject(self, call_id: str, message: str | None = None) -> None:
        """Do not let it be made; `message` is what the model reads instead. Raises LocalProtocolError when none waits under this id."""
        self._mind.approvals.decide(call_id, approved=False, message=message)

    def at(self, endpoint: Endpoint | None, api_key: KeySource | None) -> AgentWorkflow:
        """Give this workflow, its conversation included, at the service of a pipeline; a service that it was given itself stays."""
        if self._endpoint is not None or self._api_key is not None:
            return self
        there = copy.copy(self)
        there._endpoint, there._api_key = endpoint, api_key  # noqa: SLF001 - a copy of our own
        return there

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Run]:
        """Keep the connections, and the tools that outlive a turn, for the length of the block. Raises ConfigurationError (no key)."""
        try:
            async with (
                open_api(self._endpoint, self._api_key, timeout=self._timeout) as api,
                open_services("the workflow is left") as nursery,
            ):
                yield Run(self._mind, api, nursery)
        finally:
            self._mind.dialogue.abandon()

    async def run(self, transcript: Transcript, send: Send, /) -> None:
        """Answer one turn; a blank one is not answered. Cancelled, nothing of it goes on.

        Raises VoiceError when the service fails; what the callables of the agents, `send` and `on_event` raise comes out as it is.
        """
        async with self.open() as run:
            await run.run(transcript, send)

    def on_interrupted(self, heard: str) -> None:
        """Note how much of the last turn was heard; its agents know of nothing else that they said."""
        self._mind.dialogue.heard(heard)
