"""Who takes part: what to install, and the module whose `CLIENT` is the `benchmarks.client.Client`.

The first one is ours; ratios are of the others to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Contestant:
    """One library. `packages` are those whose versions are reported."""

    name: str
    module: str
    requirements: tuple[str, ...]
    packages: tuple[str, ...]


CONTESTANTS: Final = {
    contestant.name: contestant
    for contestant in (
        Contestant(
            "trio_codex",
            "benchmarks.contestants.session",
            ("-e", "."),
            ("trio-codex", "trio", "trio-websocket", "wsproto", "orjson", "pybase64", "attrs", "cattrs"),
        ),
        Contestant(
            "openai-agents",
            "benchmarks.contestants.agents_session",
            ("openai-agents==0.24.*",),
            ("openai-agents", "openai", "websockets", "pydantic"),
        ),
    )
}
