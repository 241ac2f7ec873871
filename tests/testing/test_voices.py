from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from trio_codex.testing.voices import SimulatedDetector, SimulatedSTT, SimulatedTTS, spoken, understood

WORDS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=9), max_size=6)
VAD: dict[str, Any] = {"type": "server_vad", "silence_duration_ms": 500, "prefix_padding_ms": 300}


@given(words=WORDS)
def test_what_is_spoken_is_understood(words: list[str]) -> None:
    pcm = spoken(" ".join(words))
    assert understood(pcm).split() == " ".join(words).split()
    assert understood(bytes(4800) + pcm + bytes(480)) == understood(pcm)


@given(words=WORDS, cut=st.integers(0, 200_000))
def test_half_an_utterance_is_its_first_words(words: list[str], cut: int) -> None:
    pcm = spoken(" ".join(words))
    heard = understood(pcm[:cut]).split()
    assert heard == " ".join(words).split()[: len(heard)]


@given(noise=st.binary(max_size=400))
def test_noise_does_not_fail(noise: bytes) -> None:
    understood(noise)
    understood(noise + spoken("yes")[-20:] + noise)


def test_it_lasts_as_long_as_speech() -> None:
    assert len(spoken("hello")) == 6 * 60 * 48
    assert len(spoken("hello", ms_per_character=30)) == 6 * 30 * 48
    assert len(spoken("hello there")) == 12 * 60 * 48


async def test_ears_and_mouth(autojump_clock: MockClock) -> None:
    tts, stt = SimulatedTTS(pace=2), SimulatedSTT()
    began = trio.current_time()
    async with tts.speak("good morning") as speech, stt.stream() as utterance:
        async for chunk in speech:
            await utterance.feed(chunk)
        assert await utterance.finish() == "good morning"
    assert trio.current_time() - began == pytest.approx(13 * 0.06 / 2)
    assert tts.said == stt.heard == ["good morning"]


def test_turns_are_found() -> None:
    detector = SimulatedDetector(VAD, 1000)
    sound = bytes(48 * 500) + spoken("hello there") + bytes(48 * 900)
    events: list[Any] = []
    for at in range(0, len(sound), 4800):
        events += detector.feed(sound[at : at + 4800])
    started, stopped = events
    assert started.audio_start_ms == 1000 + 500 - 300
    assert 0 <= stopped.voice_end_ms - (1000 + 500 + 720) < 100
    assert stopped.audio_end_ms == stopped.voice_end_ms + 500
    assert detector.position_ms == 1000 + len(sound) // 48


def test_a_turn_that_is_forgotten_does_not_end() -> None:
    detector = SimulatedDetector({"type": "semantic_vad", "eagerness": "high"}, 0)
    assert len(detector.feed(spoken("hm")[:4800])) == 1
    detector.reset()
    assert detector.feed(bytes(48_000)) == []
