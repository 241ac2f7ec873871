"""A `RealtimeSession` of openai-agents: text and audio in, a tool, a handoff, an interruption. Argument: the base URL."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession, realtime_handoff

ASKED: list[str] = []


@function_tool
async def get_weather(city: str) -> str:
    """Get the weather in a city."""
    ASKED.append(city)
    return f"It rains in {city}."


SUPPORT = RealtimeAgent(
    name="Support",
    handoff_description="Solves technical problems with software.",
    instructions="You solve problems.",
)
GREETER = RealtimeAgent(
    name="Greeter", instructions="You greet.", tools=[get_weather], handoffs=[realtime_handoff(SUPPORT)]
)
SETTINGS: Any = {
    "modalities": ["audio"],
    "input_audio_transcription": {"model": "gpt-4o-mini-transcribe"},
    "turn_detection": None,
}


async def until_the_agent_stops(session: RealtimeSession) -> list[Any]:
    events = []
    async for event in session:
        events.append(event)
        if event.type == "error":
            raise AssertionError(event.error)
        if event.type == "agent_end":
            return events
    raise AssertionError("the session ended")


def spoken(events: list[Any]) -> bytes:
    return b"".join(event.audio.data for event in events if event.type == "audio")


def last_words(events: list[Any]) -> str:
    history = next(event.history for event in reversed(events) if event.type == "history_updated")
    said = [part.transcript for item in history if getattr(item, "role", "") == "assistant" for part in item.content]
    return said[-1] or ""


async def main(url: str) -> None:
    runner = RealtimeRunner(GREETER)
    config: Any = {
        "api_key": "sk-right",
        "url": url.replace("http", "ws", 1) + "/realtime?model=gpt-realtime-2.1",
        "initial_model_settings": SETTINGS,
    }
    async with await runner.run(model_config=config) as session:
        await session.send_message("Say one two three")
        events = await until_the_agent_stops(session)
        assert len(spoken(events)) == 48 * 20 * len("one two three")
        assert last_words(events) == "one two three"

        await session.send_message("What is the weather in London?")
        events = await until_the_agent_stops(session)
        while not spoken(events):
            events += await until_the_agent_stops(session)
        assert ASKED == ["London"]
        assert [event.output for event in events if event.type == "tool_end"] == ["It rains in London."]
        assert last_words(events) == "It rains in London."

        await session.send_audio(bytes(48 * 500), commit=True)
        heard: list[Any] = []
        async for event in session:
            heard.append(event)
            if event.type == "history_updated" and "repeat after me" in str(event.history):
                break

        await session.send_message("I have a technical problem with my software")
        events = await until_the_agent_stops(session)
        while not any(event.type == "handoff" for event in events):
            events += await until_the_agent_stops(session)
        (handoff,) = [event for event in events if event.type == "handoff"]
        assert (handoff.from_agent.name, handoff.to_agent.name) == ("Greeter", "Support")
        while not spoken(events):
            events += await until_the_agent_stops(session)

        await session.send_message("Say " + "many words " * 20)
        async for event in session:
            if event.type == "audio":
                break
        await session.interrupt()
        async for event in session:
            if event.type == "audio_interrupted":
                break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    print("good")
