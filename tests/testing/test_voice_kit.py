from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from trio_codex import Endpoint, ServerVAD
from trio_codex.errors import VoiceError
from trio_codex.testing import simulated
from trio_codex.testing.voice import ScriptedSTTModel, ScriptedTTSModel, ScriptedWorkflow
from trio_codex.testing.voices import paced, silence, spoken, understood
from trio_codex.voice import (
    AudioInput,
    VoicePipeline,
    VoiceResult,
    VoiceStreamEventAudio,
    VoiceStreamEventLifecycle,
)
from trio_codex.voice.models import (
    Heard,
    SpeechStarted,
    SpeechStopped,
    StreamingSTTModel,
    STTSettings,
    Transcript,
    TTSModel,
    TTSSettings,
    Workflow,
)
from trio_codex.voice.openai import OpenAISTT

SECOND = 48_000


async def test_transcripts_as_written(autojump_clock: MockClock) -> None:
    model: StreamingSTTModel = ScriptedSTTModel(["one", Transcript("two", "en"), VoiceError("no")], delay_s=2)
    settings = STTSettings()
    assert (await model.transcribe(b"ab", settings)).text == "one"
    assert trio.current_time() == 2
    assert (await model.transcribe(b"cd", settings)).language == "en"
    with pytest.raises(VoiceError, match="no"):
        await model.transcribe(b"", settings)
    assert (await model.transcribe(b"", settings)).text == ""
    assert isinstance(model, ScriptedSTTModel)
    assert [pcm for pcm, _ in model.heard] == [b"ab", b"cd", b"", b""]


async def test_a_stream_finds_turns(autojump_clock: MockClock) -> None:
    model = ScriptedSTTModel()
    heard: list[Heard] = []

    async def listen() -> None:
        async for event in stream:
            heard.append(event)

    settings = STTSettings(turn_detection=ServerVAD(silence_duration_ms=400))
    async with model.open_stream(settings) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        for _ in range(2):
            await stream.send(bytes(5 * SECOND) + spoken("good morning") + bytes(SECOND))
        await stream.send(spoken("and one more"))
        await stream.end()
    kinds = [type(event) for event in heard]
    assert kinds == [SpeechStarted, SpeechStopped, Transcript] * 3
    assert [str(event) for event in heard if isinstance(event, Transcript)] == ["good morning"] * 2 + ["and one more"]
    started, stopped = heard[:2]
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert started.audio_ms == pytest.approx(5000 - 300, abs=100)
    assert stopped.audio_ms == pytest.approx(5000 + 780 + 400, abs=100)


async def test_a_voice(autojump_clock: MockClock) -> None:
    model: TTSModel = ScriptedTTSModel(pace=2, failures={"bad": VoiceError("broken")})
    pcm = b""
    async with model.speak("good morning", TTSSettings()) as speech:
        async for chunk in speech:
            pcm += chunk
    assert understood(pcm) == "good morning"
    assert trio.current_time() == pytest.approx(13 * 0.06 / 2)
    pcm = b""
    with pytest.raises(VoiceError, match="broken"):
        async with model.speak("bad", TTSSettings()) as speech:
            async for chunk in speech:
                pcm += chunk
    assert understood(pcm) == "bad"


@pytest.mark.parametrize(
    "answers",
    [
        {"a": ["x", "y"], "b": "z"},
        [["x", "y"], "z"],
        lambda words: ["x", "y"] if words == "a" else "z" if words == "b" else (),
    ],
)
async def test_a_workflow(answers: object, autojump_clock: MockClock) -> None:
    scripted = ScriptedWorkflow(answers, greeting="hi")  # type: ignore[arg-type]
    workflow: Workflow = scripted
    said: list[str] = []

    async def send(text: str) -> None:
        said.append(text)

    await scripted.on_start(send)
    for words in "abc":
        await workflow.run(Transcript(words), send)
    assert said == ["hi", "x", "y", "z"]
    assert [str(transcript) for transcript in scripted.transcripts] == ["a", "b", "c"]


