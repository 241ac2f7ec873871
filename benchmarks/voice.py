"""The voice pipeline's first audio: speech into words, a workflow that writes at 20 tokens a second, words into speech.

Five sentences, of which the first is short; what counts is the time from the recording to the first audio at the user.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from statistics import median
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

TOKEN_S: Final = 0.05
RECORDING: Final = bytes(48_000)
_TOKEN_CHARACTERS: Final = 5


class VoiceClient(Protocol):
    """A library under test."""

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run the event loop."""
        ...

    async def first_audio(self, url: str, text: str) -> None:
        """Run a pipeline on a recording, with a workflow that writes this text, until its first audio is there.

        `url` is the base of the service.
        """


def story(first: int) -> str:
    """Five sentences, the first and the second of so many characters."""
    return " ".join(_sentence(length) for length in (first, 90, 60, 75, 50))


def _sentence(length: int) -> str:
    words = "So it was that they went over the hills and far away with nothing but a song to carry them along the road to the sea"
    return words[: length - 1].rstrip().ljust(length - 1, "a") + "."


def tokens(text: str) -> Iterator[str]:
    """The text in the pieces that a model writes."""
    for start in range(0, len(text), _TOKEN_CHARACTERS):
        yield text[start : start + _TOKEN_CHARACTERS]


async def voice(client: VoiceClient, url: str, rounds: int, *, first: int) -> dict[str, float]:
    """The median time to the first audio, in ms."""
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        await client.first_audio(url, story(first))
        took.append(1000 * (time.monotonic() - began))
    return {"p50": median(took)}
