"""Gated input: nothing answers what the user says before the program has read it.

The server transcribes the user and ends his turns, but makes no answers of its own (`create_response=False`). The program looks at
each transcript: what it lets pass is answered, what it does not is taken out of the conversation, so that the model never reads it.

    python examples/gated_input.py [--openai | --local] [FILE.wav …]
"""

import sys
from pathlib import Path

import trio
from support import finish, open_endpoint

from trio_codex import Agent, ServerVAD, Session, SessionSettings, Transcription, events, open_realtime_session
from trio_codex.audio import read_wav
from trio_codex.cli.demo import recordings

SECOND = 48_000  # bytes


def allowed(transcript: str) -> bool:
    """Your own check: a list of words here, a moderation model elsewhere; it may well be async."""
    return "weather" not in transcript.lower()


async def speak(session: Session, pcm: bytes) -> None:
    """Say something, and be silent until the server notices that it was all."""
    for start in range(0, len(pcm), SECOND // 10):
        await session.send_audio(pcm[start : start + SECOND // 10])
    await session.send_audio(bytes(2 * SECOND))


async def main() -> None:
    files = [Path(name) for name in sys.argv[1:] if not name.startswith("--")]
    utterances = [read_wav(path.read_bytes()).pcm24k() for path in files] or recordings()[:2]
    settings = SessionSettings(
        transcription=Transcription(model="gpt-4o-mini-transcribe"), turn_detection=ServerVAD(create_response=False)
    )
    agent = Agent(name="Gated", instructions="You are concise and helpful.")
    async with (
        open_endpoint() as endpoint,
        open_realtime_session(agent, settings=settings, endpoint=endpoint) as session,
    ):
        with session.subscribe({events.InputTranscriptEvent, events.ErrorEvent}) as stream:
            for utterance in utterances:
                await speak(session, utterance)
                async for event in stream:
                    match event:
                        case events.ErrorEvent(error=error):
                            await finish(error, endpoint)
                        case events.InputTranscriptEvent(item_id, words, final=True) if allowed(words):
                            print(f"you: {words}\nagent: {(await session.ask()).transcript}")
                            break
                        case events.InputTranscriptEvent(item_id, words, final=True):
                            await session.send_raw_event({"type": "conversation.item.delete", "item_id": item_id})
                            reply = await session.ask(instructions="Say: I cannot talk about that.")
                            print(f"you (blocked): {words}\nagent: {reply.transcript}")
                            break


trio.run(main)
