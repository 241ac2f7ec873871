"""Speech to text with pocketsphinx, in worker processes because it holds the GIL while it decodes.

One utterance is one job of the pool: its audio goes down as it comes, so that most of the decoding is done when the
utterance ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from trio_codex.errors import ConfigurationError
from trio_codex.speech.framing import Frame, Kind
from trio_codex.speech.pool import Job, Pool, open_pool

__all__ = ["RecognitionStream", "Recognizer", "open_recognizer"]


class RecognitionStream:
    """One utterance on its way into text. `partial` is the newest hypothesis ("" unless asked for with `partials=True`)."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.partial = ""

    async def feed(self, pcm: bytes) -> None:
        """Hear more of the utterance: s16le mono 24 kHz, any chunking (an odd byte waits for its other half).

        Waits while the worker is more than a second behind. Cancelled, the beginning of `pcm` may have been heard, in
        whole pieces of 85 ms. Raises VoiceError (code "worker_died" or "worker_failed") when the engine is gone.
        """
        await self._job.send_pieces(pcm)

    async def finish(self) -> str:
        """End the utterance and return its words, in lower case, "" when there are none; the worker is free again then.

        Raises VoiceError. Cancelled, the transcript is lost.
        """
        await self._job.send(Kind.END)
        return await self._job.result()


class Recognizer:
    """A bounded pool of recogniser processes; see `open_recognizer`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def stream(self, *, partials: bool = False) -> AsyncIterator[RecognitionStream]:
        """Open one utterance; waits for a free worker, first come, first served. Cancel-safe.

        The same audio gives the same transcript, whatever was heard before and in whatever chunks. Leaving the block
        without `finish` drops the utterance. Raises VoiceError.
        """

        async def note(frame: Frame) -> None:
            stream.partial = frame.payload.decode()

        async with self._pool.job({"partials": partials}, note) as job:
            stream = RecognitionStream(job)
            yield stream

    async def transcribe(self, pcm: bytes) -> str:
        """Return the words of one whole utterance (s16le mono 24 kHz). Cancel-safe. Raises VoiceError."""
        async with self.stream() as stream:
            await stream.feed(pcm)
            return await stream.finish()


@asynccontextmanager
async def open_recognizer(*, workers: int = 1) -> AsyncIterator[Recognizer]:
    """Open a speech recogniser with at most `workers` processes, each of which hears one utterance at a time.

    One process is started at once, in the background (it takes half a second; what is fed before that is not lost),
    the others when they are needed; they stay warm until the block is left, which ends them all within a second. A
    process that died is replaced at the next use. Raises ConfigurationError without the extra `local`.

        async with open_recognizer() as recognizer:
            text = await recognizer.transcribe(read_wav("hello.wav").pcm24k())
    """
    for module in ("pocketsphinx", "numpy", "soxr"):
        if find_spec(module) is None:
            raise ConfigurationError(f"speech recognition needs {module}: pip install 'trio-codex[local]'")
    async with open_pool("pocketsphinx", workers) as pool:
        yield Recognizer(pool)
