"""A spoken conversation of several turns: audio comes as a microphone gives it, and whoever speaks is listened to.

python examples/voice_multi_turn.py [--openai | --local]
"""

from contextlib import suppress

import trio
from support import finish, open_endpoint, recording, write

from trio_codex.audio import read_wav
from trio_codex.voice import (
    SimpleWorkflow,
    StreamedAudioInput,
    VoicePipeline,
    VoiceStreamEventAudio,
    VoiceStreamEventError,
    VoiceStreamEventLifecycle,
)

CHUNK = 4800  # 100 ms
workflow = SimpleWorkflow(lambda transcript: f"You said: {transcript}.", greeting="Hello!")


async def speak(audio: StreamedAudioInput, heard: trio.MemoryReceiveChannel[None]) -> None:
    """Say one thing after the other, each when the answer to the one before was heard."""
    with suppress(trio.BrokenResourceError):  # nobody listens any more: something failed
        for name in ("01-greeting.wav", "02-weather.wav", "03-problem.wav"):
            await heard.receive()
            pcm = read_wav(recording(name)).pcm24k() + bytes(CHUNK * 13)  # a silence ends the turn
            for at in range(0, len(pcm), CHUNK):
                await audio.send(pcm[at : at + CHUNK])
                await trio.sleep(0.1)
        await heard.receive()
    await audio.aclose()


async def main() -> None:
    audio = StreamedAudioInput()
    tell, heard = trio.open_memory_channel[None](10)
    reply = bytearray()
    failure: Exception | None = None
    async with open_endpoint() as endpoint:
        pipeline = VoicePipeline(workflow, endpoint=endpoint)
        async with pipeline.run(audio) as result, trio.open_nursery() as nursery:
            nursery.start_soon(speak, audio, heard)
            async for event in result:
                match event:
                    case VoiceStreamEventAudio(data=pcm):
                        reply += pcm
                        await trio.sleep(len(pcm) / 48_000)  # where a loudspeaker plays it
                    case VoiceStreamEventLifecycle(event="turn_ended"):
                        turn = result.turns[-1]
                        if turn.transcript is not None:
                            print(f"you: {turn.transcript}")
                        print(f"agent: {turn.text}")
                        tell.send_nowait(None)
                    case VoiceStreamEventError():
                        failure = event.error
            nursery.cancel_scope.cancel()
        if failure is not None:
            await finish(failure, endpoint)
    print(f"{len(result.transcripts)} turns")
    write("voice_multi_turn.wav", reply)


trio.run(main)
