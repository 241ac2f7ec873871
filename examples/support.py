"""What the examples share: where they talk to, and how they end when the service does not want to."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from trio_codex import Endpoint
from trio_codex.audio import write_wav
from trio_codex.credentials import resolve_key
from trio_codex.diagnostics import format_probe_failure, probe_text_turn, skip_reason_for_error
from trio_codex.errors import ConfigurationError, TrioCodexError
from trio_codex.events import ErrorInfo
from trio_codex.server import open_local_server


@asynccontextmanager
async def open_endpoint() -> AsyncIterator[Endpoint]:
    """The real service with --openai or when a key is set; else a local server that lives as long as the block.

    An error of the library that leaves the block (a refused connection, an answer that failed) ends the program by `finish`.
    """
    async with choose_endpoint() as endpoint:
        try:
            yield endpoint
        except TrioCodexError as error:
            await finish(error, endpoint)


@asynccontextmanager
async def choose_endpoint() -> AsyncIterator[Endpoint]:
    endpoint = None
    if "--local" not in sys.argv:
        try:
            endpoint = Endpoint.openai() if "--openai" in sys.argv else Endpoint.from_environment()
            await resolve_key(endpoint, None)
        except ConfigurationError as error:
            if "--openai" in sys.argv:
                sys.exit(str(error))
            endpoint = None
    if endpoint is not None:
        yield endpoint
        return
    async with open_local_server() as server:
        yield server.endpoint


async def finish(error: Exception | ErrorInfo, endpoint: Endpoint) -> NoReturn:
    """End the program: with status 0 and SKIPPED where the service is the reason, else with status 1 and the error.

    A generic server_error may be of our making, so a minimal probe has to meet it, too.
    """
    reason = skip_reason_for_error(error)
    if reason is not None and reason.startswith("realtime_upstream_server_error"):
        probe = await probe_text_turn(endpoint=endpoint)
        reason = skip_reason_for_error(probe)
        print(
            "a minimal probe was answered, so the fault may be here" if probe.ok else format_probe_failure(probe),
            file=sys.stderr,
        )
    if reason is not None:
        print(f"SKIPPED: {reason}")
        sys.exit(0)
    sys.exit(f"[Error] {error.message if isinstance(error, ErrorInfo) else error}")


def recording(name: str) -> Path:
    """The WAV file named on the command line, or somebody's speech that comes with the library."""
    named = [Path(argument) for argument in sys.argv[1:] if argument.endswith(".wav")]
    return named[0] if named else Path(str(files("trio_codex.cli") / "recordings" / name))


def write(name: str, pcm: bytes) -> None:
    """Keep what was spoken in the folder for temporary files, and say where."""
    path = Path(tempfile.gettempdir()) / name
    write_wav(path, bytes(pcm))
    print(f"{len(pcm) / 48_000:.1f} s of speech in {path}")
