"""The models against the local server: its own mouth speaks, its own ears hear it, over real sockets that may break."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from trio_codex import Agent, ServerVAD, tool
from trio_codex.audio import rms
from trio_codex.errors import ConnectionLost, VoiceError
from trio_codex.protocol import AnswerRequest, FunctionCallOutput
from trio_codex.server import Answer, LocalServer, open_local_server
from trio_codex.speech import open_synthesizer
from trio_codex.testing.engines import ScriptedSTT, ToneTTS
from trio_codex.transport import Target, Transport
from trio_codex.transport.websocket import open_websocket
from trio_codex.voice import (
    AgentWorkflow,
    AudioInput,
    SpeechStarted,
    STTSettings,
    Transcript,
    TranscriptDelta,
    TTSSettings,
    VoicePipeline,
    VoiceStreamEventAudio,
    VoiceStreamEventError,
)
from trio_codex.voice.models import Heard, TranscriptionStream
from trio_codex.voice.openai import OpenAISTT, OpenAITTS

DETECTION = STTSettings(turn_detection=ServerVAD(silence_duration_ms=400))
SILENCE = bytes(48 * 900)


@pytest.fixture
async def quick() -> AsyncIterator[LocalServer]:
    async with open_local_server(stt=ScriptedSTT(["hello there"] * 4), tts=ToneTTS()) as server:
        yield server


async def listen(stream: TranscriptionStream, *pieces: bytes) -> list[Heard]:
    heard: list[Heard] = []

    async def send() -> None:
        for pcm in pieces:
            for start in range(0, len(pcm), 4800):
                await stream.send(pcm[start : start + 4800])
        await stream.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        heard += [each async for each in stream]
    return heard


async def spoken(*texts: str) -> list[bytes]:
    said = []
    async with open_synthesizer() as synthesizer:
        for text in texts:
            async with synthesizer.speak(text, voice="alloy") as speech:
                said.append(b"".join([pcm async for pcm in speech]))
    return said


async def test_speaking(quick: LocalServer) -> None:
    async with OpenAITTS(endpoint=quick.endpoint).open() as tts:
        async with tts.speak("One two three four.", TTSSettings()) as chunks:
            plain = b"".join([chunk async for chunk in chunks])
        async with tts.speak("One two three four.", TTSSettings(speed=2)) as chunks:
            fast = b"".join([chunk async for chunk in chunks])
    assert rms(plain) > 0.01
    assert 0 < len(fast) < len(plain)


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "diarized_json", "text"])
async def test_recordings(quick: LocalServer, response_format: str) -> None:
    settings = STTSettings(response_format=response_format)  # type: ignore[arg-type]
    transcript = await OpenAISTT(endpoint=quick.endpoint).transcribe(SILENCE, settings)
    assert transcript.text == "hello there"
    assert (transcript.duration_s == 0.9) is (response_format in ("verbose_json", "diarized_json"))
    speakers = {"verbose_json": [None], "diarized_json": ["A"]}.get(response_format, [])
    assert [segment.speaker for segment in transcript.segments] == speakers


async def test_recordings_in_parts(quick: LocalServer) -> None:
    async with OpenAISTT(endpoint=quick.endpoint).transcribe_in_parts(SILENCE, STTSettings()) as parts:
        found = [part async for part in parts]
    assert found[-1] == Transcript("hello there", usage=found[-1].usage if isinstance(found[-1], Transcript) else None)
    assert "".join(part.delta for part in found if isinstance(part, TranscriptDelta)) == "hello there"


async def test_a_refused_voice(quick: LocalServer) -> None:
    async with OpenAITTS(endpoint=quick.endpoint).open() as tts:
        with pytest.raises(VoiceError, match="text to speech failed") as raised:
            async with tts.speak("", TTSSettings()) as chunks:
                [chunk async for chunk in chunks]
    assert raised.value.status == 400


class Cut:
    """A connection that breaks once so many frames have come."""

    def __init__(self, transport: Transport, frames: float) -> None:
        self.transport = transport
        self.frames = frames

    async def send(self, frame: str) -> None:
        await self.transport.send(frame)

    async def receive(self) -> str | bytes:
        self.frames -= 1
        if self.frames < 0:
            raise ConnectionLost(1006)
        return await self.transport.receive()

    async def close(self) -> None:
        await self.transport.close()


async def test_a_conversation_by_voice() -> None:
    """Three turns, sent as fast as the socket takes them; the first connections break after so many frames."""
    breaks = (9, 24)
    connections = 0

    @asynccontextmanager
    async def connect(target: Target) -> AsyncIterator[Transport]:
        nonlocal connections
        connections += 1
        async with open_websocket(target) as transport:
            yield Cut(transport, (*breaks, *[math.inf] * connections)[connections - 1])

    with trio.fail_after(60):
        said = await spoken("What is the weather in London?", "Thank you very much.", "Good bye.")
        pieces = [SILENCE, *(part for pcm in said for part in (pcm, SILENCE))]
        async with open_local_server() as server:
            model = OpenAISTT(endpoint=server.endpoint, transport=connect)
            async with model.open_stream(DETECTION) as stream:
                heard = await listen(stream, *pieces)
    assert connections == len(breaks) + 1
    texts = [each.text.lower() for each in heard if isinstance(each, Transcript)]
    assert len(texts) == 3
    assert "weather" in texts[0]
    assert "thank you" in texts[1]
    starts = [each.audio_ms for each in heard if isinstance(each, SpeechStarted)]
    assert starts == sorted(starts)
    assert len(starts) == 3


@pytest.mark.parametrize("fault", ["insufficient-quota", "invalid-api-key", "refused-session"])
async def test_refusals_are_not_tried_again(fault: str) -> None:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT(["no"]), tts=ToneTTS(), faults=[fault]) as server,
            OpenAISTT(endpoint=server.endpoint).open_stream(STTSettings()) as stream,
        ):
            with pytest.raises(VoiceError) as raised:
                await anext(aiter(stream))
    assert raised.value.code in {"insufficient_quota", "invalid_api_key", "model_not_found"}


# --- agents --------------------------------------------------------------------------------------------------------------


class Clerk:
    """Looks the weather up, and hands over to who is asked for."""

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        names = [each["name"] for each in request.tools]
        last = request.items[-1]
        if isinstance(last, FunctionCallOutput):
            await answer.say(f"{request.instructions} {last.output}")
        elif "transfer_to_support" in names and "support" in request.items[-1].content[0].text:
            await answer.call("transfer_to_support", {})
        elif "get_weather" in names:
            await answer.say("Let me look.")
            await answer.call("get_weather", {"city": "Rome"})
        else:
            await answer.say(f"{len(request.items)} items.")


@tool
def get_weather(city: str) -> str:
    """Get the weather."""
    return f"It is sunny in {city}."


SUPPORT = Agent(name="Support", instructions="Support here.")
GREETER = Agent(name="Greeter", instructions="Greeter here.", tools=[get_weather], handoffs=[SUPPORT])


async def test_an_agent_with_tools_and_a_handoff() -> None:
    said: list[str] = []

    async def send(text: str) -> None:
        said.append(text)

    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(["no"]), tts=ToneTTS(), responder=Clerk()) as server:
            workflow = AgentWorkflow(GREETER, endpoint=server.endpoint)
            async with workflow.open() as run:
                await run.run(Transcript("How is the weather?"), send)
                assert "".join(said) == "Let me look.\nGreeter here. It is sunny in Rome."
                said.clear()
                await run.run(Transcript("Get me support."), send)
                assert workflow.current_agent is SUPPORT
                assert "".join(said) == "Support here. Handoff complete. You are now connected to Support."
                said.clear()
                await run.run(Transcript("Thanks."), send)
                assert "".join(said) == "10 items."  # those of before, and this one


async def test_an_agent_in_a_pipeline() -> None:
    """The pipeline's service is its workflow's as well; the whole is heard, answered and said by one server."""
    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(["hello"]), tts=ToneTTS(), responder=Clerk()) as server:
            pipeline = VoicePipeline(AgentWorkflow(GREETER), endpoint=server.endpoint)
            async with pipeline.run(AudioInput(SILENCE)) as result:
                kinds = [type(event) async for event in result]
            assert str(result.transcripts[0]) == "hello"
            assert result.text == "Let me look.\nGreeter here. It is sunny in Rome."
            assert VoiceStreamEventAudio in kinds
            assert VoiceStreamEventError not in kinds


async def test_a_service_that_fails_agents(quick: LocalServer) -> None:
    class Broken:
        async def respond(self, request: AnswerRequest, answer: Answer) -> None:
            raise RuntimeError("no idea")

    async def send(text: str) -> None:
        raise AssertionError(text)

    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(["no"]), tts=ToneTTS(), responder=Broken()) as server:
            with pytest.raises(VoiceError, match="failed") as raised:
                await AgentWorkflow(GREETER, endpoint=server.endpoint).run(Transcript("Hi."), send)
    assert raised.value.code == "server_error"
