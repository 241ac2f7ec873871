"""Find out why it does not work: from the environment over key, certificates and network to a spoken word, one check a line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import AsyncExitStack

import attrs
import trio

from trio_codex.cli import where
from trio_codex.credentials import Endpoint
from trio_codex.diagnostics import CHECKS, Check, Examination, Finding, Report, Skip, examine
from trio_codex.errors import ConfigurationError

_COLOURS = {"ok": "32", "failed": "31", "skipped": "2"}
_WIDTH = max(len(check.name) for check in CHECKS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `doctor`."""
    where.add_arguments(parser)
    parser.add_argument("--model", help="default: the current realtime model")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object")
    output.add_argument(
        "--report", action="store_true", help="print a text to paste in an issue: no keys, folders, private hosts"
    )


async def run(options: argparse.Namespace) -> int:
    """Examine everything; 1 if anything failed. Without `--local` or `--openai` the environment says what is examined."""
    quiet = options.json or options.report
    async with AsyncExitStack() as stack:
        endpoint = Endpoint.openai() if options.openai else None
        if options.local:
            endpoint = await stack.enter_async_context(where.open_endpoint(options, local_by_default=True))
        report = await examine(
            endpoint, model=options.model, checks=(*CHECKS, _SOUND_DEVICE), tell=_show_nothing if quiet else _show
        )
    if options.json:
        print(
            json.dumps(
                {"ok": report.ok, "checks": [attrs.asdict(each) for each in report.findings]}, ensure_ascii=False
            )
        )
    elif options.report:
        print(report.redacted())
    else:
        _conclude(report)
    return 0 if report.ok else 1


def _show_nothing(finding: Finding) -> None:
    pass


def _show(finding: Finding) -> None:
    outcome = f"{'FAILED' if finding.outcome == 'failed' else finding.outcome:<8}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        outcome = f"\x1b[{_COLOURS[finding.outcome]}m{outcome}\x1b[0m"
    print(f"{outcome}{finding.check:<{_WIDTH + 2}}{finding.what}", flush=True)


def _conclude(report: Report) -> None:
    if report.cause is None:
        print("Everything that was looked at works.")
        return
    print(f"\nLook at this first: {report.cause.check}. {report.cause.advice or report.cause.what}")


async def _sound_device(about: Examination) -> str:
    from trio_codex.device import default_devices

    try:
        microphone, loudspeaker = await trio.to_thread.run_sync(default_devices, abandon_on_cancel=True)
    except ConfigurationError as error:
        raise Skip(f"only needed for a microphone: {error}") from None
    return f"microphone {microphone}, loudspeaker {loudspeaker}"


_SOUND_DEVICE = Check("sound device", (), 5, _sound_device)
