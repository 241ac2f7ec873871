"""Text to speech with flite or espeak-ng, in worker processes (global state, GPL, and nothing may block the event loop).

One utterance is one job of the pool. Its audio is kept for the listener, up to a minute of it, so that the worker is
free for others as soon as it has said everything, however slowly the audio is taken.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Literal

import trio

from trio_codex.errors import ConfigurationError
from trio_codex.speech.framing import Frame, Kind
from trio_codex.speech.pool import Job, Pool, open_pool

__all__ = ["Speech", "Synthesizer", "open_synthesizer"]

Engine = Literal["flite", "espeak-ng"]

_CHUNKS_KEPT = 600


class Speech:
    """The chunks of one utterance, as an async iterator: s16le mono 24 kHz, whole samples, at most 100 ms each.

    Cancel-safe, no chunk is lost; raises VoiceError when the engine fails. A text without words gives no chunk.
    """

    def __init__(self, job: Job, chunks: trio.MemoryReceiveChannel[bytes]) -> None:
        self._job = job
        self._chunks = chunks

    def __aiter__(self) -> Speech:
        return self

    async def __anext__(self) -> bytes:
        with suppress(trio.EndOfChannel):
            return await self._chunks.receive()
        await self._job.result()
        raise StopAsyncIteration


class Synthesizer:
    """A bounded pool of synthesiser processes; `engine` says which. See `open_synthesizer`."""

    def __init__(self, pool: Pool, engine: Engine) -> None:
        self._pool = pool
        self.engine = engine

    @asynccontextmanager
    async def speak(self, text: str, *, voice: str = "alloy", speed: float = 1.0) -> AsyncIterator[Speech]:
        """Say a text; waits for a free worker, first come, first served. Cancel-safe.

        `voice` is one of `VOICES` (any other name gives one of them, always the same one); `speed` is 0.25 to 4, 1 is
        normal. Leaving the block early drops the rest of the utterance. Raises ConfigurationError for another speed,
        VoiceError.
        """
        if not (math.isfinite(speed) and 0.25 <= speed <= 4):
            raise ConfigurationError(f"the speed of speech lies between 0.25 and 4, not at {speed}")
        sender, receiver = trio.open_memory_channel[bytes](_CHUNKS_KEPT)

        async def keep(frame: Frame) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the listener has left
                await sender.send(frame.payload)

        settings = {"voice": voice, "speed": speed}
        with sender, receiver:
            async with self._pool.job(settings, deliver=keep, on_over=sender.close) as job:
                await job.send_pieces(text.encode(errors="replace"))
                await job.send(Kind.END)
                yield Speech(job, receiver)


@asynccontextmanager
async def open_synthesizer(*, workers: int = 1, engine: Engine | None = None) -> AsyncIterator[Synthesizer]:
    """Open a speech synthesiser with at most `workers` processes, each of which says one utterance at a time.

    `engine`: None takes flite when its command is on PATH (better voices) and espeak-ng otherwise. Processes are
    started, kept and replaced as in `open_recognizer`. Raises ConfigurationError when the engine or the extra `local`
    is absent.

        async with open_synthesizer() as synthesizer, synthesizer.speak("Hello.", voice="alloy") as speech:
            async for pcm in speech:
                ...
    """
    chosen: Engine = engine or ("flite" if shutil.which("flite") else "espeak-ng")
    if chosen == "flite" and shutil.which("flite") is None:
        raise ConfigurationError("the command flite is not on PATH")
    for module in ("numpy", "soxr", *(["espeakng_loader"] if chosen == "espeak-ng" else [])):
        if find_spec(module) is None:
            raise ConfigurationError(f"speech synthesis needs {module}: pip install 'trio-codex[local]'")
    async with open_pool(chosen, workers) as pool:
        yield Synthesizer(pool, chosen)
