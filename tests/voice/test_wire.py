"""What a pipeline leaves on the wire: nothing. A request for speech ends when somebody leaves, or speaks."""

from __future__ import annotations

import trio

from tests.test_http import serving
from tests.voice.scripted import STT, StreamingSTT, paced, silence, tone
from trio_codex import Endpoint
from trio_codex.voice import (
    AudioInput,
    SimpleWorkflow,
    VoicePipeline,
    VoiceStreamEventAudio,
    VoiceStreamEventLifecycle,
)

CLOCK = "real"

ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER = SimpleWorkflow(lambda transcript: "This is said for ever.")


async def test_leaving_ends_the_request() -> None:
    async with serving(ENDLESS) as server:
        line = VoicePipeline(ANSWER, endpoint=Endpoint.custom(server.url), stt_model=STT("hello"))
        async with line.run(AudioInput(tone(100))) as result:
            async for event in result:
                if isinstance(event, VoiceStreamEventAudio):
                    break
            assert not server.ended.is_set()
        with trio.fail_after(60):
            await server.ended.wait()
    assert len(server.asked) == 1
    assert server.asked[0].startswith(b"POST /v1/audio/speech")


async def test_speech_ends_the_request() -> None:
    async with serving(ENDLESS) as server:
        line = VoicePipeline(ANSWER, endpoint=Endpoint.custom(server.url), stt_model=StreamingSTT("one", "two"))
        audio = paced(tone(200), silence(100), silence(900), tone(200), silence(300), silence(30_000))
        ended: list[bool] = []
        async with line.run(audio) as result:
            async for event in result:
                if isinstance(event, VoiceStreamEventLifecycle) and event.event == "turn_ended":
                    ended.append(event.interrupted)
                    if event.interrupted and event.turn > 1:
                        break
            with trio.fail_after(60):
                await server.ended.wait()  # the run goes on meanwhile
    assert ended == [False, True]
