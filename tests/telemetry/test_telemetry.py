"""Spans and metrics of sessions and pipelines, collected by OpenTelemetry's own SDK."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trio_codex import Agent, Handoff, tool
from trio_codex.errors import VoiceError
from trio_codex.protocol import ResponseCreate
from trio_codex.telemetry import Telemetry
from trio_codex.testing import Call, answer, scripted_session
from trio_codex.voice import (
    AudioInput,
    StreamedAudioInput,
    STTSettings,
    Transcript,
    TTSSettings,
    VoicePipeline,
    VoiceStreamEventError,
)

KEY = "sk-proj-never-in-a-span-0123456789"


@attrs.frozen
class Collected:
    spans_out: InMemorySpanExporter
    metrics_out: InMemoryMetricReader
    telemetry: Telemetry

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.spans_out.get_finished_spans()}

    def points(self, name: str) -> dict[str, Any]:
        """A metric's value for each set of attributes: a count, or how many measurements."""
        data = self.metrics_out.get_metrics_data()
        metrics = [each for of in data.resource_metrics for scope in of.scope_metrics for each in scope.metrics]
        points = [point for metric in metrics if metric.name == name for point in metric.data.data_points]
        return {
            ",".join(map(str, point.attributes.values())): getattr(point, "value", None) or point.count
            for point in points
        }


def collecting(no_key_is_seen: Any, **options: Any) -> Collected:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return Collected(exporter, reader, Telemetry(tracers, MeterProvider([reader]), **options))


@pytest.fixture(params=[False, True], ids=["without content", "with content"])
def collected(request: pytest.FixtureRequest, no_key_is_seen: Any) -> Any:
    found = collecting(no_key_is_seen, content=request.param, audio=request.param)
    yield found
    text = "\n".join(span.to_json() for span in found.spans_out.get_finished_spans())
    no_key_is_seen.hear("traced", text)
    if not request.param:
        assert "private" not in text


@tool
async def look_up(secret_word: str) -> str:
    """Look something up."""
    await trio.sleep(2)
    return "the private output"


async def test_a_session(collected: Collected, autojump_clock: Any, request: pytest.FixtureRequest) -> None:
    support = Agent(name="Support")
    agent = Agent(name="Greeter", tools=[look_up], handoffs=[Handoff(support)])

    async def script(line: Any) -> None:
        await line.expect("conversation.item.create")
        create = await line.expect(ResponseCreate)
        await answer(line, create, calls=[Call("call_1", "look_up", '{"secret_word": "private"}')])
        await line.expect("conversation.item.create")
        await answer(line, await line.expect(ResponseCreate), calls=[Call("call_2", "transfer_to_support")])
        await line.expect("conversation.item.create")
        await answer(line, await line.expect(ResponseCreate), "the private answer", audio=b"\1\2" * 480)

    telemetry = collected.telemetry
    async with scripted_session(agent, script, api_key=KEY) as (session, _), telemetry.watching(session):
        await session.ask("the private question")
        await trio.testing.wait_all_tasks_blocked()
    spans = collected.spans
    assert set(spans) == {"session", "response", "tool look_up", "tool transfer_to_support", "handoff"}
    session_span, response, called, handoff = (
        spans[name] for name in ("session", "response", "tool look_up", "handoff")
    )
    assert session_span.attributes["gen_ai.conversation.id"] == "sess_scripted"
    assert response.parent.span_id == handoff.parent.span_id == session_span.context.span_id
    assert response.attributes["gen_ai.agent.name"] == "Support"
    assert response.attributes["trio_codex.status"] == "completed"
    assert response.attributes["trio_codex.time_to_first_audio"] == 0
    assert (handoff.attributes["trio_codex.from_agent"], handoff.attributes["gen_ai.agent.name"]) == (
        "Greeter",
        "Support",
    )
    assert called.attributes["gen_ai.tool.call.id"] == "call_1"
    assert collected.points("trio_codex.duration") == {"tool": 2, "response": 3, "session": 1}
    assert collected.points("trio_codex.time_to_first_audio") == {"response": 1}
    if "with content" in request.node.name:
        assert response.attributes["trio_codex.words"] == "the private answer"
        assert response.attributes["trio_codex.audio"].startswith("AQIBAg")
        assert called.attributes["trio_codex.arguments"] == '{"secret_word": "private"}'
        assert called.attributes["trio_codex.output"] == "the private output"


