"""`python -m benchmarks [--scenario …] [--contestant …] [--repetitions N] [--sessions N] [--tiny] [--here] [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.contest import Result, contest
from benchmarks.contestants import CONTESTANTS
from benchmarks.environments import KEPT, interpreter
from benchmarks.report import plot, table, write_json
from benchmarks.scenarios import SCENARIOS, TINY, Effort


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="trio_codex beside others, in one run")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="may be given several times; default: all"
    )
    parser.add_argument("--contestant", action="append", choices=CONTESTANTS, help="the same")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--sessions", type=int, help="of duplex and memory")
    parser.add_argument("--tiny", action="store_true", help="next to nothing, to see that it works")
    parser.add_argument("--here", action="store_true", help="in this interpreter, not in environments of their own")
    parser.add_argument("--json", type=Path, default=KEPT / "results.json", help="default: %(default)s")
    parser.add_argument("--plot", type=Path, help="a PNG file of sessions against delays (needs matplotlib)")
    given = parser.parse_args()
    effort = TINY if given.tiny else Effort()
    if given.sessions is not None:
        effort = replace(effort, sessions=given.sessions)
    names = given.contestant or list(CONTESTANTS)
    pythons = {name: Path(sys.executable) if given.here else interpreter(CONTESTANTS[name]) for name in names}
    results = contest(pythons, given.scenario or list(SCENARIOS), effort, 1 if given.tiny else given.repetitions, _tell)
    write_json(given.json, results, effort)
    print(table(results, effort))
    if given.plot:
        plot(given.plot, results)


def _tell(result: Result) -> None:
    figures = "  ".join(f"{name} {value:.3g}" for name, value in result.figures.items())
    print(f"{result.scenario} {result.repetition + 1} {result.contestant}: {figures}", file=sys.stderr)


if __name__ == "__main__":
    main()
