"""A first conversation: text in, speech out.

Runs against OpenAI when a key is set (CODEX_API_KEY, auth.json or OPENAI_API_KEY), else against a local server.

    python examples/realtime_basic.py [--openai | --local]
"""

import trio
from support import finish, open_endpoint

from trio_codex import Agent, SemanticVAD, SessionSettings, events, open_realtime_session


async def main() -> None:
    agent = Agent(name="VoiceAssistant", instructions="You are concise and helpful.")
    settings = SessionSettings(voice="alloy", turn_detection=SemanticVAD(eagerness="medium"))
    async with (
        open_endpoint() as endpoint,
        open_realtime_session(agent, settings=settings, endpoint=endpoint) as session,
    ):
        await session.send_message("Hello from text input")
        spoken = 0
        async for event in session:
            match event:
                case events.AgentStartEvent(agent=who):
                    print(f"agent start: {who.name}")
                case events.AudioEvent(audio=audio):
                    spoken += len(audio.data)
                case events.TranscriptDeltaEvent(delta=words):
                    print(words, end="", flush=True)
                case events.ErrorEvent(error=error):
                    print()
                    await finish(error, endpoint)
                case events.AgentEndEvent():
                    break
    print(f"\n{spoken / 48000:.1f} s of speech")


trio.run(main)