async def test_what_goes_wrong_in_a_session(no_key_is_seen: Any, autojump_clock: Any) -> None:
    collected = collecting(no_key_is_seen)

    async def script(line: Any) -> None:
        await answer(line, None, "half an answer", audio=b"\1\2" * 48000)
        await line.expect("conversation.item.truncate")
        await answer(line, None, "", status="failed", details={"error": {"type": "server_error", "code": "oh_no"}})
        await line.say("error", error={"type": "invalid_request_error", "code": "odd", "message": "private"})

    with pytest.raises(KeyError, match="mine"):
        async with scripted_session(Agent(), script) as (session, _), collected.telemetry.watching(session):
            await trio.sleep(1)
            await session.interrupt()
            await trio.sleep(1)
            raise KeyError("mine")
    assert collected.spans["response"].attributes["error.type"] == "response_failed"
    assert collected.spans["session"].attributes["error.type"] == "KeyError"
    assert [event.name for event in collected.spans["session"].events] == ["interrupted", "error", "error"]
    assert collected.points("trio_codex.interruptions") == {"": 1}
    assert collected.points("trio_codex.errors") == {"oh_no": 1, "response_failed": 1, "odd": 1, "KeyError": 1}


async def test_watching_may_be_cancelled(no_key_is_seen: Any, autojump_clock: Any) -> None:
    collected = collecting(no_key_is_seen)
    async with scripted_session() as (session, _):
        with trio.move_on_after(1):
            async with collected.telemetry.watching(session):
                await trio.sleep_forever()
    assert set(collected.spans) == {"session"}


# --- pipelines ---


class Ears:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    async def transcribe(self, pcm: bytes, settings: STTSettings, /) -> Transcript:
        await trio.sleep(0.5)
        if self.failure is not None:
            raise self.failure
        return Transcript("the private words")


class Mouth:
    @asynccontextmanager
    async def speak(self, text: str, settings: TTSSettings, /) -> AsyncIterator[AsyncIterator[bytes]]:
        async def sounds() -> AsyncIterator[bytes]:
            await trio.sleep(0.25)
            yield b"\1\2" * 100
            yield b"\1\2" * 100

        yield sounds()


class Mind:
    greeted = False

    async def on_start(self, send: Any) -> None:
        Mind.greeted = True

    async def run(self, transcript: Transcript, send: Any, /) -> None:
        await send("My private answer. ")


async def test_a_pipeline(collected: Collected, autojump_clock: Any, request: pytest.FixtureRequest) -> None:
    telemetry = collected.telemetry
    pipeline = VoicePipeline(
        telemetry.workflow(Mind()), stt_model=telemetry.stt(Ears()), tts_model=telemetry.tts(Mouth())
    )
    async with pipeline.run(AudioInput(b"\0\0" * 24_000)) as result:
        async for event in result:
            assert not isinstance(event, VoiceStreamEventError)
    spans = collected.spans
    assert set(spans) == {"stt", "workflow", "tts"}
    assert spans["stt"].attributes["trio_codex.audio_s"] == 1
    assert spans["tts"].attributes["trio_codex.time_to_first_audio"] == 0.25
    assert collected.points("trio_codex.time_to_first_audio") == {"tts": 1}
    assert collected.points("trio_codex.duration") == {"stt": 1, "workflow": 1, "tts": 1}
    if "with content" in request.node.name:
        assert spans["stt"].attributes["trio_codex.transcript"] == "the private words"
        assert spans["workflow"].attributes["trio_codex.words"] == "My private answer. "
        assert spans["tts"].attributes["trio_codex.text"] == "My private answer."
        assert spans["tts"].attributes["trio_codex.audio"].startswith("AQIBAg")


