"""Guardrails: an answer is read while it is being said, and stopped before the wrong words are heard.

python examples/realtime_guardrails.py [--openai | --local]
"""

import trio
from support import finish, open_endpoint

from trio_codex import Agent, Guardrail, events, open_realtime_session


async def no_secrets(text: str) -> str | None:
    """What is true stops the answer. A moderation model could be asked here; each check is a task of its own."""
    return "it gives the secret away" if "swordfish" in text.lower() else None


async def main() -> None:
    agent = Agent(
        name="Keeper",
        instructions="Repeat what you are told.",
        guardrails=[Guardrail(no_secrets, hold="sentence")],
    )
    async with open_endpoint() as endpoint, open_realtime_session(agent, endpoint=endpoint) as session:
        with session.subscribe({events.GuardrailTrippedEvent, events.ErrorEvent}) as stream:
            for words in ("The weather is fine today.", "The password is swordfish.", "Thank you."):
                reply = await session.ask(words)
                print(
                    f"you: {words}\nagent ({reply.status}, {len(reply.audio) / 48000:.1f} s heard): {reply.transcript}"
                )
            await session.aclose()
            async for event in stream:
                match event:
                    case events.GuardrailTrippedEvent(results, message):
                        print(f"stopped, because {results[0]}: {message}")
                    case events.ErrorEvent(error=error):
                        await finish(error, endpoint)


trio.run(main)
