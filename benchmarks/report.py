"""How it went: medians over the repetitions, ratios to ours, a table and a JSON file that cites versions and machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contest import Result
from benchmarks.scenarios import SCENARIOS, Effort


def table(results: Sequence[Result], effort: Effort) -> str:
    """For the terminal: a line per figure, a column per contestant, each with its range; ratios are of medians."""
    names = list(dict.fromkeys(result.contestant for result in results))
    rows = [["", *names, *(f"{name} : {names[0]}" for name in names[1:]), "target"], *_rows(results, names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *_footnotes(results, effort)])


def _rows(results: Sequence[Result], names: Sequence[str]) -> Iterator[list[str]]:
    for key in dict.fromkeys(result.scenario for result in results):
        scenario = SCENARIOS[key]
        for figure, what in scenario.figures.items():
            values = {name: _values(results, name, key, figure) for name in names}
            ours, *others = (median(values[name]) for name in names)
            yield [
                f"{scenario.title}, {figure} [{what.unit}]",
                *(f"{median(each):.3g} ({min(each):.3g}…{max(each):.3g})" for each in values.values()),
                *(f"{other / ours:.2f}" if ours else "-" for other in others),
                f"≥ {what.target:g}" if what.target else "",
            ]


def _values(results: Sequence[Result], name: str, scenario: str, figure: str) -> list[float]:
    return [r.figures[figure] for r in results if r.contestant == name and r.scenario == scenario]


def _footnotes(results: Sequence[Result], effort: Effort) -> Iterator[str]:
    repetitions = 1 + max(result.repetition for result in results)
    yield (
        f"medians (least…most) of {repetitions} runs in turn; {effort.rounds} rounds; {effort.sessions} sessions, "
        f"{effort.seconds:g} s of duplex"
    )
    for name, versions in _versions(results).items():
        yield f"{name}: " + ", ".join(f"{package} {version}" for package, version in versions.items())
    yield ", ".join(f"{key} {value}" for key, value in machine().items())
    others = [result.others for result in results]
    yield f"other programs used {median(others):.0f} % of the machine (median of the runs; at most {max(others):.0f} %)"


def _versions(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    return {result.contestant: dict(result.versions) for result in results}


def machine() -> dict[str, str]:
    """What it ran on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": str(os.cpu_count()), "kernel": platform.release()}


def write_json(path: Path, results: Sequence[Result], effort: Effort) -> None:
    """Everything that was measured, run by run."""
    document: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": _versions(results),
        "effort": asdict(effort),
        "results": [result.to_dict() for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
