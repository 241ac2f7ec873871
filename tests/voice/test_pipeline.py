"""A run of a pipeline: which events come in which order, what is on the result, and what comes of bad input."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from tests.voice.scripted import STT, TTS, TURN, Course, StreamingSTT, course, paced, silence, tone
from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.voice import (
    AudioInput,
    Send,
    SimpleWorkflow,
    Stage,
    StreamedAudioInput,
    STTSettings,
    Transcript,
    TTSSettings,
    VoiceConfig,
    VoicePipeline,
    VoiceStreamEventAudio,
)
from trio_codex.voice.ears import listening
from trio_codex.voice.mouth import speaking
from trio_codex.voice.sentences import splitting
from trio_codex.voice.turns import LoudnessDetector
from trio_codex.voice.workflows import answering

CLOCK = "virtual"

ECHO = SimpleWorkflow(lambda transcript: [f"You said: {transcript}"], greeting="Hello! I am listening.")
REPEAT = SimpleWorkflow(lambda transcript: transcript)


def pipeline(workflow: Any = ECHO, *, stt: Any = None, tts: Any = None, **config: Any) -> VoicePipeline:
    return VoicePipeline(
        workflow, config=VoiceConfig(**config), stt_model=stt or STT("hello there"), tts_model=tts or TTS()
    )


def by_loudness(workflow: Any, stt: STT) -> VoicePipeline:
    """A pipeline that finds turns by itself, in tones."""
    ears = listening(stt, detector=partial(LoudnessDetector, silence_duration_ms=300))
    return VoicePipeline(stages=ears | answering(workflow) | splitting() | speaking(TTS()))


# --- the course of things ------------------------------------------------------------------------------------------------


async def test_a_recording_is_one_turn_without_a_greeting() -> None:
    stt, tts = STT("hello there"), TTS()
    found = await course(pipeline(stt=stt, tts=tts), AudioInput(tone(500)))
    assert found.names == [*TURN, "session_ended"]
    assert found.result.transcripts == ["hello there"]
    assert found.result.text == "You said: hello there"
    assert tts.said == ["You said: hello there"]
    assert stt.heard == [tone(500)]
    assert found.audio == tone(20 * len(tts.said[0]))


async def test_a_stream_begins_with_a_greeting_and_has_as_many_turns_as_people_speak() -> None:
    stt = StreamingSTT("one", "two", "three")
    audio = paced(*[tone(400), silence(6000)] * 3)
    found = await course(pipeline(stt=stt), audio, played=True)
    assert found.names == ["turn_started", "turn_ended interrupted", *TURN * 3, "session_ended"]
    assert found.result.transcripts == ["one", "two", "three"]
    assert found.result.text == "You said: one\nYou said: two\nYou said: three"


async def test_a_workflow_without_a_greeting_greets_in_silence() -> None:
    found = await course(pipeline(SimpleWorkflow(lambda _: "Yes."), stt=StreamingSTT()), paced(silence(500)))
    assert found.names == ["turn_started", "turn_ended", "session_ended"]


async def test_a_workflow_that_has_no_on_start_does_not_greet() -> None:
    class Plain:
        async def run(self, transcript: Transcript, send: Send) -> None:
            await send(f"{transcript} indeed")

    found = await course(pipeline(Plain(), stt=StreamingSTT("yes")), paced(tone(300), silence(300)))
    assert found.names == [*TURN, "session_ended"]
    assert found.result.text == "yes indeed"


async def test_a_workflow_may_give_what_it_says() -> None:
    class Giving:
        def on_start(self) -> list[str]:
            return ["Hello.", "Well?"]

        async def run(self, transcript: Transcript) -> AsyncIterator[str]:
            yield f"{transcript}, "
            yield f"{transcript.text}!"

    found = await course(pipeline(Giving(), stt=StreamingSTT("yes")), paced(silence(2000), tone(300), silence(300)))
    assert found.names == [*TURN, *TURN, "session_ended"]
    assert found.result.text == "Hello.\nWell?\nyes, yes!"


async def test_a_stream_that_is_over_at_once() -> None:
    async with StreamedAudioInput() as audio:
        pass
    found = await course(pipeline(stt=StreamingSTT()), audio)
    assert found.names == [*TURN, "session_ended"]
    assert found.result.text == "Hello! I am listening."


async def test_a_model_that_does_not_find_turns_gets_them_cut() -> None:
    stt = STT("one", "two")
    audio = paced(silence(500), tone(800), silence(4000), tone(600), silence(4000))
    found = await course(by_loudness(REPEAT, stt), audio, played=True)
    assert found.result.transcripts == ["one", "two"]
    assert stt.heard == [silence(300) + tone(800) + silence(300), silence(300) + tone(600) + silence(300)]
    assert found.names[2:] == [*TURN * 2, "session_ended"]


async def test_a_recording_that_is_sent_as_a_stream_is_answered_turn_by_turn() -> None:
    async def send(audio: StreamedAudioInput) -> None:
        async with audio:
            for _ in range(12):
                await audio.send(tone(400) + silence(800))

    stt = StreamingSTT(*map(str, range(12)))
    audio = StreamedAudioInput()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, audio)
        found = await course(pipeline(REPEAT, stt=stt), audio, played=True)
    assert found.names == ["turn_started", "turn_ended", *TURN * 12, "session_ended"]
    assert found.result.transcripts == [str(number) for number in range(12)]


async def test_blank_transcripts_of_a_stream_make_no_turns() -> None:
    stt = StreamingSTT("", "  ", "yes")
    found = await course(pipeline(REPEAT, stt=stt), paced(*[tone(300), silence(900)] * 3))
    assert found.result.transcripts == ["yes"]


async def test_the_first_audio_comes_with_the_first_sentence() -> None:
    text = "I am here. " + " ".join(["and this is a long sentence that goes on"] * 5) + "."

    async def write(transcript: str) -> AsyncIterator[str]:
        for at in range(0, len(text), 4):
            await trio.sleep(0.05)
            yield text[at : at + 4]

    found = await course(pipeline(SimpleWorkflow(write)), AudioInput(tone(100)))
    assert found.time_of("audio") < 0.05 + 0.15 + 0.1 + 0.02
    assert found.result.text == text
    assert found.times[-1] > 2


# --- other stages --------------------------------------------------------------------------------------------------------


async def test_stages_of_ones_own() -> None:
    @Stage
    async def shout(receive: trio.MemoryReceiveChannel[str], send: trio.MemorySendChannel[str]) -> None:
        async for text in receive:
            await send.send(text.upper())

    tts = TTS()
    stages = listening(StreamingSTT("hi")) | answering(ECHO) | shout | splitting() | speaking(tts)
    found = await course(VoicePipeline(stages=stages), paced(tone(200), silence(9000)), played=True)
    assert tts.said[-1] == "YOU SAID: HI"
    assert found.result.text == "YOU SAID: HI"
    assert found.names[-4:] == [*TURN, "session_ended"]


async def test_stages_that_know_nothing_of_speech() -> None:
    @Stage
    async def count(receive: trio.MemoryReceiveChannel[bytes], send: trio.MemorySendChannel[int]) -> None:
        await send.send(sum([len(pcm) async for pcm in receive]))

    @Stage
    async def hum(receive: trio.MemoryReceiveChannel[int], send: trio.MemorySendChannel[bytes]) -> None:
        async for number in receive:
            await send.send(bytes(number - 1))
            await send.send(b"\1\2\3")

    found = await course(VoicePipeline(stages=count | hum), AudioInput(tone(100)))
    assert found.names == [*TURN, "session_ended"]
    assert found.audio == bytes(4799) + b"\1\2\3"[:1] + b"\2\3"
    assert all(len(event.data) % 2 == 0 for event in found.events if isinstance(event, VoiceStreamEventAudio))


async def test_a_stage_that_has_enough_ends_the_ones_before_it() -> None:
    @Stage
    async def first_only(receive: trio.MemoryReceiveChannel[str], send: trio.MemorySendChannel[str]) -> None:
        await send.send(await receive.receive())

    async def chatter(transcript: str, send: Send) -> None:
        while True:
            await send("More.\n")

    stages = listening(STT("hi")) | answering(SimpleWorkflow(chatter)) | splitting() | first_only | speaking(TTS())
    found = await course(VoicePipeline(stages=stages), AudioInput(tone(100)))
    assert found.names == [*TURN, "session_ended"]
    assert found.result.text == "More.\n"


@pytest.mark.parametrize("stages", [listening(STT()), speaking(TTS())])
def test_one_stage_is_not_enough(stages: Stage[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match="at least two stages"):
        VoicePipeline(stages=stages)


def test_a_pipeline_has_a_workflow_or_stages() -> None:
    with pytest.raises(ConfigurationError, match="needs a workflow"):
        VoicePipeline()
    with pytest.raises(ConfigurationError, match="either stages or"):
        VoicePipeline(ECHO, stages=listening(STT()) | answering(ECHO))


# --- bad input -----------------------------------------------------------------------------------------------------------


async def test_empty_audio_asks_nothing_of_anybody() -> None:
    stt = STT("never")
    found = await course(pipeline(stt=stt), AudioInput(b""))
    assert found.names == ["session_ended"]
    assert stt.heard == []


async def test_silence_is_transcribed_and_answered_when_it_is_a_recording() -> None:
    found = await course(pipeline(SimpleWorkflow(lambda t: f"I heard {t!r}."), stt=STT("")), AudioInput(silence(500)))
    assert found.names == [*TURN, "session_ended"]
    assert found.result.transcripts == [""]
    assert found.result.text == "I heard ''."


async def test_silence_in_a_stream_is_no_turn() -> None:
    stt = STT("never")
    found = await course(pipeline(stt=stt), paced(silence(3000)))
    assert found.result.transcripts == []
    assert stt.heard == []


async def test_speech_to_text_that_fails() -> None:
    error = VoiceError("no")
    found = await course(pipeline(stt=STT(error)), AudioInput(tone(100)))
    assert found.names == ["error", "session_ended"]
    assert found.errors == [error]


@pytest.mark.parametrize("model", [STT, StreamingSTT])
async def test_speech_to_text_that_fails_in_mid_stream(model: type[STT]) -> None:
    error = VoiceError("no")
    audio = paced(*[tone(600), silence(4000)] * 5)
    stt = model("one", error)
    line = pipeline(REPEAT, stt=stt) if model is StreamingSTT else by_loudness(REPEAT, stt)
    found = await course(line, audio, played=True)
    assert found.names[2:] == [*TURN, "error", "session_ended"]
    assert found.errors == [error]


async def test_speech_to_text_that_fails_while_the_agent_speaks_ends_its_turn() -> None:
    class Broken(StreamingSTT):
        async def transcribe(self, pcm: bytes, settings: STTSettings) -> Transcript:
            transcript = await super().transcribe(pcm, settings)
            if transcript.text == "two":
                raise VoiceError("no")
            return transcript

    audio = paced(tone(300), silence(200), tone(300), silence(9000))
    workflow = SimpleWorkflow(lambda _: "This takes quite a while to say.")
    found = await course(pipeline(workflow, stt=Broken("one", "two"), barge_in=False), audio, played=True)
    assert found.names[2:] == [*TURN[:2], "error", "turn_ended", "session_ended"]


class BoomError(Exception):
    pass


def boom(*_: object) -> str:
    raise BoomError


@pytest.mark.parametrize(
    ("workflow", "names"),
    [
        (SimpleWorkflow(boom), ["turn_started", "error", "turn_ended", "session_ended"]),
        (SimpleWorkflow(lambda t: 7), ["turn_started", "error", "turn_ended", "session_ended"]),
        (SimpleWorkflow(lambda t: [7]), ["turn_started", "error", "turn_ended", "session_ended"]),
        (SimpleWorkflow(lambda t: None), ["turn_started", "turn_ended", "session_ended"]),
        (SimpleWorkflow(lambda t: []), ["turn_started", "turn_ended", "session_ended"]),
        (SimpleWorkflow(lambda t: ["", "…", " "]), ["turn_started", "turn_ended", "session_ended"]),
    ],
    ids=["raises", "no text", "no text in a list", "None", "nothing", "nothing to speak"],
)
async def test_a_workflow_that_raises_or_says_nothing(workflow: SimpleWorkflow, names: list[str]) -> None:
    tts = TTS()
    found = await course(pipeline(workflow, tts=tts), AudioInput(tone(100)))
    assert found.names == names
    assert tts.said == []


async def fails_after_five(transcript: str) -> AsyncIterator[str]:
    for number in range(1, 6):
        yield f"This is number {number}. "
    yield "And then"
    raise BoomError


SAID_BY_THEN = "".join(f"This is number {number}. " for number in range(1, 6)) + "And then"


@pytest.mark.parametrize("speed", [0.5, 100])
async def test_what_was_said_before_an_error_is_spoken_to_its_last_word(speed: float) -> None:
    found = await course(pipeline(SimpleWorkflow(fails_after_five), tts=TTS(speed=speed)), AudioInput(tone(100)))
    assert found.names == ["turn_started", "audio", "error", "turn_ended", "session_ended"]
    assert [type(error) for error in found.errors] == [BoomError]
    assert found.result.text == SAID_BY_THEN
    assert len(found.audio) == sum(len(tone(20 * len(text))) for text in [*["This is number 1."] * 5, "And then"])


async def test_an_error_is_told_though_somebody_cuts_in_before_its_time() -> None:
    audio = paced(tone(300), silence(1000), tone(300), silence(3000))
    line = pipeline(SimpleWorkflow(fails_after_five), stt=StreamingSTT("one", "two"))
    found = await course(line, audio, played=True)
    assert found.names[2:] == ["turn_started", "audio", "error", "turn_ended interrupted", "session_ended"]
    assert isinstance(found.errors[0], BoomError)
    assert SAID_BY_THEN.startswith(found.result.text)


async def test_a_stage_that_fails_ends_those_before_it_and_not_those_behind() -> None:
    ended: list[str] = []

    async def write(transcript: str, send: Send) -> None:
        await send("This goes through. ")
        try:
            await trio.sleep_forever()
        finally:
            ended.append("workflow")

    @Stage
    async def fragile(receive: trio.MemoryReceiveChannel[str], send: trio.MemorySendChannel[str]) -> None:
        await send.send(await receive.receive())
        raise BoomError

    stages = listening(STT("hi")) | answering(SimpleWorkflow(write)) | fragile | splitting() | speaking(TTS())
    found = await course(VoicePipeline(stages=stages), AudioInput(tone(100)))
    assert found.names == ["turn_started", "audio", "error", "turn_ended", "session_ended"]
    assert isinstance(found.errors[0], BoomError)
    assert found.result.text == "This goes through. "
    assert ended == ["workflow"]


async def test_a_greeting_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    workflow = SimpleWorkflow(lambda t: t, greeting=boom)
    found = await course(pipeline(workflow, stt=StreamingSTT("yes")), paced(silence(300), tone(300), silence(300)))
    assert found.names == ["turn_started", "turn_ended", *TURN, "session_ended"]
    assert "greeting" in caplog.text
    assert "BoomError" in caplog.text


@pytest.mark.parametrize("chunk", [1, 3, 1023, 4800, 100_001])
async def test_audio_comes_in_whole_samples(chunk: int) -> None:
    found = await course(pipeline(REPEAT, tts=TTS(chunk=chunk, ms_per_character=5)), AudioInput(tone(9)))
    audio = [event.data for event in found.events if isinstance(event, VoiceStreamEventAudio)]
    assert all(data and len(data) % 2 == 0 and len(data) <= 4800 for data in audio)
    assert found.audio == tone(5 * len("hello there"))


async def test_half_a_sample_at_the_end_is_dropped() -> None:
    class Half(TTS):
        @asynccontextmanager
        async def speak(self, text: str, settings: TTSSettings) -> AsyncIterator[AsyncIterator[bytes]]:
            async def chunks() -> AsyncIterator[bytes]:
                yield b"\1\0\2"
                yield b"\0\3"

            yield chunks()

    found = await course(pipeline(REPEAT, tts=Half()), AudioInput(tone(9)))
    assert found.audio == b"\1\0\2\0"
    assert found.names == [*TURN, "session_ended"]


async def test_text_to_speech_that_dies_in_the_middle() -> None:
    def die(text: str) -> None:
        if "two" in text:
            raise VoiceError("broke off")

    workflow = SimpleWorkflow(lambda t: ["Sentence one.", "Sentence two.", "Sentence three."])
    found = await course(pipeline(workflow, tts=TTS(before=die)), AudioInput(tone(100)))
    assert found.names == ["turn_started", "audio", "error", "turn_ended", "session_ended"]
    assert found.audio == tone(20 * len("Sentence one."))


@pytest.mark.parametrize("silent_from", [0, 2])
async def test_text_to_speech_that_falls_silent(silent_from: int) -> None:
    class Stuck(TTS):
        @asynccontextmanager
        async def speak(self, text: str, settings: TTSSettings) -> AsyncIterator[AsyncIterator[bytes]]:
            async def chunks() -> AsyncIterator[bytes]:
                for _ in range(silent_from):
                    yield bytes(4800)
                await trio.sleep_forever()

            yield chunks()

    found = await course(pipeline(tts=Stuck()), AudioInput(tone(100)))
    assert found.names[-3:] == ["error", "turn_ended", "session_ended"]
    [error] = found.errors
    assert isinstance(error, VoiceError)
    assert str(error) == "text-to-speech sent no audio for 30 s"
    assert 30 <= found.times[-1] < 31


@pytest.mark.deadline(1000)
async def test_a_slow_listener_is_not_taken_for_a_silent_model() -> None:
    async with pipeline(SimpleWorkflow(lambda t: "Yes."), tts=TTS(speed=100)).run(AudioInput(tone(9))) as result:
        found = Course(result)
        async for event in result:
            found.events.append(event)
            await trio.sleep(31)
    assert found.errors == []


@pytest.mark.parametrize("audio", [b"bytes", "text", None, 7])
async def test_what_is_no_input_is_refused(audio: Any) -> None:
    with pytest.raises(ConfigurationError, match="an async iterable of bytes"):
        async with pipeline().run(audio):
            pass


async def test_an_input_that_gives_no_bytes() -> None:
    async def texts() -> AsyncIterator[Any]:
        yield "hello"

    found = await course(pipeline(stt=StreamingSTT()), texts())
    assert found.names[-2:] == ["error", "session_ended"] or found.names[-3:] == [
        "error",
        "turn_ended",
        "session_ended",
    ]
    assert isinstance(found.errors[0], ConfigurationError)


async def test_an_input_that_fails() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield tone(100)
        await trio.sleep(9)
        raise BoomError

    found = await course(pipeline(stt=StreamingSTT()), broken())
    assert isinstance(found.errors[0], BoomError)
    assert found.names[-1] == "session_ended"


@pytest.mark.parametrize(
    "make",
    [
        lambda: VoiceConfig(prefetch=0),
        lambda: VoiceConfig(prefetch=2.5),  # type: ignore[arg-type]
        lambda: TTSSettings(model=""),
        lambda: TTSSettings(voice=" "),
        lambda: TTSSettings(voice={"name": "ash"}),
        lambda: STTSettings(model=""),
        lambda: STTSettings(language=""),
        lambda: STTSettings(temperature="hot"),  # type: ignore[arg-type]
        lambda: STTSettings(keywords=["yes", ""]),  # type: ignore[arg-type]
        lambda: STTSettings(response_format="srt"),  # type: ignore[arg-type]
        lambda: STTSettings(turn_detection=None),  # type: ignore[arg-type]
        lambda: VoicePipeline(ECHO, stt_model=""),
        lambda: pipeline().on_silence(after="2"),  # type: ignore[arg-type]
        lambda: AudioInput(b"", rate=8000.5),  # type: ignore[arg-type]
        lambda: TTSSettings(speed=5),
        lambda: TTSSettings(speed=float("nan")),
        lambda: STTSettings(temperature=2),
        lambda: VoicePipeline(object(), stt_model=STT(), tts_model=TTS()),  # type: ignore[arg-type]
        lambda: VoicePipeline(ECHO, stt_model=object(), tts_model=TTS()),  # type: ignore[arg-type]
        lambda: VoicePipeline(ECHO, stt_model=STT(), tts_model=object()),  # type: ignore[arg-type]
        lambda: SimpleWorkflow("no function"),  # type: ignore[arg-type]
        lambda: SimpleWorkflow(lambda a, b, c: ""),
        lambda: pipeline().on_silence(after=0),
        lambda: AudioInput("text"),  # type: ignore[arg-type]
        lambda: AudioInput(b"RIFF....WAVE"),
        lambda: StreamedAudioInput(room=0),
    ],
)
def test_what_cannot_work_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


# --- the block -----------------------------------------------------------------------------------------------------------


async def test_what_the_body_raises_comes_out_as_it_is() -> None:
    error = BoomError()
    with pytest.raises(BoomError) as raised:
        async with pipeline().run(AudioInput(tone(100))) as result:
            async for _ in result:
                raise error
    assert raised.value is error
    assert raised.value.__cause__ is None


async def test_without_a_key_nothing_begins() -> None:
    with pytest.raises(ConfigurationError, match="no API key found"):
        async with VoicePipeline(ECHO).run(AudioInput(tone(100))):
            pass


async def test_leaving_early_ends_requests() -> None:
    tts = TTS(delay=60)
    stt = STT("hello")
    async with pipeline(stt=stt, tts=tts).run(AudioInput(tone(100))) as result:
        await trio.sleep(1)
        assert tts.active == 1
    assert tts.active == 0
    with pytest.raises(trio.ClosedResourceError):
        await anext(result)


async def test_a_generator_of_audio_and_one_of_text_are_closed() -> None:
    ended: list[str] = []

    async def audio() -> AsyncIterator[bytes]:
        try:
            while True:
                await trio.sleep(0.1)
                yield tone(100)
                yield silence(100)
        finally:
            ended.append("audio")

    async def write(transcript: str) -> AsyncIterator[str]:
        try:
            while True:
                yield "More.\n"
        finally:
            ended.append("text")

    async with pipeline(SimpleWorkflow(write), stt=StreamingSTT("go"), barge_in=False).run(audio()) as result:
        async for event in result:
            if isinstance(event, VoiceStreamEventAudio):
                break
    assert sorted(ended) == ["audio", "text"]


async def test_a_sender_learns_that_nobody_listens_any_more() -> None:
    audio = StreamedAudioInput(room=2)
    async with pipeline(stt=StreamingSTT()).run(audio):
        await audio.send(tone(100))
    with pytest.raises(trio.BrokenResourceError):
        await audio.send(tone(100))


async def test_two_tasks_cannot_iterate_at_once() -> None:
    async with pipeline(stt=STT("x", delay=9)).run(AudioInput(tone(100))) as result, trio.open_nursery() as nursery:
        nursery.start_soon(anext, result)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(result)


async def test_a_stream_is_heard_once() -> None:
    async with StreamedAudioInput() as audio:
        pass
    await course(pipeline(stt=StreamingSTT()), audio)
    found = await course(pipeline(stt=StreamingSTT()), audio)
    assert "heard" in str(found.errors[0]) or "listens" in str(found.errors[0])


async def test_models_and_workflows_are_open_while_a_run_lasts() -> None:
    course_of: list[str] = []

    class Opened:
        def __init__(self, name: str, model: Any) -> None:
            self._name = name
            self._model = model

        @asynccontextmanager
        async def open(self) -> AsyncIterator[Any]:
            course_of.append(f"{self._name} opens")
            try:
                yield self._model
            finally:
                course_of.append(f"{self._name} closes")

        def transcribe(self) -> None: ...
        def run(self) -> None: ...
        def speak(self) -> None: ...

    line = pipeline(Opened("mind", ECHO), stt=Opened("ears", STT("hello")), tts=Opened("mouth", TTS()))
    for _ in range(2):
        found = await course(line, AudioInput(tone(100)))
        assert found.names == [*TURN, "session_ended"]
        assert course_of == ["ears opens", "mind opens", "mouth opens", "mouth closes", "mind closes", "ears closes"]
        course_of.clear()


async def test_what_opening_raises_comes_out_as_it_is() -> None:
    class Closed(STT):
        def open(self) -> Any:
            raise BoomError

    with pytest.raises(BoomError):
        async with pipeline(stt=Closed()).run(AudioInput(b"")):
            pass
