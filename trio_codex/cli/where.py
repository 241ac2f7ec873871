"""Where a command talks to: the local server or the real service, by `--local | --openai` or by the environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio_codex.credentials import Endpoint, resolve_key
from trio_codex.errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--local | --openai`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--local", action="store_true", help="talk to a local server started for this command: no key, no network"
    )
    where.add_argument("--openai", action="store_true", help="talk to the real service; needs a key")


@asynccontextmanager
async def open_endpoint(options: argparse.Namespace, *, local_by_default: bool) -> AsyncIterator[Endpoint]:
    """Give the endpoint to talk to; a local server lives as long as the block. Raises ConfigurationError without a key."""
    endpoint = None if options.local else await _remote(options, local_by_default=local_by_default)
    if endpoint is not None:
        yield endpoint
        return
    from trio_codex.server import open_local_server

    async with open_local_server() as server:
        yield server.endpoint


async def _remote(options: argparse.Namespace, *, local_by_default: bool) -> Endpoint | None:
    if options.openai:
        endpoint = Endpoint.openai()
        await resolve_key(endpoint, None)
        return endpoint
    if local_by_default:
        return None
    endpoint = Endpoint.from_environment()
    if os.environ.get("OPENAI_BASE_URL", "").strip():
        return endpoint
    try:
        await resolve_key(endpoint, None)
    except ConfigurationError:
        print("no API key found: talking to a local server", file=sys.stderr)
        return None
    return endpoint
