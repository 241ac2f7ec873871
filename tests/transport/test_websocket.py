from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest
import trio

from trio_codex.errors import ConnectionFailed, ConnectionLost
from trio_codex.testing import check_transport
from trio_codex.testing.line import FarEnd
from trio_codex.testing.sockets import accepted
from trio_codex.transport import Connector, Target, Transport
from trio_codex.transport.dialing import connector_for

Serve: TypeAlias = Callable[[Callable[[Any], Awaitable[None]]], AbstractAsyncContextManager[str]]

LIMIT_S = 60
"""What must be noticed at once, not by a time limit, has to be through by then; the limits in these tests are longer."""


def target(url: str, timeout: float = 10.0) -> Target:
    return Target(url=url, headers=(("Authorization", "Bearer sk-very-secret"),), timeout=timeout)


async def failure(dial: Connector, url: str, timeout: float = 10.0) -> ConnectionFailed:
    """Why connecting fails, quickly."""
    with trio.fail_after(LIMIT_S), pytest.raises(ConnectionFailed) as caught:
        async with dial(target(url, timeout)):
            raise AssertionError("this peer cannot be connected to")
    assert "sk-very-secret" not in repr(caught.value) + str(caught.value) + str(caught.value.body)
    return caught.value


async def end_of(transport: Transport) -> tuple[int, str]:
    try:
        while True:
            await transport.receive()
    except ConnectionLost as lost:
        return lost.code, lost.reason


# --- what every transport does -------------------------------------------------------------------------------------------


async def test_transports_over_sockets_conform(dial: Connector) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/v1/realtime"

    @asynccontextmanager
    async def connect_pair() -> AsyncIterator[tuple[Transport, FarEnd]]:
        async with trio.open_nursery() as nursery:
            far_end: list[FarEnd] = []
            ready = trio.Event()

            async def serve() -> None:
                async with accepted(await listener.accept()) as far:
                    far_end.append(far)
                    ready.set()
                    await trio.sleep_forever()

            nursery.start_soon(serve)
            async with dial(target(url)) as near:
                await ready.wait()
                yield near, far_end[0]
            nursery.cancel_scope.cancel()

    async with listener:
        await check_transport(connect_pair)


