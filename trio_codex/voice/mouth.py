"""From sentences to sound: the next sentences are synthesised while one plays, at most so many at a time, and come out in order.

A sentence holds one of `prefetch` places from its request until its last sound is handed on, so neither requests nor audio pile up. What
fails fails in its place: the sentences before it are heard.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import attrs
import trio

from trio_codex.audio import WholeSamples
from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.given import check_count
from trio_codex.voice.inputs import pieces
from trio_codex.voice.models import TTSModel, TTSSettings
from trio_codex.voice.stages import Stage

__all__ = ["SentenceEnded", "SentenceStarted", "Spoken", "speaking"]

_PIECES_KEPT: Final = 1200
"""Of one sentence, each at most 100 ms: a model that is faster than that has to wait."""


@attrs.frozen
class SentenceStarted:
    """The sound of a sentence follows."""

    text: str


@attrs.frozen
class SentenceEnded:
    """All sound of the sentence has come."""


Spoken: TypeAlias = bytes | SentenceStarted | SentenceEnded
"""What the last stage of a pipeline gives: audio; those who want `result.text` to be right also say which sentence it is."""


class _Utterance:
    """A sentence on its way through the model."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sender, self.audio = trio.open_memory_channel[bytes](_PIECES_KEPT)
        self.failure: Exception | None = None


class _Speaking(Stage[str, Spoken]):
    def __init__(self, model: TTSModel, settings: TTSSettings, prefetch: int) -> None:
        check_count(prefetch, where="prefetch")
        if not callable(getattr(model, "speak", None)):
            raise ConfigurationError(f"a text-to-speech model has a method speak(text, settings); {model!r} has none")
        super().__init__(self._speak)
        self._model = model
        self._settings = settings
        self._prefetch = prefetch

    @asynccontextmanager
    async def open(self) -> AsyncIterator[_Speaking]:
        """Open the model for a run, if it needs that."""
        model: Any = self._model
        if hasattr(model, "open"):
            async with model.open() as opened:
                yield _Speaking(opened, self._settings, self._prefetch)
        else:
            yield self

    async def _speak(self, receive: trio.MemoryReceiveChannel[str], send: trio.MemorySendChannel[Spoken]) -> None:
        places = trio.Semaphore(self._prefetch)
        into_order, in_order = trio.open_memory_channel[_Utterance](self._prefetch)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hand_on, in_order, places, send, name="voice order of sentences")
            with into_order:
                async for text in receive:
                    await places.acquire()
                    utterance = _Utterance(text)
                    nursery.start_soon(self._synthesise, utterance, name="voice synthesis")
                    into_order.send_nowait(utterance)

    async def _synthesise(self, utterance: _Utterance) -> None:
        with utterance.sender as sender:
            try:
                if any(character.isalnum() for character in utterance.text):
                    await self._request(utterance.text.strip(), sender)
            except Exception as error:  # it is raised in its place, by whoever hands the audio on
                utterance.failure = error

    async def _request(self, text: str, sender: trio.MemorySendChannel[bytes]) -> None:
        samples = WholeSamples()
        patience = self._settings.chunk_timeout
        with trio.move_on_after(patience) as limit:
            async with self._model.speak(text, self._settings) as speech:
                async for chunk in speech:
                    limit.deadline = math.inf
                    for piece in pieces(samples.feed(chunk)):
                        await sender.send(piece)
                    limit.deadline = trio.current_time() + patience
        if limit.cancelled_caught:
            raise VoiceError(f"text-to-speech sent no audio for {patience:g} s", code="timeout")


async def _hand_on(
    utterances: trio.MemoryReceiveChannel[_Utterance], places: trio.Semaphore, send: trio.MemorySendChannel[Spoken]
) -> None:
    async for utterance in utterances:
        await send.send(SentenceStarted(utterance.text))
        with utterance.audio:
            async for piece in utterance.audio:
                await send.send(piece)
        if utterance.failure is not None:
            raise utterance.failure
        await send.send(SentenceEnded())
        places.release()


def speaking(model: TTSModel, settings: TTSSettings | None = None, *, prefetch: int = 3) -> Stage[str, Spoken]:
    """Return the stage that speaks sentences, in order; at most `prefetch` are with the model or waiting to be played.

    Audio comes in whole samples and pieces of at most 100 ms; half a sample at the end of a sentence is dropped. What has neither letters
    nor digits is not spoken. Raises VoiceError with code "timeout" when the model sends nothing for the settings' `chunk_timeout`, and
    what the model raises, after the sentences before it.
    """
    return _Speaking(model, settings or TTSSettings(), prefetch)
