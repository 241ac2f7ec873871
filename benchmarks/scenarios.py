"""What is done and measured. A scenario is one async function over `client`; it runs in a contestant's process and gives figures.

What the project asks for stands beside each figure.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, TypeVar

from benchmarks.client import Call, Client, Job
from benchmarks.frames import DELTAS_PER_ANSWER
from benchmarks.voice import VoiceClient, voice

T = TypeVar("T")
Figures = dict[str, float]

_CHUNK_MS: Final = 20
_BYTES_PER_MS: Final = 48


def _chunk(ms: int) -> bytes:
    return (bytes(range(1, 241)) * (_BYTES_PER_MS * ms // 240 + 1))[: _BYTES_PER_MS * ms]


_CHUNK: Final = _chunk(_CHUNK_MS)
_BYTES_PER_HOUR: Final = 1000 * _BYTES_PER_MS * 3600


@dataclass(frozen=True)
class Effort:
    """How much is done in one run. `settling`: seconds of silence before something is measured; `pieces`: of audio, at full speed."""

    rounds: int = 200
    sessions: int = 100
    seconds: float = 5.0
    settling: float = 1.0
    pieces: int = 20_000
    ladder: tuple[int, ...] = (50, 75, 100, 125, 150, 200, 250, 300, 400, 500)
    step_s: float = 2.0


TINY: Final = Effort(rounds=3, sessions=3, seconds=0.3, settling=0.1, pieces=30, ladder=(1, 2), step_s=0.3)


@dataclass(frozen=True)
class Figure:
    """What a scenario measures: less of it is better, or `more`.

    `lean` and `paced`: how many times better than openai-agents a session on the lean transport has to be, without and with the pacer;
    `bound`: what it may be at most, whatever others need.
    """

    unit: str
    lean: float | None = None
    paced: float | None = None
    more: bool = False
    bound: float | None = None


@dataclass(frozen=True)
class Scenario:
    """Something to do. `tls`: over TLS; `paced`: contestants that differ by their pacer take part as well. `voice`: of voice pipelines.
    `repetitions`: at most."""

    name: str
    run: Callable[[Any, str, Effort], Awaitable[Figures]]
    title: str
    figures: Mapping[str, Figure]
    tls: bool = False
    paced: bool = False
    voice: bool = False
    repetitions: int = 99


# --- at full speed -------------------------------------------------------------------------------------------------


async def receive(client: Client, url: str, effort: Effort, *, size: int) -> Figures:
    """Pieces of audio of this size, with words between, as fast as they are taken: from the first to the last event at the user."""
    pieces = effort.pieces * 4800 // size
    heard, used, began = 0, 0.0, 0.0

    def hear(audio: bytes) -> bool:
        nonlocal heard, used, began
        if not heard:
            used, began = _cpu(), time.monotonic()
        heard += 1
        assert len(audio) == size
        return heard == pieces

    async with client.open(url) as call:
        await call.say(f"flood {pieces} {size}")
        await call.listen(hear)
        return {"cpu": 1e6 * (_cpu() - used) / (pieces - 1), "wall": 1e6 * (time.monotonic() - began) / (pieces - 1)}


async def send(client: Client, url: str, effort: Effort, *, ms: int) -> Figures:
    """Chunks of the user's audio, one `await` after the other, until the server says that it has them all."""
    chunk, chunks, came = _chunk(ms), effort.pieces, 0

    def heard(audio: bytes) -> bool:
        nonlocal came
        came = _number(audio)
        return True

    async with client.open(url) as call:
        used, began = _cpu(), time.monotonic()
        for _ in range(chunks):
            await call.send_audio(chunk)
        await call.say("count")
        await call.listen(heard)
        assert came == chunks, f"{came} of {chunks} chunks have come"
        return {"cpu": 1e6 * (_cpu() - used) / chunks, "wall": 1e6 * (time.monotonic() - began) / chunks}


# --- one session after the other -----------------------------------------------------------------------------------


async def tool_turnaround(client: Client, url: str, effort: Effort) -> Figures:
    """From the write of a complete function call to its output, both on the server's side of the socket."""
    numbers: list[int] = []

    def heard(audio: bytes) -> bool:
        numbers.append(_number(audio))
        return True

    async with client.open(url) as call:
        for _ in range(effort.rounds):
            await call.say("call")
            await call.listen(heard)
            await _until_done(client)
    return _spread([number / 1e6 for number in _warm(numbers)])


async def first_audio(client: Client, url: str, effort: Effort) -> Figures:
    """From before connecting, over the acknowledged settings and a first message, to the first audio event at the user."""
    took: list[float] = []
    used: list[float] = []
    for _ in range(effort.rounds):
        began, cpu = time.monotonic(), time.process_time()
        async with client.open(url) as call:
            await call.say("speak")
            await call.listen(lambda _: True)
            took.append((time.monotonic() - began) * 1000)
            used.append((time.process_time() - cpu) * 1000)
            await _until_done(client)
    return {**_spread(_warm(took)), "cpu": median(_warm(used))}


