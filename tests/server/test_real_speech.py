"""The local server with its own ears and mouth: spoken audio in, words, a function call and spoken audio out."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from trio_codex.audio import rms
from trio_codex.protocol import ConversationItemCreate, FunctionCallOutput, ResponseCreate
from trio_codex.server import LocalServer, open_local_server
from trio_codex.speech import open_synthesizer

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SILENCE = bytes(48 * 900)


async def spoken(text: str) -> bytes:
    async with open_synthesizer() as synthesizer, synthesizer.speak(text, voice="alloy") as speech:
        return b"".join([pcm async for pcm in speech])


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with open_local_server() as running:
        yield running


def audio_of(events: list[Any]) -> bytes:
    return b"".join(event.delta for event in events if event.type == "response.output_audio.delta")


async def test_a_conversation_by_voice(server: LocalServer, connect: Any) -> None:
    with trio.fail_after(60):
        question = await spoken("What is the weather in London?")
        async with connect(server) as client:
            await client.update(tools=[WEATHER], audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
            await client.append(SILENCE + question + SILENCE)
            events = await client.until("response.done")
            kinds = [event.type for event in events]
            assert kinds[:3] == [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
            ]
            start, stop = events[0].audio_start_ms, events[1].audio_end_ms
            assert 500 <= start <= 1100
            assert start < stop <= 900 + len(question) // 48 + 700
            transcript = next(event.transcript for event in events if event.type.endswith("transcription.completed"))
            assert "weather" in transcript
            (call,) = events[-1].response.output
            assert call.name == "get_weather"
            assert json.loads(call.arguments)["city"]
            output = FunctionCallOutput(call_id=call.call_id, output="It is sunny and twenty degrees.")
            await client.send(ConversationItemCreate(item=output), ResponseCreate())
            events = await client.until("response.done")
            answer = audio_of(events)
            assert 1000 < len(answer) / 48 < 6000
            assert rms(answer) > 0.01
            assert events[-1].response.output[0].content[0].transcript == "It is sunny and twenty degrees."


async def test_speech_interrupts_the_answer(server: LocalServer, connect: Any) -> None:
    with trio.fail_after(60):
        interruption = await spoken("Stop it, please.")
        async with connect(server) as client:
            await client.say("Say " + "and so it goes on and on. " * 400)
            await client.send(ResponseCreate())
            await client.until("response.output_audio.delta")
            await client.append(SILENCE + interruption)
            events = await client.until("response.done")
            assert events[-1].response.status_details.reason == "turn_detected"
            assert "input_audio_buffer.speech_started" in [event.type for event in events]


async def test_a_session_that_writes_down_what_it_hears(server: LocalServer, connect: Any) -> None:
    with trio.fail_after(60):
        question = await spoken("What is the weather in London?")
        async with connect(server, "intent=transcription", first="session.created") as client:
            await client.append(SILENCE + question + SILENCE)
            events = await client.until("conversation.item.input_audio_transcription.completed")
            kinds = [event.type for event in events]
            assert kinds[:3] == [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
            ]
            assert "weather" in events[-1].transcript
            deltas = [event.delta for event in events if event.type.endswith("transcription.delta")]
            assert "".join(deltas) == events[-1].transcript


def workers() -> set[int]:
    """The processes that this one has started and that are alive."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = {int(pid) for children in tasks for pid in children.read_text().split()}
    return {pid for pid in pids if "speech.worker" in Path(f"/proc/{pid}/cmdline").read_text()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc here")
async def test_workers_that_die_are_replaced() -> None:
    with trio.fail_after(60):
        async with open_local_server() as server, httpx.AsyncClient(timeout=60, base_url=server.http_url) as http:
            order = {"model": "m", "voice": "alloy", "input": "What is the weather in London?"}
            sound = (await http.post("/audio/speech", json=order)).content

            async def transcribe() -> str:
                files = {"file": ("speech.wav", sound)}
                answer = await http.post("/audio/transcriptions", files=files, data={"model": "m"})
                return str(answer.json()["text"])

            first = await transcribe()
            assert "weather" in first
            dead = workers()
            assert len(dead) >= 2
            for pid in dead:
                os.kill(pid, signal.SIGKILL)
            assert await transcribe() == first
            assert (await http.post("/audio/speech", json=order)).content == sound
            assert workers()
            assert not workers() & dead
        assert not workers()
