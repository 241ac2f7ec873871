"""Answer a WAV file by the voice pipeline: speech to text, an agent that writes, text to speech."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import attrs
import trio

from trio_codex.agent import Agent
from trio_codex.audio import RATE, write_wav
from trio_codex.cli import outputs, where
from trio_codex.cli.console import Console
from trio_codex.errors import TrioCodexError
from trio_codex.voice import (
    AgentWorkflow,
    AudioInput,
    STTSettings,
    TTSSettings,
    VoiceConfig,
    VoicePipeline,
    VoiceStreamEventAudio,
    VoiceStreamEventError,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `voice`."""
    where.add_arguments(parser)
    parser.add_argument("file", type=Path, metavar="FILE.wav", help="what the user says: one turn; any PCM WAV")
    parser.add_argument("--output", type=Path, metavar="REPLY.wav", help="keep what the agent says")
    parser.add_argument("--instructions", default="You are a helpful voice assistant. Be brief.")
    parser.add_argument("--model", help="the model that answers; default: that of AgentWorkflow")
    parser.add_argument("--stt-model", default=STTSettings().model, help="default: %(default)s")
    parser.add_argument("--tts-model", default=TTSSettings().model, help="default: %(default)s")
    parser.add_argument("--voice", default=TTSSettings().voice, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the conversation")


@attrs.define
class _Answer:
    """What came of the run; times are seconds from its beginning."""

    audio: bytearray = attrs.field(factory=bytearray)
    first_audio_s: float | None = None
    errors: list[Exception] = attrs.field(factory=list)


async def run(options: argparse.Namespace) -> int:
    """Answer the file once; status 1 when something failed."""
    if options.output is not None:
        outputs.check(options.output)
    utterance = await trio.to_thread.run_sync(AudioInput.from_wav, options.file)
    config = VoiceConfig(
        stt_settings=STTSettings(model=options.stt_model),
        tts_settings=TTSSettings(model=options.tts_model, voice=options.voice),
    )
    agent = Agent(name="Assistant", instructions=options.instructions)
    async with where.open_endpoint(options, local_by_default=False) as endpoint:
        workflow = AgentWorkflow(agent, options.model)
        pipeline = VoicePipeline(workflow, config=config, endpoint=endpoint)
        answer, said = _Answer(), ("", "")
        begin = trio.current_time()
        async with pipeline.run(utterance) as result:
            async for event in result:
                match event:
                    case VoiceStreamEventAudio(data=pcm):
                        answer.first_audio_s = answer.first_audio_s or trio.current_time() - begin
                        answer.audio += pcm
                    case VoiceStreamEventError(error=error):
                        answer.errors.append(error)
            said = (" ".join(result.transcripts), result.text)
    if options.output is not None and answer.audio:
        await trio.to_thread.run_sync(write_wav, options.output, bytes(answer.audio))
    _tell(options, answer, said, len(utterance.pcm) / (2 * RATE))
    return 1 if answer.errors else 0


def _tell(options: argparse.Namespace, answer: _Answer, said: tuple[str, str], audio_in_s: float) -> None:
    audio_out_s = len(answer.audio) / (2 * RATE)
    first = None if answer.first_audio_s is None else round(answer.first_audio_s, 3)
    if options.json:
        facts: dict[str, Any] = {
            "transcript": said[0],
            "text": said[1],
            "audio_in_s": round(audio_in_s, 2),
            "audio_out_s": round(audio_out_s, 2),
            "first_audio_s": first,
            "output": str(options.output) if options.output is not None and answer.audio else None,
            "errors": [str(error) for error in answer.errors],
        }
        print(json.dumps(facts, ensure_ascii=False))
    else:
        console = Console()
        console.line("user", f"you: {said[0]}")
        console.line("agent", f"Assistant: {said[1]}")
        figures = f"{audio_in_s:.1f} s heard, {audio_out_s:.1f} s spoken"
        console.line("figures", figures if first is None else f"{figures}, first sound after {first:.2f} s")
    for error in answer.errors:
        kind = "" if isinstance(error, TrioCodexError) else f"{type(error).__name__}: "
        print(f"trio-codex voice: {kind}{error}", file=sys.stderr)
