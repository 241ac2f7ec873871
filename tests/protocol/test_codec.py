"""The codec: nothing is lost, and nothing but the typed errors comes out (what it costs: test_codec_speed)."""

import base64
import copy
import json
import math
import pickle
import random
from collections import OrderedDict
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings, strategies as st

from trio_codex import protocol
from trio_codex.errors import LocalProtocolError, RemoteProtocolError
from trio_codex.protocol.codec import (
    CLIENT_ENCODERS,
    MAX_DEPTH,
    decode_client_event,
    decode_server_event,
    encode,
    encode_client_event,
    encode_server_event,
    structure,
    unstructure,
)
from trio_codex.testing.strategies import client_events, json_objects, json_values, server_events

PROPERTY = settings(max_examples=150, deadline=None)
HALVES = [
    pytest.param(decode_server_event, encode_server_event, id="server"),
    pytest.param(decode_client_event, encode_client_event, id="client"),
]
PART: dict[str, Any] = {"event_id": "e", "response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
DELTA = {"type": "response.output_audio.delta", **PART, "delta": "AAEC"}
CLEARED = {"type": "input_audio_buffer.cleared", "event_id": "e"}


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: numbers by value, but true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def server_round_trip(frame: str) -> bool:
    return same(json.loads(encode_server_event(decode_server_event(frame))), json.loads(frame))


# --- properties --------------------------------------------------------------------------------------------------------


@PROPERTY
@given(server_events())
def test_server_events_survive(event: Any) -> None:
    frame = encode_server_event(event)
    assert decode_server_event(frame) == event
    assert server_round_trip(frame)


@PROPERTY
@given(client_events())
def test_client_events_survive(event: Any) -> None:
    frame = encode_client_event(event)
    assert decode_client_event(frame) == event
    assert same(json.loads(encode_client_event(decode_client_event(frame))), json.loads(frame))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    inside = (
        list(value.items() if isinstance(value, dict) else enumerate(value)) if isinstance(value, dict | list) else []
    )
    return [(value, key) for key, _ in inside] + [place for _, item in inside for place in places(item)]


def spoil(body: Any, data: st.DataObject) -> None:
    container, key = data.draw(st.sampled_from(places(body)))
    match data.draw(st.sampled_from(["replace", "drop", "null", "add"])):
        case "replace":
            container[key] = data.draw(json_values())
        case "null":
            container[key] = None
        case "drop":
            del container[key]
        case "add" if isinstance(container, dict):
            container.update(data.draw(json_objects()))


@PROPERTY
@given(st.data(), st.sampled_from(["server", "client"]))
def test_a_spoiled_frame_is_refused_or_kept_whole(data: st.DataObject, half: str) -> None:
    server = half == "server"
    event: Any = data.draw(server_events() if server else client_events())
    body = json.loads((encode_server_event if server else encode_client_event)(event))
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            spoil(body, data)
    frame = json.dumps(body)
    try:
        seen: Any = (decode_server_event if server else decode_client_event)(frame)
    except RemoteProtocolError:
        return
    assert same(json.loads((encode_server_event if server else encode_client_event)(seen)), body)


@PROPERTY
@given(st.one_of(st.binary(), st.text(), json_values().map(json.dumps), st.text("[]{}:,\"'0e-.ntf \\u", max_size=30)))
def test_any_frame_gives_an_event_or_the_typed_error(frame: str | bytes) -> None:
    for decode in (decode_server_event, decode_client_event):
        try:
            event: Any = decode(frame)
        except RemoteProtocolError:
            continue
        assert isinstance(event, protocol.UnknownEvent)


@PROPERTY
@given(json_objects(), st.integers(0, 3))
def test_numbers_and_text_of_any_size_are_kept(unknown: dict[str, Any], indent: int) -> None:
    assert server_round_trip(json.dumps(CLEARED | {"kept": unknown}, indent=indent, ensure_ascii=bool(indent)))


# --- frames that are refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "reason", "path"),
    [
        (b"\xff\xfe", "not UTF-8", "$"),
        ('{"type":"x"}'.encode("utf-16"), "not UTF-8", "$"),
        ("", "not JSON", "$"),
        ("hello", "not JSON", "$"),
        ("null", "expected an object, got null", "$"),
        ("[]", "expected an object, got an array", "$"),
        ('"text"', "expected an object, got a string", "$"),
        ("\ufeff{}", "not JSON", "$"),
        ('{"type":"x"', "not JSON", "$"),
        ('{"type":"x"} {}', "not JSON", "$"),
        ('{"type":"x",}', "not JSON", "$"),
        ('{"type":"a\nb"}', "not JSON", "$"),
        ('{"type":"x","n":NaN}', "NaN is not JSON", "$"),
        ('{"type":"x","n":-Infinity}', "-Infinity is not JSON", "$"),
        ('{"type":"x","n":1e999}', "a number is out of range", "$"),
        ('{"type":"x","n":' + "9" * 5000 + "}", "not JSON", "$"),
        ("{}", "required field missing", "$.type"),
        ('{"type":null}', "expected a string, got null", "$.type"),
        ('{"type":7}', "expected a string, got an integer", "$.type"),
        ('{"type":7,"n":1e300}', "expected a string, got an integer", "$.type"),
        ('{"type":["error"]}', "expected a string, got an array", "$.type"),
        ('{"type":"error","event_id":"e","error":[]}', "expected an object, got an array", "$.error"),
        ('{"type":"error","event_id":"e","error":{"type":"t"}}', "required field missing", "$.error.message"),
        (
            '{"type":"response.done","event_id":"e","response":{"status":5}}',
            "expected a string, got an integer",
            "$.response.status",
        ),
        (
            '{"type":"response.done","event_id":"e","response":{"output":[{"type":"function_call"}]}}',
            "required field missing",
            "$.response.output[0].name",
        ),
        (
            '{"type":"response.done","event_id":"e","response":{"metadata":{"a b":1}}}',
            "expected a string, got an integer",
            "$.response.metadata['a b']",
        ),
        (
            '{"type":"response.done","event_id":"e","response":{"usage":{"total_tokens":true}}}',
            "expected an integer, got a boolean",
            "$.response.usage.total_tokens",
        ),
        (
            '{"type":"response.done","event_id":"e","response":{"usage":{"total_tokens":5.5}}}',
            "expected an integer, got a number",
            "$.response.usage.total_tokens",
        ),
        (
            '{"type":"response.done","event_id":"e","response":{"usage":{"total_tokens":"5"}}}',
            "expected an integer, got a string",
            "$.response.usage.total_tokens",
        ),
        (
            '{"type":"response.done","event_id":"e","response":{"output_modalities":["text",7]}}',
            "expected a string, got an integer",
            "$.response.output_modalities[1]",
        ),
        (
            '{"type":"session.created","event_id":"e","session":{"type":5}}',
            "expected a string, got an integer",
            "$.session.type",
        ),
        (
            '{"type":"session.created","event_id":"e","session":{"type":"realtime","include":"x"}}',
            "expected an array, got a string",
            "$.session.include",
        ),
        (
            '{"type":"session.update","session":{"type":"realtime","parallel_tool_calls":1}}',
            "expected a boolean, got an integer",
            "$.session.parallel_tool_calls",
        ),
    ],
)
def test_a_bad_frame_is_refused_with_the_path(frame: str | bytes, reason: str, path: str) -> None:
    decode: Any = decode_client_event if "session.update" in str(frame) else decode_server_event
    with pytest.raises(RemoteProtocolError) as caught:
        decode(frame)
    assert (str(caught.value), caught.value.path) == (f"{reason} @ {path}", path)


