"""The models against the local server: its own mouth speaks, its own ears hear it, over real sockets that may break."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from trio_codex import ServerVAD
from trio_codex.audio import rms
from trio_codex.errors import ConnectionLost, VoiceError
from trio_codex.server import LocalServer, open_local_server
from trio_codex.speech import open_synthesizer
from trio_codex.testing.engines import ScriptedSTT, ToneTTS
from trio_codex.transport import Target, Transport
from trio_codex.transport.websocket import open_websocket
from trio_codex.voice import SpeechStarted, STTSettings, Transcript, TranscriptDelta, TTSSettings
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


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "text"])
async def test_recordings(quick: LocalServer, response_format: str) -> None:
    settings = STTSettings(response_format=response_format)  # type: ignore[arg-type]
    transcript = await OpenAISTT(endpoint=quick.endpoint).transcribe(SILENCE, settings)
    assert transcript.text == "hello there"
    assert (transcript.duration_s == 0.9) is (response_format == "verbose_json")


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
    with trio.fail_after(10):
        async with (
            open_local_server(stt=ScriptedSTT(["no"]), tts=ToneTTS(), faults=[fault]) as server,
            OpenAISTT(endpoint=server.endpoint).open_stream(STTSettings()) as stream,
        ):
            with pytest.raises(VoiceError) as raised:
                await anext(aiter(stream))
    assert raised.value.code in {"insufficient_quota", "invalid_api_key", "model_not_found"}
