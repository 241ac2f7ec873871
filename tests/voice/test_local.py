"""Real speech on this machine: the engines directly, and the whole pipeline against the local server, without a key."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest
import trio

import trio_codex
from tests.voice.scripted import TURN, Course, course, silence
from trio_codex.audio import read_wav, rms
from trio_codex.server import open_local_server
from trio_codex.voice import (
    AudioInput,
    LocalSTT,
    LocalTTS,
    SimpleWorkflow,
    StreamedAudioInput,
    STTSettings,
    TTSSettings,
    VoicePipeline,
)

CLOCK = "real"

RECORDINGS = sorted((Path(trio_codex.__file__).parent / "cli" / "recordings").glob("*.wav"))
ECHO = SimpleWorkflow(lambda transcript: [f"You said: {transcript}.", "Anything else?"], greeting="Hello.")


def local(workflow: SimpleWorkflow = ECHO) -> VoicePipeline:
    return VoicePipeline(workflow, stt_model=LocalSTT(), tts_model=LocalTTS())


async def in_stream(pipeline: VoicePipeline, paths: list[Path]) -> Course:
    """Recordings one after the other, sent as fast as they are taken."""
    audio = StreamedAudioInput()
    everything = b"".join(silence(500) + read_wav(path).pcm24k() + silence(1500) for path in paths)

    async def send() -> None:
        async with audio:
            await audio.send(everything)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        return await course(pipeline, audio)


@pytest.mark.parametrize("server", [False, True], ids=["engines", "server"])
async def test_a_recording(server: bool) -> None:
    audio = AudioInput.from_wav(RECORDINGS[1].read_bytes())
    if server:
        async with open_local_server() as running:
            found = await course(VoicePipeline(ECHO, endpoint=running.endpoint), audio)
    else:
        found = await course(local(), audio)
    assert found.errors == []
    assert found.names == [*TURN, "session_ended"]
    assert "weather" in found.result.transcripts[0]
    assert found.result.text == f"You said: {found.result.transcripts[0]}.\nAnything else?"
    assert len(found.audio) > 2 * 48_000
    assert rms(found.audio) > 0.02


@pytest.mark.parametrize("server", [False, True], ids=["engines", "server"])
async def test_a_stream_has_as_many_turns_as_people_speak(server: bool) -> None:
    if server:
        async with open_local_server() as running:
            found = await in_stream(VoicePipeline(ECHO, endpoint=running.endpoint), RECORDINGS[:3])
    else:
        found = await in_stream(local(), RECORDINGS[:3])
    assert found.errors == []
    assert found.names[-10:] == [*TURN * 3, "session_ended"]
    for word, transcript in zip(["evening", "weather", "software"], found.result.transcripts, strict=True):
        assert word in transcript


async def test_the_models_by_themselves() -> None:
    async with LocalTTS().speak("What is the weather?", TTSSettings(voice="alloy", speed=1.0)) as speech:
        pcm = b"".join([chunk async for chunk in speech])
    transcript = await LocalSTT().transcribe(pcm, STTSettings())
    assert "weather" in str(transcript)
    assert transcript.duration_s == pytest.approx(len(pcm) / 48_000)


async def test_leaving_in_the_middle_ends_the_workers() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with local(SimpleWorkflow(lambda t: "This is a long answer. " * 30)).run(
        AudioInput.from_wav(RECORDINGS[1])
    ) as result:
        async for event in result:
            if hasattr(event, "data"):
                break
    assert trio.lowlevel.current_statistics().tasks_living == before


def wav_of(path: Path, *, rate: int, channels: int) -> bytes:
    """A recording in another form, as other people have it."""
    np = pytest.importorskip("numpy")
    pcm = np.frombuffer(read_wav(path).pcm24k(), "<i2")
    at = np.arange(int(len(pcm) * rate / 24_000)) * 24_000 / rate
    pcm = np.interp(at, np.arange(len(pcm)), pcm).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(np.repeat(pcm, channels).tobytes())
    return file.getvalue()


async def test_any_wav_is_understood() -> None:
    audio = AudioInput.from_wav(wav_of(RECORDINGS[1], rate=44_100, channels=2))
    assert abs(len(audio.pcm) - len(read_wav(RECORDINGS[1]).pcm24k())) < 200
    assert "weather" in str(await LocalSTT().transcribe(audio.pcm, STTSettings()))
