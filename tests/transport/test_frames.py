"""The short way through a frame against the long one, `websockets` itself, however the bytes are split."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import SERVER, Protocol, State
from websockets.uri import parse_uri

from trio_codex.transport import MAX_MESSAGE
from trio_codex.transport.frames import QUIET, Frames

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes = b"") -> bytes:
    first, masked = (0x80 if fin else 0) | reserved | opcode, 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    return head + mask + payload


def client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=MAX_MESSAGE, logger=QUIET)


Outcome = tuple[list[str | bytes], int | None, list[tuple[int, bytes]]]
"""Messages, the code of the end, and what was answered."""


def long_way(data: bytes) -> Outcome:
    """What `websockets` makes of it, all at once; the joining of fragments is its callers' work, as the check of UTF-8."""
    protocol = client()
    protocol.receive_data(data)
    messages: list[str | bytes] = []
    code: int | None = None
    parts: list[bytes] = []
    text = False
    for event in protocol.events_received():
        if event.opcode == CLOSE:  # type: ignore[union-attr]
            code = protocol.close_rcvd.code  # type: ignore[union-attr]
        elif event.opcode < CLOSE:  # type: ignore[union-attr]
            text = event.opcode == TEXT if event.opcode else text  # type: ignore[union-attr]
            parts.append(bytes(event.data))  # type: ignore[union-attr]
            if event.fin:  # type: ignore[union-attr]
                whole, parts = b"".join(parts), []
                try:
                    messages.append(whole.decode() if text else whole)
                except UnicodeDecodeError:
                    return messages, 1007, []
    if code is None and protocol.parser_exc is not None:
        code = protocol.close_sent.code  # type: ignore[union-attr]
    return messages, code, said(b"".join(protocol.data_to_send()))


def said(data: bytes) -> list[tuple[int, bytes]]:
    """The client's frames as its server reads them."""
    server = Protocol(SERVER, logger=logging.Logger("nobody"))
    server.receive_data(data)
    return [(int(event.opcode), bytes(event.data)) for event in server.events_received()]  # type: ignore[union-attr]


def short_way(pieces: Iterable[bytes]) -> Outcome:
    frames = Frames()
    answers = b"".join([frames.feed(piece) for piece in pieces])
    over = frames.over
    return list(frames.received), None if over is None else int(over.code), said(answers)


def assert_same(data: bytes, pieces: Iterable[bytes]) -> None:
    expected, found = long_way(data), short_way(pieces)
    assert found[:2] == expected[:2]
    if expected[1] != 1007:  # whoever finds the bad text sends the goodbye
        assert found[2] == expected[2]


GOOD = [
    frame(TEXT, b"hello"),
    frame(TEXT),
    frame(TEXT, "ü☃\U0001f3a4".encode() * 50),
    frame(TEXT, b"x" * 70_000),
    frame(BINARY, bytes(range(256))),
    frame(PING, b"are you there?"),
    frame(PONG),
    frame(TEXT, b"in ", fin=False) + frame(PING, b"!") + frame(CONT, b"three ", fin=False) + frame(CONT, b"parts"),
    frame(TEXT, "☃".encode()[:1], fin=False) + frame(CONT, "☃".encode()[1:]),
    frame(BINARY, b"", fin=False) + frame(CONT, b"\xff"),
]
BAD = {
    "masked": frame(TEXT, b"\x01\x02", mask=b"abcd"),
    "masked and long": frame(TEXT, b"\x01" * 200, mask=b"abcd"),
    "first reserved bit": frame(TEXT, b"x", reserved=0x40),
    "second reserved bit": frame(TEXT, b"x", reserved=0x20),
    "third reserved bit": frame(BINARY, b"x", reserved=0x10),
    "unknown data frame": frame(3, b"x"),
    "unknown control frame": frame(11),
    "not UTF-8": frame(TEXT, b"\xff\xfe"),
    "half a character": frame(TEXT, "☃".encode()[:2]),
    "not UTF-8 in parts": frame(TEXT, b"a\xe2", fin=False) + frame(CONT, b"b"),
    "too large": struct.pack("!BBQ", 0x81, 127, MAX_MESSAGE + 1),
    "too large, binary": struct.pack("!BBQ", 0x82, 127, 1 << 62),
    "a long ping": frame(PING, b"x" * 126),
    "a ping in parts": frame(PING, b"x", fin=False),
    "nothing to continue": frame(CONT, b"x"),
    "a text within another": frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    "close": frame(CLOSE),
    "close with a reason": frame(CLOSE, struct.pack("!H", 1001) + b"the hour is over"),
    "close with half a code": frame(CLOSE, b"\x03"),
    "close with a code that may not come": frame(CLOSE, struct.pack("!H", 1006)),
    "close whose reason is not UTF-8": frame(CLOSE, struct.pack("!H", 1000) + b"\xff"),
    "close within a text": frame(TEXT, b"x", fin=False) + frame(CLOSE, struct.pack("!H", 1000)),
    "no websocket": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_every_split_into_two(bad: bytes) -> None:
    data = frame(TEXT, b"first") + frame(PING, b"1") + bad + frame(TEXT, b"too late") + frame(PING, b"2")
    for at in range(len(data) + 1):
        assert_same(data, (data[:at], data[at:]))


def test_every_split_of_everything_that_may_come() -> None:
    data = b"".join(part for part in GOOD if len(part) < 1000)
    for at in range(len(data) + 1):
        assert_same(data, (data[:at], data[at:]))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 65_536])