async def _until_done(client: Client) -> None:
    """Let the rest of the response arrive, so that the next round begins in silence."""
    await client.sleep_until(time.monotonic() + 0.005)


# --- many sessions at once -----------------------------------------------------------------------------------------


async def duplex(client: Client, url: str, effort: Effort, *, sessions: int = 0, apart: bool = False) -> Figures:
    """All sessions hear and speak at the pace of speech: from the write of a piece of audio to the user's event.

    Every 5 s all answers end, and the next begin, within 0.1 s; or, if they are `apart`, one after the other throughout the 5 s.
    """
    return (await _duplex(client, url, effort, sessions or effort.sessions, effort.seconds, apart=apart))[0]


async def capacity(client: Client, url: str, effort: Effort) -> Figures:
    """How many sessions in duplex one core holds with p99 under 20 ms and nobody's audio late; the p99 of each step on the way."""
    held, figures = 0, {}
    for sessions in effort.ladder:
        found, spoken = await _duplex(client, url, effort, sessions, effort.step_s)
        figures[f"p99 of {sessions}"] = found["p99"]
        if found["p99"] >= _LATE_MS or spoken < _SPOKEN:
            break
        held = sessions
    return {"sessions": float(held), **figures}


_LATE_MS: Final = 20.0
_SPOKEN: Final = 0.95


async def _duplex(
    client: Client, url: str, effort: Effort, sessions: int, seconds: float, *, apart: bool = False
) -> tuple[Figures, float]:
    opened: list[Call] = []
    delays: list[int] = []
    received = sent = 0
    begin, used = float("inf"), 0.0

    async def conversation(index: int) -> None:
        await _wait_for(client, lambda: len(opened) == index)
        async with client.open(url) as call:
            opened.append(call)
            await _wait_for(client, lambda: begin < float("inf"))
            await client.sleep_until(begin - effort.settling + index / sessions * 0.1)
            await call.say(f"talk {index % DELTAS_PER_ANSWER if apart else 0}")
            await client.at_once([lambda: call.listen(heard), lambda: speak(call, index)])

    def heard(audio: bytes) -> bool:
        nonlocal received
        now = time.monotonic_ns()
        if begin <= now / 1e9 < begin + seconds:
            delays.append(now - _number(audio))
            received += len(audio)
        return now / 1e9 >= begin + seconds

    async def speak(call: Call, index: int) -> None:
        async def chunk() -> bool:
            nonlocal sent
            await call.send_audio(_CHUNK)
            now = time.monotonic()
            sent += begin <= now < begin + seconds
            return now < begin + seconds

        first = begin - effort.settling / 2 + index / sessions * _CHUNK_MS / 1000
        await client.every(first, _CHUNK_MS / 1000, chunk)

    async def watch() -> None:
        nonlocal begin, used
        await _wait_for(client, lambda: len(opened) == sessions)
        begin = time.monotonic() + 2 * effort.settling
        await client.sleep_until(begin)
        used = _cpu()
        await client.sleep_until(begin + seconds)
        used = _cpu() - used

    conversations: list[Job] = [lambda index=index: conversation(index) for index in range(sessions)]  # type: ignore[misc]
    await client.at_once([watch, *conversations])
    spoken = sent * len(_CHUNK) / (seconds * 1000 * _BYTES_PER_MS * sessions)
    figures = _spread([delay / 1e6 for delay in delays])
    hours = sessions * seconds / 3600
    return figures | {"cpu": used / hours, "core": 100 * used / seconds, "spoken": 100 * spoken}, spoken


async def idle_memory(client: Client, url: str, effort: Effort, *, times: int = 1) -> Figures:
    """What one more open session adds to the resident memory; a fifth more are opened before, for what only the first ones cost."""
    sessions = times * effort.sessions
    first = sessions // 5
    opened, over = 0, False
    before = after = 0.0

    async def hold(index: int) -> None:
        nonlocal opened, before
        await _wait_for(client, lambda: opened == index)
        if index == first:
            before = await _memory(client, effort)
        async with client.open(url):
            opened += 1
            await _wait_for(client, lambda: over)

    async def watch() -> None:
        nonlocal over, after
        await _wait_for(client, lambda: opened == first + sessions)
        after = await _memory(client, effort)
        over = True

    holders: list[Job] = [lambda index=index: hold(index) for index in range(first + sessions)]  # type: ignore[misc]
    await client.at_once([watch, *holders])
    return {"session": (after - before) / sessions, "process": after / 1024}


async def _wait_for(client: Client, true: Callable[[], bool]) -> None:
    while not true():
        await client.sleep_until(time.monotonic() + 0.01)


