"""Websockets and HTTP through proxies that run as processes of their own; what the environment says about them."""

from __future__ import annotations

import gc
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from trio_codex import Agent, Endpoint, open_realtime_session
from trio_codex.errors import ConfigurationError, ConnectionFailed
from trio_codex.http import open_api
from trio_codex.proxies import find_proxy
from trio_codex.testing import scripted_server
from trio_codex.transport import Target
from trio_codex.transport.streams import open_stream

from .conftest import ProxyProcess, issued

PASSWORD = "hunter2-%40%3A%2F"
MODELS = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 27\r\n\r\n{"object":"list","data":[]}'


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued(authority, "api.test").configure_cert(context)
    return context


@asynccontextmanager
async def session_of(authority: trustme.CA, transport: str | None = None) -> AsyncIterator[str]:
    """A session over TLS with `api.test`, whom only the proxy knows; gives its port."""

    async def script(line: Any) -> None:
        await line.expect("conversation.item.create")

    async with scripted_server(script, tls=tls(authority)) as server:
        port = server.url.split("/")[2].rpartition(":")[2]
        endpoint = Endpoint.custom(f"https://api.test:{port}/v1")
        key = "sk-test-0123456789"
        async with open_realtime_session(Agent(), endpoint=endpoint, api_key=key, transport=transport) as session:
            await session.send_message("hello", respond=False)
            yield port


@asynccontextmanager
async def rest_server(authority: trustme.CA) -> AsyncIterator[Endpoint]:
    async def answer(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, tls(authority), server_side=True, https_compatible=True)
        try:
            await stream.receive_some()
            await stream.send_all(MODELS)
            await stream.aclose()
        except (trio.BrokenResourceError, ssl.SSLError):
            pass

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        yield Endpoint.custom(f"https://api.test:{listener.socket.getsockname()[1]}/v1")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("variable", "scheme", "asked", "transport"),
    [
        ("HTTPS_PROXY", "http", "CONNECT", None),
        ("https_proxy", "http", "CONNECT", None),
        ("ALL_PROXY", "http", "CONNECT", "lean"),
        ("all_proxy", "socks5", "SOCKS5", "lean"),
        ("HTTPS_PROXY", "socks5h", "SOCKS5", None),
    ],
)
async def test_a_session_goes_through_the_proxy(
    variable: str,
    scheme: str,
    asked: str,
    transport: str | None,
    proxy: ProxyProcess,
    authority: trustme.CA,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, f"{scheme}://{proxy.place}")
    async with session_of(authority, transport) as port:
        assert proxy.asked() == f"{asked} api.test:{port}"


