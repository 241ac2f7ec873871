"""Many pipelines, and endless ones: what they hold does not grow with what went through."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from tests.voice.scripted import STT, TURN, Course, StreamingSTT, course, paced, silence, tone
from tests.voice.test_pipeline import REPEAT, by_loudness, pipeline
from trio_codex.voice import SimpleWorkflow, VoiceStreamEventAudio


async def test_two_hundred_pipelines(autojump_clock: MockClock) -> None:
    done: list[Course] = []

    async def one(number: int) -> None:
        stt = StreamingSTT(f"number {number}")
        done.append(await course(pipeline(stt=stt), paced(tone(300), silence(1200)), played=True))

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(one, number)
    assert len(done) == 200
    assert all(found.names[-4:] == [*TURN, "session_ended"] for found in done)
    assert {found.result.text for found in done} == {f"You said: number {number}" for number in range(200)}


@pytest.mark.deadline(1000)
async def test_an_endless_input_is_not_kept(autojump_clock: MockClock) -> None:
    sizes: list[int] = []

    async def audio() -> AsyncIterator[bytes]:
        for at in range(1200):
            await trio.sleep(0.1)
            if at % 300 == 299:
                sizes.append(tracemalloc.get_traced_memory()[0])
            yield bytes(tone(100) if at % 40 < 3 else silence(100))

    stt = STT(*["word"] * 30)
    tracemalloc.start()
    try:
        line = by_loudness(REPEAT, stt)
        async with line.run(audio()) as result:
            async for event in result:
                if isinstance(event, VoiceStreamEventAudio):
                    await trio.sleep(len(event.data) / 48_000)
                stt.heard.clear()
    finally:
        tracemalloc.stop()
    assert len(result.transcripts) == 30
    assert max(sizes) - sizes[0] < 200_000  # of 6 MB that went through


@pytest.mark.deadline(1000)
async def test_an_utterance_without_an_end_is_understood_in_parts(autojump_clock: MockClock) -> None:
    stt = STT(*map(str, range(9)))
    found = await course(by_loudness(SimpleWorkflow(lambda t: None), stt), paced(*[tone(200), silence(100)] * 500))
    assert found.result.transcripts == ["0", "1", "2"]
    assert [len(pcm) // 48_000 for pcm in stt.heard] == [60, 60, 30]
