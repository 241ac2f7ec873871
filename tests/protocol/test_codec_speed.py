"""What the codec costs, as ratios to the standard library's parser and writer on the same frame, measured in the same run."""

import base64
import itertools
import json
import math
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from trio_codex import protocol
from trio_codex.protocol.codec import decode_server_event, encode_client_event, unstructure

PART = {"event_id": "e", "response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
DELTA = {"type": "response.output_audio.delta", **PART}
CLEARED = {"type": "input_audio_buffer.cleared", "event_id": "e"}


def fastest(*calls: Callable[[], object]) -> list[float]:
    """The best time of each call, measured in turns so that a slow moment of the machine meets them all."""
    best = [math.inf] * len(calls)
    for _, (index, call) in itertools.product(range(40), enumerate(calls)):
        started = time.perf_counter()
        for _ in range(50):
            call()
        best[index] = min(best[index], time.perf_counter() - started)
    return best


def test_decoding_an_audio_delta_keeps_up_with_the_parser() -> None:
    frame = json.dumps(DELTA | {"delta": base64.b64encode(random.Random(0).randbytes(4800)).decode()})
    ours, parser = fastest(lambda: decode_server_event(frame), lambda: json.loads(frame))
    assert ours <= 1.4 * parser


def test_encoding_an_append_takes_half_of_what_json_takes() -> None:
    event = protocol.InputAudioBufferAppend(audio=random.Random(0).randbytes(960))
    body = unstructure(event)
    ours, theirs = fastest(lambda: encode_client_event(event), lambda: json.dumps(body))
    assert ours <= 0.5 * theirs


MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello, " * 2000}]}
ANSWER = {
    "id": "resp_1", "object": "realtime.response", "status": "completed", "status_details": None, "metadata": None,
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "hello"}]}],
    "usage": {
        "total_tokens": 1, "input_tokens": 0, "output_tokens": 1, "output_token_details": {"text_tokens": 1},
        "input_token_details": {"text_tokens": 0, "cached_tokens_details": {"text_tokens": 0}},
    },
}  # fmt: skip
SESSION = {
    "type": "realtime", "model": "gpt-realtime", "instructions": "Be kind.", "tools": [], "tool_choice": "auto",
    "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": {"type": "semantic_vad"}},
        "output": {"voice": "marin", "speed": 1.0},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        CLEARED,
        {"type": "response.done", "event_id": "e", "response": ANSWER},
        {"type": "session.created", "event_id": "e", "session": SESSION},
        {"type": "conversation.item.added", "event_id": "e", "previous_item_id": None, "item": MESSAGE},
    ],
    ids=lambda body: body["type"],
)  # fmt: skip
def test_decoding_any_event_costs_at_most_four_times_the_parser(body: Any) -> None:
    frame = json.dumps(body)
    ours, parser = fastest(lambda: decode_server_event(frame), lambda: json.loads(frame))
    assert ours <= 4 * parser
