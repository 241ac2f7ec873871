"""Simulated speech: sound that carries its own words, so that what is heard can be checked, and costs next to nothing to understand.

`spoken(text)` is as long as speech would be; `understood(pcm)` gives the words that are whole in it, so half an utterance is half a
sentence. `SimulatedSTT`, `SimulatedTTS` and `SimulatedDetector` are ears and mouth for a server (`open_local_server(stt=…, tts=…)`); the
words survive any cutting of 24 kHz PCM, but no resampling and no G.711.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from trio_codex.speech import SpeechStarted, SpeechStopped
from trio_codex.speech.turns import PATIENCE_MS

__all__ = ["SimulatedDetector", "SimulatedSTT", "SimulatedTTS", "paced", "silence", "spoken", "understood"]

BYTES_PER_MS: Final = 48
MS_PER_CHARACTER: Final = 60
CHUNK_MS: Final = 100

_MARK: Final = array("h", [23456, -12345, 23457, -12346]).tobytes()
_LOUD_HUM: Final = array("h", [4000] * 27 + [-4000] * 27).tobytes()
_SOFT_HUM: Final = array("h", [1000] * 27 + [-1000] * 27).tobytes()
_SOFT: Final = 0.2
"""How much of a word is soft; a steady hum would be taken for noise by a real detector of turns."""
_OFFSET: Final = 8000  # of a byte's sample, so that none is zero
_LOUD: Final = 500


def spoken(text: str, *, ms_per_character: float = MS_PER_CHARACTER) -> bytes:
    """Say a text (s16le mono PCM at 24 kHz); each word ends with its letters, so it is understood once it has been heard to the end."""
    return b"".join(_word(word, ms_per_character) for word in text.split())


def _word(word: str, ms_per_character: float) -> bytes:
    letters = word.encode()
    samples = array("h", [_OFFSET + len(letters), *(_OFFSET + letter for letter in letters)])
    carried = _MARK + samples.tobytes()
    size = max(round((len(word) + 1) * ms_per_character * BYTES_PER_MS) // 2 * 2 - len(carried), 0)
    soft = _SOFT_HUM * int(size * _SOFT / len(_SOFT_HUM))
    loud = _LOUD_HUM * (size // len(_LOUD_HUM) + 1)
    return (soft + loud)[:size] + carried


def understood(pcm: bytes) -> str:
    """Give the words that are whole in a sound, "" for none."""
    words = []
    at = pcm.find(_MARK)
    while at >= 0:
        begin = at + len(_MARK)
        samples = array("h", pcm[begin : begin + 2])
        size = samples[0] - _OFFSET if samples else -1
        letters = array("h", pcm[begin + 2 : begin + 2 + 2 * size]) if size > 0 and at % 2 == 0 else array("h")
        if len(letters) == size and all(0 <= letter - _OFFSET < 256 for letter in letters):
            words.append(bytes(letter - _OFFSET for letter in letters).decode(errors="replace"))
        at = pcm.find(_MARK, at + 1)
    return " ".join(words)


def silence(ms: float) -> bytes:
    """Say nothing for so long."""
    return bytes(round(ms * BYTES_PER_MS / 2) * 2)


def paced(*sounds: bytes) -> AsyncIterator[bytes]:
    """Give sounds as a microphone does: in pieces of 100 ms, each when it has sounded."""
    return _Speech(b"".join(sounds), 1.0)


class SimulatedSTT:
    """A recogniser that understands simulated speech. `heard` are the utterances that were finished."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[SimulatedUtterance]:
        """Open one utterance."""
        yield SimulatedUtterance(self.heard)


class SimulatedUtterance:
    """An utterance of a `SimulatedSTT`."""

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard
        self._pcm: list[bytes] = []

    async def feed(self, pcm: bytes) -> None:
        """Hear more."""
        await trio.lowlevel.checkpoint()
        self._pcm.append(pcm)

    async def finish(self) -> str:
        """End the utterance and return its words."""
        await trio.lowlevel.checkpoint()
        words = understood(b"".join(self._pcm))
        self._heard.append(words)
        return words


class SimulatedTTS:
    """A voice that says simulated speech, `pace` times as fast as it sounds. `said` are the texts it was given."""

    def __init__(self, *, pace: float = 1.0, ms_per_character: float = MS_PER_CHARACTER) -> None:
        self._pace = pace
        self._ms_per_character = ms_per_character
        self.said: list[str] = []

    @asynccontextmanager
    async def speak(
        self, text: str, *, voice: str = "alloy", speed: float = 1.0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Say a text."""
        self.said.append(text)
        yield _Speech(spoken(text, ms_per_character=self._ms_per_character / speed), self._pace)


class _Speech:
    def __init__(self, pcm: bytes, pace: float) -> None:
        self._pcm = pcm
        self._pace = pace
        self._at = 0

    def __aiter__(self) -> _Speech:
        return self

    async def __anext__(self) -> bytes:
        if self._at >= len(self._pcm):
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        chunk = self._pcm[self._at : self._at + CHUNK_MS * BYTES_PER_MS]
        self._at += len(chunk)
        await trio.sleep(len(chunk) / BYTES_PER_MS / 1000 / self._pace)
        return chunk


class SimulatedDetector:
    """Finds turns by loudness alone. Takes a session's `turn_detection`, as the server's own detector does."""

    def __init__(self, config: Mapping[str, Any], origin_ms: int) -> None:
        semantic = config["type"] == "semantic_vad"
        self._silence_ms: int = PATIENCE_MS[config["eagerness"]] if semantic else config["silence_duration_ms"]
        self._padding_ms: int = 300 if semantic else config["prefix_padding_ms"]
        self._origin_ms = origin_ms
        self._heard = 0  # bytes
        self._floor_ms = origin_ms
        self._voice_end_ms: int | None = None  # of the turn in progress

    @property
    def position_ms(self) -> int:
        """How far it has listened."""
        return self._origin_ms + self._heard // BYTES_PER_MS

    def reset(self) -> None:
        """Forget a turn in progress."""
        self._voice_end_ms = None
        self._floor_ms = self.position_ms

    def feed(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Hear a piece, which is either loud or not."""
        begin_ms = self.position_ms
        self._heard += len(pcm)
        if not _is_loud(pcm):
            return self._silence()
        started = self._voice_end_ms is None
        self._voice_end_ms = self.position_ms
        return [SpeechStarted(max(begin_ms - self._padding_ms, self._floor_ms))] if started else []

    def _silence(self) -> list[SpeechStarted | SpeechStopped]:
        if self._voice_end_ms is None or self.position_ms - self._voice_end_ms < self._silence_ms:
            return []
        voice_end_ms, self._voice_end_ms = self._voice_end_ms, None
        self._floor_ms = voice_end_ms + self._silence_ms
        return [SpeechStopped(self._floor_ms, voice_end_ms)]


def _is_loud(pcm: bytes) -> bool:
    if pcm.count(0) == len(pcm):  # most of a call is silence
        return False
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    return max(samples) > _LOUD or min(samples) < -_LOUD
