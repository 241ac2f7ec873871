"""A session as spans, from its public events alone: the session, its responses, the tools they call, handoffs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trio_codex import events
from trio_codex.body import Body
from trio_codex.errors import ConnectionLost
from trio_codex.session import EventStream, Session
from trio_codex.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["watching"]

BUFFER: Final = 4096
KINDS: Final = (
    events.AgentStartEvent,
    events.ResponseDoneEvent,
    events.HandoffEvent,
    events.ToolStartEvent,
    events.ToolEndEvent,
    events.AudioEvent,
    events.AudioInterruptedEvent,
    events.TranscriptDeltaEvent,
    events.TextDeltaEvent,
    events.InputTranscriptEvent,
    events.SpeechStoppedEvent,
    events.ErrorEvent,
    events.GuardrailTrippedEvent,
)


@asynccontextmanager
async def watching(telemetry: Telemetry, session: Session) -> AsyncIterator[None]:
    """Watch a session while the block runs."""
    watch = _Watch(telemetry, session)
    body = Body()
    ended: BaseException | None = None
    with session.subscribe(KINDS, buffer=BUFFER) as told:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_follow, told, watch, name="telemetry")
                with body:
                    yield
                await trio.lowlevel.checkpoint()  # what is already there is still taken
                nursery.cancel_scope.cancel(reason="nobody watches any more")
        except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
            ended = error
        finally:
            watch.end(body.raised)
    if (outcome := body.outcome(ended, _first)) is not None:
        raise outcome


def _first(failures: Sequence[BaseException]) -> BaseException:
    return failures[0]


async def _follow(told: EventStream, watch: _Watch) -> None:
    with suppress(ConnectionLost):
        async for event in told:
            watch.take(event)


@attrs.define
class _Running:
    """A span on its way, with what is gathered for its end."""

    span: Span
    began: float
    asked: float
    sounded: bool = False
    words: list[str] = attrs.field(factory=list)
    audio: list[bytes] = attrs.field(factory=list)


class _Watch:
    """What is under way in one session."""

    def __init__(self, telemetry: Telemetry, session: Session) -> None:
        self._telemetry = telemetry
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": session.current_agent.name,
            "gen_ai.conversation.id": session.session_id or "",
        }
        self._session = _Running(telemetry.start("session", attributes), trio.current_time(), trio.current_time())
        self._response: _Running | None = None
        self._tools: dict[str, _Running] = {}
        self._transfer: int | None = None  # when a call began that is no tool's, so may be a handoff's
        self._last_speech: float | None = None  # when the user stopped, of a turn that is not answered yet

    def take(self, event: Any) -> None:
        """Something has happened."""
        match event:
            case events.AgentStartEvent(agent=agent):
                self._begin_response(agent.name)
            case events.AudioEvent(audio=audio):
                self._sound(audio.data)
            case events.TranscriptDeltaEvent(delta=delta) | events.TextDeltaEvent(delta=delta):
                if self._response is not None:
                    self._response.words.append(delta)
            case events.ResponseDoneEvent():
                self._end_response(event)
            case events.ToolStartEvent():
                self._begin_tool(event)
            case events.ToolEndEvent(call_id=call_id, output=output):
                self._end_tool(call_id, output)
            case events.HandoffEvent(from_agent=source, to_agent=target):
                self._hand_over(source.name, target.name)
            case events.SpeechStoppedEvent():
                self._last_speech = trio.current_time()
            case _:
                self._note(event)

    def _note(self, event: Any) -> None:
        """Something of the session as a whole."""
        match event:
            case events.InputTranscriptEvent(transcript=transcript, final=True):
                self._telemetry.said(self._session.span, "input_transcript", transcript)
            case events.AudioInterruptedEvent(heard_ms=heard_ms):
                self._telemetry.count("interruptions")
                self._session.span.add_event("interrupted", {"trio_codex.heard_ms": heard_ms})
            case events.GuardrailTrippedEvent():
                self._session.span.add_event("guardrail tripped")
            case events.ErrorEvent(error=error):
                reason = error.code or error.type
                self._session.span.add_event("error", {"error.type": reason})
                self._telemetry.count("errors", error__type=reason)

    def end(self, raised: BaseException | None) -> None:
        """The watching is over: what is still under way ends here."""
        for running in self._tools.values():
            running.span.end()
        if self._response is not None:
            self._response.span.end()
        self._telemetry.took("session", trio.current_time() - self._session.began)
        if raised is not None:
            self._telemetry.failed(self._session.span, type(raised).__name__)
        self._session.span.end()

    # --- responses ---

    def _begin_response(self, agent: str) -> None:
        if self._response is not None:
            self._response.span.end()
        now = trio.current_time()
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.agent.name": agent}
        span = self._telemetry.start("response", attributes, under=self._session.span)
        self._response = _Running(span, now, now if self._last_speech is None else self._last_speech)
        self._last_speech = None

    def _sound(self, pcm: bytes) -> None:
        response = self._response
        if response is None:
            return
        if not response.sounded:
            response.sounded = True
            self._telemetry.first_audio(response.span, trio.current_time() - response.asked, "response")
        if self._telemetry.keeps_audio:
            response.audio.append(pcm)

    def _end_response(self, event: events.ResponseDoneEvent) -> None:
        usage = event.usage
        if usage is not None:
            self._telemetry.count("tokens", usage.input_tokens, gen_ai__token__type="input")  # noqa: S106 - a kind of token
            self._telemetry.count("tokens", usage.output_tokens, gen_ai__token__type="output")  # noqa: S106
        response, self._response = self._response, None
        if response is None:
            return  # one beside the conversation
        span = response.span
        span.set_attribute("gen_ai.response.id", event.response_id)
        span.set_attribute("trio_codex.status", event.status)
        if usage is not None:
            span.set_attribute("gen_ai.usage.input_tokens", usage.input_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", usage.output_tokens)
        self._telemetry.said(span, "words", "".join(response.words))
        self._telemetry.sounded(span, "audio", b"".join(response.audio))
        if event.status == "failed":
            self._telemetry.failed(span, "response_failed")
        self._telemetry.took("response", trio.current_time() - response.began)
        span.end()

    # --- tools and handoffs ---

    def _begin_tool(self, event: events.ToolStartEvent) -> None:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.call.id": event.call_id,
            "gen_ai.agent.name": event.agent.name,
        }
        under = self._response.span if self._response is not None else self._session.span
        if event.tool is None:
            self._transfer = time.time_ns()
        span = self._telemetry.start(f"tool {event.name}", attributes, under=under)
        self._telemetry.said(span, "arguments", event.arguments)
        self._tools[event.call_id] = _Running(span, trio.current_time(), trio.current_time())

    def _end_tool(self, call_id: str, output: str) -> None:
        if (running := self._tools.pop(call_id, None)) is None:
            return
        self._telemetry.said(running.span, "output", output)
        if output.startswith("Error: "):
            self._telemetry.failed(running.span, "tool_failed")
        self._telemetry.took("tool", trio.current_time() - running.began)
        running.span.end()

    def _hand_over(self, source: str, target: str) -> None:
        """The call that asks for it has a span of its own; the handoff's is as long as that has taken until now."""
        attributes = {"trio_codex.from_agent": source, "gen_ai.agent.name": target}
        self._telemetry.start("handoff", attributes, under=self._session.span, at=self._transfer).end()
        self._transfer = None
