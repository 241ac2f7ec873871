"""Sessions that only write down what they hear, over a real socket with scripted ears."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_codex.protocol import (
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCreate,
    SessionUpdate,
    TranscriptionSession,
    structure,
)
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

MANUAL = {"input": {"turn_detection": None, "transcription": {"model": "gpt-transcribe"}}}
UPDATED = "session.updated"


def update(**session: Any) -> SessionUpdate:
    return SessionUpdate(session=structure({"type": "transcription", **session}, TranscriptionSession), event_id="mine")


@pytest.fixture
def hearing() -> Any:
    return lambda *transcripts: open_local_server(stt=ScriptedSTT(transcripts), tts=ToneTTS())


async def test_a_turn_is_written_down_and_not_answered(hearing: Any, connect: Any) -> None:
    with trio.fail_after(60):
        async with (
            hearing("one two three") as server,
            connect(server, "intent=transcription", first="session.created") as client,
        ):
            created = client.events[0].session
            assert isinstance(created, TranscriptionSession)
            assert created.object == "realtime.transcription_session"
            await client.send(update(audio=MANUAL))
            assert (await client.until(UPDATED))[-1].session.audio.input.turn_detection is None
            await client.send(InputAudioBufferAppend(audio=bytes(48 * 500)), InputAudioBufferCommit())
            events = await client.until("conversation.item.input_audio_transcription.completed")
            assert events[-1].transcript == "one two three"
            deltas = [event.delta for event in events if event.type.endswith("transcription.delta")]
            assert deltas == ["one", " two", " three"]
            assert [event.type for event in events[:3]] == [
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
            ]
            await client.send(InputAudioBufferClear())
            await client.until("input_audio_buffer.cleared")
            assert not [event for event in client.events if event.type.startswith("response.")]


async def test_what_such_a_session_cannot_do_is_refused_and_it_goes_on(hearing: Any, connect: Any) -> None:
    with trio.fail_after(60):
        async with (
            hearing() as server,
            connect(server, "intent=transcription", first="session.created") as client,
        ):
            await client.send(ResponseCreate(event_id="e1"))
            assert (await client.until("error"))[-1].error.event_id == "e1"
            for wrong in (
                update(audio={"output": {"voice": "alloy"}}),
                update(audio={"input": {"transcription": None}}),
                update(type="realtime"),
            ):
                await client.send(wrong)
                assert (await client.until("error"))[-1].error.event_id == "mine"
            await client.send(update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}}))
            await client.until(UPDATED)


@pytest.mark.parametrize("query", ["intent=transcription&model=gpt-4o-transcribe", "model=gpt-4o-transcribe"])
async def test_a_model_that_transcribes_opens_such_a_session(hearing: Any, connect: Any, query: str) -> None:
    with trio.fail_after(60):
        async with hearing() as server, connect(server, query, first="session.created") as client:
            ears = client.events[0].session.audio.input
            assert (ears.transcription.model, ears.turn_detection.type) == ("gpt-4o-transcribe", "server_vad")


async def test_the_live_model_has_no_turn_detection(hearing: Any, connect: Any) -> None:
    with trio.fail_after(60):
        async with (
            hearing() as server,
            connect(server, "model=gpt-realtime-whisper", first="session.created") as client,
        ):
            assert client.events[0].session.audio.input.turn_detection is None
            await client.send(update(audio={"input": {"turn_detection": {"type": "server_vad"}}}))
            assert (await client.until("error"))[-1].error.param == "session.audio.input.turn_detection"
            delay = {"model": "gpt-realtime-whisper", "delay": "low"}
            await client.send(update(audio={"input": {"transcription": delay}}))
            await client.until(UPDATED)
            await client.send(update(audio={"input": {"transcription": {"model": "gpt-transcribe"}}}))
            assert (await client.until("error"))[-1].error.param == "session.audio.input.transcription.delay"