@pytest.mark.parametrize(
    "text", ["!", "QQ", "QQ=", "QQ==\n", " QQ==", "QQ-_", "A===", "====", "é===", "QQ==QQ==", "\ud800aaa"]
)
def test_bad_base64_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"\$\.delta"):
        decode_server_event(json.dumps(DELTA | {"delta": text}))
    with pytest.raises(RemoteProtocolError, match=r"\$\.audio"):
        decode_client_event(json.dumps({"type": "input_audio_buffer.append", "audio": text}))


def test_what_the_peer_said_is_not_in_the_error() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_server_event('{"type":"error","event_id":{"key":"sk-secret"},"error":{}}')
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


TOO_DEEP = r"^(not JSON|nested too deeply|required field missing|expected an object, got an array) @ "


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("prefix", ["", '{"type":"x","a":', '{"type":"session.created","event_id":"e","session":'])
def test_deep_nesting_is_refused_at_once(opening: str, prefix: str) -> None:
    closing = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opening]
    for depth in (MAX_DEPTH, 990, 200_000):
        frame = prefix + opening * depth + "0" + closing * depth + ("}" if prefix else "")
        for text in (frame, frame.removesuffix("}").removesuffix("]")):
            with pytest.raises(RemoteProtocolError, match=TOO_DEEP):
                decode_server_event(text)


def test_nesting_up_to_the_limit_is_kept() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert server_round_trip(f'{{"type":"x","deep":{deep}}}')
    assert server_round_trip(f'{{"type":"x","deep":{deep},"big":{10**30}}}')


