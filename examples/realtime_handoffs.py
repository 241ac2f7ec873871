"""Handoffs: one agent passes the conversation to another.

python examples/realtime_handoffs.py [--openai | --local]
"""

import trio
from support import open_endpoint

from trio_codex import Agent, events, open_realtime_session

support = Agent(
    name="TechSupport",
    instructions="Handle technical troubleshooting.",
    handoff_description="It solves technical problems with software.",
)
greeter = Agent(
    name="Greeter",
    instructions="Route technical questions to TechSupport.",
    handoffs=[support],
)


async def main() -> None:
    async with open_endpoint() as endpoint, open_realtime_session(greeter, endpoint=endpoint) as session:
        with session.subscribe({events.HandoffEvent}) as handoffs:
            print("in charge:", session.current_agent.name)
            reply = await session.ask("I have a technical problem with my software.")
            print(f"{session.current_agent.name}: {reply.transcript}")
            await session.aclose()
            async for event in handoffs:
                assert isinstance(event, events.HandoffEvent)
                print(f"handoff: {event.from_agent.name} -> {event.to_agent.name}")


trio.run(main)
