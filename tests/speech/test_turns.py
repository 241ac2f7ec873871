"""Turn detection: positions, settings, noise, and that nothing but the audio counts."""

from __future__ import annotations

import math
import random
from array import array
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from trio_codex.audio import voiced_end_ms
from trio_codex.errors import ConfigurationError
from trio_codex.speech import SpeechStarted, SpeechStopped, TurnDetector


def silence(ms: int) -> bytes:
    return bytes(48 * ms)


def noise(ms: int, dbfs: float) -> bytes:
    chance = random.Random(7)
    return array("h", (round(chance.gauss(0, 32768 * 10 ** (dbfs / 20))) for _ in range(24 * ms))).tobytes()


def tone(ms: int, peak: int) -> bytes:
    return array("h", (round(peak * math.sin(n * 2 * math.pi * 440 / 24_000)) for n in range(24 * ms))).tobytes()


def mixed(one: bytes, other: bytes) -> bytes:
    both = zip(array("h", one), array("h", other), strict=False)
    return array("h", (max(-32768, min(32767, a + b)) for a, b in both)).tobytes()


def test_two_turns_are_found_where_they_are(recordings: dict[str, bytes]) -> None:
    weather, problem = recordings["weather"], recordings["problem"]
    audio = silence(1000) + weather + silence(1500) + problem + silence(1000)
    first, second = 1000, 1000 + len(weather) // 48 + 1500
    started, stopped, started2, stopped2 = TurnDetector().feed(audio)
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert isinstance(started2, SpeechStarted)
    assert isinstance(stopped2, SpeechStopped)
    # The recordings begin with 100 ms of silence; 300 ms of padding go before the voice.
    assert abs(started.audio_start_ms - (first + 100 - 300)) <= 80
    assert abs(stopped.voice_end_ms - (first + voiced_end_ms(weather))) <= 80
    assert stopped.audio_end_ms == stopped.voice_end_ms + 500
    assert abs(started2.audio_start_ms - (second + 100 - 300)) <= 80
    assert abs(stopped2.voice_end_ms - (second + voiced_end_ms(problem))) <= 80


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 9000), max_size=60))
def test_only_the_audio_counts_not_its_chunking(recordings: dict[str, bytes], sizes: list[int]) -> None:
    audio = silence(200) + recordings["goodbye"] + silence(700)
    detector, events, rest = TurnDetector(), [], audio
    for size in [*sizes, len(audio)]:
        events += detector.feed(rest[:size])
        rest = rest[size:]
    assert events == TurnDetector().feed(audio)
    assert len(events) == 2
    assert detector.position_ms == len(audio) // 48


@pytest.mark.parametrize(
    "audio",
    [silence(4000), noise(4000, -60), noise(4000, -45), noise(4000, -35), silence(1000) + tone(3000, 3000)],
    ids=["digital silence", "-60 dBFS", "-45 dBFS", "-35 dBFS", "a tone"],
)
def test_what_is_not_speech_starts_nothing(audio: bytes) -> None:
    assert TurnDetector().feed(audio) == []


def test_clicks_start_nothing() -> None:
    clicks = array("h", bytes(48 * 4000))
    clicks[::12_000] = array("h", [20_000] * len(clicks[::12_000]))
    assert TurnDetector().feed(clicks.tobytes()) == []


def test_speech_is_found_in_noise(recordings: dict[str, bytes]) -> None:
    audio = silence(800) + recordings["problem"] + silence(1200)
    started, stopped = TurnDetector().feed(mixed(audio, noise(len(audio) // 48, -45)))
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert abs(started.audio_start_ms - 600) <= 150
    assert abs(stopped.voice_end_ms - 800 - voiced_end_ms(recordings["problem"])) <= 150


def test_a_high_threshold_does_not_hear_quiet_speech(recordings: dict[str, bytes]) -> None:
    quiet = array("h", (sample // 30 for sample in array("h", recordings["weather"]))).tobytes() + silence(800)
    assert TurnDetector(threshold=1.0).feed(quiet) == []
    assert len(TurnDetector(threshold=0.0).feed(quiet)) == 2


def test_a_long_silence_setting_joins_what_a_short_one_splits(recordings: dict[str, bytes]) -> None:
    audio = recordings["weather"] + silence(600) + recordings["goodbye"] + silence(2500)
    assert len(TurnDetector(silence_duration_ms=400).feed(audio)) == 4
    assert len(TurnDetector(silence_duration_ms=1200).feed(audio)) == 2
    assert len(TurnDetector.semantic().feed(audio)) == 2


def test_the_more_eager_the_shorter_the_wait(recordings: dict[str, bytes]) -> None:
    def waited(eagerness: Any) -> int:
        *_, stopped = TurnDetector.semantic(eagerness).feed(recordings["goodbye"] + silence(3000))
        assert isinstance(stopped, SpeechStopped)
        return stopped.audio_end_ms - stopped.voice_end_ms

    assert waited("low") > waited("medium") == waited("auto") > waited("high") > 500


def test_padding_does_not_reach_into_the_turn_before_nor_before_the_beginning(recordings: dict[str, bytes]) -> None:
    audio = recordings["goodbye"] + silence(300) + recordings["goodbye"] + silence(300)
    events = TurnDetector(prefix_padding_ms=5000, silence_duration_ms=250, origin_ms=7000).feed(audio)
    started, stopped, started2, _ = events
    assert started == SpeechStarted(7000)
    assert isinstance(stopped, SpeechStopped)
    assert started2 == SpeechStarted(stopped.audio_end_ms)


def test_a_reset_forgets_the_turn_and_keeps_the_time(recordings: dict[str, bytes]) -> None:
    detector = TurnDetector()
    assert len(detector.feed(silence(500) + recordings["problem"][: 48 * 1200])) == 1
    assert detector.in_speech
    detector.reset()
    assert not detector.in_speech
    assert detector.feed(silence(1000)) == []
    started, stopped = detector.feed(recordings["weather"] + silence(1000))
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert started.audio_start_ms >= 2400
    assert stopped.voice_end_ms == pytest.approx(2700 + voiced_end_ms(recordings["weather"]), abs=80)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": -0.1},
        {"threshold": 1.1},
        {"threshold": math.nan},
        {"prefix_padding_ms": -1},
        {"silence_duration_ms": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        TurnDetector(**wrong)
    with pytest.raises(ConfigurationError):
        TurnDetector.semantic("eager")  # type: ignore[arg-type]
