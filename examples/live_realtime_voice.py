"""A spoken conversation through your microphone and loudspeaker, until Ctrl-C.

Wear headphones: nothing here takes the echo out, so an agent that hears itself cuts itself off. Needs the extra `mic`.

    python examples/live_realtime_voice.py [--openai | --local]
"""

from contextlib import AsyncExitStack, suppress

import trio
from support import finish, open_endpoint

from trio_codex import Agent, SemanticVAD, SessionSettings, Transcription, events, open_realtime_session
from trio_codex.device import SoundDevice, open_sound_device
from trio_codex.errors import ConfigurationError


async def main() -> None:
    async with AsyncExitStack() as stack:
        try:
            device = await stack.enter_async_context(open_sound_device())
        except ConfigurationError as error:
            print(f"SKIPPED: no sound device ({error})")
            return
        await talk(device)


async def talk(device: SoundDevice) -> None:
    agent = Agent(name="VoiceAssistant", instructions="You are concise and helpful.")
    settings = SessionSettings(
        voice="alloy",
        turn_detection=SemanticVAD(eagerness="medium"),
        transcription=Transcription(model="gpt-transcribe"),
    )
    async with (
        open_endpoint() as endpoint,
        open_realtime_session(agent, settings=settings, endpoint=endpoint) as session,
        device.attach(session),
    ):
        print("Speak; Ctrl-C ends.", flush=True)
        answering = False
        async for event in session:
            match event:
                case events.InputTranscriptEvent(transcript=words, final=True):
                    print("\n" * answering + f"you: {words}", flush=True)
                    answering = False
                case events.TranscriptDeltaEvent(delta=words):
                    print(words if answering else f"{session.current_agent.name}: {words}", end="", flush=True)
                    answering = True
                case events.AudioInterruptedEvent(heard_ms=heard_ms):
                    print("\n" * answering + f"[you cut in after {heard_ms / 1000:.1f} s]", flush=True)
                    answering = False
                case events.ResponseDoneEvent():
                    print("\n" * answering, end="", flush=True)
                    answering = False
                case events.ErrorEvent(error=error):
                    await finish(error, endpoint)


with suppress(KeyboardInterrupt):
    trio.run(main)
