"""Talk to an agent: lines of text, a WAV file, or a microphone; the answers are shown and can be kept as a WAV."""

from __future__ import annotations

import argparse
import datetime
import sys
from contextlib import nullcontext, suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path

import trio

from trio_codex.agent import Agent
from trio_codex.audio import RATE, read_wav, write_wav
from trio_codex.cli import outputs, where
from trio_codex.cli.beside import beside
from trio_codex.cli.call import Call
from trio_codex.cli.console import Console
from trio_codex.cli.live import LiveCall
from trio_codex.cli.minutes import Minutes
from trio_codex.device import SoundDevice, open_sound_device
from trio_codex.errors import ConfigurationError, ConnectionLost
from trio_codex.events import AudioEvent
from trio_codex.protocol import ServerVAD, SessionSettings, Transcription
from trio_codex.session import Session, open_realtime_session
from trio_codex.tools import tool


@tool
async def current_time() -> str:
    """Tell what time it is now, here."""
    return datetime.datetime.now().astimezone().strftime("It is %H:%M on %A.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `talk`."""
    where.add_arguments(parser)
    user = parser.add_mutually_exclusive_group()
    user.add_argument(
        "--input", type=Path, metavar="FILE.wav", help="what the user says; without it, lines of text are read"
    )
    user.add_argument(
        "--mic",
        action="store_true",
        help="speak, through microphone and loudspeaker, until Ctrl-C; wear headphones, or the agent hears itself",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.wav", help="keep what the agent says")
    parser.add_argument("--instructions", default="You are a helpful voice assistant. Be brief.")
    parser.add_argument("--voice", default="alloy")
    parser.add_argument("--model", help="default: the current realtime model")
    parser.add_argument("--fast", action="store_true", help="with --input: as quickly as the server can take it")
    parser.add_argument("--record", type=Path, metavar="FILE.jsonl", help="record the call for `inspect` and `replay`")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the conversation")


async def run(options: argparse.Namespace) -> int:
    """Talk until the input ends."""
    if options.fast and options.input is None:
        print("trio-codex talk: error: argument --fast: there is nothing to hurry without --input", file=sys.stderr)
        return 2
    if options.output is not None:
        outputs.check(options.output)
    agent = Agent(name="Assistant", instructions=options.instructions, tools=[current_time], voice=options.voice)
    utterance = await trio.to_thread.run_sync(_read, options.input) if options.input else None
    settings = SessionSettings(
        turn_detection=ServerVAD(),
        transcription=Transcription(model="gpt-transcribe"),
        output_modalities=["audio"] if _spoken(options) else ["text"],
    )
    console = Console(quiet=options.json)
    async with (
        open_sound_device() if options.mic else nullcontext() as device,
        where.open_endpoint(options, local_by_default=False) as endpoint,
        open_realtime_session(
            agent, settings=settings, endpoint=endpoint, model=options.model, record=options.record
        ) as session,
    ):
        if device is not None:
            return await _talk_live(options, session, device, console)
        if utterance is not None:
            call = Call(session, console, fast=options.fast)
            await call.play([utterance])
            minutes, answer = call.minutes, bytes(call.heard)
        else:
            minutes, answer = await _chat(session, console)
    await _conclude(options, console, minutes, len(utterance or b"") / (2 * RATE), answer, len(answer) / (2 * RATE))
    return 1 if minutes.errors else 0


def _spoken(options: argparse.Namespace) -> bool:
    return options.mic or options.input is not None or options.output is not None


async def _conclude(
    options: argparse.Namespace,
    console: Console,
    minutes: Minutes,
    audio_in_s: float,
    answer: bytes,
    audio_out_s: float,
) -> None:
    """Keep what the agent said, if that is wanted, and say what it was in figures."""
    try:
        if options.output is not None:
            await trio.to_thread.run_sync(write_wav, options.output, answer)
    finally:  # what was said is not lost with the sound
        if options.json:
            output = str(options.output) if options.output is not None else None
            print(minutes.as_json(audio_in_s=round(audio_in_s, 2), audio_out_s=round(audio_out_s, 2), output=output))
        elif _spoken(options):
            console.line("figures", minutes.figures(audio_in_s, audio_out_s))


async def _talk_live(options: argparse.Namespace, session: Session, device: SoundDevice, console: Console) -> int:
    """Speak until the session ends, or Ctrl-C, as is usual: so what was said until then is kept."""
    microphone, loudspeaker = device.microphone, device.loudspeaker
    if options.output is not None:
        loudspeaker.tape = bytearray()
    call = LiveCall(device, console)
    try:
        await call.hold(session)
    finally:
        with trio.CancelScope(shield=True):
            answer = bytes(loudspeaker.tape or b"")
            await _conclude(options, console, call.minutes, microphone.sent_s, answer, loudspeaker.heard_s)
        if microphone.dropped:
            console.line("notice", f"{microphone.dropped} pieces of sound from the microphone were lost")
    return 1 if call.minutes.errors else 0


def _read(path: Path) -> bytes:
    pcm = read_wav(path).pcm24k()
    if not pcm:
        raise ConfigurationError(f"{path}: there is no sound in it")
    return pcm


async def _chat(session: Session, console: Console) -> tuple[Minutes, bytes]:
    """Exchange lines until standard input ends, or the session does."""
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed: there are no lines to read")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is no text is none of our failures
    minutes = Minutes(console)
    heard = bytearray()
    reading = trio.CancelScope()

    async def follow() -> None:
        await minutes.follow(session)
        reading.cancel(reason="nobody is there to answer")

    async with beside(follow, partial(_keep, session, heard)):
        with reading:
            while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
                if text := line.strip():
                    minutes.begin_turn(text)
                    await session.send_message(text)
                    await minutes.turn_over.wait()
                if minutes.errors:
                    break
    return minutes, bytes(heard)


async def _keep(session: Session, heard: bytearray) -> None:
    with session.subscribe({AudioEvent}) as events, suppress(ConnectionLost):
        async for event in events:
            assert isinstance(event, AudioEvent)
            heard += event.data
