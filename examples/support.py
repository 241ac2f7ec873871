"""What the examples share: where they talk to, and how they end when the service does not want to."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from trio_codex import Endpoint
from trio_codex.credentials import resolve_key
from trio_codex.errors import ConfigurationError
from trio_codex.server import open_local_server

NO_KEY = "no API key found (CODEX_API_KEY, auth.json OPENAI_API_KEY, or OPENAI_API_KEY)"


@asynccontextmanager
async def open_endpoint() -> AsyncIterator[Endpoint]:
    """The real service with --openai or when a key is set; else a local server that lives as long as the block."""
    endpoint = None
    if "--local" not in sys.argv:
        try:
            endpoint = Endpoint.openai() if "--openai" in sys.argv else Endpoint.from_environment()
            await resolve_key(endpoint, None)
        except ConfigurationError as error:
            if "--openai" in sys.argv:
                sys.exit(f"{NO_KEY}: {error}")
            endpoint = None
    if endpoint is not None:
        yield endpoint
        return
    async with open_local_server() as server:
        yield server.endpoint


async def finish(error: object, endpoint: Endpoint) -> NoReturn:
    """Say what went wrong, and stop."""
    sys.exit(f"[Error] {error}")