def test_pieces_of_one_size(size: int) -> None:
    data = b"".join(GOOD)
    assert_same(data, (data[at : at + size] for at in range(0, len(data), size)))


@pytest.mark.parametrize("control", [frame(PING, b"?"), frame(PONG, b"!"), BAD["close with a reason"]])
def test_a_control_frame_at_every_place(control: bytes) -> None:
    parts = [frame(TEXT, b"a", fin=False), frame(CONT, b"b", fin=False), frame(CONT, b"c"), frame(TEXT, b"d")]
    for at in range(len(parts) + 1):
        data = b"".join([*parts[:at], control, *parts[at:]])
        assert_same(data, [data])
        assert_same(data, (data[i : i + 1] for i in range(len(data))))


@given(
    st.lists(st.sampled_from([*GOOD, *BAD.values()]) | st.binary(max_size=40), max_size=8),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_any_frames_in_any_pieces(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert_same(data, pieces)


def test_parts_that_are_too_large_together() -> None:
    half = frame(TEXT, b"x" * (MAX_MESSAGE // 2), fin=False)
    frames = Frames()
    frames.feed(half)
    assert frames.over is None
    frames.feed(frame(CONT, b"x" * (MAX_MESSAGE // 2), fin=False))
    frames.feed(frame(CONT, b"x"))
    assert frames.over is not None
    assert frames.over.code == 1009


def test_the_end_of_the_stream() -> None:
    for data, code in ((b"", 1006), (frame(TEXT, b"half")[:3], 1006), (frame(CLOSE, struct.pack("!H", 1001)), 1001)):
        frames = Frames()
        frames.feed(data)
        frames.feed_end()
        assert frames.over is not None
        assert frames.over.code == code


# --- out -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_texts_of_all_lengths(size: int) -> None:
    text = ("ü" + "x" * size)[:size] if size != 127 else "☃" * 127
    assert said(Frames().text(text)) == [(TEXT, text.encode())]


def test_masks_are_new_each_time() -> None:
    frames = Frames()
    masks = [frames.text("hello")[2:6] for _ in range(1000)]
    assert len(set(masks)) > 990


def test_the_package_is_kept_only_while_something_is_open() -> None:
    frames = Frames()
    frames.feed(frame(TEXT, b"whole"))
    frames.text("answer")
    assert frames._protocol is None
    assert said(frames.feed(frame(PING, b"there?"))) == [(PONG, b"there?")]
    assert frames._protocol is None
    frames.feed(frame(TEXT, b"in ", fin=False))
    frames.feed(frame(PING))
    assert frames._protocol is not None
    frames.feed(frame(CONT, b"parts"))
    assert frames._protocol is None
    assert frames.received == ["whole", "in parts"]
    frames.goodbye()
    assert frames.closing
    frames.feed(frame(PING))
    assert frames.closing


def test_goodbye_is_said_once() -> None:
    frames = Frames()
    assert said(frames.goodbye(1000, "bye")) == [(CLOSE, b"\x03\xe8bye")]
    assert frames.goodbye() == b""
    frames.feed(frame(TEXT, b"last words") + frame(CLOSE, b"\x03\xe8"))
    assert list(frames.received) == ["last words"]
    assert frames.over is not None
    assert frames.over.code == 1000


def test_nothing_of_the_handshake_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        protocol = ClientProtocol(parse_uri("ws://localhost/"), logger=QUIET)
        request = protocol.connect()
        request.headers["Authorization"] = "Bearer sk-very-secret"
        protocol.send_request(request)
    assert "sk-very-secret" not in caplog.text
