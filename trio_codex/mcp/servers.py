"""Where an MCP server is, and how to reach it: a process of ours, or a URL.

Owns the transports and what is said when one does not come about. Of what opens a server (environment, headers, the rest of a command
line, an address with a token in it) nothing is in a message or a repr.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import PurePath
from typing import Any, Final, TextIO
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import trio

from trio_codex.audio.extras import require
from trio_codex.credentials import ssl_context
from trio_codex.endpoints import is_loopback
from trio_codex.errors import ConfigurationError, ConnectionFailed
from trio_codex.outgoing import Outgoing
from trio_codex.trust import for_children

CLOSED: Final = -32000
"""The code of the client's own error when the connection is gone."""

_OPENS: Final = re.compile(
    "auth|cookie|key|secret|token", re.IGNORECASE
)  # names of headers, or in a query, that carry what nobody else may have


@attrs.frozen
class ProcessServer:
    """A server that is a process of ours; it sees `env`, our trusted roots and the few variables that the client lets through."""

    command: list[str] = attrs.field(repr=False)
    env: dict[str, str] = attrs.field(repr=False)
    cwd: str | os.PathLike[str] | None
    errlog: TextIO | None

    def __attrs_post_init__(self) -> None:
        if not self.command:
            raise ConfigurationError("the command of an MCP server must name a program")

    @property
    def name(self) -> str:
        """The program."""
        return PurePath(self.command[0]).name

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[AbstractAsyncContextManager[Any]]:
        """The transport, not yet entered: entering starts the process, leaving ends it and its children."""
        mcp = require("mcp", extra="mcp")
        command, *arguments = self.command
        run = mcp.StdioServerParameters(command=command, args=arguments, env=for_children() | self.env, cwd=self.cwd)
        yield mcp.stdio_client(run, errlog=self.errlog or sys.stderr)

    def failed(self, error: BaseException) -> Exception:
        """What to raise when there is no connection."""
        if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
            return ConfigurationError(f"the MCP server {self.name} cannot be run: {error.strerror}: {error.filename}")
        why = "it ended; its standard error may say why" if getattr(error, "code", 0) == CLOSED else reason_of(error)
        return ConnectionFailed(f"the MCP server {self.name} did not start: {why}")


@attrs.define
class WebServer:
    """A server with a URL, spoken to over streamable HTTP."""

    url: str = attrs.field(repr=False)
    headers: dict[str, str] = attrs.field(repr=False)
    refusal: int | None = None  # the last HTTP status that was an error

    def __attrs_post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("the URL of an MCP server begins with https:// or http://; a command is a list")
        named = [*self.headers, *(name for name, _ in parse_qsl(parts.query))]
        secret = parts.username is not None or any(map(_OPENS.search, named))
        if secret and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ConfigurationError(f"what opens the MCP server {self.name} would go unencrypted: use https://")

    @property
    def name(self) -> str:
        """The host."""
        return urlsplit(self.url).hostname or ""

    @asynccontextmanager
    async def dial(self) -> AsyncIterator[AbstractAsyncContextManager[Any]]:
        """The transport, not yet entered, on an HTTP client of its own that trusts whom everything here trusts."""
        httpx = require("httpx2", extra="mcp")
        transport = require("mcp.client.streamable_http", extra="mcp")
        parts = urlsplit(self.url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        context = await trio.to_thread.run_sync(ssl_context)
        async with httpx.AsyncClient(
            headers=self.headers,
            auth=None if parts.username is None else (unquote(parts.username), unquote(parts.password or "")),
            transport=Outgoing(httpx, shown, context, parts.query),
            timeout=httpx.Timeout(30.0, read=300.0),  # a server may hold a stream open; calls have limits of their own
            event_hooks={"response": [self._note]},
        ) as client:
            yield transport.streamable_http_client(shown, http_client=client)

    async def _note(self, response: Any) -> None:
        if response.status_code >= 400:
            self.refusal = response.status_code

    def failed(self, error: BaseException) -> Exception:
        """What to raise when there is no connection; the client does not tell the status of a refusal."""
        why = reason_of(error) if self.refusal is None else f"HTTP status {self.refusal}"
        return ConnectionFailed(f"the MCP server {self.name} cannot be reached: {why}", status=self.refusal)


def reason_of(error: BaseException) -> str:
    """What an error of the client says, or its name."""
    return str(getattr(error, "message", "") or error) or type(error).__name__
