"""Run the local server: the realtime protocol with real speech, no key, no network."""

from __future__ import annotations

import argparse
from typing import Final

from trio_codex.errors import ConfigurationError

ON_SIGNAL: Final = 0  # being stopped is how a server ends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve`."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="other than loopback needs an API key (default: %(default)s)"
    )
    parser.add_argument("--port", type=_port, default=8765, help="0: the system chooses (default: %(default)s)")
    parser.add_argument("--api-key", help="clients must show this key")
    parser.add_argument("--json", action="store_true", help="print one JSON line once it listens")
    parser.add_argument(
        "--fault",
        action="append",
        type=_fault,
        default=[],
        metavar="NAME[:PARAMETERS]",
        help="do this wrong, may be given several times; --list-faults says what there is",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same faults (default: %(default)s)"
    )
    parser.add_argument("--list-faults", action="store_true", help="list the faults and their parameters, and end")


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, which is a number from 0 to 65535")
    return int(text)


def _fault(text: str) -> str:
    from trio_codex.server.faults import parse_fault

    try:
        parse_fault(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


async def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from trio_codex.server import serve
    from trio_codex.server.faults import FAULTS

    if options.list_faults:
        for kind in FAULTS.values():
            print(f"{kind.name}\n    {kind.about}", *kind.parameters, sep="\n    ")
        return 0
    await serve(
        options.host, options.port, api_key=options.api_key, json=options.json, faults=options.fault, seed=options.seed
    )
    return 0
