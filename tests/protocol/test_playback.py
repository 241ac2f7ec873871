"""What was heard: reports, else what was taken, else an estimate; never more than was received."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st

from trio_codex.audio import AudioFormat
from trio_codex.protocol.playback import Heard, Playback

MS = AudioFormat.PCM16.bytes_per_ms


def receive(playback: Playback, item_id: str, ms: int, now: float = 0.0, *, complete: bool = True) -> None:
    playback.received("r", item_id, 0, ms * MS, now)
    if complete:
        playback.completed(item_id, 0)


def cut(playback: Playback, now: float) -> list[tuple[str, int]]:
    return [(heard.item_id, heard.heard_ms) for heard in playback.interrupted(now)]


# --- the estimate ------------------------------------------------------------------------------------------------------


def test_the_estimate_is_the_time_since_the_first_delta() -> None:
    playback = Playback()
    receive(playback, "a", 1000, now=10.0)
    assert cut(playback, 10.25) == [("a", 250)]


def test_deltas_add_up() -> None:
    playback = Playback()
    for _ in range(3):
        receive(playback, "a", 100, now=10.0, complete=False)
    assert cut(playback, 60.0) == [("a", 300)]


def test_the_estimate_of_a_very_long_item() -> None:
    playback = Playback()
    receive(playback, "a", 3_000_000, now=10.0)
    assert cut(playback, 2010.0) == [("a", 2_000_000)]


def test_the_estimate_is_in_whole_ms() -> None:
    playback = Playback()
    receive(playback, "a", 1000, now=10.0)
    assert playback.interrupted(10.0009) == [Heard("r", "a", 0, 0, 0.0)]


def test_the_estimate_is_never_more_than_was_received() -> None:
    playback = Playback()
    receive(playback, "a", 100, complete=False)
    assert cut(playback, 60.0) == [("a", 100)]


def test_items_sound_one_after_the_other() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    receive(playback, "b", 1000, now=0.1)
    receive(playback, "c", 1000, now=0.2)
    assert cut(playback, 1.5) == [("b", 500), ("c", 0)]


def test_a_long_item_is_as_long_as_it_is() -> None:
    playback = Playback()
    receive(playback, "a", 100_000)
    receive(playback, "b", 1000, now=0.1)
    assert cut(playback, 100.5) == [("b", 500)]


def test_an_item_that_is_through_still_delays_the_next() -> None:
    """It is forgotten at 1 s, when `c` comes; `b` began to sound at 1 s all the same, not when it came."""
    playback = Playback()
    receive(playback, "a", 1000)
    receive(playback, "b", 1000, now=0.1)
    receive(playback, "c", 1000, now=1.0)
    assert cut(playback, 1.5) == [("b", 500), ("c", 0)]


def test_after_an_interruption_the_next_item_sounds_at_once() -> None:
    playback = Playback()
    receive(playback, "a", 60_000)
    assert cut(playback, 1.0) == [("a", 1000)]
    receive(playback, "b", 1000, now=2.0)
    assert cut(playback, 2.5) == [("b", 500)]


def test_what_is_through_is_not_cut() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    assert cut(playback, 1.0) == []


def test_what_has_been_heard_but_goes_on_is_cut() -> None:
    playback = Playback()
    receive(playback, "a", 1000, complete=False)
    assert cut(playback, 5.0) == [("a", 1000)]


def test_a_response_that_is_over_completes_its_parts() -> None:
    """Some servers leave `response.output_audio.done` out."""
    playback = Playback()
    receive(playback, "a", 1000, complete=False)
    playback.ended("r")
    assert cut(playback, 5.0) == []


@pytest.mark.parametrize(("audio_format", "nbytes"), [(AudioFormat.PCMU, 8_000), (AudioFormat.PCMA, 8_000)])
def test_ms_follow_from_the_format(audio_format: AudioFormat, nbytes: int) -> None:
    playback = Playback(audio_format)
    playback.received("r", "a", 0, nbytes, 0.0)
    assert cut(playback, 0.5) == [("a", 500)]


# --- what was taken ----------------------------------------------------------------------------------------------------


def test_what_was_taken_counts_as_heard() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    playback.taken("a", 0, 300 * MS)
    assert cut(playback, 60.0) == [("a", 300)]


def test_taking_from_a_later_item_means_that_the_earlier_is_over() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    receive(playback, "b", 1000)
    playback.taken("a", 0, 900 * MS)
    playback.taken("b", 0, 100 * MS)
    assert cut(playback, 60.0) == [("b", 100)]


def test_what_was_only_thought_to_be_heard_is_forgotten_once_somebody_takes() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    receive(playback, "b", 1000, now=0.8)
    playback.taken("a", 0, 100 * MS)
    assert cut(playback, 1.0) == [("a", 100), ("b", 0)]


# --- reports -----------------------------------------------------------------------------------------------------------


def test_one_report_switches_to_reports_for_good() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    playback.taken("a", 0, 500 * MS)
    playback.played("a", 0, 100 * MS)
    playback.taken("a", 0, 500 * MS)
    assert cut(playback, 60.0) == [("a", 100)]
    receive(playback, "b", 1000, now=60.0)
    playback.taken("b", 0, 500 * MS)
    assert cut(playback, 120.0) == [("b", 0)]


def test_reports_add_up_and_end_at_what_was_received() -> None:
    playback = Playback()
    receive(playback, "a", 1000, complete=False)
    for _ in range(5):
        playback.played("a", 0, 300 * MS)
    assert cut(playback, 0.0) == [("a", 1000)]


def test_reports_on_nothing_known_change_nothing() -> None:
    playback = Playback()
    playback.played("nothing", 0, 100 * MS)
    receive(playback, "a", 1000)
    playback.played("nothing", 0, 100 * MS)
    playback.played("a", 3, 100 * MS)
    playback.played("a", 0, -100)
    playback.played("a", 0, 0)
    assert playback.interrupted(0.0) == [Heard("r", "a", 0, 0, 0.0)]


def test_the_share_is_what_was_heard_of_what_was_received() -> None:
    playback = Playback()
    receive(playback, "a", 1000)
    playback.played("a", 0, 250 * MS)
    assert playback.interrupted(0.0) == [Heard("r", "a", 0, 250, 0.25)]


def test_the_least_that_can_be_heard_is_all_of_it() -> None:
    playback = Playback(AudioFormat.PCMU)
    playback.received("r", "a", 0, 1, 0.0)
    playback.played("a", 0, 1)
    assert playback.interrupted(0.0) == [Heard("r", "a", 0, 0, 1.0)]


# --- one answer of several ---------------------------------------------------------------------------------------------


def two_answers() -> Playback:
    playback = Playback()
    for response_id, item_id in [("r1", "a"), ("r2", "b")]:
        playback.received(response_id, item_id, 0, 1000 * MS, 10.0)
        playback.completed(item_id, 0)
    return playback


def test_what_is_left_sounds_as_soon_as_the_first_is_cut_off() -> None:
    playback = two_answers()
    assert [(heard.item_id, heard.heard_ms) for heard in playback.interrupted(10.4, "r1")] == [("a", 400)]
    assert cut(playback, 10.9) == [("b", 500)]


def test_what_sounds_goes_on_when_a_later_one_is_cut_off() -> None:
    playback = two_answers()
    assert [(heard.item_id, heard.heard_ms) for heard in playback.interrupted(10.4, "r2")] == [("b", 0)]
    assert cut(playback, 10.9) == [("a", 900)]


def test_cutting_off_what_does_not_sound_changes_nothing() -> None:
    playback = two_answers()
    assert playback.interrupted(10.0005, "r3") == []
    assert cut(playback, 10.9) == [("a", 900), ("b", 0)]


# --- what is held back -------------------------------------------------------------------------------------------------


def test_what_is_held_back_is_not_heard_but_counts_as_said() -> None:
    playback = Playback()
    for _ in range(2):
        playback.held("r", "a", 0, 500 * MS, 10.0)
    playback.passed("a", 0, 600 * MS, 12.0)
    assert playback.interrupted(12.3) == [Heard("r", "a", 0, 300, 0.3)]
    playback.held("r", "b", 0, 500 * MS, 20.0)
    assert playback.interrupted(30.0) == [Heard("r", "b", 0, 0, 0.0)]


@pytest.mark.parametrize(
    ("now", "heard_ms"), [(11.2, 200), (11.35, 350), (11.5, 500), (11.9, 600), (12.1, 700), (13.0, 1000)]
)
def test_it_is_silent_while_what_has_passed_is_over_and_the_rest_is_held(now: float, heard_ms: int) -> None:
    """400 ms pass after 1 s of silence, 200 while they sound, 400 when it has been silent for 400 ms."""
    playback = Playback()
    playback.held("r", "a", 0, 1000 * MS, 10.0)
    for ms, at in [(400, 11.0), (200, 11.3), (400, 12.0)]:
        if at <= now:
            playback.passed("a", 0, ms * MS, at)
    assert cut(playback, now) == [("a", heard_ms)]


def test_what_passes_of_what_is_gone_changes_nothing() -> None:
    playback = Playback()
    playback.held("r", "a", 0, 100 * MS, 0.0)
    playback.interrupted(0.0)
    playback.passed("a", 0, 100 * MS, 0.0)
    assert cut(playback, 1.0) == []


# --- any order ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Do:
    what: str
    item: int
    nbytes: int
    wait: float


DOINGS = st.builds(
    Do,
    what=st.sampled_from(["receive", "complete", "play", "take", "interrupt"]),
    item=st.integers(0, 3),
    nbytes=st.integers(1, 5000),
    wait=st.sampled_from([0.0, 0.01, 0.5]),
)


@given(st.lists(DOINGS, max_size=60))
def test_heard_is_between_nothing_and_what_was_received_in_any_order(doings: list[Do]) -> None:
    playback = Playback()
    received: dict[str, int] = {}
    reported: dict[str, int] = {}
    taken: dict[str, int] = {}
    reports = False
    now = 0.0
    for do in doings:
        now += do.wait
        item_id = f"item_{do.item}"
        match do.what:
            case "receive":
                playback.received("r", item_id, 0, do.nbytes, now)
                received[item_id] = received.get(item_id, 0) + do.nbytes
            case "complete":
                playback.completed(item_id, 0)
            case "play":
                playback.played(item_id, 0, do.nbytes)
                reports = True
                reported[item_id] = reported.get(item_id, 0) + do.nbytes
            case "take":
                playback.taken(item_id, 0, do.nbytes)
                taken[item_id] = taken.get(item_id, 0) + do.nbytes
            case "interrupt":
                for heard in playback.interrupted(now):
                    ms = AudioFormat.PCM16.duration_ms
                    assert 0 <= heard.heard_ms <= ms(received[heard.item_id])
                    assert 0 <= heard.share <= 1
                    if reports:
                        assert heard.heard_ms <= ms(reported.get(heard.item_id, 0))
                    elif taken:
                        assert heard.heard_ms <= ms(taken.get(heard.item_id, 0))
                assert playback.interrupted(now) == []


def test_a_long_call_keeps_only_what_may_still_be_sounding() -> None:
    playback = Playback()
    for number in range(3600):
        receive(playback, f"item_{number}", 900, now=float(number))
        assert len(playback._tracks) <= 2
