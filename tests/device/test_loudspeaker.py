from __future__ import annotations

import threading
from collections import Counter

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from trio_codex.audio import WholeSamples
from trio_codex.device import Loudspeaker
from trio_codex.device.loudspeaker import CueSheet

Parts = list[tuple[str, int]]


def as_session_audio(deltas: Parts) -> Parts:
    """The pieces that `session.audio` makes of deltas: whole samples, and no halves across items."""
    pieces, whole, sounding = [], WholeSamples(), ""
    for item_id, nbytes in deltas:
        if item_id != sounding:
            sounding, whole = item_id, WholeSamples()
        if piece := whole.feed(bytes(nbytes)):
            pieces.append((item_id, len(piece)))
    return pieces


DELTAS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 25)), max_size=30)
TAKES = st.lists(st.integers(1, 20).map(lambda samples: 2 * samples), min_size=1)


@given(DELTAS, TAKES)
def test_every_byte_is_heard_as_part_of_its_item(deltas: Parts, takes: list[int]) -> None:
    """Byte by byte: what the cue sheet says of a stretch of sound is what was put there."""
    cues = CueSheet()
    for item_id, nbytes in deltas:
        cues.note(item_id, 0, nbytes)
    sound = [item_id for item_id, nbytes in as_session_audio(deltas) for _ in range(nbytes)]
    position = 0
    while position < len(sound):
        for take in takes:
            stretch = sound[position : position + take]
            heard = [item_id for item_id, _, nbytes in cues.heard(len(stretch)) for _ in range(nbytes)]
            assert heard == stretch
            position += len(stretch)


@given(DELTAS)
def test_the_sheet_may_be_written_while_it_sounds(deltas: Parts) -> None:
    cues = CueSheet()
    whole, sounding = WholeSamples(), ""
    heard: Counter[str] = Counter()
    for item_id, nbytes in deltas:
        if item_id != sounding:
            sounding, whole = item_id, WholeSamples()
        cues.note(item_id, 0, nbytes)
        for heard_id, _, share in cues.heard(len(whole.feed(bytes(nbytes)))):
            heard[heard_id] += share
    expected: Counter[str] = Counter()
    for item_id, nbytes in as_session_audio(deltas):
        expected[item_id] += nbytes
    assert heard == expected


async def reported(loudspeaker: Loudspeaker) -> list[tuple[str, int, int]]:
    """What is reported until nothing happens any more."""
    reports: list[tuple[str, int, int]] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loudspeaker.report, lambda *report: reports.append(report))
            await wait_all_tasks_blocked(0.001)
            nursery.cancel_scope.cancel()
    return reports


async def test_only_what_was_taken_is_reported() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.cues.note("one", 0, 1000)
    loudspeaker.cues.note("two", 1, 1000)
    loudspeaker.play(bytes(2000))
    assert len(loudspeaker.take(960)) == 960
    assert await reported(loudspeaker) == [("one", 0, 960)]
    assert len(loudspeaker.take(960)) == 960
    assert await reported(loudspeaker) == [("one", 0, 40), ("two", 1, 920)]
    assert loudspeaker.take(960) == bytes(80)
    assert loudspeaker.take(960) == b""
    assert await reported(loudspeaker) == [("two", 1, 80)]
    assert loudspeaker.heard_s == pytest.approx(2000 / 48_000, abs=0.001)


async def test_a_report_waits_for_the_cue() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.play(bytes(100))
    loudspeaker.take(100)
    assert await reported(loudspeaker) == []
    loudspeaker.cues.note("one", 0, 200)
    loudspeaker.play(bytes(100))
    loudspeaker.take(50)
    assert await reported(loudspeaker) == [("one", 0, 150)]


async def test_after_a_flush_nothing_old_sounds_or_is_reported() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.cues.note("old", 0, 1000)
    loudspeaker.play(bytes(1000))
    loudspeaker.take(400)
    loudspeaker.flush()
    assert loudspeaker.queued == 0
    assert loudspeaker.take(960) == b""
    assert await reported(loudspeaker) == []
    loudspeaker.cues.note("new", 0, 100)
    loudspeaker.play(b"\1" * 100)
    assert loudspeaker.take(960) == b"\1" * 100
    assert await reported(loudspeaker) == [("new", 0, 100)]


async def test_one_part_is_cut_and_the_others_go_on() -> None:
    loudspeaker = Loudspeaker()
    for number, item_id in enumerate(["one", "two", "three"]):
        loudspeaker.cues.note(item_id, 0, 1001)
        loudspeaker.play(bytes([number]) * 1000)
    assert loudspeaker.take(1400) == bytes(1000) + b"\1" * 400
    loudspeaker.cut("two", 0)
    loudspeaker.cut("nothing", 0)
    assert loudspeaker.take(9600) == b"\2" * 1000
    assert await reported(loudspeaker) == [("one", 0, 1000), ("three", 0, 1000)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=8), st.data())
async def test_whatever_is_cut_the_rest_sounds_in_order(parts: list[tuple[str, int]], data: st.DataObject) -> None:
    loudspeaker = Loudspeaker()
    sound = b""
    for item_id, samples in parts:
        loudspeaker.cues.note(item_id, 0, 2 * samples)
        loudspeaker.play(item_id.encode() * 2 * samples)
        sound += item_id.encode() * 2 * samples
    at = 2 * data.draw(st.integers(0, len(sound) // 2))
    assert loudspeaker.take(at) == sound[:at]
    cut = data.draw(st.sampled_from("abc"))
    loudspeaker.cut(cut, 0)
    assert loudspeaker.take(len(sound) + 1) == sound[at:].replace(cut.encode(), b"")
    heard = [
        item for item, _, n in loudspeaker.cues.heard(loudspeaker._taken - loudspeaker._reported) for _ in range(n)
    ]
    assert "".join(heard).encode() == sound.replace(cut.encode(), b"")


async def test_the_tape_keeps_what_sounded() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.tape = bytearray()
    loudspeaker.play(b"\1\1\2\2\3\3")
    loudspeaker.take(4)
    loudspeaker.flush()
    assert loudspeaker.tape == b"\1\1\2\2"


async def test_a_thread_takes_while_trio_plays() -> None:
    loudspeaker = Loudspeaker()
    spoken = [number.to_bytes(2, "little") for number in range(20_000)]
    over = threading.Event()
    heard = bytearray()

    def audio_thread() -> None:
        while not over.is_set() or loudspeaker.queued:
            heard.extend(loudspeaker.take(64))

    reports: list[int] = []
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loudspeaker.report, lambda item_id, content_index, nbytes: reports.append(nbytes))

            async def play() -> None:
                for piece in spoken:
                    loudspeaker.cues.note("item", 0, 2)
                    loudspeaker.play(piece)
                    await trio.lowlevel.checkpoint()
                over.set()

            nursery.start_soon(play)
            await trio.to_thread.run_sync(audio_thread)
            await wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
    assert bytes(heard) == b"".join(spoken)
    assert sum(reports) == len(heard)
