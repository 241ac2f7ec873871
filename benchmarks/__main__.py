"""`python -m benchmarks [--short] [--scenario …] [--contestant …] [--repetitions N] [--minutes N] [--json FILE] [--plot FILE]`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.contest import Result, contest
from benchmarks.contestants import CONTESTANTS
from benchmarks.environments import KEPT, interpreter
from benchmarks.report import plot, table, write_json
from benchmarks.scenarios import SCENARIOS, TINY, Effort

SHORT_MINUTES: Final = 7.0


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="trio_codex beside others, in one run")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="may be given several times; default: all"
    )
    parser.add_argument("--contestant", action="append", choices=CONTESTANTS, help="the same")
    parser.add_argument("--repetitions", type=int, default=3, help="at most; default: %(default)s")
    parser.add_argument("--minutes", type=float, default=22.0, help="begin nothing after that; default: %(default)g")
    parser.add_argument(
        "--short", action="store_true", help="who something is asked of, openai-agents and the floor; 7 minutes"
    )
    parser.add_argument("--sessions", type=int, help="of duplex and memory")
    parser.add_argument("--tiny", action="store_true", help="next to nothing, to see that it works")
    parser.add_argument("--here", action="store_true", help="in this interpreter, not in environments of their own")
    parser.add_argument("--json", type=Path, default=KEPT / "results.json", help="default: %(default)s")
    parser.add_argument("--plot", type=Path, help="a PNG file of sessions against delays (needs matplotlib)")
    given = parser.parse_args()
    effort = TINY if given.tiny else Effort()
    if given.sessions is not None:
        effort = replace(effort, sessions=given.sessions)
    names = given.contestant or [name for name, who in CONTESTANTS.items() if who.short or not given.short]
    minutes = min(given.minutes, SHORT_MINUTES) if given.short else given.minutes
    pythons = {name: Path(sys.executable) if given.here else interpreter(CONTESTANTS[name]) for name in names}
    repetitions = 1 if given.tiny else given.repetitions
    results = contest(pythons, given.scenario or list(SCENARIOS), effort, repetitions, minutes, _tell)
    write_json(given.json, results, effort)
    print(table(results, effort))
    if given.plot:
        plot(given.plot, results)


def _tell(result: Result) -> None:
    figures = "  ".join(f"{name} {value:.3g}" for name, value in result.figures.items())
    print(f"{result.scenario} {result.repetition + 1} {result.contestant}: {figures}", file=sys.stderr)


if __name__ == "__main__":
    main()
