"""Barge-in and silences: who speaks when somebody else does, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st

from tests.voice.scripted import STT, TTS, TURN, StreamingSTT, course, paced, silence, tone
from tests.voice.test_pipeline import REPEAT, pipeline
from trio_codex.voice import (
    Send,
    SimpleWorkflow,
    StreamedAudioInput,
    STTSettings,
    Transcript,
    Turn,
    VoicePipeline,
    VoiceResult,
    VoiceStreamEventAudio,
    VoiceStreamEventLifecycle,
)
from trio_codex.voice.inputs import Pace

CLOCK = "virtual"

LONG = "First I say this. Then I say that. After that comes the third. And the fourth. And the fifth."


class Noting:
    """A workflow that notes what happens to it."""

    def __init__(self, text: str = LONG, then: float = 0) -> None:
        self.text = text
        self.then = then
        self.notes: list[str] = []

    async def run(self, transcript: Transcript, send: Send) -> None:
        self.notes.append(f"asked {transcript}")
        try:
            await send(self.text)
            await trio.sleep(self.then)
        except trio.Cancelled:
            self.notes.append("cancelled")
            raise

    def on_interrupted(self, heard: str) -> None:
        self.notes.append(f"heard {heard!r}")


async def test_speech_while_the_agent_speaks_ends_its_turn() -> None:
    workflow, tts = Noting(then=60), TTS()
    audio = paced(tone(300), silence(1500), tone(300), silence(5000))
    found = await course(pipeline(workflow, stt=StreamingSTT("one", "two"), tts=tts), audio, played=True)
    assert found.names[:3] == ["turn_started", "audio", "turn_ended interrupted"]
    assert found.result.transcripts == ["one", "two"]
    assert 1.8 <= found.time_of("turn_ended") <= 2.1  # somebody speaks from 1.8 s on
    heard = "First I say this. Then I say that. After that comes the third. "  # in 1.3 s
    assert workflow.notes[:4] == ["asked one", "cancelled", f"heard {heard!r}", "asked two"]
    assert found.result.turns[0].text_heard == heard
    assert tts.active == 0


async def test_an_answer_can_be_interrupted_until_its_last_sound_is_taken() -> None:
    """All of it is made by then, and waits to be taken."""
    audio = paced(tone(300), silence(600), tone(300), silence(3000))
    line = pipeline(
        SimpleWorkflow(lambda _: "Twenty-five letters here."), stt=StreamingSTT("one", "two"), tts=TTS(speed=50)
    )
    found = await course(line, audio, played=True)
    assert found.names == ["turn_started", "turn_ended", *TURN[:2], "turn_ended interrupted", *TURN, "session_ended"]


async def test_nothing_of_an_interrupted_turn_is_played_any_more() -> None:
    audio = paced(tone(300), silence(1500), tone(2000), silence(6000))
    turn = 0
    async with pipeline(SimpleWorkflow(lambda _: LONG), stt=StreamingSTT("one", "two")).run(audio) as result:
        async for event in result:
            match event:
                case VoiceStreamEventLifecycle(event="turn_started", turn=turn):
                    pass
                case VoiceStreamEventAudio(data=pcm):
                    assert event.turn == turn
                    assert not result.turns[turn - 1].interrupted
                    await trio.sleep(len(pcm) / 48_000)
    heard = result.turns[1].text_heard
    assert result.turns[1].interrupted
    assert LONG.startswith(heard)
    assert heard
    assert result.text.splitlines() == [heard, LONG]


async def test_a_listener_who_sleeps_gets_the_end_of_the_turn_first() -> None:
    audio = paced(tone(300), silence(1500), tone(300), silence(9000))
    seen: list[Any] = []
    async with pipeline(Noting(), stt=StreamingSTT("one", "two")).run(audio) as result:
        seen += [await anext(result), await anext(result)]
        await trio.sleep(2)
        async for event in result:
            seen.append(event)
            if isinstance(event, VoiceStreamEventAudio):
                await trio.sleep(len(event.data) / 48_000)
    assert seen[2] == VoiceStreamEventLifecycle("turn_ended", 1, interrupted=True)
    assert result.turns[0].text_heard == ""


async def test_speech_ends_a_greeting() -> None:
    workflow = SimpleWorkflow(lambda t: t, greeting=LONG)
    audio = paced(silence(1000), tone(500), silence(2000))
    found = await course(pipeline(workflow, stt=StreamingSTT("yes")), audio, played=True)
    assert found.names == ["turn_started", "audio", "turn_ended interrupted", *TURN, "session_ended"]
    assert found.result.text == "First I say this. Then I say that. After\nyes"


async def test_who_goes_on_speaking_while_their_words_are_transcribed_is_not_spoken_over() -> None:
    workflow = Noting()
    audio = paced(tone(300), silence(100), tone(2000), silence(9000))
    line = pipeline(workflow, stt=StreamingSTT("one", "two", delay=0.5))
    found = await course(line, audio, played=True)
    assert found.names == ["turn_started", "turn_ended interrupted", *TURN, "session_ended"]
    assert workflow.notes[-1] == "asked two"
    assert "heard ''" in workflow.notes


async def test_a_last_turn_that_the_end_of_the_input_ends_is_answered() -> None:
    class Hasty(StreamingSTT):
        """It does not say that somebody has stopped speaking when the input ends."""

        @asynccontextmanager
        async def open_stream(self, settings: STTSettings) -> AsyncIterator[Any]:
            async with super().open_stream(settings) as stream:

                async def end_of_turn() -> None:
                    await stream._heard.send(await self.transcribe(stream._utterance, settings))

                stream.end_of_turn = end_of_turn
                yield stream

    found = await course(pipeline(REPEAT, stt=Hasty("yes")), paced(tone(500)), played=True)
    assert found.names[-4:] == [*TURN, "session_ended"]
    assert found.result.text == "yes"


async def test_without_barge_in_everybody_is_answered_in_full() -> None:
    workflow = Noting()
    audio = paced(tone(300), silence(1500), tone(300), silence(100), tone(300), silence(100))
    line = pipeline(workflow, stt=StreamingSTT("one", "two", "three"), barge_in=False)
    found = await course(line, audio, played=True)
    assert found.names == [*TURN * 3, "session_ended"]
    assert workflow.notes == ["asked one", "asked two", "asked three"]
    assert found.result.text == "\n".join([LONG] * 3)


async def test_a_burst_after_a_pause_is_live() -> None:
    audio = StreamedAudioInput()
    async with pipeline(Noting(), stt=StreamingSTT("one", "two")).run(audio) as result:
        await audio.send(tone(2000) + silence(500))
        names = []
        async for event in result:
            if isinstance(event, VoiceStreamEventLifecycle):
                names.append((event.event, event.interrupted))
                if event.event == "turn_ended" and event.turn == 1:
                    await audio.aclose()
            elif event.turn == 1 and not names[1:]:
                await trio.sleep(len(event.data) / 48_000)
                if len(result.turns[0].text_heard) > 20:
                    await audio.send(silence(200) + tone(2000) + silence(500))
    assert names[:3] == [("turn_started", False), ("turn_ended", True), ("turn_started", False)]
    assert result.transcripts == ["one", "two"]


def test_pace() -> None:
    live, recording = Pace(), Pace()
    assert not live.is_live(0)
    for _ in range(20):
        live.came(4800, waited=0.1)
    assert live.is_live(2000)
    for _ in range(20):
        recording.came(4800, waited=0)
    assert not recording.is_live(0)
    live.came(48_000 * 3, waited=60)  # a burst after a pause
    live.came(48_000 * 3, waited=0)
    assert live.is_live(5300)
    assert not live.is_live(6000)


# --- what was heard ------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.integers(0, 9)), max_size=6), st.data())
def test_what_was_heard_is_the_beginning_of_what_was_said(
    sentences: list[tuple[str, int]], data: st.DataObject
) -> None:
    turn, total = Turn(1), 0
    heard: list[str] = []
    for text, pieces in sentences:
        turn.begin(text)
        for _ in range(pieces):
            turn.add(480)
            total += 480
        if data.draw(st.booleans()):
            turn.take(data.draw(st.integers(0, total // 480)) * 480)
            total = 0
        turn.end()
        heard.append(turn.text_heard)
        assert turn.text.startswith(turn.text_heard)
    assert heard == sorted(heard, key=len)


def test_words_are_heard_by_their_share_of_the_audio() -> None:
    turn = Turn(1)
    turn.begin("One two three four. ")
    for _ in range(20):
        turn.add(4800)
    turn.end()
    heard = []
    for _ in range(20):
        turn.take(4800)
        heard.append(turn.text_heard)
    assert heard[3] == "One"
    assert heard[9] == "One two"
    assert heard[-2] == "One two three four."[: len(heard[-2])]
    assert heard[-1] == "One two three four. "


async def run_with_loudspeaker(audio: AsyncIterator[bytes], *, reports: int) -> list[tuple[str, bool, str]]:
    """A listener takes audio at once and keeps it; the loudspeaker plays it in its time, and reports the first so many pieces."""
    into, out = trio.open_memory_channel[bytes](1000)
    ended: list[tuple[str, bool, str]] = []

    async def play(result: VoiceResult) -> None:
        count = 0
        async for pcm in out:
            await trio.sleep(len(pcm) / 48_000)
            count += 1
            if count <= reports:
                result.played(len(pcm))
                result.played(-(10**9))  # nobody plays less than nothing

    line = pipeline(Noting(), stt=StreamingSTT("one", "two"), tts=TTS(speed=50))
    async with line.run(audio) as result, trio.open_nursery() as nursery:
        nursery.start_soon(play, result)
        async for event in result:
            if isinstance(event, VoiceStreamEventAudio):
                into.send_nowait(event.data)
            elif isinstance(event, VoiceStreamEventLifecycle) and event.event == "turn_ended":
                while event.interrupted and out.statistics().current_buffer_used:
                    out.receive_nowait()
                turn = result.turns[event.turn - 1]
                ended.append((turn.text_heard, turn.interrupted, f"{trio.current_time():.1f}"))
        into.close()
    return ended


async def test_a_loudspeaker_reports_what_was_heard() -> None:
    audio = paced(tone(300), silence(1500), tone(300), silence(5000))
    heard = await run_with_loudspeaker(audio, reports=10**6)
    assert [interrupted for _, interrupted, _ in heard] == [True, False]
    assert LONG.startswith(heard[0][0])
    assert 20 < len(heard[0][0]) < 80  # of 93; all of it was taken long before
    assert heard[1][0] == LONG


async def test_a_loudspeaker_that_stops_reporting_does_not_hold_the_conversation_for_ever() -> None:
    heard = await run_with_loudspeaker(paced(tone(300), silence(20_000)), reports=3)
    assert heard[0][1] is False
    assert 6 < float(heard[0][2]) < 9


# --- silences ------------------------------------------------------------------------------------------------------------


async def test_a_word_into_the_silence() -> None:
    line = pipeline(SimpleWorkflow(lambda t: t, greeting="Hello."), stt=StreamingSTT("yes"))

    @line.on_silence(after=3)
    def still_there(times: int) -> str:
        return f"Are you still there? {times}"

    audio = paced(silence(8000), tone(500), silence(5000))
    found = await course(line, audio, played=True)
    lines = found.result.text.splitlines()
    assert lines == ["Hello.", "Are you still there? 1", "Are you still there? 2", "yes", "Are you still there? 1"]
    assert found.names == [*TURN * 5, "session_ended"]
    assert found.time_of("turn_started", 2) == pytest.approx(found.time_of("turn_ended", 1) + 3, abs=0.1)
    assert found.time_of("turn_started", 5) == pytest.approx(found.time_of("turn_ended", 4) + 3, abs=0.1)


async def test_there_is_no_silence_while_somebody_speaks() -> None:
    line = pipeline(SimpleWorkflow(lambda t: t), stt=StreamingSTT("yes"))
    line.on_silence(after=2)(lambda: "Hello?")
    found = await course(line, paced(tone(9000), silence(1500)), played=True)
    assert found.result.text == "yes"


async def test_a_recording_has_no_silences() -> None:
    from trio_codex.voice import AudioInput

    line = pipeline(REPEAT, stt=STT("yes", delay=9))
    line.on_silence(after=2)(lambda: "Hello?")
    found = await course(line, AudioInput(tone(100)))
    assert found.result.text == "yes"


async def test_an_async_generator_speaks_into_the_silence() -> None:
    line = pipeline(REPEAT, stt=StreamingSTT())

    @line.on_silence(after=2)
    async def muse(times: int, send: Send) -> AsyncIterator[str]:
        yield "Well, "
        yield "well."

    found = await course(line, paced(silence(3000)), played=True)
    assert found.result.text == "Well, well."
    assert isinstance(line, VoicePipeline)
