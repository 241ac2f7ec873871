"""The short way through the opening handshake against the long one, `websockets` itself."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from websockets.utils import accept_key

from trio_codex.transport import Target
from trio_codex.transport.handshake import Handshake

URL = "ws://127.0.0.1:8765/v1/realtime?model=gpt-realtime"
KEY = "Authorization", "Bearer sk-test"


def key_of(handshake: Handshake) -> str:
    [key] = [line for line in handshake.request.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: ")]
    return key.removeprefix("Sec-WebSocket-Key: ")


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "ws://[::1]:80/",
        "wss://api.openai.com/v1/realtime?model=gpt-realtime&call_id=%2F",
        "wss://example.com:444",
        "wss://bücher.example/ä?ö=ü",
        "ws://user:word@localhost/v1",
    ],
)
@pytest.mark.parametrize(
    "headers",
    [(), (KEY, ("User-Agent", "test/1")), (("X-Name", "Ren\xe9"),), (("Host", "other"), ("x", ""))],
)
def test_the_request_is_the_package_s_own(url: str, headers: tuple[tuple[str, str], ...]) -> None:
    for _ in range(2):  # the second one is put together from what the first one left
        handshake = Handshake(Target(url=url, headers=headers))
        protocol = handshake.closer_look()
        request = protocol.connect()
        for name, value in headers:
            request.headers[name] = value
        assert handshake.request == request.serialize()


def test_every_request_has_a_key_of_its_own() -> None:
    assert len({key_of(Handshake(Target(url=URL))) for _ in range(20)}) == 20


USUAL = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: ACCEPT",
]


def judged(lines: list[str]) -> tuple[bool, bool]:
    """Whether an answer is a yes by the short way, and by the long one."""
    handshake = Handshake(Target(url=URL))
    text = "\r\n".join([*lines, "", ""]).replace("ACCEPT", accept_key(key_of(handshake)))
    head = text.encode("utf-8", "surrogateescape")
    protocol = handshake.closer_look()
    protocol.receive_data(head)
    return handshake.is_usual_yes(head, handshake.proof()), bool(
        protocol.events_received()
    ) and protocol.handshake_exc is None


@pytest.mark.parametrize(
    "lines",
    [
        USUAL,
        ["HTTP/1.1 101 ", "upgrade:WebSocket", "CONNECTION: \t upgrade \t", "Sec-Websocket-Accept:ACCEPT", "Date: now"],
        [*USUAL, "cf-ray: 1", "openai-version: 2020-10-01", "x-request-id: req_1", "strict-transport-security: a=1; b"],
    ],
)
def test_the_usual_yes_needs_no_closer_look(lines: list[str]) -> None:
    assert judged(lines) == (True, True)


@pytest.mark.parametrize(
    "lines",
    [
        [USUAL[0], "Upgrade: websocket", "Connection: keep-alive, Upgrade", USUAL[3]],
        [*USUAL, "Set-Cookie: a=1", "Set-Cookie: b=2"],
        [*USUAL, "X-Long: " + "x" * 5000],
        [*USUAL, *(f"X-{index}: {index}" for index in range(110))],
    ],
)
def test_what_the_short_way_leaves_to_the_package(lines: list[str]) -> None:
    assert judged(lines) == (False, True)


@pytest.mark.parametrize(
    "lines",
    [
        ["HTTP/1.1 200 OK", *USUAL[1:]],
        ["HTTP/1.0 101 Switching Protocols", *USUAL[1:]],
        ["HTTP/1.1 101", *USUAL[1:]],
        ["HTTP/1.1 101 \x07", *USUAL[1:]],
        [USUAL[0], "Upgrade: h2c", *USUAL[2:]],
        [USUAL[0], *USUAL[2:]],
        [USUAL[0], USUAL[1], "Connection: close", USUAL[3]],
        [USUAL[0], USUAL[1], USUAL[3]],
        USUAL[:3],
        [*USUAL[:3], "Sec-WebSocket-Accept: ACCEPT="],
        [*USUAL, "Sec-WebSocket-Accept: ACCEPT"],
        [*USUAL, "Sec-WebSocket-Extensions: permessage-deflate"],
        [*USUAL, "Sec-WebSocket-Protocol: realtime"],
        [*USUAL, "no colon"],
        [*USUAL, "bad name: x"],
        [*USUAL, ": x"],
        [*USUAL, "X: a\x00b"],
        [*USUAL, " folded"],
        [*USUAL, *(f"X-{index}: {index}" for index in range(200))],
    ],
)
def test_no_is_never_taken_for_yes(lines: list[str]) -> None:
    assert judged(lines) == (False, False)


_PIECES = st.lists(
    st.one_of(st.sampled_from([*USUAL, "X-Other: 1", "Connection: keep-alive, Upgrade"]), st.text(max_size=12)),
    max_size=7,
)


@given(_PIECES)
def test_the_short_way_says_yes_only_where_the_package_does(pieces: list[str]) -> None:
    lines = [piece.encode("utf-8", "replace").decode() for piece in pieces]
    short, long = judged(lines)
    assert long or not short
