"""The tracer, the instruments, and what may be written down: what the observers share. `Telemetry` is what users see."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from trio_codex.audio import require

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from trio_codex.session import Session
    from trio_codex.voice import STTModel, TTSModel, Workflow

__all__ = ["Telemetry"]

SCOPE: Final = "trio_codex"


class Telemetry:
    """Makes spans and metrics with these providers (None: the global ones).

    `content` puts what was said into the spans (texts, transcripts, arguments and outputs of tools), `audio` the sound as well, as base64
    of PCM16. Raises ConfigurationError without the extra `otel`.

    Spans: `session`, `response`, `tool NAME`, `handoff`, `stt`, `workflow`, `tts`, with attributes of the `gen_ai` conventions where there
    are any. Metrics: histograms `trio_codex.time_to_first_audio` and `trio_codex.duration` (seconds, by `operation`), counters
    `trio_codex.tokens` (by `gen_ai.token.type`), `trio_codex.interruptions` and `trio_codex.errors`.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        content: bool = False,
        audio: bool = False,
    ) -> None:
        trace, metrics = (require(f"opentelemetry.{name}", extra="otel") for name in ("trace", "metrics"))
        self._trace: Any = trace
        self._content = content
        self._audio = audio
        self.tracer: Any = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._first_audio = meter.create_histogram(
            "trio_codex.time_to_first_audio", unit="s", description="From the asking to the first sound of an answer."
        )
        self._duration = meter.create_histogram(
            "trio_codex.duration", unit="s", description="How long an operation took."
        )
        self._counters = {
            name: meter.create_counter(f"trio_codex.{name}", unit="1", description=about)
            for name, about in (
                ("tokens", "Tokens that were used."),
                ("interruptions", "Answers that the user cut short."),
                ("errors", "Operations that failed."),
            )
        }

    # --- what users watch ---

    def watching(self, session: Session) -> AbstractAsyncContextManager[None]:
        """Watch a session while the block runs, best from its opening on: `async with open_…(…) as session, telemetry.watching(session)`.

        What the body raises comes out as it is. Watching is one more stream of events: it slows nobody down.
        """
        from trio_codex.telemetry.sessions import watching

        return watching(self, session)

    def stt(self, model: STTModel) -> STTModel:
        """Give a speech-to-text model whose transcriptions are spans."""
        from trio_codex.telemetry.voice import WatchedSTT

        return WatchedSTT(self, model)

    def tts(self, model: TTSModel) -> TTSModel:
        """Give a text-to-speech model whose sentences are spans, with the time to their first audio."""
        from trio_codex.telemetry.voice import WatchedTTS

        return WatchedTTS(self, model)

    def workflow(self, workflow: Workflow) -> Workflow:
        """Give a workflow whose turns are spans."""
        from trio_codex.telemetry.voice import WatchedWorkflow

        return WatchedWorkflow(self, workflow)

    # --- what the observers use ---

    def start(
        self, name: str, attributes: Mapping[str, Any], *, under: Span | None = None, at: int | None = None
    ) -> Span:
        """Begin a span below another one (None: below the current one). Times are in ns of Unix time."""
        context = None if under is None else self._trace.set_span_in_context(under)
        span: Span = self.tracer.start_span(name, context=context, attributes=dict(attributes), start_time=at)
        return span

    @asynccontextmanager
    async def operation(self, name: str, attributes: Mapping[str, Any], clock: Any) -> AsyncIterator[Span]:
        """A span around a block, current in it, whose failure is its own; `clock` gives seconds."""
        began = clock()
        with self.tracer.start_as_current_span(
            name, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                self.failed(span, type(error).__name__)
                raise
            finally:
                self.took(name, clock() - began)

    def said(self, span: Span, name: str, text: str | None) -> None:
        """Write down words, if they may be."""
        if self._content and text:
            span.set_attribute(f"trio_codex.{name}", text)

    def sounded(self, span: Span, name: str, pcm: bytes) -> None:
        """Write down sound, if it may be."""
        if self._audio and pcm:
            span.set_attribute(f"trio_codex.{name}", base64.b64encode(pcm).decode())

    @property
    def keeps_audio(self) -> bool:
        """Whether sound is worth keeping."""
        return self._audio

    def first_audio(self, span: Span, seconds: float, operation: str) -> None:
        """The first sound of an answer has come."""
        span.set_attribute("trio_codex.time_to_first_audio", seconds)
        self._first_audio.record(seconds, {"operation": operation})

    def took(self, operation: str, seconds: float) -> None:
        """An operation is over."""
        self._duration.record(seconds, {"operation": operation})

    def count(self, what: str, amount: int = 1, **attributes: str) -> None:
        """Count tokens, interruptions or errors."""
        if amount:
            self._counters[what].add(amount, {name.replace("__", "."): text for name, text in attributes.items()})

    def failed(self, span: Span, reason: str) -> None:
        """Mark a span as failed. The reason is a code or the name of an exception: messages may repeat what was said."""
        span.set_attribute("error.type", reason)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, reason))
        self.count("errors", error__type=reason)
