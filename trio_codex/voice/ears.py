"""From audio to transcripts: the stage that hears, and the two ways to use a speech-to-text model.

A recording is transcribed whole. In a stream turns are found by the model, when it can, else here. Speech is heard while what was said
before is being transcribed; transcripts come in the order in which the turns were spoken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import trio

from trio_codex.errors import ConfigurationError
from trio_codex.voice.models import Heard, SpeechStopped, STTModel, STTSettings, Transcript
from trio_codex.voice.stages import Stage
from trio_codex.voice.turns import Cut, Cutter, Detector, Utterance, detector_for

__all__ = ["Listening", "listening"]

_UTTERANCES: Final = 4
"""So many may wait for their transcription; then nobody listens until there is room."""


class Listening(Stage[bytes, Heard]):
    """The stage that hears a stream; `whole` is the one for a recording."""

    def __init__(self, model: STTModel, settings: STTSettings, detector: Callable[[], Detector] | None = None) -> None:
        if not callable(getattr(model, "transcribe", None)):
            raise ConfigurationError(
                f"a speech-to-text model has an async method transcribe(pcm, settings); {model!r} has none"
            )
        super().__init__(self._by_itself if hasattr(model, "open_stream") and detector is None else self._with_us)
        self._model: Any = model
        self._settings = settings
        self._detector = detector

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Listening]:
        """Open the model for a run, if it needs that."""
        if hasattr(self._model, "open"):
            async with self._model.open() as model:
                yield Listening(model, self._settings, self._detector)
        else:
            yield self

    @property
    def whole(self) -> Stage[bytes, Heard]:
        """The stage that transcribes everything it hears as one turn; without any audio nothing is asked of the model."""
        return Stage(self._whole)

    async def _whole(self, receive: trio.MemoryReceiveChannel[bytes], send: trio.MemorySendChannel[Heard]) -> None:
        pcm = b"".join([piece async for piece in receive])
        if pcm:
            await send.send(await self._transcribe(pcm))

    async def _by_itself(self, receive: trio.MemoryReceiveChannel[bytes], send: trio.MemorySendChannel[Heard]) -> None:
        async with self._model.open_stream(self._settings) as stream, trio.open_nursery() as nursery:

            async def feed() -> None:
                async for pcm in receive:
                    await stream.send(pcm)
                await stream.end()

            nursery.start_soon(feed, name="voice hearing")
            async for heard in stream:
                await send.send(heard)
            nursery.cancel_scope.cancel()

    async def _with_us(self, receive: trio.MemoryReceiveChannel[bytes], send: trio.MemorySendChannel[Heard]) -> None:
        cutter = Cutter(self._detector() if self._detector is not None else detector_for(self._settings.turn_detection))
        spoken, to_transcribe = trio.open_memory_channel[bytes](_UTTERANCES)
        utterance = bytearray()

        async def take(cuts: list[Cut]) -> None:
            for cut in cuts:
                if isinstance(cut, Utterance):
                    utterance.extend(cut.pcm)
                    continue
                await send.send(cut)
                if isinstance(cut, SpeechStopped):
                    await spoken.send(bytes(utterance))
                    utterance.clear()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._transcribe_all, to_transcribe, send, name="voice transcription")
            with spoken:
                async for pcm in receive:
                    await take(cutter.feed(pcm))
                await take(cutter.finish())

    async def _transcribe_all(
        self, utterances: trio.MemoryReceiveChannel[bytes], send: trio.MemorySendChannel[Heard]
    ) -> None:
        async for pcm in utterances:
            await send.send(await self._transcribe(pcm))

    async def _transcribe(self, pcm: bytes) -> Transcript:
        transcript = await self._model.transcribe(pcm, self._settings)
        if not isinstance(transcript, Transcript):
            raise ConfigurationError(f"a speech-to-text model gives a Transcript, not {type(transcript).__name__}")
        return transcript


def listening(
    model: STTModel, settings: STTSettings | None = None, *, detector: Callable[[], Detector] | None = None
) -> Stage[bytes, Transcript]:
    """Return the stage that turns audio into transcripts, one for each turn; the pipeline also hears where speech starts and stops.

    A model with `open_stream` finds the turns of a stream by itself; for others they are found here, by a detector made for each run:
    `trio_codex.speech.TurnDetector` with the extra `local`, one of mere loudness without, or what `detector` gives (which then is used
    with any model).
    """
    return cast("Stage[bytes, Transcript]", Listening(model, settings or STTSettings(), detector))
