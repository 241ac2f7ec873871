"""What responses cost, in tokens that are estimated but always add up, and the rate limits that nobody enforces.

Text is about four characters a token; audio is one token per 100 ms heard and per 50 ms spoken, as the API counts it.
Deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import attrs

from trio_codex.protocol.items import (
    CachedTokenDetails,
    FunctionCall,
    FunctionCallOutput,
    InputTokenDetails,
    OutputTokenDetails,
    Usage,
)
from trio_codex.protocol.peer_items import OwnItem, Record
from trio_codex.protocol.peer_session import ResponseConfig
from trio_codex.protocol.server_events import RateLimit

CHARACTERS_PER_TOKEN: Final = 4
MS_PER_TOKEN_HEARD: Final = 100
MS_PER_TOKEN_SPOKEN: Final = 50
TOKENS_PER_IMAGE: Final = 256


@attrs.define
class Bill:
    """What one response has cost so far: characters written and milliseconds spoken."""

    characters: int = 0
    spoken_ms: float = 0

    def say(self, text: str) -> None:
        """More text, a transcript or a call's arguments."""
        self.characters += len(text)

    def sound(self, ms: float) -> None:
        """More audio."""
        self.spoken_ms += ms

    @property
    def text_tokens(self) -> int:
        """Tokens of the text."""
        return math.ceil(self.characters / CHARACTERS_PER_TOKEN)

    @property
    def audio_tokens(self) -> int:
        """Tokens of the audio."""
        return tokens_spoken(self.spoken_ms)

    @property
    def output_tokens(self) -> int:
        """All that was produced."""
        return self.text_tokens + self.audio_tokens

    def usage(self, config: ResponseConfig, context: Iterable[Record]) -> Usage:
        """The bill, with what was read and heard before answering."""
        records = list(context)
        text = tokens_of(config.instructions) + sum(tokens_of(str(tool)) for tool in config.tools)
        text += sum(tokens_of(_text_of(record.item)) for record in records)
        audio = sum(tokens_heard(record.duration_ms) for record in records)
        images = TOKENS_PER_IMAGE * sum(_images_in(record.item) for record in records)
        read = text + audio + images
        return Usage(
            total_tokens=read + self.output_tokens,
            input_tokens=read,
            output_tokens=self.output_tokens,
            input_token_details=InputTokenDetails(
                text_tokens=text,
                audio_tokens=audio,
                image_tokens=images,
                cached_tokens=0,
                cached_tokens_details=CachedTokenDetails(text_tokens=0, audio_tokens=0, image_tokens=0),
            ),
            output_token_details=OutputTokenDetails(text_tokens=self.text_tokens, audio_tokens=self.audio_tokens),
        )


def tokens_of(text: str) -> int:
    """Tokens of a text."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def tokens_heard(ms: float) -> int:
    """Tokens of so much audio that comes in."""
    return math.ceil(ms / MS_PER_TOKEN_HEARD)


def tokens_spoken(ms: float) -> int:
    """Tokens of so much audio that goes out."""
    return math.ceil(ms / MS_PER_TOKEN_SPOKEN)


def rate_limits() -> tuple[RateLimit, ...]:
    """Limits in the API's shape; this server has none that a client could use up."""
    return (
        RateLimit(name="requests", limit=10_000, remaining=9_999, reset_seconds=0.0),
        RateLimit(name="tokens", limit=10_000_000, remaining=9_999_000, reset_seconds=0.0),
    )


def _text_of(item: OwnItem) -> str:
    if isinstance(item, FunctionCall):
        return item.name + item.arguments
    if isinstance(item, FunctionCallOutput):
        return item.output
    return " ".join(part.text for part in item.content if part.text)


def _images_in(item: OwnItem) -> int:
    if isinstance(item, (FunctionCall, FunctionCallOutput)):
        return 0
    return sum(part.type == "input_image" for part in item.content)