# --- frames that are kept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unknown",
    [
        '{"extra":{"extra":null}}',
        '{"older":1,"tag":"x","role":"user"}',
        '{"":0,"\\u0000":"\\u0000"}',
        '{"a":18446744073709551615,"b":18446744073709551616,"c":-9223372036854775808,"d":-9223372036854775809}',
        '{"a":-9223372036854775809}',
        '{"a":[1e300,-1e300,1e-320,0.1,-0.0,123456789012345678901234567890]}',
        '{"a":"\\ud800","b":"\\udc00\\ud800","\\ud83d":1,"c":"\\ud83d\\ude00"}',
        '{"a":' + "9" * 4000 + "}",
    ],
)
def test_unknown_fields_are_kept(unknown: str) -> None:
    for body in (
        CLEARED,
        {"type": "error", "event_id": "e", "error": {"type": "t", "message": "m", "deep": 1}},
        {"type": "x"},
    ):
        head = json.dumps(body)[:-1]
        assert server_round_trip(head + "," + unknown[1:])
        assert server_round_trip(head + ',"nested":' + unknown + "}")


def test_a_large_integer_is_kept_where_a_field_expects_a_number() -> None:
    frame = (
        '{"type":"rate_limits.updated","event_id":"e","rate_limits":[{"limit":%d,"remaining":5.0,"reset_seconds":%d}]}'
    )
    event = decode_server_event(frame % (2**70 + 1, 2**65 + 1))
    assert isinstance(event, protocol.RateLimitsUpdated)
    assert (event.rate_limits[0].limit, event.rate_limits[0].reset_seconds) == (2**70 + 1, 2**65 + 1)
    assert type(event.rate_limits[0].remaining) is int
    assert server_round_trip(frame % (2**70 + 1, 2**65 + 1))


def test_of_a_repeated_key_the_last_counts() -> None:
    event = decode_server_event('{"type":"error","event_id":"a","type":"input_audio_buffer.cleared","event_id":"b"}')
    assert event == protocol.InputAudioBufferCleared(event_id="b")


@pytest.mark.parametrize(("decode", "encode_event"), HALVES)
def test_bytes_and_text_are_the_same_frame(decode: Any, encode_event: Any) -> None:
    text = '{"type":"x","text":"é\U0001f600"}'
    assert decode(text.encode()) == decode(text) == decode(bytearray(text.encode()))
    large = text.replace('"é', f'{10**30},"more":"é')
    assert decode(large.encode()) == decode(large) == decode(bytearray(large.encode()))


def test_explicit_nulls_and_absent_fields_stay_apart() -> None:
    event = decode_server_event(
        '{"type":"input_audio_buffer.committed","event_id":"e","item_id":"i","previous_item_id":null}'
    )
    assert event == protocol.InputAudioBufferCommitted(event_id="e", item_id="i", extra={"previous_item_id": None})
    assert json.loads(encode_server_event(event))["previous_item_id"] is None
    changed = attrs.evolve(event, previous_item_id="item_0")
    assert json.loads(encode_server_event(changed))["previous_item_id"] == "item_0"


@pytest.mark.parametrize("text", ["QR==", "QUJ=", "AAECAwQFBgdJ", "", "QQ==", "QUI="])
def test_base64_comes_back_as_it_was_received_until_the_audio_changes(text: str) -> None:
    event: Any = decode_server_event(json.dumps(DELTA | {"delta": text}))
    assert event.delta == base64.b64decode(text)
    assert json.loads(encode_server_event(event))["delta"] == text
    assert json.loads(encode_server_event(attrs.evolve(event, delta=b"new")))["delta"] == "bmV3"


def test_large_frames_are_read() -> None:
    audio = random.Random(0).randbytes(48 * 1024 * 1024)
    frame = encode_client_event(protocol.InputAudioBufferAppend(audio=audio))
    assert len(frame) > 64 * 1024 * 1024
    decoded = decode_client_event(frame)
    assert isinstance(decoded, protocol.InputAudioBufferAppend)
    assert decoded.audio == audio


def test_decoded_events_are_like_built_ones() -> None:
    built = protocol.ResponseOutputAudioDelta(**PART, delta=b"\x00\x01\x02")
    decoded = decode_server_event(json.dumps(DELTA))
    assert decoded == built
    assert repr(decoded) == repr(built)
    assert hash(decoded) == hash(built)
    assert copy.deepcopy(decoded) == built
    assert pickle.loads(pickle.dumps(decoded)) == built


# --- events that cannot be said ----------------------------------------------------------------------------------------

TWICE: dict[str, Any] = {}
TWICE |= {"a": TWICE, "b": TWICE}


