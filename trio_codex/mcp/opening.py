"""Opening and leaving: `open_mcp_tools`, where a connection to an MCP server is tied to a block.

The client lives in a task of its own: whatever breaks in there ends that connection, and then the calls say so to the model; the block,
and the sessions in it, go on. Everything ends with the block, the process of a local server too.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypedDict, Unpack

import trio

from trio_codex.audio.extras import require
from trio_codex.body import Body, leaves
from trio_codex.errors import ConfigurationError, ConnectionFailed, TrioCodexError
from trio_codex.given import check_seconds
from trio_codex.logs import get_logger
from trio_codex.mcp.calling import Connection, Offer
from trio_codex.mcp.servers import ProcessServer, WebServer, reason_of
from trio_codex.secret import Secret
from trio_codex.tools import Check, Tool

if TYPE_CHECKING:
    from mcp import Client, ClientSession

PATIENCE: Final = 2.0
"""How long a server may take over its goodbye over HTTP; a process is given as long between the steps that end it."""

log: Final = get_logger("mcp")


class ToolSettings(TypedDict, total=False):
    """How the calls of all these tools are treated; names and meanings as in `@tool`."""

    needs_approval: Check
    approval_timeout: float | None
    approval_default: Literal["reject", "approve"]
    on_interrupt: Literal["continue", "cancel"]
    respond: bool
    is_enabled: Check


@asynccontextmanager
async def open_mcp_tools(
    server: str | Sequence[str | os.PathLike[str]] | Client | ClientSession,
    *,
    env: Mapping[str, str | Secret] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    errlog: TextIO | None = None,
    headers: Mapping[str, str | Secret] | None = None,
    prefix: str = "",
    timeout: float | None = 30.0,
    connect_timeout: float = 30.0,
    **settings: Unpack[ToolSettings],
) -> AsyncIterator[tuple[Tool, ...]]:
    """Connect to an MCP server and give the tools that it has now, for `Agent(tools=…)`; the block is the connection's lifetime.

    ::

        async with open_mcp_tools(["python", "weather.py"]) as tools:
            async with open_realtime_session(Agent(tools=tools)) as session: ...

    `server` is a command with its arguments (run without a shell; it sees `env` and a few harmless variables, and writes errors to
    `errlog`, else to our standard error), the URL of a streamable HTTP server (asked with `headers`), or an `mcp.Client` or initialised
    `mcp.ClientSession` of your own, which is used and not closed. Names are made legal, `prefix` first. A call takes at most `timeout`
    seconds, None is no limit; `settings` are those of `@tool`; `attrs.evolve(tool, …)` changes one.

    The model reads: the texts of a result, else its structured content as JSON; images, audio and other data are named, not sent; a
    result that is an error, and a server that is gone, as `Error: …`. Raises ConfigurationError (the extra is not installed, no such
    command, a secret that would go unencrypted), ConnectionFailed (the server does not start, refuses, or is not ready within
    `connect_timeout` seconds). Cancelling the opening leaves nothing behind. The body's own exception comes out as it is.
    """
    check_seconds(connect_timeout, where="connect_timeout")
    offer = Offer(prefix, {"timeout": timeout, **settings})
    if not isinstance(server, str | Sequence):
        yield await _tools_of(server, offer)
        return
    there: ProcessServer | WebServer
    if isinstance(server, str):
        there = WebServer(server, _revealed(headers, "headers"))
    else:
        there = ProcessServer([os.fspath(part) for part in server], _revealed(env, "env"), cwd, errlog)
    body = Body()
    ended: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            link = _Link(there, offer)
            tools = await nursery.start(link.serve, connect_timeout)
            try:
                with body:
                    yield tools
            finally:
                link.left.set()
    except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
        ended = error
    if (outcome := body.outcome(ended, lambda failures: failures[0])) is not None:
        raise outcome


def _revealed(values: Mapping[str, str | Secret] | None, what: str) -> dict[str, str]:
    for name, value in (values or {}).items():
        if not isinstance(name, str) or not isinstance(value, str | Secret):
            raise ConfigurationError(f"{what}: {name!r} must be a text, and its value too")
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in (values or {}).items()}


async def _tools_of(session: Any, offer: Offer) -> tuple[Tool, ...]:
    """What a session has that somebody else opened."""
    if not (hasattr(session, "call_tool") and hasattr(session, "list_tools")):
        said = "must be a command in a list, a URL, an mcp.Client or an mcp.ClientSession"
        raise ConfigurationError(f"the MCP server {said}, not {type(session).__name__}")
    try:
        return await offer.tools(Connection(_label(session, "of yours"), session))
    except TrioCodexError:
        raise
    except Exception as error:
        raise ConnectionFailed(f"the MCP session does not tell its tools: {reason_of(error)}") from error


class _Link:
    """A connection in a task of its own, which ends when it is `left`."""

    def __init__(self, server: ProcessServer | WebServer, offer: Offer) -> None:
        self.left = trio.Event()
        self._server = server
        self._offer = offer
        self._connection: Connection | None = None  # once it is open

    async def serve(self, connect_timeout: float, *, task_status: trio.TaskStatus[tuple[Tool, ...]]) -> None:
        """Connect, tell the tools, and hold the connection until it is left or breaks."""
        with trio.move_on_after(connect_timeout) as limit:
            try:
                async with self._server.dial() as transport, _client(transport) as client:
                    connection = Connection(_label(client, self._server.name), client)
                    tools = await self._offer.tools(connection)
                    limit.deadline = math.inf
                    self._connection = connection
                    task_status.started(tools)
                    try:
                        await self.left.wait()
                        limit.deadline = trio.current_time() + PATIENCE
                    finally:
                        connection.gone = "it is not connected any more"
            except Exception as error:
                self._broke(next(leaves(error)))
        if self._connection is None:
            raise self._server.failed(TimeoutError(f"it was not ready within {connect_timeout:g} s"))

    def _broke(self, cause: BaseException) -> None:
        """The end of a connection is what its calls tell; before there is one, it is the end of the opening."""
        if isinstance(cause, TrioCodexError):
            raise cause
        if self._connection is None:
            raise self._server.failed(cause) from cause
        self._connection.gone = reason_of(cause)
        log.warning("the connection to the MCP server %s broke: %s", self._connection.name, type(cause).__name__)


def _client(transport: Any) -> AbstractAsyncContextManager[Any]:
    mcp = require("mcp", extra="mcp")
    who = mcp.Implementation(name="trio_codex", version=version("trio-codex"))
    client: AbstractAsyncContextManager[Any] = mcp.Client(transport, client_info=who)
    return client


def _label(session: Any, otherwise: str) -> str:
    """What the server calls itself."""
    return getattr(session.server_info, "name", "") or otherwise