async def _memory(client: Client, effort: Effort) -> float:
    """The resident memory in KiB, after a silence."""
    await client.sleep_until(time.monotonic() + effort.settling)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def voice_first_audio(client: VoiceClient, url: str, effort: Effort, *, first: int) -> Figures:
    """From a recording to the first audio of a voice pipeline whose first sentence has so many characters."""
    return await voice(client, url, max(1, effort.rounds // 40), first=first)


# --- figures -------------------------------------------------------------------------------------------------------


def _number(audio: bytes) -> int:
    return int.from_bytes(audio[:8], "little")


def _warm(values: list[T]) -> list[T]:
    return values[len(values) // 10 :]


def _spread(values: list[float]) -> Figures:
    return {"p50": median(values), "p99": quantiles(values, n=100, method="inclusive")[98]}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


_CPU_AND_WALL: Final = {"cpu": Figure("µs"), "wall": Figure("µs")}
_DELAYS: Final = {"p50": Figure("ms"), "p99": Figure("ms")}
_OPENING: Final = {**_DELAYS, "cpu": Figure("ms")}
_MEMORY: Final = {"session": Figure("KiB", bound=16.0), "process": Figure("MiB", bound=50.0)}
_DUPLEX: Final = {
    **_DELAYS,
    "cpu": Figure("s per session hour"),
    "core": Figure("% of a core"),
    "spoken": Figure("%", more=True),
}


def _wanted(figures: Mapping[str, Figure], **targets: tuple[float, float | None]) -> dict[str, Figure]:
    """The figures with what is asked for: on the lean transport, and there with the pacer."""
    return {
        name: replace(figure, lean=targets[name][0], paced=targets[name][1]) if name in targets else figure
        for name, figure in figures.items()
    }


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "receive",
            partial(receive, size=4800),
            "receive 4,800 bytes and words",
            _wanted(_CPU_AND_WALL, cpu=(3.0, None)),
        ),
        Scenario(
            "receive_long",
            partial(receive, size=24000),
            "receive 24,000 bytes and words",
            _wanted(_CPU_AND_WALL, cpu=(3.0, None)),
        ),
        Scenario("send", partial(send, ms=20), "send 20 ms", _wanted(_CPU_AND_WALL, cpu=(1.5, None))),
        Scenario("send_long", partial(send, ms=100), "send 100 ms", _CPU_AND_WALL),
        Scenario("tool", tool_turnaround, "tool call to output", _wanted(_DELAYS, p50=(8.0, None))),
        Scenario("first_audio", first_audio, "connect to first audio", _wanted(_OPENING, p50=(4.0, None))),
        Scenario(
            "duplex_one", partial(duplex, sessions=1), "one session in duplex", _DUPLEX, paced=True, repetitions=2
        ),
        Scenario(
            "duplex",
            duplex,
            "all in duplex",
            _wanted(_DUPLEX, p50=(5.0, None), p99=(5.0, None), cpu=(1.1, 1.5)),
            paced=True,
        ),
        Scenario("duplex_apart", partial(duplex, apart=True), "all in duplex, answers apart", _DUPLEX, paced=True),
        Scenario(
            "capacity",
            capacity,
            "held by one core",
            {"sessions": Figure("", 1.0, 2.0, more=True)},
            paced=True,
        ),
        Scenario("memory", idle_memory, "memory", _MEMORY, repetitions=2),
        Scenario(
            "memory_many",
            partial(idle_memory, times=5),
            "memory, five times as many",
            _MEMORY,
            repetitions=1,
        ),
        Scenario(
            "tls_receive",
            partial(receive, size=4800),
            "TLS: receive 4,800 bytes and words",
            _wanted(_CPU_AND_WALL, cpu=(2.5, None)),
            tls=True,
        ),
        Scenario(
            "tls_receive_long",
            partial(receive, size=24000),
            "TLS: receive 24,000 bytes and words",
            _CPU_AND_WALL,
            tls=True,
        ),
        Scenario(
            "tls_send", partial(send, ms=20), "TLS: send 20 ms", _wanted(_CPU_AND_WALL, cpu=(0.9, None)), tls=True
        ),
        Scenario("tls_first_audio", first_audio, "TLS: connect to first audio", _OPENING, tls=True),
        Scenario("tls_tool", tool_turnaround, "TLS: tool call to output", _DELAYS, tls=True),
        Scenario("tls_duplex", duplex, "TLS: all in duplex", _DUPLEX, tls=True, paced=True, repetitions=1),
        *(
            Scenario(
                f"voice_{first}",
                partial(voice_first_audio, first=first),
                f"voice pipeline, first sentence of {first} characters",
                {"p50": Figure("ms", 2.0 if first == 15 else None)},
                voice=True,
                repetitions=1,
            )
            for first in (15, 25, 60, 120)
        ),
    )
}
