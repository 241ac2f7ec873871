"""How the local server does with many conversations at once, in real time.

    python -m benchmarks.server_load                    50 conversations, engines off: 60 s
    python -m benchmarks.server_load --real             4 conversations with real speech, two recognisers
    python -m benchmarks.server_load --first            first deltas only: `response.create` sent until the first delta has come

Each user sends audio all the time in frames of 20 ms, and speaks in a third of it: a recording, then twice its length of silence.
The server's turn detection ends the turns. With engines off, the recogniser knows its words and the voice says a piece of 100 ms
every 100 ms, into which it writes when it was due (one clock for all processes of a machine): lateness is how much later a client had
it. With real speech, which is made faster than it is heard, a delta is late when it comes after everything before it has sounded.

One more session asks for an answer every half second, beside the others: the time from the sending of its `response.create` to its
first delta is what a client waits for an engine that takes no time (with real speech, the engine's own time is in it).

The server is a process of its own; the cores that it takes are those of its event loop, without the speech engines' workers.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import orjson
import pybase64
import trio
from trio_websocket import WebSocketConnection, open_websocket_url

from trio_codex.audio import read_wav
from trio_codex.server import open_local_server

RECORDING: Final = Path(__file__).parents[1] / "trio_codex/cli/recordings/02-weather.wav"
FRAME_MS: Final = 20
FRAME_BYTES: Final = 48 * FRAME_MS
PIECE_MS: Final = 100
PIECES: Final = 25
PROBE_S: Final = 0.5
WARM_UP_S: Final = 3.0
MARK: Final = 8
"""Bytes at the start of a piece of audio which say when it was due, in ns."""


# --- the server ---------------------------------------------------------------------------------------------------------


class KnowingEars:
    """A recogniser that is off."""

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[KnowingEars]:
        yield self

    async def feed(self, pcm: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def finish(self) -> str:
        await trio.lowlevel.checkpoint()
        return "what is the weather like in boston"


class PacedVoice:
    """A voice that is off: pieces of silence in real time, the first at once; "now" is said by a single one."""

    @asynccontextmanager
    async def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[AsyncIterator[bytes]]:
        yield _Pieces(1 if text == "now" else PIECES)


class _Pieces:
    def __init__(self, count: int) -> None:
        self._left = count
        self._due = trio.current_time()
        self._due_ns = time.monotonic_ns()

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._left == 0:
            raise StopAsyncIteration
        await trio.sleep_until(self._due)
        piece = self._due_ns.to_bytes(MARK, "little") + bytes(48 * PIECE_MS - MARK)
        self._left -= 1
        self._due += PIECE_MS / 1000
        self._due_ns += PIECE_MS * 1_000_000
        return piece


async def serve(real: bool) -> None:
    """Serve until standard input ends."""
    engines: dict[str, Any] = {} if real else {"stt": KnowingEars(), "tts": PacedVoice()}
    async with open_local_server(**engines) as server:
        gc.freeze()  # as `trio-codex serve` does
        print(server.ws_url, flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


# --- the clients --------------------------------------------------------------------------------------------------------


@attrs.define
class Figures:
    """What was measured, in ms."""

    late: list[float] = attrs.field(factory=list)
    first: list[float] = attrs.field(factory=list)
    behind: list[float] = attrs.field(factory=list)
    answers: int = 0
    heard: int = 0
    errors: int = 0
    counting: bool = False


def frames_of(pcm: bytes) -> list[str]:
    """A user's cycle as ready events: the recording, and twice its length of silence."""
    pcm += bytes(2 * len(pcm))
    pieces = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) // FRAME_BYTES * FRAME_BYTES, FRAME_BYTES)]
    return [
        f'{{"type":"input_audio_buffer.append","audio":"{pybase64.b64encode(piece).decode()}"}}' for piece in pieces
    ]


async def converse(url: str, frames: list[str], offset: int, real: bool, figures: Figures) -> None:
    """One user, for ever; `offset` is where in the cycle."""
    async with (
        open_websocket_url(url, max_message_size=1 << 24, receive_buffer_size=1 << 16) as websocket,
        trio.open_nursery() as nursery,
    ):
        update = {"input": {"transcription": {"model": "gpt-transcribe"}}}
        await websocket.send_message(
            json.dumps({"type": "session.update", "session": {"type": "realtime", "audio": update}})
        )
        nursery.start_soon(listen, websocket, real, figures)
        due = trio.current_time()
        while True:
            for frame in frames[offset:]:
                await trio.sleep_until(due)
                await websocket.send_message(frame)
                due += FRAME_MS / 1000
                if figures.counting:
                    figures.behind.append((trio.current_time() - due) * 1000 + FRAME_MS)
            offset = 0


