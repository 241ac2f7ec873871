"""Opening the way to a server: TCP, through a proxy where the environment names one, and TLS. Every transport begins here.

Each failure is reported as what it is: the name that nobody knows, the machine that does not answer, the proxy that refuses, the
certificate that cannot be trusted (with the roots that were used). The server's name is looked up by the proxy, if there is one. A peer
that vanished is noticed by TCP keep-alive. No credentials are in any message. The caller sets the time limit and closes what it is given.
"""

from __future__ import annotations

import base64
import errno
import os
import socket
import ssl
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import h11
import trio

from trio_codex.audio import require
from trio_codex.credentials import Secret, ssl_context
from trio_codex.errors import ConfigurationError, ConnectionFailed
from trio_codex.logs import get_logger
from trio_codex.proxies import Proxy, find_proxy
from trio_codex.transport import Target
from trio_codex.trust import tls_failure

__all__ = ["address_of", "connect", "host_of", "open_socket", "open_stream", "tls_context"]

_log: Final = get_logger("transport")

_OPTIONS: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_NOTSENT_LOWAT", 2**14),  # as Trio sets it: what the network does not take yet waits here
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 4),
    )
    if hasattr(socket, name)  # not every system has all of them
)
"""A peer is gone after 40 s of silence."""

_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK)
_READ_BYTES: Final = 64 * 1024


async def open_stream(target: Target) -> trio.abc.Stream:
    """Open the stream to a ws://, wss://, http:// or https:// URL, TLS handshake included.

    Raises ConnectionFailed (its `stage` says what failed), and ConfigurationError for a bad CA file or proxy before any network use.
    Cancelling it closes everything at once.
    """
    context = tls_context(target)
    stream = await _open_way(target)
    if context is None:
        return stream
    return await _encrypted(stream, context, address_of(target.url)[0], host_of(target.url))


def tls_context(target: Target) -> ssl.SSLContext | None:
    """What checks the server of a secure URL, else None. Raises ConfigurationError for a bad CA file."""
    return ssl_context() if urlsplit(target.url).scheme in ("wss", "https") else None


async def _open_way(target: Target) -> trio.abc.Stream:
    """Open the stream below TLS: TCP, through a proxy where the environment names one. Raises what `open_stream` raises."""
    proxy = find_proxy(target.url)
    if proxy is not None:
        return await _through(proxy, target.url)
    return _stream(await _directly(target.url))


async def open_socket(target: Target) -> socket.socket:
    """Open the same way for who needs no stream: a socket that does not block.

    Raises what `open_stream` raises, and ConfigurationError for a proxy that speaks TLS itself, for then there is more than a socket.
    """
    proxy = find_proxy(target.url)
    if proxy is None:
        return await _directly(target.url)
    stream = await _through(proxy, target.url)
    if isinstance(stream, trio.SocketStream):
        return _socket_of(stream)
    await trio.aclose_forcefully(stream)
    raise ConfigurationError("the lean transport does not go through an https:// proxy; use transport='trio-websocket'")


@lru_cache(maxsize=64)
def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme in ("wss", "https") else 80)


