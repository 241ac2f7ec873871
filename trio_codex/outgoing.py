"""Requests on their way from an HTTP library to the network: what the library must not see of them, and what it must not leave behind.

httpx logs the address of every request, and below it the credentials of a SOCKS proxy are logged. Whoever listens to their loggers is
not to find there what opens a server; so addresses get their query here, below httpx, and proxies are given credentials that nobody can
print. For httpx and for httpx2, which MCP is built on; imports neither.
"""

from __future__ import annotations

import functools
import ssl
from types import ModuleType, TracebackType
from typing import Any, Self

from trio_codex.audio import require
from trio_codex.proxies import find_proxy
from trio_codex.secret import Secret

__all__ = ["Outgoing"]


class Outgoing:
    """What an `AsyncClient` of `library` is given as its transport: the way to the server of a URL, through the environment's proxy.

    Every request goes there with the `query`, which is in no log line. One that is cancelled leaves no generator standing.
    """

    def __init__(self, library: ModuleType, url: str, context: ssl.SSLContext, query: str = "") -> None:
        self._library: Any = library
        self._transport = self._library.AsyncHTTPTransport(
            verify=context, trust_env=False, proxy=_proxy(self._library, url, context)
        )
        self._query = Secret(query)

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; httpx calls this."""
        sent = self._library.Request(
            request.method,
            self._whole(request.url),
            headers=request.headers,
            stream=_body(self._library)(request.read()),
            extensions=request.extensions,
        )
        return await self._transport.handle_async_request(sent)

    def _whole(self, url: Any) -> Any:
        query = b"&".join(part for part in (url.query, self._query.reveal().encode()) if part)
        return url.copy_with(query=query or None)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(kind, error, traceback)  # noqa: ASYNC102 - as the transport below does it


# --- proxies -----------------------------------------------------------------------------------------------------------


class _Unseen(bytes):
    def __repr__(self) -> str:
        return "b'…'"


def _proxy(library: Any, url: str, context: ssl.SSLContext) -> Any:
    """The proxy that websockets to this URL go through as well."""
    proxy = find_proxy(url)
    if proxy is None:
        return None
    if proxy.is_socks:
        require("socksio", extra="socks")

    credentials = None
    if proxy.username is not None:
        pair = (proxy.username, proxy.password or Secret(""))
        credentials = tuple(_Unseen(each.reveal().encode()) for each in pair)

    class Proxy(library.Proxy):  # type: ignore[misc]
        @property
        def raw_auth(self) -> tuple[bytes, ...] | None:
            return credentials

    return Proxy(proxy.url, ssl_context=context if proxy.scheme == "https" else None)


# --- bodies ------------------------------------------------------------------------------------------------------------


@functools.cache
def _body(library: Any) -> Any:
    class Body(library.AsyncByteStream):  # type: ignore[misc]
        """A body in one piece. httpx's own is an async generator, which a request that is cancelled would leave standing."""

        def __init__(self, content: bytes) -> None:
            self._left = [content] if content else []

        def __aiter__(self) -> Body:
            return self

        async def __anext__(self) -> bytes:
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop()

    return Body
