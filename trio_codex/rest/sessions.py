"""The session that a client secret or a call begins with, as the API takes it: from an agent, settings, or a mapping of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trio_codex.agent import Agent
from trio_codex.given import check_text
from trio_codex.logs import get_logger
from trio_codex.protocol import SessionSettings, as_json, check_session, session_object
from trio_codex.tool_running import brief
from trio_codex.transport.dialing import DEFAULT_MODEL

__all__ = ["Wanted", "session_of"]

Wanted = SessionSettings | Mapping[str, Any]
"""A session as settings, or as the API writes it."""

_log: Final = get_logger("rest")


async def session_of(session: Wanted | None, *, agent: Agent | None, model: str | None, context: Any) -> dict[str, Any]:
    """Give the session object. The agent's instructions, voice and tools are in it, overlaid by the settings.

    A mapping goes as it is, with `type` and `model` where it has none. Raises ConfigurationError for what the API does not allow,
    and what the agent's callables raise.
    """
    check_text(model, where="model", or_none=True)
    if isinstance(session, Mapping):
        whole = {"type": "realtime", **as_json(session, "session")}
    else:
        settings = session or SessionSettings()
        whole = settings.to_wire() if agent is None else session_object(await brief(agent, context), settings)
    if whole["type"] == "realtime":
        whole.setdefault("model", model or DEFAULT_MODEL)
        for warning in check_session(whole, model=whole.get("model")):
            _log.warning("%s", warning)
    return whole
