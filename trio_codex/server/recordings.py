"""Whole recordings into words: cut where nobody speaks, recognised piece by piece.

Cutting gives the pieces their times and keeps a recogniser from being held for longer than one of them takes. A piece whose recogniser
died is heard once more. Knows nothing of HTTP or of file formats.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import trio

from trio_codex.audio import AudioFormat
from trio_codex.errors import VoiceError
from trio_codex.logs import get_logger
from trio_codex.server.connection import Engines
from trio_codex.server.engines import SpeechToText
from trio_codex.speech import SpeechStarted

logger: Final = get_logger("server")

PAUSE: Final[Mapping[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 700,
}
"""What separates two pieces, unless a client says otherwise."""
STEP_MS: Final = 500
_PCM: Final = AudioFormat.PCM16


@attrs.frozen
class Segment:
    """A piece of a recording and its words; times in ms from its beginning."""

    start_ms: int
    end_ms: int
    text: str


@asynccontextmanager
async def recognised(pcm: bytes, engines: Engines, pause: Mapping[str, Any] = PAUSE) -> AsyncIterator[Segments]:
    """The segments of a recording in which something was said, as an async iterator. Iterating raises VoiceError."""
    yield Segments(pcm, await _cut(pcm, engines, pause), engines.stt)


class Segments:
    """See `recognised`. Cancel-safe but for the segment that is being recognised, which is lost."""

    def __init__(self, pcm: bytes, spans: Iterator[tuple[int, int]], stt: SpeechToText) -> None:
        self._pcm = pcm
        self._spans = spans
        self._stt = stt

    def __aiter__(self) -> Segments:
        return self

    async def __anext__(self) -> Segment:
        for start_ms, end_ms in self._spans:
            words = await self._recognise(self._pcm[_PCM.nbytes(start_ms) : _PCM.nbytes(end_ms)])
            if words:
                return Segment(start_ms, min(end_ms, _PCM.duration_ms(len(self._pcm))), words)
        raise StopAsyncIteration

    async def _recognise(self, pcm: bytes) -> str:
        try:
            return await self._hear(pcm)
        except VoiceError as error:
            logger.info("a recogniser failed (%s); its recording is heard again", error)
        return await self._hear(pcm)

    async def _hear(self, pcm: bytes) -> str:
        async with self._stt.stream() as stream:
            await stream.feed(pcm)
            return await stream.finish()


async def _cut(pcm: bytes, engines: Engines, pause: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Where somebody speaks, from and to in ms; the whole if the detector hears nobody, for the recogniser may."""
    detector = engines.make_detector(pause, 0)
    size = _PCM.nbytes(STEP_MS)
    spans: list[tuple[int, int]] = []
    began: int | None = None
    for at in range(0, len(pcm), size):
        await trio.lowlevel.checkpoint()
        for event in detector.feed(pcm[at : at + size]):
            if isinstance(event, SpeechStarted):
                began = event.audio_start_ms
            elif began is not None:
                spans.append((began, event.audio_end_ms))
                began = None
    end = _PCM.duration_ms(len(pcm)) + 1
    if began is not None:
        spans.append((began, end))
    return iter(spans or [(0, end)])
