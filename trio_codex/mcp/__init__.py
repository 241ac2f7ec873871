"""Tools of MCP servers: `open_mcp_tools` for those that this program calls, `HostedMcp` for those that the API calls.

The protocol is spoken by the official `mcp` client, which runs on Trio through anyio (extra `mcp`, imported only when it is used).
"""

from trio_codex.hosted import HostedMcp, HostedTool
from trio_codex.mcp.opening import ToolSettings, open_mcp_tools

__all__ = ["HostedMcp", "HostedTool", "ToolSettings", "open_mcp_tools"]
