"""Who takes part: what to install, and where the `benchmarks.client.Client` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Contestant:
    """One library. `client` is a module and a name in it; `packages` are those whose versions are reported.

    `home`: those of one home share a virtual environment. `paced`: takes part only where pacing makes a difference. `only`: the
    scenarios that it can do, if not all.
    """

    name: str
    client: str
    home: str
    requirements: tuple[str, ...]
    packages: tuple[str, ...]
    paced: bool = False
    only: frozenset[str] = frozenset()

    def takes_part(self, scenario: str, *, paced: bool) -> bool:
        """Whether it does this scenario; `paced` is the scenario's."""
        return (paced or not self.paced) and (not self.only or scenario in self.only)


_OURS: Final = ("-e", ".[lean]")
_OUR_PACKAGES: Final = ("trio-codex", "trio", "orjson", "pybase64", "attrs", "cattrs")

AGENTS: Final = "openai-agents"
"""Whom everybody is compared to."""

LEAN: Final = "trio_codex lean"
PACED: Final = "trio_codex lean, paced"
"""For whom something is asked."""

CONTESTANTS: Final = {
    contestant.name: contestant
    for contestant in (
        Contestant(
            LEAN,
            "benchmarks.contestants.session:LEAN",
            "trio_codex",
            _OURS,
            (*_OUR_PACKAGES, "websockets"),
        ),
        Contestant(
            AGENTS,
            "benchmarks.contestants.agents_session:CLIENT",
            "openai-agents",
            ("openai-agents==0.24.*",),
            ("openai-agents", "openai", "websockets", "pydantic"),
        ),
        Contestant(
            "trio_codex trio-websocket",
            "benchmarks.contestants.session:TRIO_WEBSOCKET",
            "trio_codex",
            _OURS,
            (*_OUR_PACKAGES, "trio-websocket", "wsproto"),
        ),
    )
}
