"""The short way of decoding against the long one: the same events, the same errors."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_codex.errors import RemoteProtocolError
from trio_codex.protocol import ResponseOutputAudioDelta, decode_server_event, encode_server_event
from trio_codex.protocol.codec import SERVER_DECODERS, decode
from trio_codex.protocol.quick import LONG, QUICK_DECODERS, long_audio

AUDIO = "response.output_audio.delta"


def body(type_: str = AUDIO, **changes: Any) -> dict[str, Any]:
    fields = {
        "type": type_,
        "event_id": "event_1",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "delta": b64encode(bytes(range(240)) * 10).decode(),
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def outcome(frame: str | bytes, *, short: bool) -> Any:
    try:
        event = decode_server_event(frame) if short else decode(frame, SERVER_DECODERS)
    except RemoteProtocolError as error:
        return type(error), str(error), error.path
    return type(event), vars(event)


def assert_same(frame: str) -> None:
    assert outcome(frame, short=True) == outcome(frame, short=False)
    assert outcome(frame.encode(errors="surrogatepass"), short=True) == outcome(
        frame.encode(errors="surrogatepass"), short=False
    )


@pytest.mark.parametrize("type_", QUICK_DECODERS)
def test_the_plain_ones_take_the_short_way(type_: str) -> None:
    made = QUICK_DECODERS[type_](body(type_))
    assert made is not None
    assert made.type == type_
    assert_same(json.dumps(body(type_)))
    if type_ == AUDIO:
        frame = json.dumps(body(), separators=(",", ":"))
        assert len(frame) > LONG
        assert long_audio(frame) == made
        assert encode_server_event(made) == frame


@pytest.mark.parametrize("type_", [*QUICK_DECODERS, "response.audio.delta"])
@pytest.mark.parametrize(
    "changes",
    [
        {"delta": ""},
        {"delta": None},
        {"delta": ...},
        {"delta": 1},
        {"delta": "not base64!"},
        {"delta": "AAB="},
        {"delta": "A" * 3001},
        {"delta": "A" * 3000 + "\n"},
        {"delta": "\ud800"},
        {"delta": '","delta":"' + "A" * 2000},
        {"event_id": None},
        {"event_id": ...},
        {"event_id": 7},
        {"item_id": '"delta":"'},
        {"item_id": "\\"},
        {"item_id": "x" * 600},
        {"response_id": {"delta": "AAAA"}},
        {"output_index": 0.0},
        {"output_index": 1.5},
        {"output_index": True},
        {"output_index": 2**70},
        {"content_index": "0"},
        {"content_index": ...},
        {"more": 1},
        {"more": [1e300]},
        {"more": {"deeper": None}},
        {"event_id": ..., "more": 1},
        {"delta": ..., "more": 1},
    ],
    ids=lambda changes: f"{next(iter(changes))}{len(repr(changes))}",
)
def test_oddities(type_: str, changes: dict[str, Any]) -> None:
    for separators in ((",", ":"), (", ", ": ")):
        assert_same(json.dumps(body(type_, **changes), separators=separators))


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[:-1],
        lambda frame: frame[:-2],
        lambda frame: frame[:-4],
        lambda frame: frame + "}",
        lambda frame: frame + " ",
        lambda frame: " " + frame,
        lambda frame: "[" + frame + "]",
        lambda frame: frame.replace("{", '{"delta":"AAAA",', 1),
        lambda frame: frame[:-1] + ',"delta":"AAAA"}',
        lambda frame: frame[:-1] + ',"delta":""}',
        lambda frame: frame.replace("AQID", "AQ\\u0049D", 1),
        lambda frame: frame.replace("AQID", 'A"ID', 1),
        lambda frame: frame.replace('"delta":', '"delta" :'),
        lambda frame: frame.replace('"delta":', '"of\\"delta":'),
        lambda frame: frame.replace(AUDIO, "response.output_text.delta"),
        lambda frame: frame.replace('"type"', '"kind"'),
    ],
)
def test_frames_that_are_written_otherwise(change: Any) -> None:
    assert_same(change(json.dumps(body(), separators=(",", ":"))))


@given(
    st.permutations(list(body())),
    st.dictionaries(
        st.sampled_from([*body(), "more"]),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just({"a": [1.5]}),
        max_size=2,
    ),
    st.binary(max_size=3000),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_any_order_and_any_values(
    order: list[str], changes: dict[str, Any], audio: bytes, separators: tuple[str, str]
) -> None:
    fields = body(delta=b64encode(audio).decode()) | changes
    named = {name: fields[name] for name in (*order, *fields) if name in fields}
    assert_same(json.dumps(named, separators=separators))


def test_a_quick_event_is_like_any_other() -> None:
    event = decode_server_event(json.dumps(body()))
    assert isinstance(event, ResponseOutputAudioDelta)
    again = ResponseOutputAudioDelta(
        event_id="event_1", response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta=event.delta
    )
    assert event == again
    assert list(vars(event)) == list(vars(again)) or set(vars(event)) == set(vars(again))