async def listen(websocket: WebSocketConnection, real: bool, figures: Figures) -> None:
    """Take what the server says, and note when it came."""
    sounded = 0.0
    while True:
        frame = await websocket.get_message()
        came_ns = time.monotonic_ns()
        event = orjson.loads(frame)
        match event["type"]:
            case "response.output_audio.delta":
                audio = pybase64.b64decode(event["delta"])
                now = came_ns / 1e9
                if real:
                    late = max(now - sounded, 0.0) * 1000 if sounded else 0.0
                    sounded = max(sounded, now) + len(audio) / 48_000
                else:
                    late = (came_ns - int.from_bytes(audio[:MARK], "little")) / 1e6
                if figures.counting:
                    figures.late.append(late)
            case "response.done":
                sounded = 0.0
                figures.answers += figures.counting
            case "conversation.item.input_audio_transcription.completed":
                figures.heard += figures.counting and event["transcript"].endswith("the weather like in boston")
            case "error":
                figures.errors += figures.counting
                print("error:", event["error"]["message"], file=sys.stderr)


async def ask_at_once(url: str, figures: Figures) -> None:
    """Ask for an answer now and then, and note how long its first delta takes."""
    async with open_websocket_url(url, max_message_size=1 << 24, receive_buffer_size=1 << 16) as websocket:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say now"}]}
        create = json.dumps({"type": "response.create", "response": {"conversation": "none", "input": [item]}})
        while True:
            await trio.sleep(PROBE_S)
            sent_ns = time.monotonic_ns()
            await websocket.send_message(create)
            while (event := orjson.loads(await websocket.get_message()))["type"] != "response.output_audio.delta":
                pass
            if figures.counting:
                figures.first.append((time.monotonic_ns() - sent_ns) / 1e6)
            while event["type"] != "response.done":
                event = orjson.loads(await websocket.get_message())


# --- running it ---------------------------------------------------------------------------------------------------------


async def measure(url: str, pid: int, given: argparse.Namespace) -> tuple[Figures, dict[str, float]]:
    """Run the clients; gives the figures, and which part of a core the server and the clients took."""
    figures = Figures()
    frames = frames_of(read_wav(RECORDING).pcm24k())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_at_once, url, figures)
        for number in range(given.sessions):
            offset = number * len(frames) // given.sessions
            nursery.start_soon(converse, url, frames, offset, given.real, figures)
            await trio.sleep(WARM_UP_S / 2 / given.sessions)
        await trio.sleep(WARM_UP_S / 2)
        figures.counting = True
        began, server, clients = time.monotonic(), cpu_s(pid), time.process_time()
        await trio.sleep(given.seconds)
        took = time.monotonic() - began
        cpu = {"server": (cpu_s(pid) - server) / took, "clients": (time.process_time() - clients) / took}
        nursery.cancel_scope.cancel()
    return figures, cpu


def cpu_s(pid: int) -> float:
    """The processor time that a process, without its children, has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentiles(values: list[float]) -> str:
    """Median, 99th percentile and maximum."""
    ordered = array("d", sorted(values) or [float("nan")])
    at = [ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.99)]
    return f"median {at[0]:.1f}  p99 {at[1]:.1f}  most {ordered[-1]:.1f} ms  ({len(values)})"


def report(figures: Figures, cpu: dict[str, float], given: argparse.Namespace) -> None:
    """Print the figures."""
    engines = "real speech" if given.real else "engines off"
    print(f"{given.sessions} conversations, {engines}, {given.seconds:g} s, {os.cpu_count()} cores")
    if given.sessions:
        print("audio deltas late by       ", percentiles(figures.late))
        print("clients behind their clock ", percentiles(figures.behind))
    print("create sent to first delta ", percentiles(figures.first))
    print(f"answers {figures.answers}, turns heard right {figures.heard}, errors {figures.errors}")
    print("cores taken:", ", ".join(f"{who} {part:.2f}" for who, part in cpu.items()))


def run(given: argparse.Namespace) -> None:
    """Start the server, measure, report."""
    command = [sys.executable, "-m", "benchmarks.server_load", "--serve", *(["--real"] if given.real else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip() + "/realtime"
            figures, cpu = trio.run(measure, url, server.pid, given)
        finally:
            server.stdin.close()
    report(figures, cpu, given)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server_load", description="the local server under load")
    parser.add_argument("--sessions", type=int, help="default: 50, with --real 4")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--real", action="store_true", help="with the local speech engines")
    parser.add_argument("--first", action="store_true", help="no conversations beside: first deltas only")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sessions is None:
        given.sessions = 0 if given.first else 4 if given.real else 50
    if given.serve:
        trio.run(serve, given.real)
    else:
        run(given)


if __name__ == "__main__":
    main()
