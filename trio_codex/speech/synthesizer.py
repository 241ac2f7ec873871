"""Text to speech (signatures; the implementation follows)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class Speech:
    """An async iterator over the chunks of one utterance: s16le mono 24 kHz, whole samples, 100 ms or less each.

    `__anext__` raises VoiceError when the engine fails; cancel-safe, no chunk is lost. An empty text gives no chunk.
    """

    def __aiter__(self) -> Speech:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk."""
        raise NotImplementedError


class Synthesizer:
    """A bounded pool of synthesiser processes; see `open_synthesizer`. `engine` is "flite" or "espeak-ng"."""

    engine: str

    def speak(self, text: str, *, voice: str = "alloy", speed: float = 1.0) -> AbstractAsyncContextManager[Speech]:
        """Say a text; entering waits for a free worker. Leaving the block early abandons the rest of the utterance.

        A worker is free as soon as it has said everything, also while chunks (at most a minute of them) wait to be taken.
        `voice` is one of `VOICES` (any other name gives one of them, always the same); `speed` is 0.25 to 4, 1 is normal.
        Raises ConfigurationError for a speed out of range, VoiceError.
        """
        raise NotImplementedError


@asynccontextmanager
async def open_synthesizer(*, workers: int = 1, engine: str | None = None) -> AsyncIterator[Synthesizer]:
    """Open a speech synthesiser with at most `workers` processes, each of which says one utterance at a time.

    `engine`: "flite", "espeak-ng", or None for flite when its command is on PATH and espeak-ng otherwise. Processes are started
    and replaced as in `open_recognizer`. Raises ConfigurationError when the engine or the extra `local` is absent.
    """
    raise NotImplementedError
    yield Synthesizer()
