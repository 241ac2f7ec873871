"""An agent in the pipeline: the same Agent as in a realtime session, with its tools, between ears and mouth.

python examples/voice_with_agent.py [FILE.wav] [--openai | --local]
"""

import trio
from support import finish, open_endpoint, recording, write

from trio_codex import Agent, events, tool
from trio_codex.events import SessionEvent
from trio_codex.voice import AgentWorkflow, AudioInput, VoicePipeline, VoiceStreamEventAudio, VoiceStreamEventError


@tool
async def get_weather(city: str) -> str:
    """Get the weather of a city.

    Args:
        city: the name of the city
    """
    return f"The weather in {city} is sunny with 22 degrees."


agent = Agent(name="Helper", instructions="You are concise and helpful. Use the tools.", tools=[get_weather])


def show(event: SessionEvent) -> None:
    match event:
        case events.ToolStartEvent(name=name, arguments=arguments):
            print(f"tool call: {name} {arguments}")
        case events.ToolEndEvent(output=output):
            print(f"tool output: {output}")


async def main() -> None:
    async with open_endpoint() as endpoint:
        workflow = AgentWorkflow(agent, on_event=show)
        pipeline = VoicePipeline(workflow, endpoint=endpoint)
        reply = bytearray()
        async with pipeline.run(AudioInput.from_wav(recording("02-weather.wav"))) as result:
            async for event in result:
                match event:
                    case VoiceStreamEventAudio(data=pcm):
                        reply += pcm
                    case VoiceStreamEventError(error=error):
                        await finish(error, endpoint)
        print(f"you: {result.transcripts[0]}\nagent: {result.text}")
        write("voice_with_agent.wav", reply)


trio.run(main)