async def test_a_workflow_that_fails(autojump_clock: MockClock) -> None:
    said: list[str] = []

    async def send(text: str) -> None:
        said.append(text)

    workflow = ScriptedWorkflow([["x", ValueError("mine")]])
    with pytest.raises(ValueError, match="mine"):
        await workflow.run(Transcript("a"), send)
    assert said == ["x"]


# --- in a pipeline -------------------------------------------------------------------------------------------------------


async def run(pipeline: VoicePipeline, audio: AudioInput | AsyncIterator[bytes]) -> tuple[VoiceResult, str, list[str]]:
    """Play a pipeline's audio; gives the result, what was heard, and the other events by name."""
    pcm, names = b"", []
    async with pipeline.run(audio) as result:
        async for event in result:
            match event:
                case VoiceStreamEventAudio(data=data):
                    pcm += data
                    await trio.sleep(len(data) / SECOND)
                case VoiceStreamEventLifecycle(event=name):
                    names.append(name)
                case _:
                    names.append(type(event).__name__)
    return result, understood(pcm), names


async def test_a_recording(autojump_clock: MockClock) -> None:
    stt, tts = ScriptedSTTModel(), ScriptedTTSModel(pace=5)
    pipeline = VoicePipeline(ScriptedWorkflow({"hello": ["Hello ", "to you."]}), stt_model=stt, tts_model=tts)
    result, heard, names = await run(pipeline, AudioInput(spoken("hello")))
    assert heard == "Hello to you."
    assert result.transcripts == ["hello"]
    assert names == ["turn_started", "turn_ended", "session_ended"]
    assert [text for text, _ in tts.said] == ["Hello to you."]


async def test_a_conversation_with_an_interruption(autojump_clock: MockClock) -> None:
    story = "Once upon a time there was a king. He had a castle. The castle was old. Nobody knew how old it was."
    workflow = ScriptedWorkflow({"tell me": story, "stop": "As you like."}, greeting="Good morning.")
    pipeline = VoicePipeline(workflow, stt_model=ScriptedSTTModel(), tts_model=ScriptedTTSModel(pace=5))
    audio = paced(silence(2000), spoken("tell me"), silence(3500), spoken("stop"), silence(4000))
    result, heard, _ = await run(pipeline, audio)
    assert result.transcripts == ["tell me", "stop"]
    assert heard.startswith("Good morning. Once upon a time")
    assert heard.endswith("As you like.")
    assert "Nobody knew how old it was." not in heard
    [told] = workflow.interruptions
    assert story.startswith(told.strip())


async def test_what_fails_is_an_event(autojump_clock: MockClock) -> None:
    stt, tts = ScriptedSTTModel(["a", VoiceError("deaf")]), ScriptedTTSModel(failures={"bad": VoiceError("broken")})
    pipeline = VoicePipeline(ScriptedWorkflow([["bad"]]), stt_model=stt, tts_model=tts)
    for _ in range(2):
        _, _, names = await run(pipeline, AudioInput(spoken("a")))
        assert "VoiceStreamEventError" in names
        assert names[-1] == "session_ended"


async def test_streaming_transcription_in_memory(autojump_clock: MockClock) -> None:
    """The realtime transcription of the API, on a simulated server."""
    async with simulated() as server:
        model = OpenAISTT(endpoint=Endpoint.openai(), api_key="sk-test", transport=server)
        heard: list[Heard] = []
        async with model.open_stream(STTSettings()) as stream, trio.open_nursery() as nursery:

            async def listen() -> None:
                async for event in stream:
                    heard.append(event)

            nursery.start_soon(listen)
            async for pcm in paced(silence(500), spoken("good morning"), silence(2000), spoken("good night")):
                await stream.send(pcm)
            await stream.end()
    assert [str(event) for event in heard if isinstance(event, Transcript)] == ["good morning", "good night"]