@lru_cache(maxsize=64)
def host_of(url: str) -> str:
    """Host, and port if it is not the usual one: how messages name a server."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


async def connect(host: str, port: int, via: str = "") -> socket.socket:
    """Open a TCP connection, as a socket that does not block; `via` is what messages call it if it is a proxy's.

    Raises ConnectionFailed. Cancelling it closes everything at once.
    """
    place = via or f"{host}:{port}"
    try:
        family = _family(host)
        if family is None:
            tcp = _socket_of(await trio.open_tcp_stream(host, port))
        else:
            tcp = await _reach(family, host, port)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: a name that DNS cannot ask for
        advice = f"nobody knows the name {host}: check its spelling, the network and its name server"
        raise ConnectionFailed(
            f"cannot reach {place}: {error}", stage="proxy" if via else "dns", advice=advice
        ) from error
    except OSError as error:
        advice = "check that it runs, and that the network and its firewalls let you through; a proxy is named by HTTPS_PROXY"
        raise ConnectionFailed(
            f"cannot reach {place}: {error}", stage="proxy" if via else "tcp", advice=advice
        ) from error
    _set_up(tcp)
    return tcp


def _family(host: str) -> socket.AddressFamily | None:
    """Of what kind an address is; None for a name."""
    if ":" in host:
        return socket.AF_INET6
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return None
    return socket.AF_INET


async def _reach(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """Connect to an address: there is nothing to look up and nothing to choose from (0.08 ms instead of 0.36)."""
    await trio.lowlevel.checkpoint_if_cancelled()
    tcp = socket.socket(family, socket.SOCK_STREAM)
    try:
        tcp.setblocking(False)
        failed = tcp.connect_ex((host, port))
        if failed in _UNDER_WAY:  # this machine itself has answered by now: asking again spares a turn of the scheduler
            failed = tcp.connect_ex((host, port))
        if failed in _UNDER_WAY:
            await trio.lowlevel.wait_writable(tcp)
            failed = tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        tcp.close()
        raise
    if failed not in (0, errno.EISCONN):
        tcp.close()
        raise OSError(failed, os.strerror(failed))
    return tcp


def _set_up(tcp: socket.socket | trio.socket.SocketType) -> None:
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _OPTIONS:
        tcp.setsockopt(socket.IPPROTO_TCP, option, value)


def _socket_of(stream: trio.SocketStream) -> socket.socket:
    """What is below a stream, which is of no use afterwards."""
    below = socket.socket(fileno=stream.socket.detach())
    below.setblocking(False)
    return below


def _stream(tcp: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(tcp))


async def _encrypted(stream: trio.abc.Stream, context: ssl.SSLContext, host: str, place: str) -> trio.abc.Stream:
    tls = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await tls.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError, OSError) as error:
        await trio.aclose_forcefully(tls)
        message, advice = tls_failure(place, error)
        raise ConnectionFailed(message, stage="tls", advice=advice) from error
    except BaseException:
        await trio.aclose_forcefully(tls)
        raise
    return tls


# --- proxies -----------------------------------------------------------------------------------------------------------


async def _directly(url: str) -> socket.socket:
    tcp = await connect(*address_of(url))
    _log.info("connected to %s", host_of(url))
    return tcp


async def _through(proxy: Proxy, url: str) -> trio.abc.Stream:
    host, port = address_of(url)
    tunnel = _through_socks if proxy.is_socks else _through_http
    stream = await tunnel(proxy, host, port)
    _log.info("connected to %s through the proxy %s", host_of(url), proxy.place)
    return stream


async def _through_http(proxy: Proxy, host: str, port: int) -> trio.abc.Stream:
    stream: trio.abc.Stream = _stream(await connect(proxy.host, proxy.port, f"the proxy {proxy.place}"))
    if proxy.scheme == "https":
        stream = await _encrypted(stream, ssl_context(), proxy.host, f"the proxy {proxy.place}")
    try:
        await _ask_for_tunnel(stream, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def _ask_for_tunnel(stream: trio.abc.Stream, proxy: Proxy, place: str) -> None:
    """Say CONNECT and read the answer; what follows it belongs to the server."""
    said = h11.Connection(h11.CLIENT)
    headers = [("Host", place), *_authorization(proxy)]
    try:
        await stream.send_all(said.send(h11.Request(method="CONNECT", target=place, headers=headers)) or b"")
        while (answer := said.next_event()) is h11.NEED_DATA:
            # Byte by byte would be needed to leave what follows; a server waits for its client to speak, so nothing does.
            said.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        if not isinstance(answer, h11.Response):
            raise h11.RemoteProtocolError("it hung up")  # noqa: TRY301 - the same as what h11 itself says of less than that
    except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
        text = f"the proxy {proxy.place} did not answer as an HTTP proxy"
        raise ConnectionFailed(text, stage="proxy", advice=f"check {proxy.variable}") from error
    status = answer.status_code
    if not 200 <= status < 300:
        raise _refused(proxy, place, f"HTTP status {status}", status, wants_credentials=status == 407)


def _authorization(proxy: Proxy) -> list[tuple[str, str]]:
    if proxy.username is None:
        return []
    pair = f"{proxy.username.reveal()}:{_reveal(proxy.password)}"
    return [("Proxy-Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")]


async def _through_socks(proxy: Proxy, host: str, port: int) -> trio.abc.Stream:
    socks = require("python_socks.async_.trio", extra="socks")
    errors = require("python_socks", extra="socks")
    name = proxy.username.reveal() if proxy.username else None
    way = socks.Proxy(errors.ProxyType.SOCKS5, proxy.host, proxy.port, name, _reveal(proxy.password), rdns=True)
    try:
        tcp = trio.SocketStream(await way.connect(host, port, timeout=float("inf")))
    except errors.ProxyConnectionError as error:
        advice = f"check {proxy.variable} and that the proxy runs"
        raise ConnectionFailed(f"cannot reach the proxy {proxy.place}", stage="proxy", advice=advice) from error
    except (errors.ProxyError, OSError, trio.BrokenResourceError) as error:
        denied = "auth" in str(error).lower()
        raise _refused(proxy, f"{host}:{port}", str(error), None, wants_credentials=denied) from error
    _set_up(tcp.socket)
    return tcp


def _refused(proxy: Proxy, place: str, reason: str, status: int | None, *, wants_credentials: bool) -> ConnectionFailed:
    advice = f"ask who runs it, or name {place.rpartition(':')[0]} in NO_PROXY to go there directly"
    if wants_credentials:
        advice = f"give its user name and password in {proxy.variable}: {proxy.scheme}://user:password@{proxy.host}:{proxy.port}"
    text = f"the proxy {proxy.place} does not lead to {place}: {reason}"
    return ConnectionFailed(text, status=status, stage="proxy", advice=advice)


def _reveal(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()
