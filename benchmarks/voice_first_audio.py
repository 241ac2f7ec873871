"""How soon a voice pipeline is heard, beside that of openai-agents: `python -m benchmarks.voice_first_audio [--repetitions N] [--tiny]`.

Both run on one scripted server, in processes of their own, one after the other: speech-to-text answers in 50 ms; the workflow writes five
sentences at 20 tokens of four characters a second, the first as long as the script says, the second of 90 characters; text-to-speech
sends its first 1,024 bytes after 100 ms and then at twice real time. The figure is the time from `run` to the first audio event. The
target, at most half of the other's, is for a first sentence of 15 characters; the others are reported without one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final

LENGTHS: Final = (15, 25, 60, 120)
_TOKEN: Final = 4
_TOKENS_PER_S: Final = 20
_STT_S, _TTS_S, _CHUNK, _BYTES_PER_S = 0.05, 0.1, 1024, 96_000
_BYTES_PER_CHARACTER: Final = 48_000 // 15
_RECORDING: Final = bytes(48_000)


def tokens(first: int) -> list[str]:
    """The answer, in pieces."""
    text = " ".join(_sentence(length) for length in (first, 90, 60, 60, 60))
    return [text[at : at + _TOKEN] for at in range(0, len(text), _TOKEN)]


def _sentence(length: int) -> str:
    return ("Words and more words " * 10)[: length - 1].rstrip().ljust(length - 1, "s") + "."


# --- the server ----------------------------------------------------------------------------------------------------------


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            body = await reader.readexactly(length)
            if b"/audio/speech" in head:
                await _speak(len(json.loads(body)["input"]), writer)
            else:
                await asyncio.sleep(_STT_S)
                said = b'{"text": "hello"}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(said), said)
                )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _speak(characters: int, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(_TTS_S)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n")
    began = time.perf_counter()
    for at in range(0, characters * _BYTES_PER_CHARACTER, _CHUNK):
        await asyncio.sleep(max(at / _BYTES_PER_S - (time.perf_counter() - began), 0))
        writer.write(b"%x\r\n%b\r\n" % (_CHUNK, bytes(_CHUNK)))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


# --- the contestants -----------------------------------------------------------------------------------------------------


def _trio_codex(url: str, first: int) -> float:
    import trio

    from trio_codex import Endpoint
    from trio_codex.voice import AudioInput, SimpleWorkflow, VoicePipeline, VoiceStreamEventAudio

    async def write(transcript: str) -> AsyncIterator[str]:
        for token in tokens(first):
            await trio.sleep(1 / _TOKENS_PER_S)
            yield token

    async def main() -> float:
        pipeline = VoicePipeline(SimpleWorkflow(write), endpoint=Endpoint.custom(url))
        begin = time.perf_counter()
        async with pipeline.run(AudioInput(_RECORDING)) as result:
            async for event in result:
                if isinstance(event, VoiceStreamEventAudio):
                    return time.perf_counter() - begin
        raise RuntimeError("no audio came")

    return trio.run(main)


def _openai_agents(url: str, first: int) -> float:
    import numpy as np
    from agents.voice import AudioInput, OpenAIVoiceModelProvider, VoicePipeline, VoicePipelineConfig, VoiceWorkflowBase

    class Workflow(VoiceWorkflowBase):
        async def run(self, transcription: str) -> AsyncIterator[str]:
            for token in tokens(first):
                await asyncio.sleep(1 / _TOKENS_PER_S)
                yield token

    async def main() -> float:
        provider = OpenAIVoiceModelProvider(base_url=url, api_key="sk-of-nobody")
        config = VoicePipelineConfig(model_provider=provider, tracing_disabled=True)
        pipeline = VoicePipeline(workflow=Workflow(), config=config)
        begin = time.perf_counter()
        result = await pipeline.run(AudioInput(buffer=np.frombuffer(_RECORDING, np.int16)))
        async for event in result.stream():
            if event.type == "voice_stream_event_audio":
                return time.perf_counter() - begin
        raise RuntimeError("no audio came")

    return asyncio.run(main())


CONTESTANTS: Final = {"trio_codex": _trio_codex, "openai_agents": _openai_agents}


# --- the contest ---------------------------------------------------------------------------------------------------------


def measure(lengths: tuple[int, ...] = LENGTHS, repetitions: int = 5) -> dict[int, dict[str, float]]:
    """The median time to the first audio in seconds, by the length of the first sentence and the contestant."""
    found: dict[int, dict[str, float]] = {}
    server = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        for length in lengths:
            times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
            for _ in range(repetitions):
                for name, seconds in times.items():
                    seconds.append(_in_a_process(name, url, length))
            found[length] = {name: statistics.median(seconds) for name, seconds in times.items()}
        server.communicate()
    return found


def _in_a_process(name: str, url: str, length: int) -> float:
    command = [sys.executable, "-m", __spec__.name, name, url, str(length)]
    environ: dict[str, Any] = {**os.environ, "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ, timeout=120)
    return float(done.stdout)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.voice_first_audio", description="first audio of a voice pipeline"
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="one repetition of the first script")
    given = parser.parse_args()
    found = measure(LENGTHS[:1], 1) if given.tiny else measure(LENGTHS, given.repetitions)
    print("| first sentence | trio_codex | openai-agents | ratio |\n|---|---|---|---|")
    for length, seconds in found.items():
        ours, theirs = seconds["trio_codex"], seconds["openai_agents"]
        print(f"| {length} characters | {ours * 1000:.0f} ms | {theirs * 1000:.0f} ms | {ours / theirs:.2f} |")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(_serve())
        case [name, url, length]:
            print(CONTESTANTS[name](url, int(length)))
        case _:
            main()