async def test_a_key_that_the_server_repeats_is_hidden(dial: Connector) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve() -> None:
        async with accepted(await listener.accept()) as far:
            await far.send('{"message": "no such key: sk-very-secret"}')
            await far.close(4001, "bad key sk-very-secret")

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with dial(target(f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/")) as near:
            assert await near.receive() == '{"message": "no such key: …"}'
            assert await end_of(near) == (4001, "bad key …")


# --- connecting ----------------------------------------------------------------------------------------------------------


async def test_the_request_names_path_query_host_and_headers(serve: Serve, dial: Connector) -> None:
    heads: list[bytes] = []

    async def handler(peer: Any) -> None:
        heads.append(await peer.read_request())

    async with serve(handler) as url:
        await failure(dial, f"{url}?model=a%20b")
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"GET /v1/realtime?model=a%20b HTTP/1.1"
    assert f"Host: {url.split('/')[2]}".encode() in lines
    assert b"Authorization: Bearer sk-very-secret" in lines


async def test_nobody_listens(dial: Connector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = await failure(dial, f"ws://127.0.0.1:{port}/")
    assert f"cannot reach 127.0.0.1:{port}" in str(error)
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 70}.example"])
async def test_a_name_that_dns_cannot_ask_for(host: str, dial: Connector) -> None:
    assert f"cannot reach {host}" in str(await failure(dial, f"ws://{host}/"))


async def test_tcp_is_closed_before_the_upgrade(serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.read_request()
        await peer.stream.aclose()

    async with serve(handler) as url:
        assert "hung up during the websocket handshake" in str(await failure(dial, url))


async def test_tcp_is_closed_before_the_request_is_read(serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.stream.aclose()

    async with serve(handler) as url:
        assert "hung up during the websocket handshake" in str(await failure(dial, url))


async def test_tcp_is_reset_before_the_upgrade(serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.read_request()
        peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.stream.aclose()

    async with serve(handler) as url:
        assert "hung up during the websocket handshake" in str(await failure(dial, url))


@pytest.mark.parametrize("status", [401, 403, 429])
@pytest.mark.parametrize("framing", ["content-length", "chunked", "close-delimited", "never-closed"])
async def test_a_refusal_keeps_status_and_body(status: int, framing: str, serve: Serve, dial: Connector) -> None:
    body = b'{"error": {"code": "no", "message": "not with sk-very-secret"}}'
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\n".encode()

    async def handler(peer: Any) -> None:
        await peer.read_request()
        if framing == "content-length":
            await peer.say(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await peer.wait_closed()
        elif framing == "chunked":
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:20], body[20:]))
            await peer.say(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
            await peer.wait_closed()
        elif framing == "close-delimited":
            await peer.say(head + b"Connection: close\r\n\r\n" + body)
        else:
            await peer.say(head + b"\r\n" + body)
            await peer.wait_closed()

    async with serve(handler) as url:
        error = await failure(dial, url, 0.3 if framing == "never-closed" else 10.0)
    assert error.status == status
    assert error.body == '{"error": {"code": "no", "message": "not with …"}}'
    assert f"HTTP status {status}" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Retry-After: 3", 3), ("Retry-After-Ms: 250", 0.25), ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
async def test_a_refusal_keeps_when_to_come_again(header: str, seconds: float, serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.read_request()
        await peer.say(f"HTTP/1.1 429 No\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode())
        await peer.wait_closed()

    async with serve(handler) as url:
        assert (await failure(dial, url)).retry_after == seconds


async def test_a_redirect_is_not_followed(serve: Serve, dial: Connector) -> None:
    connections = 0

    async def handler(peer: Any) -> None:
        nonlocal connections
        connections += 1
        await peer.read_request()
        await peer.say(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_closed()

    async with serve(handler) as url:
        error = await failure(dial, url)
    assert error.status == 302
    assert "redirects are not followed" in str(error)
    assert connections == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP status 200"),
        (b"220 mail.example ESMTP\r\n", "is not a websocket server"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "is not a websocket server"),
        (b"\x00" * 100_000, "is not a websocket server"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n",
            "is not a websocket server",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: close\r\n\r\n", "is not a websocket server"),
    ],
    ids=["a web page", "a mail server", "TLS", "zeros", "the wrong key", "no upgrade"],
)
async def test_a_peer_that_is_no_websocket_server(answer: bytes, message: str, serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.read_request()
        await peer.say(answer)

    async with serve(handler) as url:
        assert message in str(await failure(dial, url))


async def test_a_peer_that_never_answers(serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.wait_closed()

    async with serve(handler) as url:
        assert "did not answer the websocket handshake in 0.2 s" in str(await failure(dial, url, 0.2))


async def test_connecting_can_be_cancelled(serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            with trio.move_on_after(0.1) as scope:
                async with dial(target(url)):
                    raise AssertionError
    assert scope.cancelled_caught


# --- the end of a connection ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [
        (1000, "", (1000, "")),
        (1001, "Your session hit the maximum duration of 60 minutes.", None),
        (None, "", (1005, "")),
        (4000, "beta_api_shape_disabled", None),
    ],
)
async def test_close_codes(
    code: int | None, reason: str, seen: tuple[int, str] | None, serve: Serve, dial: Connector
) -> None:
    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_text("last words")
        await peer.say_close(code, reason)
        assert (await peer.read_frame())[0] == 8, "our goodbye answers theirs"
        await peer.stream.aclose()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, dial(target(url)) as transport:
            assert await transport.receive() == "last words"
            assert await end_of(transport) == (seen or (code, reason))
            with pytest.raises(ConnectionLost):
                await transport.send("too late")


async def test_who_is_cancelled_around_a_connection_still_talks_and_says_goodbye(serve: Serve, dial: Connector) -> None:
    frames: list[Any] = []

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        frames.append(await peer.read_frame())
        await peer.say_text("heard")
        frames.append(await peer.read_frame())
        await peer.say_close(1000)
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            with trio.CancelScope() as scope:
                async with dial(target(url)) as transport:
                    scope.cancel()
                    with trio.CancelScope(shield=True):
                        await trio.testing.wait_all_tasks_blocked()
                        await transport.send("last words")
                        assert await transport.receive() == "heard"
                        await transport.close()
                    await trio.lowlevel.checkpoint()
            assert scope.cancelled_caught
    assert frames == [(1, b"last words"), (8, b"\x03\xe8")]


@pytest.mark.parametrize("reset", [False, True])
async def test_the_peer_vanishes(reset: bool, serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_text("last words")
        await trio.sleep(0.05)
        if reset:
            peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.stream.aclose()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, dial(target(url)) as transport:
            assert await transport.receive() == "last words"
            assert await end_of(transport) == (1006, "")


async def test_a_write_that_fails_does_not_cost_what_the_peer_said(serve: Serve, dial: Connector) -> None:
    peers: list[Any] = []
    ends: list[tuple[int, str]] = []

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        peers.append(peer)
        await trio.sleep_forever()  # and read nothing, so that our writer is stuck, and closing is a reset

    async def write(transport: Transport) -> None:
        try:
            while True:
                await transport.send("x" * 1_000_000)
        except ConnectionLost as lost:
            ends.append((lost.code, lost.reason))

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            for _ in range(10):  # whether our writer or our reader wakes first is up to the scheduler
                async with dial(target(url)) as transport, trio.open_nursery() as nursery:
                    nursery.start_soon(write, transport)
                    await trio.testing.wait_all_tasks_blocked(0.02)
                    socket_of_peer = peers.pop().stream.socket
                    last = b"\x81\x0alast words\x88\x12" + struct.pack("!H", 1001) + b"the hour is over"
                    assert socket_of_peer._sock.send(last) == len(last)
                    socket_of_peer.close()
                    assert await transport.receive() == "last words"
                    assert await end_of(transport) == (1001, "the hour is over")
    assert ends == [(1001, "the hour is over")] * 10


async def test_close_frame_without_tcp_close(serve: Serve, dial: Connector) -> None:
    closed = trio.Event()

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_close(1001, "bye")
        await peer.wait_closed()
        closed.set()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            async with dial(target(url)) as transport:
                assert await end_of(transport) == (1001, "bye")
                await transport.close()
            await closed.wait()


async def test_a_peer_that_never_answers_the_goodbye(serve: Serve, dial: Connector) -> None:
    closed = trio.Event()

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.wait_closed()
        closed.set()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            async with dial(target(url)) as transport:
                with trio.move_on_after(0.1) as limit:
                    await transport.close()
            assert limit.cancelled_caught
            await closed.wait()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_storm_of_pings_at_the_goodbye(answers: bool, serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.upgrade()
        while (await peer.read_frame())[0] != 8:
            pass
        for _ in range(50):
            await peer.say_frame(9, b"are you there?")
        if answers:
            await peer.say_close(1000)
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, dial(target(url)) as transport:
            await transport.send("hello")
            with trio.move_on_after(LIMIT_S if answers else 0.3):
                await transport.close()
            with pytest.raises(ConnectionLost, match="1000"):
                await transport.send("still here?")


async def test_pings_are_answered_while_nobody_receives(serve: Serve) -> None:
    dial = connector_for("trio-websocket")  # its reader is a task; the lean one reads when it is asked to
    answered = trio.Event()

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        for number in range(60):
            await peer.say_text(str(number))
        await peer.say_frame(9, b"are you there?")
        assert await peer.read_frame() == (10, b"are you there?")
        answered.set()
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, dial(target(url)) as transport:
            await answered.wait()
            assert [await transport.receive() for _ in range(60)] == [str(number) for number in range(60)]


async def test_a_frame_beyond_64_mib_ends_the_connection(serve: Serve, dial: Connector) -> None:
    closed = trio.Event()
    said: list[tuple[int, bytes]] = []

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_text("x" * (20 << 20))
        try:
            await peer.say_text("x" * (64 << 20) + "x")
            said.append(await peer.read_frame())
            await peer.wait_closed()
        except trio.BrokenResourceError:  # closed before we were through, so nobody can have read a goodbye
            said.append((8, struct.pack("!H", 1009)))
        closed.set()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            async with dial(target(url)) as transport:
                assert len(await transport.receive()) == 20 << 20
                code, reason = await end_of(transport)
                assert code == 1009
                assert str(64 << 20) in reason
            await closed.wait()
    assert said[0][1][:2] == struct.pack("!H", 1009)


async def test_bytes_that_are_no_frame_end_the_connection(serve: Serve, dial: Connector) -> None:
    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.say_text("last words")
        await peer.say(b"\xff\xff\xff\xff")
        await peer.wait_closed()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url, dial(target(url)) as transport:
            assert await transport.receive() == "last words"
            assert (await end_of(transport))[0] in (1002, 1006)


async def test_leaving_closes_the_socket_whatever_the_body_does(serve: Serve, dial: Connector) -> None:
    closed = trio.Event()

    async def handler(peer: Any) -> None:
        await peer.upgrade()
        await peer.wait_closed()
        closed.set()

    with trio.fail_after(LIMIT_S):
        async with serve(handler) as url:
            with pytest.raises((ZeroDivisionError, ExceptionGroup)) as caught:
                async with dial(target(url)):
                    raise ZeroDivisionError
            assert "ZeroDivisionError" in repr(caught.value)
            await closed.wait()
