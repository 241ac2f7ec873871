"""Live voice agents on Trio: a session is a nursery.

The names below are resolved when they are first used (PEP 562), so that `import trio_codex` costs next to nothing and each part
is paid for by who uses it. Type checkers see them all.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_codex import audio, errors, events
    from trio_codex.agent import Agent, Guardrail, Handoff
    from trio_codex.credentials import Endpoint
    from trio_codex.protocol.settings import UNSET, SemanticVAD, ServerVAD, SessionSettings, Transcription
    from trio_codex.session import Reply, Session, open_realtime_session
    from trio_codex.tools import Tool, ToolContext, tool

_HOMES = {
    "Agent": "agent",
    "Endpoint": "credentials",
    "Guardrail": "agent",
    "Handoff": "agent",
    "Reply": "session",
    "SemanticVAD": "protocol.settings",
    "ServerVAD": "protocol.settings",
    "Session": "session",
    "SessionSettings": "protocol.settings",
    "Tool": "tools",
    "ToolContext": "tools",
    "Transcription": "protocol.settings",
    "UNSET": "protocol.settings",
    "open_realtime_session": "session",
    "tool": "tools",
}
_MODULES = ("audio", "errors", "events")

__all__ = [
    "UNSET",
    "Agent",
    "Endpoint",
    "Guardrail",
    "Handoff",
    "Reply",
    "SemanticVAD",
    "ServerVAD",
    "Session",
    "SessionSettings",
    "Tool",
    "ToolContext",
    "Transcription",
    "audio",
    "errors",
    "events",
    "open_realtime_session",
    "tool",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
