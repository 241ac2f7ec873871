"""What a pipeline hears: a whole recording, which is one turn, or a stream, in which there may be any number of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from os import PathLike
from typing import BinaryIO, Final, TypeAlias

import attrs
import trio

from trio_codex.audio import RATE, Resampler, WholeSamples, read_wav
from trio_codex.errors import ConfigurationError
from trio_codex.given import check_count

__all__ = ["AudioInput", "Input", "Pace", "StreamedAudioInput", "pump"]

PIECE: Final = 4800
"""A recording is handed on in pieces of 100 ms."""

_SECOND: Final = 48_000  # bytes
_NOTICEABLE_S: Final = 0.05
_BURST_S: Final = 0.5


@attrs.frozen
class AudioInput:
    """A whole recording, s16le mono: one turn. `rate` is that of `pcm`; it is resampled to 24 kHz (extra `audio`) if it is another.

    Half a sample at the end is dropped. Without any audio nothing is asked of anybody: the conversation is over at once.
    """

    pcm: bytes = attrs.field(repr=lambda pcm: f"<{len(pcm)} bytes>")

    def __init__(self, pcm: bytes, *, rate: int = 24_000) -> None:
        pcm = checked(pcm)
        check_count(rate, where="AudioInput rate")
        if pcm[:4] == b"RIFF":
            raise ConfigurationError("that is a WAV file: AudioInput.from_wav reads it")
        self.__attrs_init__(Resampler(rate, RATE).feed(pcm, last=True))  # type: ignore[attr-defined]

    @classmethod
    def from_wav(cls, source: str | PathLike[str] | bytes | BinaryIO) -> AudioInput:
        """Read a WAV: a path, its bytes or a binary file; PCM of 8 to 32 bits, floats, G.711; any rate and channels.

        Blocks while it reads a file. What is not 16 bit mono at 24 kHz needs the extra `audio`. Raises ConfigurationError for what is no
        WAV, is truncated, contradicts its own header or holds no sound.
        """
        return cls(read_wav(source).pcm24k())


class StreamedAudioInput:
    """A stream of audio that somebody else sends, s16le mono 24 kHz in any chunking: a sink for a microphone's task.

    It holds at most `room` pieces of up to 100 ms; `send` waits when it is full. Whoever sends closes it in the end, or uses it as a
    context manager: `async with audio: …`. One run of a pipeline listens to it, once.
    """

    def __init__(self, *, room: int = 100) -> None:
        check_count(room, where="StreamedAudioInput room")
        self._sender, self._receiver = trio.open_memory_channel[bytes](room)
        self._taken = False

    async def send(self, pcm: bytes) -> None:
        """Send more audio; waits for room. Cancelled, the beginning of `pcm` may be heard, in whole pieces of 100 ms.

        Raises trio.ClosedResourceError after `aclose`, trio.BrokenResourceError when the run that listened is over.
        """
        await trio.lowlevel.checkpoint()
        for piece in pieces(checked(pcm)):
            await self._sender.send(piece)

    def send_nowait(self, pcm: bytes) -> None:
        """Send up to 100 ms of audio at once, for callbacks. Raises trio.WouldBlock when there is no room, and as `send` does."""
        if len(pcm) > PIECE:
            raise ConfigurationError(f"{len(pcm)} bytes at once; send_nowait takes up to {PIECE}")
        self._sender.send_nowait(checked(pcm))

    async def aclose(self) -> None:
        """Say that no more audio comes; what was sent is still heard. Harmless when done twice."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Do as `aclose` does, for callbacks."""
        self._sender.close()

    async def __aenter__(self) -> StreamedAudioInput:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> trio.MemoryReceiveChannel[bytes]:
        if self._taken:
            raise ConfigurationError("somebody listens to this audio input already; every run needs one of its own")
        self._taken = True
        return self._receiver


Input: TypeAlias = AudioInput | StreamedAudioInput | AsyncIterable[bytes]


def pieces(pcm: bytes) -> Iterator[bytes]:
    """Cut audio into pieces of at most 100 ms."""
    return (pcm[at : at + PIECE] for at in range(0, len(pcm), PIECE))


class Pace:
    """Tells a live input from a recording: who has us wait for audio sends what is said now; a recording is always there already.

    What comes in one go after a wait may still be live, unless it is longer than half a second before somebody speaks in it.
    """

    def __init__(self) -> None:
        self._position = 0
        self._present: int | None = None  # the newest position that we had to wait for

    def came(self, nbytes: int, *, waited: float) -> None:
        """More audio came, after we had waited for it so many seconds."""
        self._position += nbytes
        if waited >= min(nbytes / _SECOND / 2, _NOTICEABLE_S):
            self._present = self._position

    def is_live(self, audio_ms: int) -> bool:
        """Whether somebody who began to speak at this position may be speaking now."""
        return self._present is not None and audio_ms <= (self._present / _SECOND + _BURST_S) * 1000


async def pump(source: Input, pace: Pace, send: trio.MemorySendChannel[bytes]) -> None:
    """Send everything that an input gives, whole samples in pieces of at most 100 ms, and close the channel."""
    with send:
        if isinstance(source, AudioInput):
            for piece in pieces(source.pcm):
                await send.send(piece)
            return
        samples = WholeSamples()
        async with closing(aiter(source)) as audio:
            while True:
                # What is there already keeps nobody waiting, however long a busy machine takes to hand it over.
                there = isinstance(audio, trio.MemoryReceiveChannel) and audio.statistics().current_buffer_used > 0
                asked = trio.current_time()
                try:
                    pcm = samples.feed(checked(await anext(audio)))
                except StopAsyncIteration:
                    return
                pace.came(len(pcm), waited=0.0 if there else trio.current_time() - asked)
                for piece in pieces(pcm):
                    await send.send(piece)


@asynccontextmanager
async def closing(audio: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close a generator, or a channel (so that whoever sends learns that nobody listens any more), in the end."""
    try:
        yield audio
    finally:
        if isinstance(audio, trio.MemoryReceiveChannel):
            audio.close()
        elif isinstance(audio, AsyncGenerator):
            await audio.aclose()


def checked(pcm: object) -> bytes:
    """Return audio as bytes. Raises ConfigurationError for anything that is none."""
    if isinstance(pcm, bytes | bytearray | memoryview):
        return bytes(pcm)
    raise ConfigurationError(f"audio is bytes, not {type(pcm).__name__}")