async def test_a_model_that_fails(no_key_is_seen: Any, autojump_clock: Any) -> None:
    collected = collecting(no_key_is_seen)
    telemetry = collected.telemetry
    ears = telemetry.stt(Ears(VoiceError("the private reason")))
    async with VoicePipeline(Mind(), stt_model=ears, tts_model=Mouth()).run(AudioInput(b"\0\0" * 2400)) as result:
        assert [event async for event in result]
    assert collected.spans["stt"].attributes["error.type"] == "VoiceError"
    assert "private" not in collected.spans["stt"].to_json()


async def test_optional_methods_are_kept(no_key_is_seen: Any, autojump_clock: Any) -> None:
    telemetry = collecting(no_key_is_seen).telemetry
    assert hasattr(telemetry.workflow(Mind()), "on_start")
    assert not hasattr(telemetry.workflow(Mind()), "on_interrupted")
    assert not hasattr(telemetry.stt(Ears()), "open_stream")
    assert not hasattr(telemetry.tts(Mouth()), "open")
    speech = StreamedAudioInput()
    pipeline = VoicePipeline(
        telemetry.workflow(Mind()), stt_model=telemetry.stt(Ears()), tts_model=telemetry.tts(Mouth())
    )
    async with pipeline.run(speech) as result:
        await speech.aclose()
        assert [event async for event in result]
    assert Mind.greeted


async def test_models_that_are_opened_for_a_run_are_watched_in_it(no_key_is_seen: Any, autojump_clock: Any) -> None:
    class Opened:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        @asynccontextmanager
        async def open(self) -> AsyncIterator[Any]:
            yield self.inner

        async def transcribe(self, pcm: bytes, settings: STTSettings, /) -> Transcript:
            raise AssertionError("it was not opened")

        def speak(self, text: str, settings: TTSSettings, /) -> Any:
            raise AssertionError("it was not opened")

    collected = collecting(no_key_is_seen)
    ears, mouth = collected.telemetry.stt(Opened(Ears())), collected.telemetry.tts(Opened(Mouth()))
    async with VoicePipeline(Mind(), stt_model=ears, tts_model=mouth).run(AudioInput(b"\0\0" * 2400)) as result:
        assert not [event async for event in result if isinstance(event, VoiceStreamEventError)]
    assert set(collected.spans) == {"stt", "tts"}


async def test_a_stream_is_a_span_for_each_turn(no_key_is_seen: Any, autojump_clock: Any) -> None:
    from trio_codex.voice.models import SpeechStarted, SpeechStopped

    class Stream:
        async def send(self, pcm: bytes, /) -> None: ...

        async def end(self) -> None: ...

        async def __aiter__(self) -> AsyncIterator[Any]:
            yield SpeechStarted(0)
            yield SpeechStopped(100)
            await trio.sleep(0.5)
            yield Transcript("one")
            yield Transcript("two")

    class Streaming(Ears):
        @asynccontextmanager
        async def open_stream(self, settings: STTSettings, /) -> AsyncIterator[Stream]:
            yield Stream()

    collected = collecting(no_key_is_seen)
    watched: Any = collected.telemetry.stt(Streaming())
    async with watched.open_stream(STTSettings()) as stream:
        assert len([heard async for heard in stream]) == 4
    assert [span.name for span in collected.spans_out.get_finished_spans()] == ["stt", "stt"]


def test_without_the_extra_it_is_named() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from trio_codex.telemetry import Telemetry\n"
        "try: Telemetry()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("ConfigurationError")
    assert "trio-codex[otel]" in done.stdout
