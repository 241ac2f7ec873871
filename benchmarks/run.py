"""One run: a scenario in a contestant's own process and environment. `python -m benchmarks.run '<JSON of a Run>'` writes its figures."""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.contestants import CONTESTANTS
from benchmarks.scenarios import SCENARIOS, Effort, Figures
from benchmarks.server import many_files


@dataclass(frozen=True)
class Run:
    """Who does what, where."""

    contestant: str
    scenario: str
    url: str
    core: int | None = None
    effort: Effort = field(default_factory=Effort)

    def to_json(self) -> str:
        """What `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Run:
        """What `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields | {"effort": Effort(**fields["effort"] | {"ladder": tuple(fields["effort"]["ladder"])})})


def perform(run: Run) -> Figures:
    """Run it here and now."""
    if run.core is not None:
        os.sched_setaffinity(0, {run.core})
    many_files()
    contestant, scenario = CONTESTANTS[run.contestant], SCENARIOS[run.scenario]
    module, _, name = (contestant.voice or contestant.client if scenario.voice else contestant.client).partition(":")
    client: Any = getattr(importlib.import_module(module), name)
    # What importing has left is nobody's garbage: the collector would go through all of it in the middle of a short run.
    gc.collect()
    gc.freeze()
    figures: Figures = client.run(lambda: scenario.run(client, run.url, run.effort))
    return figures


def versions(contestant: str) -> dict[str, str]:
    """The versions of what takes part."""
    found = {package: importlib.metadata.version(package) for package in CONTESTANTS[contestant].packages}
    return {"python": platform.python_version(), **found}


if __name__ == "__main__":
    run = Run.from_json(sys.argv[1])
    print(json.dumps({"figures": perform(run), "versions": versions(run.contestant)}))
