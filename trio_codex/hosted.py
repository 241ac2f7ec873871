"""Hosted tools: those of an MCP server that the API itself calls while the model answers.

Owns the description of such a server, which stands among an agent's tools, and the name of one of its tools, as events give it. A
hosted call never runs here: it begins and ends on the API's side, and all that can be done about it is to approve it or not.
What opens the server (authorization, headers, an address with a token in it) is in no repr. Frozen, sync and free of trio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from trio_codex.callables import check_callable, evaluate
from trio_codex.errors import ConfigurationError
from trio_codex.given import check_seconds
from trio_codex.secret import Secret
from trio_codex.tools import check_name

__all__ = ["HostedMcp", "HostedTool"]

ToolFilter = Iterable[str] | Mapping[str, Any]
"""Names of tools, or the API's filter: `{"tool_names": […], "read_only": …}`."""


def _secret(value: str | Secret | None) -> Secret | None:
    return Secret(value) if isinstance(value, str) else value


def _secrets(values: Mapping[str, str | Secret]) -> dict[str, Secret]:
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"HostedMcp headers must be a mapping of names to texts, not {type(values).__name__}")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, str | Secret):
            raise ConfigurationError(f"HostedMcp headers: {name!r} must be a text, and its value too")
    return {name: value if isinstance(value, Secret) else Secret(value) for name, value in values.items()}


def _filter(value: ToolFilter | None) -> tuple[str, ...] | Mapping[str, Any] | None:
    if value is None or isinstance(value, Mapping):
        return value
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"HostedMcp allowed_tools must be names of tools in a list, not {value!r}")
    return tuple(value)


@attrs.frozen
class HostedTool:
    """One tool of an MCP server that the API calls, as events name it. `description` is blank while the server has not told it."""

    name: str
    server_label: str
    description: str = attrs.field(default="", repr=False)


@attrs.frozen(eq=False, kw_only=True)
class HostedMcp:
    """An MCP server whose tools the API calls by itself; one more member of `Agent.tools`.

    `server_label` is the name that events and items use. One of `server_url`, `connector_id` (`connector_googlecalendar`, …) and
    `tunnel_id` says where it is; `authorization` and `headers` open it and are never shown. `allowed_tools` and `require_approval`
    ("always", which is the API's default, "never", or filters under these two names) are the API's. A call that needs approval comes
    as a ToolApprovalRequiredEvent, is decided by `session.approve` or `reject`, and after `approval_timeout` seconds (None: no limit)
    by `approval_default`. With `respond=False` no answer is asked for after its calls. The API lists the tools after the settings are
    acknowledged: until the item `mcp_list_tools` stands in the history, the model does not know them. Raises ConfigurationError.
    """

    server_label: str
    server_url: str | None = attrs.field(default=None, repr=False)
    connector_id: str | None = None
    tunnel_id: str | None = None
    server_description: str | None = attrs.field(default=None, repr=False)
    authorization: Secret | None = attrs.field(default=None, converter=_secret, repr=False)
    headers: Mapping[str, Secret] = attrs.field(factory=dict, converter=_secrets, repr=False)
    allowed_tools: tuple[str, ...] | Mapping[str, Any] | None = attrs.field(default=None, converter=_filter)
    require_approval: Literal["always", "never"] | Mapping[str, Any] | None = None
    approval_timeout: float | None = 30.0
    approval_default: Literal["reject", "approve"] = "reject"
    respond: bool = True
    is_enabled: bool | Callable[..., bool | Awaitable[bool]] = True

    def __attrs_post_init__(self) -> None:
        check_name(self.server_label, where="HostedMcp server_label")
        where = f"HostedMcp {self.server_label}"
        if [self.server_url, self.connector_id, self.tunnel_id].count(None) != 2:
            raise ConfigurationError(f"{where}: give one of server_url, connector_id and tunnel_id")
        if self.server_url is not None and urlsplit(self.server_url).scheme not in ("http", "https"):
            raise ConfigurationError(f"{where}: server_url must begin with https:// or http://")
        if not isinstance(self.authorization, Secret | None):
            raise ConfigurationError(f"{where}: authorization must be a text, not {type(self.authorization).__name__}")
        if self.require_approval not in (None, "always", "never") and not isinstance(self.require_approval, Mapping):
            raise ConfigurationError(f"{where}: require_approval must be 'always', 'never' or a mapping of filters")
        if self.approval_default not in ("reject", "approve"):
            raise ConfigurationError(f"{where}: approval_default must be 'reject' or 'approve'")
        check_seconds(self.approval_timeout, where=f"{where}: approval_timeout", or_none=True)
        if not isinstance(self.is_enabled, bool):
            check_callable(self.is_enabled, "context, agent", where=f"{where}: is_enabled (True, False or a callable)")

    @property
    def name(self) -> str:
        """The server's label."""
        return self.server_label

    def schema(self) -> dict[str, Any]:
        """Give the server as the wire describes it, secrets included: for the frame that carries it and for nothing else."""
        known = {
            "server_url": self.server_url,
            "connector_id": self.connector_id,
            "tunnel_id": self.tunnel_id,
            "server_description": self.server_description,
            "authorization": self.authorization.reveal() if self.authorization else None,
            "headers": {name: value.reveal() for name, value in self.headers.items()} or None,
            "allowed_tools": list(self.allowed_tools) if isinstance(self.allowed_tools, tuple) else self.allowed_tools,
            "require_approval": self.require_approval,
        }
        given = {name: value for name, value in known.items() if value is not None}
        return {"type": "mcp", "server_label": self.server_label, **given}

    async def enabled(self, context: Any, agent: Any) -> bool:
        """Say whether the agent has these tools now. Raises what the callable raises; cancelling cancels it."""
        return bool(await evaluate(self.is_enabled, context, agent))
