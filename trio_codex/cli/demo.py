"""Hold a spoken conversation with a tool call and a handoff: recorded speech in, real audio out; no key, no network.

The recordings in `recordings/` are one side of the call, the two agents below the other. Nothing in the library knows of either.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

import trio

from trio_codex.agent import Agent
from trio_codex.audio import RATE, read_wav, write_wav
from trio_codex.cli import outputs, where
from trio_codex.cli.call import Call
from trio_codex.cli.console import Console
from trio_codex.protocol import ServerVAD, SessionSettings, Transcription
from trio_codex.session import open_realtime_session
from trio_codex.tools import tool


@tool
async def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city: the name of the city.
    """
    return f"It is sunny in {city.title()}, 22 degrees."


@tool
async def check_status(service: str) -> str:
    """Check the status of a server or service.

    Args:
        service: what to check.
    """
    return f"The {service} is running. Please restart the program once."


def agents() -> Agent:
    """The two agents of the demo; the first one answers the call."""
    support = Agent(
        name="TechSupport",
        instructions="You solve technical problems. Be brief.",
        tools=[check_status],
        handoff_description="It solves every technical problem with the software.",
        voice="ash",
    )
    return Agent(
        name="Greeter",
        instructions="You greet callers, tell them the weather, and pass technical problems on to TechSupport. Be brief.",
        tools=[get_weather],
        handoffs=[support],
        voice="alloy",
    )


def recordings() -> list[bytes]:
    """The user's side of the call, as PCM16 at 24 kHz."""
    folder = files("trio_codex.cli") / "recordings"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".wav"))
    return [read_wav((folder / name).read_bytes()).pcm24k() for name in names]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `demo`."""
    where.add_arguments(parser)
    parser.add_argument("--fast", action="store_true", help="as quickly as the server can take it, not in real time")
    parser.add_argument("--record", type=Path, metavar="FILE.jsonl", help="record the call for `inspect` and `replay`")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the conversation")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("trio-codex-demo.wav"),
        help="stereo WAV: user left, agent right (default: %(default)s)",
    )


async def run(options: argparse.Namespace) -> int:
    """Hold the conversation, show it, and write it down as a WAV."""
    outputs.check(options.output)
    console = Console(quiet=options.json)
    utterances = recordings()
    settings = SessionSettings(turn_detection=ServerVAD(), transcription=Transcription(model="gpt-transcribe"))
    async with (
        where.open_endpoint(options, local_by_default=True) as endpoint,
        open_realtime_session(agents(), settings=settings, endpoint=endpoint, record=options.record) as session,
    ):
        call = Call(session, console, fast=options.fast)
        await call.play(utterances)
    audio_in_s = sum(map(len, utterances)) / (2 * RATE)
    audio_out_s = call.heard_s
    try:
        await trio.to_thread.run_sync(lambda: write_wav(options.output, call.tape, rate=RATE, channels=2))
    finally:  # what was said is not lost with the sound
        if options.json:
            print(
                call.minutes.as_json(
                    audio_in_s=round(audio_in_s, 2), audio_out_s=round(audio_out_s, 2), output=str(options.output)
                )
            )
        else:
            console.line("figures", call.minutes.figures(audio_in_s, audio_out_s))
    console.line("notice", f"the conversation is in {options.output}")
    return 0
