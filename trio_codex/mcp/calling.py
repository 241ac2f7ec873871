"""What an MCP server offers, as tools, and how their calls are made and read.

A tool's function asks the connection; what goes wrong is a ToolError with the text for the model. Results are read for a model that
hears and speaks: texts are given as they are, data is only named.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Container, Mapping
from typing import Any, Final

import attrs

from trio_codex.audio.extras import require
from trio_codex.errors import ToolError
from trio_codex.mcp.servers import CLOSED
from trio_codex.tools import FAILED, Tool, serialize

GONE: Final = "The MCP server {server} does not answer: {reason}"
UNEXPLAINED: Final = "the tool failed and did not say why"

_NAME_LENGTH: Final = 64
_PAGES: Final = 100  # of a list of tools; more is a server that runs in a circle


@attrs.define(eq=False)
class Connection:
    """What the tools of one server call: its client, until `gone` says why there is none any more."""

    name: str
    client: Any
    gone: str | None = None

    async def call(self, tool: str, arguments: dict[str, Any]) -> str | None:
        """Make one call; gives what the model is to read. Raises ToolError with its text. Cancelling tells the server."""
        if self.gone is not None:
            raise self._lost(self.gone)
        try:
            result = await self.client.call_tool(tool, arguments)
        except require("mcp", extra="mcp").MCPError as error:
            if error.code == CLOSED:
                raise self._lost(self.gone or error.message) from None
            raise ToolError(FAILED.format(message=error.message or UNEXPLAINED)) from None
        said = _said(result)
        if result.is_error:
            raise ToolError(FAILED.format(message=UNEXPLAINED if said is None else said))
        return said

    def _lost(self, reason: str) -> ToolError:
        return ToolError(FAILED.format(message=GONE.format(server=self.name, reason=reason)))


# --- what it offers ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Offer:
    """How the tools of a server are shown to the model."""

    prefix: str
    settings: Mapping[str, Any]

    async def tools(self, connection: Connection) -> tuple[Tool, ...]:
        """All tools that the server has now, under names that are legal and different."""
        found: dict[str, Tool] = {}
        for listed in await _listed(connection.client):
            name = _legal(self.prefix + listed.name, found)
            found[name] = Tool(
                name=name,
                description=listed.description or listed.title or "",
                parameters={"type": "object", "properties": {}, **listed.input_schema},
                function=_function(connection, listed.name),
                **self.settings,
            )
        return tuple(found.values())


async def _listed(client: Any) -> list[Any]:
    session = client.session if isinstance(client, require("mcp", extra="mcp").Client) else client
    page_after = require("mcp.types", extra="mcp").PaginatedRequestParams
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await session.list_tools(params=page_after(cursor=cursor))
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _function(connection: Connection, tool: str) -> Callable[..., Awaitable[str | None]]:
    async def call(**arguments: Any) -> str | None:
        return await connection.call(tool, arguments)

    return call


def _legal(name: str, taken: Container[str]) -> str:
    """The name as models may say it; a number tells two apart that become the same."""
    legal = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)[:_NAME_LENGTH] or "tool"
    candidate, count = legal, 1
    while candidate in taken:
        count += 1
        candidate = f"{legal[: _NAME_LENGTH - len(str(count)) - 1]}_{count}"
    return candidate


# --- what a result says ------------------------------------------------------------------------------------------------


def _said(result: Any) -> str | None:
    """The result as the model reads it; None when it says nothing."""
    said = [_words(block) for block in result.content]
    words = [text for text in said if text]
    if not words and result.structured_content is not None:
        words = [serialize(result.structured_content)]
    data = [_named(block) for block, text in zip(result.content, said, strict=True) if text is None]
    return "\n".join([*words, *data]) or None


def _words(block: Any) -> str | None:
    """The text of a block, None when it is none."""
    holder = block.resource if block.type == "resource" else block
    text: str | None = getattr(holder, "text", None)
    return text


def _named(block: Any) -> str:
    match block.type:
        case "image" | "audio":
            return f"[{block.type}: {block.mime_type}, {len(block.data) * 3 // 4} bytes]"
        case "resource":
            return f"[resource: {block.resource.uri}, {block.resource.mime_type or 'data'}]"
        case "resource_link":
            return f"[resource: {block.name}, {block.uri}]"
        case other:
            return f"[{other}]"
