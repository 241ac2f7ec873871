"""`VoicePipeline`s of openai-agents: a whole recording and a stream, a workflow of functions and one of agents. Argument: the base URL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from agents import Agent, OpenAIProvider, RunConfig, Runner, function_tool
from agents.voice import (
    AudioInput,
    OpenAIVoiceModelProvider,
    StreamedAudioInput,
    VoicePipeline,
    VoicePipelineConfig,
    VoiceWorkflowBase,
)

ASKED: list[str] = []


@function_tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    ASKED.append(city)
    return f"It rains in {city}."


SUPPORT = Agent(name="Support", handoff_description="Solves technical problems with software.")
GREETER = Agent(name="Greeter", instructions="You greet.", tools=[get_weather], handoffs=[SUPPORT])


class Parrot(VoiceWorkflowBase):
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def run(self, transcription: str) -> AsyncIterator[str]:
        self.heard.append(transcription)
        yield f"You said: {transcription}."


class Agents(VoiceWorkflowBase):
    def __init__(self, url: str) -> None:
        provider = OpenAIProvider(base_url=url, api_key="sk-right", use_responses=True)
        self._config = RunConfig(model_provider=provider, tracing_disabled=True)
        self.said: list[str] = []
        self.agents: list[str] = []

    async def run(self, transcription: str) -> AsyncIterator[str]:
        result = Runner.run_streamed(GREETER, transcription, run_config=self._config)
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                yield event.data.delta
        self.said.append(result.final_output)
        self.agents.append(result.last_agent.name)


async def run(workflow: VoiceWorkflowBase, voice: Any, recording: Any) -> bytes:
    config = VoicePipelineConfig(model_provider=voice, tracing_disabled=True)
    result = await VoicePipeline(workflow=workflow, config=config).run(recording)
    sound = b""
    async for event in result.stream():
        if event.type == "voice_stream_event_audio" and event.data is not None:
            sound += event.data.tobytes()
        elif event.type == "voice_stream_event_error":
            raise event.error
    return sound


async def streamed(workflow: VoiceWorkflowBase, voice: Any) -> bytes:
    recording = StreamedAudioInput()

    async def speak() -> None:
        for _ in range(5):
            await recording.add_audio(np.zeros(2400, dtype=np.int16))
        await recording.add_audio(None)

    speaking = asyncio.create_task(speak())
    sound = await run(workflow, voice, recording)
    await speaking
    return sound


async def main(url: str) -> None:
    voice = OpenAIVoiceModelProvider(base_url=url, api_key="sk-right")
    silence = np.zeros(12_000, dtype=np.int16)
    parrot = Parrot()
    assert len(await run(parrot, voice, AudioInput(buffer=silence))) >= 48 * 20 * len("You said: good morning.")
    assert len(await streamed(parrot, voice)) >= 48 * 20 * len("You said: good evening.")
    assert parrot.heard == ["good morning", "good evening"]

    agents = Agents(url)
    await run(agents, voice, AudioInput(buffer=silence))
    assert (ASKED, agents.said) == (["London"], ["It rains in London."])
    await run(agents, voice, AudioInput(buffer=silence))
    assert agents.agents == ["Greeter", "Support"]
    assert agents.said[-1]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    print("good")
