"""What can be heard: recordings of every kind, and streams that are bounded."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.voice.scripted import silence, tone
from trio_codex.audio import write_wav
from trio_codex.errors import ConfigurationError
from trio_codex.voice import AudioInput, StreamedAudioInput
from trio_codex.voice.inputs import Pace, pump
from trio_codex.voice.turns import Cutter, LoudnessDetector, Utterance

CLOCK = "virtual"


def test_a_recording_is_its_samples(tmp_path: Path) -> None:
    assert AudioInput(tone(20)).pcm == tone(20)
    assert AudioInput(bytearray(tone(20)) + b"x").pcm == tone(20)
    assert len(AudioInput(tone(60), rate=8000).pcm) == 3 * len(tone(60))
    write_wav(tmp_path / "a.wav", tone(30))
    assert AudioInput.from_wav(tmp_path / "a.wav") == AudioInput.from_wav((tmp_path / "a.wav").read_bytes())
    assert AudioInput.from_wav(tmp_path / "a.wav").pcm == tone(30)
    assert repr(AudioInput(b"ab")) == "AudioInput(pcm=<2 bytes>)"


def header(*, size: int, rate: int = 24_000, bits: int = 16, channels: int = 1, tag: int = 1) -> bytes:
    block = channels * bits // 8
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * block, block, bits)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + form + b"data" + struct.pack("<I", size)


@pytest.mark.parametrize(
    "wav",
    [
        header(size=960) + bytes(100),
        header(size=0),
        header(size=960, rate=0) + bytes(960),
        header(size=960, channels=0) + bytes(960),
        header(size=960, bits=13) + bytes(960),
        header(size=960, tag=77) + bytes(960),
        b"RIFF",
        b"not a wav at all",
        b"",
    ],
    ids=["truncated", "no sound", "no rate", "no channel", "13 bits", "unknown", "only RIFF", "text", "empty"],
)
def test_a_header_that_lies(wav: bytes) -> None:
    with pytest.raises(ConfigurationError):
        AudioInput.from_wav(wav)


# --- streams -------------------------------------------------------------------------------------------------------------


async def test_a_stream_is_bounded() -> None:
    audio = StreamedAudioInput(room=10)
    with trio.move_on_after(1) as waiting:
        await audio.send(tone(2000))
    assert waiting.cancelled_caught
    with pytest.raises(trio.WouldBlock):
        audio.send_nowait(tone(100))
    await audio.aclose()
    await audio.aclose()
    assert b"".join([piece async for piece in audio]) == tone(2000)[:48_000]


async def test_what_is_sent_comes_out_in_pieces() -> None:
    audio = StreamedAudioInput()
    await audio.send(b"")
    await audio.send(tone(250))
    audio.send_nowait(tone(20))
    audio.close()
    assert [len(piece) // 48 async for piece in audio] == [100, 100, 50, 20]
    with pytest.raises(trio.ClosedResourceError):
        await audio.send(tone(20))
    with pytest.raises(trio.ClosedResourceError):
        audio.send_nowait(tone(20))


def test_what_no_stream_takes() -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match="up to 4800"):
            StreamedAudioInput().send_nowait(bytes(4801))
        wrong: Any = "text"
        with pytest.raises(ConfigurationError, match="audio is bytes"):
            await StreamedAudioInput().send(wrong)

    trio.run(main)


# --- finding turns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 333, 960, 4800, 100_000])
def test_an_utterance_is_cut_out_with_a_margin(size: int) -> None:
    audio = silence(900) + tone(700) + silence(1000) + tone(300) + silence(200)
    cutter = Cutter(LoudnessDetector())
    cuts: list[Any] = []
    for at in range(0, len(audio), size):
        cuts += cutter.feed(audio[at : at + size])
    cuts += cutter.finish()
    utterances, marks = [b""], []
    for cut in cuts:
        if isinstance(cut, Utterance):
            utterances[-1] += cut.pcm
        else:
            marks.append((type(cut).__name__, cut.audio_ms))
            if len(marks) % 2 == 0:
                utterances.append(b"")
    assert marks == [
        ("SpeechStarted", 600),
        ("SpeechStopped", 2100),
        ("SpeechStarted", 2300),
        ("SpeechStopped", 3100),
    ]
    assert utterances == [audio[48 * 600 : 48 * 2100], audio[48 * 2300 :], b""]


def test_noise_that_lasts_is_no_speech() -> None:
    detector = LoudnessDetector()
    found = [type(event).__name__ for _ in range(100) for event in detector.feed(tone(100))]
    assert found == ["SpeechStarted", "SpeechStopped"]


async def test_a_recording_does_not_look_live_on_a_busy_machine() -> None:
    clock: Any = trio.lowlevel.current_clock()

    class Busy(trio.abc.Instrument):
        def before_task_step(self, task: object) -> None:
            clock.jump(1)

    audio, pace = StreamedAudioInput(), Pace()
    for _ in range(20):
        audio.send_nowait(bytes(4800))
    audio.close()
    send, receive = trio.open_memory_channel[bytes](100)
    busy = Busy()
    trio.lowlevel.add_instrument(busy)
    with receive:
        await pump(audio, pace, send)
    trio.lowlevel.remove_instrument(busy)
    assert not pace.is_live(0)
