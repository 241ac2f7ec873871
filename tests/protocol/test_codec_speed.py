"""What the codec costs, as ratios to the standard library's parser and writer on the same frame, measured in the same run.

python -m tests.protocol.test_codec_speed      prints the figures
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.protocol.test_wire_table import FAMILIES, TABLE, halves, objects
from trio_codex import protocol
from trio_codex.protocol.codec import decode_server_event, encode_client_event, unstructure

PART = {"event_id": "e", "response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
DELTA = {"type": "response.output_audio.delta", **PART}
MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello, " * 2000}]}


def fastest(*calls: Callable[[], object], rounds: int = 60, repeats: int = 5) -> list[float]:
    """The best time of each call in s of this thread's own, measured in turns so that a slow moment of the machine meets them all."""
    best = [math.inf] * len(calls)
    for _, (index, call) in itertools.product(range(rounds), enumerate(calls)):
        started = time.thread_time()
        for _ in range(repeats):
            call()
        best[index] = min(best[index], (time.thread_time() - started) / repeats)
    return best


def delta() -> tuple[float, float]:
    """Decoding 100 ms of audio, and what the parser takes for the frame."""
    frame = json.dumps(DELTA | {"delta": base64.b64encode(random.Random(0).randbytes(4800)).decode()})
    ours, parser = fastest(lambda: decode_server_event(frame), lambda: json.loads(frame), rounds=200, repeats=20)
    return ours, parser


def append(event_id: str | None = None) -> tuple[float, float]:
    """Encoding 20 ms of audio, and what the writer takes for the same object."""
    event = protocol.InputAudioBufferAppend(audio=random.Random(0).randbytes(960), event_id=event_id)
    body = unstructure(event)
    ours, writer = fastest(lambda: encode_client_event(event), lambda: json.dumps(body), rounds=200, repeats=20)
    return ours, writer


def others(family: str) -> Iterator[tuple[str, float, float]]:
    """Decoding every event with all its fields and with as few as it can have, and what the parser takes."""
    decode, _ = halves(family)
    for name, fields in TABLE[family].items():
        for optional in (True, False):
            frame = json.dumps(objects(fields, optional=optional)[0])
            ours, parser = fastest(lambda: decode(frame), lambda: json.loads(frame))  # noqa: B023 - called at once
            yield name, ours, parser


def test_decoding_an_audio_delta_keeps_up_with_the_parser() -> None:
    ours, parser = delta()
    assert ours <= 1.4 * parser


@pytest.mark.parametrize("event_id", [None, "event_12"])
def test_encoding_an_append_takes_half_of_what_json_takes(event_id: str | None) -> None:
    ours, writer = append(event_id)
    assert ours <= 0.5 * writer


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_any_event_costs_at_most_four_times_the_parser(family: str) -> None:
    assert [(name, ours / parser) for name, ours, parser in others(family) if ours > 4 * parser] == []


def test_a_long_text_costs_no_more() -> None:
    frame = json.dumps({"type": "conversation.item.added", "event_id": "e", "previous_item_id": None, "item": MESSAGE})
    ours, parser = fastest(lambda: decode_server_event(frame), lambda: json.loads(frame))
    assert ours <= 4 * parser


def main() -> None:
    """Print the figures."""

    def line(what: str, ours: float, theirs: float, limit: float) -> None:
        print(f"{what:<58}{ours * 1e6:8.2f} µs{ours / theirs:8.2f} x (limit {limit})")

    line("decode response.output_audio.delta, 4,800 bytes", *delta(), 1.4)
    line("encode input_audio_buffer.append, 20 ms", *append(), 0.5)
    line("encode input_audio_buffer.append, 20 ms, with an event id", *append("event_12"), 0.5)
    found: list[Any] = [
        (ours / parser, name, ours, parser) for family in FAMILIES for name, ours, parser in others(family)
    ]
    for _, name, ours, parser in sorted(found, reverse=True)[:5]:
        line(f"decode {name}", ours, parser, 4)


if __name__ == "__main__":
    main()
