"""Ask the service for one short text, past everything else: does it work at all?"""

from __future__ import annotations

import argparse
import json
import sys

from trio_codex.cli import where
from trio_codex.diagnostics import Probe, format_probe_failure, probe_text_turn, skip_reason_for_error
from trio_codex.errors import ConnectionFailed
from trio_codex.events import ErrorInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `probe`."""
    where.add_arguments(parser)
    parser.add_argument("--model", help="default: the current realtime model")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=8.0,
        metavar="SECONDS",
        help="for connecting, for the session and for the answer each (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


async def run(options: argparse.Namespace) -> int:
    """Probe once; a failure that is none of ours is `SKIPPED: <reason>` with status 0."""
    async with where.open_endpoint(options, local_by_default=False) as endpoint:
        probe = await probe_text_turn(model=options.model, timeout=options.timeout, endpoint=endpoint)
    reason = skip_reason_for_error(probe)
    if not probe.ok:
        print(format_probe_failure(probe), file=sys.stderr)
    if (failure := probe.failure) is not None and failure.advice:
        print(f"What to do: {failure.advice}", file=sys.stderr)
    if options.json:
        print(json.dumps(_facts(probe, reason), ensure_ascii=False))
    elif reason is not None:
        print(f"SKIPPED: {reason}")
    elif probe.ok:
        print(f"ok (model={probe.model}, session_id={probe.session_id or 'unknown'}, {len(probe.events)} events)")
    return 0 if probe.ok or reason is not None else 1


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _facts(probe: Probe, skipped: str | None) -> dict[str, object]:
    return {
        "ok": probe.ok,
        "kind": probe.kind,
        "model": probe.model,
        "session_id": probe.session_id,
        "events": probe.events,
        "error": _error(probe),
        "skipped": skipped,
    }


def _error(probe: Probe) -> dict[str, object] | None:
    match probe.error:
        case None:
            return None
        case ErrorInfo(type=kind, message=message, code=code, param=param):
            return {"type": kind, "message": message, "code": code, "param": param}
        case ConnectionFailed(status=status, body=body) as error:
            return {"type": "ConnectionFailed", "message": str(error), "status": status, "body": body}
        case lost:
            return {"type": "ConnectionLost", "message": str(lost), "code": lost.code, "reason": lost.reason}
