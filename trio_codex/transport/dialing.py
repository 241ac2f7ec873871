"""Where a connection goes and what carries it: endpoint, key, model and transport, settled before any network use.

Sessions and probes dial alike, so that a probe proves something about a session. Knows URLs and headers, nothing of the protocol;
opens nothing itself.
"""

from __future__ import annotations

from typing import Final, Literal

from trio_codex.credentials import Endpoint, KeySource, resolve_key
from trio_codex.errors import ConfigurationError
from trio_codex.given import check_text
from trio_codex.transport import Connector, Target

__all__ = ["DEFAULT_MODEL", "connector_for", "resolve_target"]

DEFAULT_MODEL: Final = "gpt-realtime-2.1"


async def resolve_target(
    endpoint: Endpoint | None,
    api_key: KeySource | None,
    *,
    model: str | None = None,
    call_id: str | None = None,
    intent: Literal["transcription"] | None = None,
    timeout: float,
) -> Target:
    """Settle where to connect, with which headers; without an endpoint the environment says. Asks the key's callable, if it is one.

    A transcription session is told its model by its settings, so none is chosen for it here.

    Raises ConfigurationError: a blank model, no key, a key that would travel unencrypted, model and call_id together.
    """
    check_text(model, where="model", or_none=True)
    check_text(call_id, where="call_id", or_none=True)
    endpoint = endpoint or Endpoint.from_environment()
    key = await resolve_key(endpoint, api_key)
    if call_id is None and model is None and intent is None:
        model = DEFAULT_MODEL
    url = endpoint.realtime_url(model, call_id, intent=intent)
    return Target(url=url, headers=tuple(endpoint.headers(key)), timeout=timeout)


def connector_for(transport: str | Connector | None) -> Connector:
    """Give what makes the connection; None means trio-websocket; it is imported only now. Raises ConfigurationError."""
    if transport is None or transport == "trio-websocket":
        from trio_codex.transport.websocket import open_websocket

        return open_websocket
    if transport == "lean":
        try:
            from trio_codex.transport.lean import open_lean
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the lean transport needs the websockets package: pip install 'trio-codex[lean]'"
            ) from None
        return open_lean
    if isinstance(transport, str):
        raise ConfigurationError(f"there is no transport {transport!r}; use 'trio-websocket', 'lean' or a connector")
    return transport