@pytest.mark.parametrize(
    ("unsayable", "reason"),
    [
        (math.nan, "not JSON: nan"),
        ([math.inf], "not JSON: inf"),
        ([[math.nan], []], "not JSON: nan"),
        ({1: 2}, "the keys of an object have to be strings"),
        ({"a": b"bytes"}, "not JSON: bytes"),
        ({1, 2}, "not JSON: set"),
        (object(), "not JSON: object"),
        (protocol.ResponseCancel(), "not JSON: ResponseCancel"),
        (TWICE, "nested too deeply"),
        (OrderedDict(a=math.nan), "not JSON: nan"),
        (10**5000, "cannot be written as JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_json_cannot_say_is_refused(unsayable: Any, reason: str) -> None:
    for event in (
        protocol.ResponseCancel(extra={"x": unsayable}),
        protocol.UnknownEvent(type="x", body={"x": unsayable}),
        protocol.SessionUpdate(session=protocol.RealtimeSession(tools=({"name": unsayable},))),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            encode_client_event(event)
        assert str(caught.value) == f"{reason} @ $"


def test_how_deep_a_frame_may_be_nested() -> None:
    def nested(levels: int) -> Any:
        value: list[Any] = []
        for _ in range(levels - 1):
            value = [value]
        return value

    frame = encode_client_event(protocol.UnknownEvent(type="x", body={"x": nested(MAX_DEPTH - 1)}))
    assert decode_client_event(frame) == protocol.UnknownEvent(type="x", body={"type": "x", "x": nested(MAX_DEPTH - 1)})
    with pytest.raises(LocalProtocolError, match="nested too deeply"):
        encode_client_event(protocol.UnknownEvent(type="x", body={"x": nested(MAX_DEPTH)}))


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (protocol.ConversationItemDelete(item_id=None), "$.item_id"),  # type: ignore[arg-type]
        (protocol.ConversationItemDelete(item_id=7), "$.item_id"),  # type: ignore[arg-type]
        (protocol.InputAudioBufferAppend(audio="AAAA"), "$.audio"),  # type: ignore[arg-type]
        (protocol.ConversationItemTruncate(item_id="i", content_index=True, audio_end_ms=0), "$.content_index"),
        (protocol.ConversationItemCreate(item={"type": "message"}), "$.item"),  # type: ignore[arg-type]
        (protocol.ResponseCreate(response=protocol.ResponseParams(metadata={"a": 1})), "$.response.metadata.a"),  # type: ignore[dict-item]
        (protocol.ResponseCreate(response=protocol.ResponseParams(output_modalities=("text", 1))), "$.response.output_modalities[1]"),  # type: ignore[arg-type]
        (protocol.SessionUpdate(session=protocol.Response()), "$.session"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_does_not_fit_its_field_is_refused(event: Any, path: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"\$") as caught:
        encode_client_event(event)
    assert str(caught.value).endswith(f" @ {path}")


def test_each_side_sends_its_own_events() -> None:
    for encode_event, event in (
        (encode_client_event, protocol.InputAudioBufferCleared(event_id="e")),
        (encode_server_event, protocol.InputAudioBufferClear()),
    ):
        with pytest.raises(LocalProtocolError) as caught:
            encode_event(event)  # type: ignore[operator]
        assert str(caught.value) == f"{type(event).__name__} is not an event that this side sends"


def test_subclasses_of_json_types_and_sequences_can_be_said() -> None:
    tools = [OrderedDict(name="f", enum=("a", "b"))]
    event = protocol.ResponseCreate(response=protocol.ResponseParams(tools=tools))  # type: ignore[arg-type]
    frame = '{"type":"response.create","response":{"tools":[{"name":"f","enum":["a","b"]}]}}'
    assert encode_client_event(event) == frame


def test_what_is_written_the_slow_way_looks_the_same() -> None:
    frame = f'{{"type":"response.cancel","more":[{10**30},{{"a":1}}]}}'
    assert encode_client_event(decode_client_event(frame)) == frame


def test_structure_and_unstructure_report_their_own_side() -> None:
    with pytest.raises(RemoteProtocolError, match=r"expected a string, got null @ \$\.id"):
        structure({"id": None}, protocol.VoiceId)
    with pytest.raises(RemoteProtocolError, match=r"expected a string, got an array @ \$\.id"):
        structure({"id": []}, protocol.VoiceId)
    with pytest.raises(LocalProtocolError, match=r"expected a string, got set @ \$\.id"):
        unstructure(protocol.VoiceId(id={1}))  # type: ignore[arg-type]


@example(b"\0\1", "event_1", {})
@example(b"", "a word", {})
@example(b"", 'a "word"', {})
@example(b"", "\N{MICRO SIGN}", {})
@example(b"", None, {"more": 1})
@given(
    st.binary(max_size=64),
    st.none() | st.text(),
    st.just({}) | json_objects(without=frozenset({"type", "audio", "event_id"})),
)
def test_the_short_cut_of_append_writes_what_the_long_way_writes(
    audio: bytes, event_id: str | None, extra: Any
) -> None:
    event = protocol.InputAudioBufferAppend(audio=audio, event_id=event_id, extra=extra)
    assert encode_client_event(event) == encode(event, CLIENT_ENCODERS)
