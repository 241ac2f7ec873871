"""Tools: a function with a signature and a docstring is all the model needs.

python examples/realtime_tools.py [--openai | --local]
"""

from typing import Literal

import trio
from support import finish, open_endpoint

from trio_codex import Agent, events, open_realtime_session, tool


@tool
async def get_weather(city: str, units: Literal["C", "F"] = "C") -> str:
    """Get the weather of a city.

    Args:
        city: the name of the city
        units: Celsius or Fahrenheit
    """
    degrees = 22 if units == "C" else 72
    return f"The weather in {city} is sunny with {degrees} degrees."


@tool
def roll_dice(sides: int = 6) -> int:
    """Roll a dice with a number of sides. (A sync function runs in a thread.)"""
    return sides // 2 + 1


async def main() -> None:
    agent = Agent(name="Helper", instructions="Use the tools.", tools=[get_weather, roll_dice])
    async with open_endpoint() as endpoint, open_realtime_session(agent, endpoint=endpoint) as session:
        with session.subscribe({events.ToolStartEvent, events.ToolEndEvent, events.ErrorEvent}) as stream:
            for question in ("What is the weather in Paris?", "Please roll a dice with 20 sides."):
                reply = await session.ask(question)
                print(f"you: {question}\nagent: {reply.transcript}")
            await session.aclose()
            async for event in stream:
                match event:
                    case events.ToolStartEvent(name=name, arguments=arguments):
                        print(f"tool call: {name} {arguments}")
                    case events.ToolEndEvent(output=output):
                        print(f"tool output: {output}")
                    case events.ErrorEvent(error=error):
                        await finish(error, endpoint)


trio.run(main)
