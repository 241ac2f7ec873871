"""The voice pipeline: speech to text, a function of your own, text to speech.

python examples/voice_pipeline.py [FILE.wav] [--openai | --local]
"""

import trio
from support import finish, open_endpoint, recording, write

from trio_codex.voice import (
    AudioInput,
    SimpleWorkflow,
    STTSettings,
    TTSSettings,
    VoiceConfig,
    VoicePipeline,
    VoiceStreamEventAudio,
    VoiceStreamEventError,
    VoiceStreamEventLifecycle,
)

workflow = SimpleWorkflow(
    lambda transcript: [f"You said: {transcript}.", "That is all I have to say about it."],
    greeting="Hello! I am listening.",
)
config = VoiceConfig(
    workflow_name="voice_demo",
    stt_settings=STTSettings(model="gpt-4o-transcribe"),
    tts_settings=TTSSettings(model="gpt-4o-mini-tts", voice="nova"),
)


async def main() -> None:
    async with open_endpoint() as endpoint:
        pipeline = VoicePipeline(workflow, config=config, endpoint=endpoint)
        reply = bytearray()
        async with pipeline.run(AudioInput.from_wav(recording("02-weather.wav"))) as result:
            async for event in result:
                match event:
                    case VoiceStreamEventAudio(data=pcm):
                        reply += pcm
                    case VoiceStreamEventLifecycle(event=name):
                        print(f"[{name}]")
                    case VoiceStreamEventError(error=error):
                        await finish(error, endpoint)
        print(f"you: {result.transcripts[0]}\nagent: {result.text}")
        write("voice_pipeline.wav", reply)


trio.run(main)