@pytest.mark.parametrize(("scheme", "asked"), [("http", "CONNECT"), ("socks5", "SOCKS5")])
async def test_credentials(
    scheme: str,
    asked: str,
    guarded_proxy: ProxyProcess,
    authority: trustme.CA,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://somebody:{PASSWORD}@{guarded_proxy.place}")
    async with session_of(authority) as port:
        assert guarded_proxy.asked() == f"{asked} api.test:{port}"
    async with rest_server(authority) as endpoint, open_api(endpoint, "sk-test-0123456789") as api:
        assert (await api.request("GET", "models")).json() == {"object": "list", "data": []}
    assert guarded_proxy.asked().startswith(f"{asked} api.test:")
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    assert "hunter2" not in caplog.text


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("credentials", ["", "somebody:wrong-one@"], ids=["none", "wrong"])
async def test_a_proxy_that_wants_other_credentials(
    scheme: str, credentials: str, guarded_proxy: ProxyProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://{credentials}{guarded_proxy.place}")
    with pytest.raises(
        ConnectionFailed, match=f"the proxy {guarded_proxy.place} .HTTPS_PROXY. does not lead"
    ) as caught:
        await open_stream(Target(url="wss://api.test/v1/realtime"))
    assert caught.value.stage == "proxy"
    assert "give its user name and password in HTTPS_PROXY" in caught.value.advice
    async with open_api(Endpoint.custom("https://api.test/v1"), "sk-test-0123456789") as api:
        with pytest.raises(
            ConnectionFailed, match=f"the proxy {guarded_proxy.place} .HTTPS_PROXY. does not lead"
        ) as over_http:
            await api.request("GET", "models")
    for error in (caught.value, over_http.value):
        while error is not None:
            assert "wrong-one" not in repr(error) + str(error)
            error = error.__cause__ or error.__context__  # type: ignore[assignment]
    del caught, over_http, error
    gc.collect()  # httpcore leaves the socket to it when a SOCKS proxy refuses


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_cannot_reach_the_server(
    scheme: str, proxy: ProxyProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy.place}")
    with pytest.raises(ConnectionFailed, match=r"does not lead to api\.example:443") as caught:
        await open_stream(Target(url="wss://api.example/v1/realtime"))
    assert "name api.example in NO_PROXY" in caught.value.advice


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_not_there(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://somebody:hunter2-secret@127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match=r"cannot reach the proxy 127\.0\.0\.1:1 \(HTTPS_PROXY\)") as caught:
        await open_stream(Target(url="wss://api.test/v1/realtime"))
    assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)


async def test_a_proxy_that_speaks_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def babble(tcp: trio.SocketStream) -> None:
        await tcp.receive_some()
        await tcp.send_all(b"220 mail.test ready\r\n\r\n")

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, babble, [listener])
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{listener.socket.getsockname()[1]}")
        with pytest.raises(ConnectionFailed, match="did not answer as an HTTP proxy"):
            await open_stream(Target(url="wss://api.test/v1/realtime"))
        nursery.cancel_scope.cancel()


# --- what the environment says ---


@pytest.mark.parametrize(
    ("url", "no_proxy", "through"),
    [
        ("wss://api.openai.com/v1/realtime", "", True),
        ("https://api.openai.com/v1", "", True),
        ("wss://api.openai.com/v1", "openai.com", False),
        ("wss://api.openai.com/v1", ".openai.com", False),
        ("wss://api.openai.com/v1", "*.openai.com", False),
        ("wss://api.openai.com/v1", " example.com , API.OPENAI.COM ", False),
        ("wss://api.openai.com/v1", "api.openai.com:443", False),
        ("wss://api.openai.com/v1", "api.openai.com:8443", True),
        ("wss://api.openai.com:8443/v1", "api.openai.com:8443", False),
        ("wss://notopenai.com/v1", "openai.com", True),
        ("wss://api.openai.com/v1", "*", False),
        ("wss://10.1.2.3/v1", "10.0.0.0/8", False),
        ("wss://11.1.2.3/v1", "10.0.0.0/8", True),
        ("wss://10.1.2.3:99/v1", "10.1.2.3:99", False),
        ("wss://[fd00::1]/v1", "fd00::/8", False),
        ("wss://[fd00::1]:99/v1", "[fd00::1]:99", False),
        ("wss://[fd00::1]:98/v1", "[fd00::1]:99", True),
        ("wss://localhost:1/v1", "", False),
        ("wss://127.0.0.1:1/v1", "", False),
        ("wss://[::1]:1/v1", "", False),
    ],
)
def test_what_goes_through_a_proxy(url: str, no_proxy: str, through: bool) -> None:
    found = find_proxy(url, {"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": no_proxy})
    assert (found is not None) is through


def test_which_proxy() -> None:
    environ = {"HTTPS_PROXY": " ", "ALL_PROXY": "socks5://all.test", "http_proxy": "proxy.test", "no_proxy": ""}
    secure, plain = find_proxy("wss://x.test", environ), find_proxy("ws://x.test", environ)
    assert secure
    assert plain
    assert (secure.variable, secure.url) == ("ALL_PROXY", "socks5://all.test:1080")
    assert (plain.variable, plain.url) == ("HTTP_PROXY", "http://proxy.test:80")
    both = find_proxy("wss://x.test", {"https_proxy": "http://lower.test", "HTTPS_PROXY": "http://upper.test"})
    assert both
    assert both.host == "lower.test"
    assert find_proxy("wss://x.test", {"HTTP_PROXY": "http://plain.test"}) is None
    assert find_proxy("ws://x.test", {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil.test"}) is None
    assert find_proxy("wss://x.test", {}) is None


@pytest.mark.parametrize("text", ["ftp://x.test", "http://", "http://x.test:99999", "socks4://x.test", "//"])
def test_a_proxy_that_is_no_url_is_named_without_what_it_says(text: str) -> None:
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY must be the URL of a proxy") as caught:
        find_proxy("wss://x.test", {"HTTPS_PROXY": text.replace("//", "//somebody:hunter2@")})
    assert "hunter2" not in str(caught.value)


def test_credentials_are_in_no_repr() -> None:
    found = find_proxy("wss://x.test", {"HTTPS_PROXY": "http://somebody:hunter2@proxy.test"})
    assert found
    assert "hunter2" not in f"{found!r} {found.place} {found.url}"
