"""Run the local server: the realtime protocol with real speech, no key, no network."""

from __future__ import annotations

import argparse
from typing import Final

ON_SIGNAL: Final = 0  # being stopped is how a server ends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve`."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="other than loopback needs an API key (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8765, help="0: the system chooses (default: %(default)s)")
    parser.add_argument("--api-key", help="clients must show this key")
    parser.add_argument("--json", action="store_true", help="print one JSON line once it listens")


async def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from trio_codex.server import serve

    await serve(options.host, options.port, api_key=options.api_key, json=options.json)
    return 0
