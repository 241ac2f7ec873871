"""What is done and measured. A scenario is one async function over `client`; it runs in a contestant's process and gives figures.

Of every figure, less is better. `target` is what the project asks for: how many times less than the other's.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final, TypeVar

from benchmarks.client import Call, Client, Job

T = TypeVar("T")
Figures = dict[str, float]

_CHUNK_MS: Final = 20
_CHUNK: Final = bytes(range(1, 241)) * (48 * _CHUNK_MS // 240)
_BYTES_PER_HOUR: Final = 48_000 * 3600


@dataclass(frozen=True)
class Effort:
    """How much is done in one run. `settling`: seconds of silence before something is measured."""

    rounds: int = 200
    sessions: int = 100
    seconds: float = 10.0
    settling: float = 1.0


TINY: Final = Effort(rounds=3, sessions=3, seconds=0.3, settling=0.1)


@dataclass(frozen=True)
class Figure:
    """What a scenario measures. `target` of None: reported only."""

    unit: str
    target: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A scenario, by the name of its function."""

    run: Callable[[Client, str, Effort], Awaitable[Figures]]
    title: str
    figures: Mapping[str, Figure]


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
    for _ in range(effort.rounds):
        began = time.monotonic()
        async with client.open(url) as call:
            await call.say("speak")
            await call.listen(lambda _: True)
            took.append((time.monotonic() - began) * 1000)
            await _until_done(client)
    return _spread(_warm(took))


async def _until_done(client: Client) -> None:
    """Let the rest of the response arrive, so that the next round begins in silence."""
    await client.sleep_until(time.monotonic() + 0.005)


# --- many sessions at once -----------------------------------------------------------------------------------------


async def duplex(client: Client, url: str, effort: Effort) -> Figures:
    """All sessions hear and speak at the pace of speech: from the write of a piece of audio to the user's event."""
    opened: list[Call] = []
    delays: list[int] = []
    received = sent = 0
    begin, used = float("inf"), 0.0

    async def conversation(index: int) -> None:
        await _wait_for(client, lambda: len(opened) == index)
        async with client.open(url) as call:
            opened.append(call)
            await _wait_for(client, lambda: begin < float("inf"))
            await client.sleep_until(begin - effort.settling + index / effort.sessions * 0.1)
            await call.say("talk")
            await client.at_once([lambda: call.listen(heard), lambda: speak(call, index)])

    def heard(audio: bytes) -> bool:
        nonlocal received
        now = time.monotonic_ns()
        if begin <= now / 1e9 < begin + effort.seconds:
            delays.append(now - _number(audio))
            received += len(audio)
        return now / 1e9 >= begin + effort.seconds

    async def speak(call: Call, index: int) -> None:
        nonlocal sent
        due = begin - effort.settling / 2 + index / effort.sessions * _CHUNK_MS / 1000
        while due < begin + effort.seconds:
            await client.sleep_until(due)
            await call.send_audio(_CHUNK)
            sent += begin <= time.monotonic() < begin + effort.seconds
            due += _CHUNK_MS / 1000

    async def watch() -> None:
        nonlocal begin, used
        await _wait_for(client, lambda: len(opened) == effort.sessions)
        begin = time.monotonic() + 2 * effort.settling
        await client.sleep_until(begin)
        used = _cpu()
        await client.sleep_until(begin + effort.seconds)
        used = _cpu() - used

    conversations: list[Job] = [lambda index=index: conversation(index) for index in range(effort.sessions)]  # type: ignore[misc]
    await client.at_once([watch, *conversations])
    spoken = sent * len(_CHUNK) / (effort.seconds * 48_000 * effort.sessions)
    assert spoken > 0.9, f"only {spoken:.0%} of the user's audio was sent in time"
    figures = _spread([delay / 1e6 for delay in delays])
    return figures | {"cpu": used / (received / _BYTES_PER_HOUR), "core": 100 * used / effort.seconds}


async def idle_memory(client: Client, url: str, effort: Effort) -> Figures:
    """What one more open session adds to the resident memory; a fifth more are opened before, for what only the first ones cost."""
    first = effort.sessions // 5
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
        await _wait_for(client, lambda: opened == first + effort.sessions)
        after = await _memory(client, effort)
        over = True

    holders: list[Job] = [lambda index=index: hold(index) for index in range(first + effort.sessions)]  # type: ignore[misc]
    await client.at_once([watch, *holders])
    return {"session": (after - before) / effort.sessions, "process": after / 1024}


async def _wait_for(client: Client, true: Callable[[], bool]) -> None:
    while not true():
        await client.sleep_until(time.monotonic() + 0.01)


async def _memory(client: Client, effort: Effort) -> float:
    """The resident memory in KiB, after a silence."""
    await client.sleep_until(time.monotonic() + effort.settling)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


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


SCENARIOS: Final = {
    scenario.run.__name__: scenario
    for scenario in (
        Scenario(tool_turnaround, "tool call to output", {"p50": Figure("ms", 2.5), "p99": Figure("ms")}),
        Scenario(first_audio, "connect to first audio", {"p50": Figure("ms", 2.5), "p99": Figure("ms")}),
        Scenario(
            duplex,
            "all in duplex, server to event",
            {
                "p50": Figure("ms"),
                "p99": Figure("ms", 2.5),
                "cpu": Figure("s per audio hour"),
                "core": Figure("% of a core"),
            },
        ),
        Scenario(idle_memory, "memory", {"session": Figure("KiB", 2.0), "process": Figure("MiB")}),
    )
}
