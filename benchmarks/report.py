"""How it went: medians over the repetitions, how many times better than openai-agents, and a JSON file that cites versions and machine.

`python -m benchmarks.report FILE.json` writes the table of a run that is over, `--plot FILE.png` the picture of its sessions and delays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.contest import Result
from benchmarks.contestants import AGENTS, LEAN, PACED
from benchmarks.scenarios import SCENARIOS, Effort, Figure

_STEP: Final = "p99 of "


def table(results: Sequence[Result], effort: Effort) -> str:
    """In Markdown: a line per figure, a column per contestant: the median, and how many times better than openai-agents it is."""
    names = list(dict.fromkeys(result.contestant for result in results))
    rows = [["", *names, "asked for"], *_rows(results, names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([*lines, "", *_footnotes(results, effort)])


def _rows(results: Sequence[Result], names: Sequence[str]) -> Iterator[list[str]]:
    for key in dict.fromkeys(result.scenario for result in results):
        for name, figure in SCENARIOS[key].figures.items():
            values = {who: _values(results, who, key, name) for who in names}
            theirs = median(values[AGENTS]) if values.get(AGENTS) else None
            yield [
                f"{SCENARIOS[key].title}: {name} [{figure.unit}]",
                *(_cell(values[who], figure, theirs) for who in names),
                _asked(figure),
            ]


def _cell(values: Sequence[float], figure: Figure, theirs: float | None) -> str:
    if not values:
        return ""
    ours = median(values)
    if not theirs or not ours:
        return f"{ours:.3g}"
    return f"{ours:.3g} ({ours / theirs if figure.more else theirs / ours:.2f}x)"


def _asked(figure: Figure) -> str:
    asked = [] if figure.bound is None else [f"{LEAN} ≤ {figure.bound:g} {figure.unit}"]
    asked += [f"{who} ≥ {times:g}x" for who, times in ((LEAN, figure.lean), (PACED, figure.paced)) if times is not None]
    return ", ".join(asked)


def _values(results: Sequence[Result], name: str, scenario: str, figure: str) -> list[float]:
    return [
        result.figures[figure]
        for result in results
        if result.contestant == name and result.scenario == scenario and figure in result.figures
    ]


def _footnotes(results: Sequence[Result], effort: Effort) -> Iterator[str]:
    repetitions = 1 + max(result.repetition for result in results)
    yield f"Medians of up to {repetitions} runs, everybody in turn; (nx): so many times better than {AGENTS} in the same run."
    yield f"{effort.rounds} rounds; {effort.pieces} pieces; {effort.sessions} sessions, {effort.seconds:g} s of duplex."
    for name, versions in _versions(results).items():
        yield f"{name}: " + ", ".join(f"{package} {version}" for package, version in versions.items()) + "."
    yield ", ".join(f"{key} {value}" for key, value in machine().items()) + "."
    others = [result.others for result in results]
    yield f"Other programs used {median(others):.0f} % of the machine (median of the runs; at most {max(others):.0f} %)."


def _versions(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    return {result.contestant: dict(result.versions) for result in results}


def machine() -> dict[str, str]:
    """What it ran on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": str(os.cpu_count()), "kernel": platform.release()}


# --- files ---------------------------------------------------------------------------------------------------------


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


def read_json(path: Path) -> tuple[list[Result], Effort]:
    """What `write_json` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [Result(**result) for result in document["results"]], Effort(**document["effort"])


def plot(path: Path, results: Sequence[Result]) -> None:
    """A picture of sessions in duplex against the p99 from the server to the user's event. Needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(10, 5))
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    for name in dict.fromkeys(result.contestant for result in results):
        steps = sorted(_steps(results, name).items())
        if steps:
            axes.plot([step for step, _ in steps], [median(delays) for _, delays in steps], marker="o", label=name)
    axes.axhline(20, color="grey", linestyle="--", linewidth=1)
    axes.set(
        xlabel="sessions in duplex on one core",
        ylabel="p99, server to the user's event [ms]",
        yscale="log",
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))  # beside the curves, which are many
    picture.tight_layout()
    picture.savefig(path, dpi=120)


def _steps(results: Sequence[Result], name: str) -> dict[int, list[float]]:
    steps: dict[int, list[float]] = {}
    for result in results:
        if result.contestant == name and result.scenario == "capacity":
            for figure, value in result.figures.items():
                if figure.startswith(_STEP):
                    steps.setdefault(int(figure.removeprefix(_STEP)), []).append(value)
    return steps


def main() -> None:
    """Write the table of a run that is over."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description="the table of a run that is over")
    parser.add_argument("file", type=Path)
    parser.add_argument("--plot", type=Path, help="a PNG file to write (needs matplotlib)")
    given = parser.parse_args()
    results, effort = read_json(given.file)
    print(table(results, effort))
    if given.plot:
        plot(given.plot, results)


if __name__ == "__main__":
    main()
