"""Speech to text (signatures; the implementation follows)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class RecognitionStream:
    """One utterance on its way into text. `partial` is the newest hypothesis so far ("" unless `partials=True`)."""

    partial: str

    async def feed(self, pcm: bytes) -> None:
        """Hear more of the utterance: s16le mono 24 kHz, any chunking (odd bytes are carried).

        Waits while the worker is behind. Cancel-safe: what was handed over stays heard, in whole pieces of at most 85 ms.
        Raises VoiceError (code "worker_died" or "worker_failed") when the engine is gone.
        """
        raise NotImplementedError

    async def finish(self) -> str:
        """End the utterance and return its transcript, "" when no words were heard. The worker is free again afterwards.

        Raises VoiceError. Cancelled, the transcript is lost.
        """
        raise NotImplementedError


class Recognizer:
    """A bounded pool of recogniser processes; see `open_recognizer`."""

    def stream(self, *, partials: bool = False) -> AbstractAsyncContextManager[RecognitionStream]:
        """Open one utterance; entering waits for a free worker (first come, first served) and is cancel-safe.

        The same audio gives the same transcript, whatever the worker heard before. Leaving without `finish` drops the utterance.
        """
        raise NotImplementedError

    async def transcribe(self, pcm: bytes) -> str:
        """Transcribe a whole utterance. Raises VoiceError; cancel-safe."""
        raise NotImplementedError


@asynccontextmanager
async def open_recognizer(*, workers: int = 1) -> AsyncIterator[Recognizer]:
    """Open a speech recogniser with at most `workers` processes, each of which hears one utterance at a time.

    One process is started at once, in the background (ready after half a second; audio fed before is not lost), the others when
    they are needed; they stay warm until the block is left. A process that died is replaced at the next use.
    Raises ConfigurationError without the extra `local`.
    """
    raise NotImplementedError
    yield Recognizer()
