"""One client for the realtime API's HTTP side: `open_client`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio_codex.credentials import Endpoint, KeySource
from trio_codex.http import Api, open_api
from trio_codex.rest.calls import Calls
from trio_codex.rest.client_secrets import ClientSecrets

__all__ = ["Client", "open_client"]

TIMEOUT_S = 30.0
"""How long the service may be silent: nothing here takes it long."""


class Client:
    """What can be asked for over HTTP, by subject. `open_client` makes it."""

    def __init__(self, api: Api) -> None:
        self.client_secrets: ClientSecrets = ClientSecrets(api)
        self.calls: Calls = Calls(api)


@asynccontextmanager
async def open_client(endpoint: Endpoint | None = None, api_key: KeySource | None = None) -> AsyncIterator[Client]:
    """Open a client; leaving the block closes its connections.

    ::

        async with open_client() as client:
            await client.calls.accept(event.call_id, agent=agent)

    Endpoint and key are found as for a session. Refusals that may pass are tried again, at most twice. Raises ConfigurationError (no key,
    a bad CA file or proxy); its methods raise ServerRefused, ConnectionFailed, ConfigurationError; cancelling one gives its request up.
    """
    async with open_api(endpoint, api_key, timeout=TIMEOUT_S) as api:
        yield Client(api)
