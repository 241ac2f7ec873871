from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from trio_codex import Agent, open_realtime_session
from trio_codex.errors import ConfigurationError, ConnectionFailed
from trio_codex.testing import scripted_server
from trio_codex.transport import Connector, Target

LIMIT_S = 60


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def no_roots_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("CODEX_CA_CERTIFICATE", raising=False)


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
    return context


@asynccontextmanager
async def listening(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        yield f"wss://127.0.0.1:{listener.socket.getsockname()[1]}/v1/realtime"
        nursery.cancel_scope.cancel()


def tls_handler(context: ssl.SSLContext) -> Callable[[trio.SocketStream], Awaitable[None]]:
    async def handler(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        try:
            await stream.do_handshake()
            await stream.receive_some()
        except (trio.BrokenResourceError, ssl.SSLError):
            pass

    return handler


async def failure(dial: Connector, url: str, timeout: float = 10.0) -> ConnectionFailed:
    with trio.fail_after(LIMIT_S), pytest.raises(ConnectionFailed) as caught:
        async with dial(Target(url=url, timeout=timeout)):
            raise AssertionError("this peer cannot be trusted")
    return caught.value


async def test_an_unknown_authority_is_named_at_once(authority: trustme.CA, dial: Connector) -> None:
    async with listening(tls_handler(server_context(authority, "127.0.0.1"))) as url:
        error = await failure(dial, url)
    message = str(error)
    assert url.split("/")[2] in message
    assert "CODEX_CA_CERTIFICATE" in message
    assert "SSL_CERT_FILE" in message
    assert "certificate" in message
    assert error.__cause__ is not None


async def test_a_certificate_for_another_host(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, dial: Connector
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with listening(tls_handler(server_context(authority, "elsewhere.example"))) as url:
        assert "IP address mismatch" in str(await failure(dial, url))


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "CODEX_CA_CERTIFICATE"])
async def test_a_private_authority(
    variable: str, authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(bundle))

    async def script(line: Any) -> None:
        await line.expect("conversation.item.create")
        assert (await line.expect_end()).code == 1000

    with trio.fail_after(LIMIT_S):
        async with (
            scripted_server(script, tls=server_context(authority, "127.0.0.1")) as server,
            open_realtime_session(Agent(), endpoint=server.endpoint, api_key="sk-test") as session,
        ):
            await session.send_message("hello", respond=False)


async def test_a_bundle_that_cannot_be_read_is_found_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dial: Connector
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))

    async def handler(tcp: trio.SocketStream) -> None:
        raise AssertionError("there was a connection")

    async with listening(handler) as url:
        with trio.fail_after(LIMIT_S), pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
            async with dial(Target(url=url)):
                raise AssertionError


async def test_a_peer_that_does_not_speak_tls(dial: Connector) -> None:
    async def handler(tcp: trio.SocketStream) -> None:
        await tcp.receive_some()
        await tcp.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with listening(handler) as url:
        assert f"the TLS handshake with {url.split('/')[2]} failed" in str(await failure(dial, url))


async def test_a_peer_that_hangs_up_during_the_tls_handshake(dial: Connector) -> None:
    async def handler(tcp: trio.SocketStream) -> None:
        await tcp.receive_some()

    async with listening(handler) as url:
        assert "the TLS handshake" in str(await failure(dial, url))


async def test_a_peer_that_never_answers_the_tls_handshake(dial: Connector) -> None:
    async def handler(tcp: trio.SocketStream) -> None:
        while await tcp.receive_some():
            pass

    async with listening(handler) as url:
        assert "within 0.2 s" in str(await failure(dial, url, 0.2))


async def test_a_tls_connection_that_breaks_is_code_1006(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, dial: Connector
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))

    async def script(line: Any) -> None:
        await line.drop()

    with trio.fail_after(LIMIT_S):
        async with (
            scripted_server(script, tls=server_context(authority, "127.0.0.1"), acknowledge=False) as server,
            dial(Target(url=server.url)) as transport,
        ):
            with pytest.raises(Exception, match="1006"):
                await transport.receive()
