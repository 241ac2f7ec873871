from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock

from trio_codex.audio import AudioFormat, Pacer
from trio_codex.audio.pacer import Ticks
from trio_codex.errors import ConfigurationError


async def test_a_tick_in_each_period_without_drift(autojump_clock: MockClock) -> None:
    pacer, began = Pacer(), trio.current_time()
    times = []
    async for _ in pacer.ticks():
        times.append(trio.current_time() - began)
        if len(times) == 1000:
            break
    assert times[0] <= 0.02
    for number, time in enumerate(times):
        assert time == pytest.approx(times[0] + number * 0.02, abs=1e-6)


async def test_work_between_ticks_does_not_add_up(autojump_clock: MockClock) -> None:
    pacer = Pacer()
    ticks = pacer.ticks()
    await anext(ticks)
    began = trio.current_time()
    for number in range(1, 500):
        await trio.sleep(0.013)
        await anext(ticks)
        assert trio.current_time() - began == pytest.approx(number * 0.02, abs=1e-6)


async def test_who_is_a_little_late_catches_up(autojump_clock: MockClock) -> None:
    ticks = Pacer().ticks()
    await anext(ticks)
    began = trio.current_time()
    await trio.sleep(0.095)
    for _ in range(4):
        await anext(ticks)
        assert trio.current_time() - began == pytest.approx(0.095, abs=1e-6)
    await anext(ticks)
    assert trio.current_time() - began == pytest.approx(0.1, abs=1e-6)


async def test_who_was_long_away_goes_on_from_now(autojump_clock: MockClock) -> None:
    ticks = Pacer().ticks()
    await anext(ticks)
    await trio.sleep(60)
    began = trio.current_time()
    for _ in range(10):
        await anext(ticks)
    assert 0.17 < trio.current_time() - began <= 0.2


async def test_streams_are_spread_over_the_period(autojump_clock: MockClock) -> None:
    pacer, began = Pacer(slots=4), trio.current_time()
    moments: dict[int, list[float]] = {}

    async def stream(number: int) -> None:
        ticks = pacer.ticks()
        for _ in range(50):
            await anext(ticks)
            moments.setdefault(number, []).append(round((trio.current_time() - began) * 1000, 3))

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(stream, number)
    assert all(len(each) == 50 for each in moments.values())
    assert sorted({each[0] for each in moments.values()}) == [5, 10, 15, 20]
    assert all(b - a == pytest.approx(20) for each in moments.values() for a, b in pairwise(each))


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(0, 900)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 5),
)
@settings(max_examples=40)
def test_nobody_is_forgotten_whoever_leaves(streams: list[tuple[int, int, int]], slots: int) -> None:
    """Streams come, take so many turns or are cancelled at some time; the others get every turn of theirs."""
    taken: dict[int, list[float]] = {}

    async def main() -> None:
        pacer = Pacer(slots=slots)

        async def stream(number: int, start: int, count: int, patience: int) -> None:
            await trio.sleep(start / 1000)
            ticks = pacer.ticks()
            with trio.move_on_after(patience / 1000):
                for _ in range(count):
                    await anext(ticks)
                    taken.setdefault(number, []).append(trio.current_time())

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for number, (start, count, patience) in enumerate(streams):
                    nursery.start_soon(stream, number, start, count, patience)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    for number, (_, count, patience) in enumerate(streams):
        got = taken.get(number, [])
        assert len(got) >= min(count, patience // 20 - 1)
        assert all(b - a == pytest.approx(0.02, abs=1e-6) for a, b in pairwise(got))


@pytest.mark.parametrize(("streams", "slots"), [(1, 4), (4, 4), (12, 4), (12, 1)])
async def test_nobody_is_woken_but_for_a_turn(streams: int, slots: int, autojump_clock: MockClock) -> None:
    class Steps(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.count += task.name == "stream"

    async def stream(ticks: Ticks) -> None:
        for _ in range(50):
            await anext(ticks)

    steps, pacer = Steps(), Pacer(slots=slots)
    trio.lowlevel.add_instrument(steps)
    async with trio.open_nursery() as nursery:
        for _ in range(streams):
            nursery.start_soon(stream, pacer.ticks(), name="stream")
    trio.lowlevel.remove_instrument(steps)
    assert steps.count == streams * (1 + 50)


async def test_audio_in_pieces(autojump_clock: MockClock) -> None:
    pacer = Pacer()
    pcm = bytes(range(240)) * 21
    pieces = [piece async for piece in pacer.audio(pcm)]
    assert b"".join(pieces) == pcm
    assert [len(piece) for piece in pieces] == [960] * 5 + [240]
    assert [len(piece) async for piece in pacer.audio(bytes(400), AudioFormat.PCMU)] == [160, 160, 80]
    assert [piece async for piece in pacer.audio(b"")] == []


async def test_a_cancelled_turn_stays(autojump_clock: MockClock) -> None:
    pacer = Pacer(slots=1)
    audio = pacer.audio(bytes(1920))
    with trio.move_on_after(0.01) as scope:
        await anext(audio)
    assert scope.cancelled_caught
    began = trio.current_time()
    assert len([piece async for piece in audio]) == 2
    assert trio.current_time() - began == pytest.approx(0.03, abs=1e-6)


@pytest.mark.parametrize(("period", "slots"), [(0, 1), (-1, 1), (float("inf"), 1), (float("nan"), 1), (0.02, 0)])
async def test_what_is_no_pace(period: float, slots: int) -> None:
    with pytest.raises(ConfigurationError):
        Pacer(period, slots=slots)
