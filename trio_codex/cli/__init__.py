"""The command line: one module per command, each with `add_arguments` and an async `run` that gives the exit status.

Statuses: 0 done (also SKIPPED), 1 failed, 2 usage, 130 interrupted. Results go to standard output, progress and errors to standard
error. Ctrl-C and SIGTERM cancel the command, so that everything is closed in order by the blocks it is in.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import trio

from trio_codex.cli.beside import beside
from trio_codex.errors import TrioCodexError

__all__ = ["run"]

_COMMANDS = ("demo", "talk", "voice", "serve", "probe", "doctor", "inspect", "replay")
_INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives the exit status."""
    # Only the command that is named is imported: all of them would take three times as long.
    named = [name for name in _COMMANDS if name in arguments[:1]]
    commands = {name: _module(name) for name in named or _COMMANDS}
    options = _parser(commands).parse_args(arguments)
    _log_to_stderr()
    command = commands[options.command]
    try:
        status = trio.run(_until_signal, lambda: command.run(options), getattr(command, "ON_SIGNAL", _INTERRUPTED))
        if sys.stdout is not None:
            sys.stdout.flush()
    except TrioCodexError as error:
        print(f"trio-codex {options.command}: {error}", file=sys.stderr)
        if error.advice and error.advice not in str(error):
            print(f"What to do: {error.advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # nobody reads us any more
        return 1
    except OSError as error:
        _drop_output()
        print(f"trio-codex {options.command}: {error}", file=sys.stderr)
        return 1
    return status


def _log_to_stderr() -> None:
    """Show warnings, and what TRIO_CODEX_LOG asks for: `info` for each change of state, `debug` for frames as well."""
    level = logging.getLevelNamesMapping().get(os.environ.get("TRIO_CODEX_LOG", "").strip().upper(), logging.WARNING)
    handler = logging.StreamHandler()
    if level < logging.WARNING:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("trio_codex")
    logger.addHandler(handler)
    logger.setLevel(level)


def _drop_output() -> None:
    """Let what cannot be written go nowhere; Python would try again at exit, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _until_signal(command: Callable[[], Awaitable[int]], on_signal: int) -> int:
    """Run the command until it is done or a signal comes, which cancels it; gives the exit status."""
    status = on_signal
    stopped = trio.CancelScope()

    async def watch() -> None:
        async for _ in signals:
            stopped.cancel(reason="a signal came")

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with beside(watch):
            with stopped:
                status = await command()
    return status


def _module(name: str) -> Any:
    return importlib.import_module(f"trio_codex.cli.{name}")


def _parser(commands: Mapping[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trio-codex", description="Live voice agents on Trio.")
    parser.add_argument("--version", action="version", version=version("trio-codex"))
    named = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in commands.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        command = named.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
    return parser
