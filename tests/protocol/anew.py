"""A plugin of pytest for mutation testing: what functions made when their module was imported is made again, under the chosen mutant.

mutmut forks for each mutant from a process that has imported everything, so what is made at import (the hooks of the codec, the checks
of the rules) was made by functions without a mutant. And no test calls these functions, so mutmut would take them for untested: here
every test does.
"""

from __future__ import annotations

import importlib
import os

from mutmut.state import state

MADE_AT_IMPORT = ("strict", "convert", "codec", "checks", "rules", "validation")
"""In the order in which they import each other: those whose functions make things at import, and those that keep what is made."""

_makers: set[str] = set()


def pytest_sessionstart() -> None:
    for name in MADE_AT_IMPORT:
        importlib.reload(importlib.import_module(f"trio_codex.protocol.{name}"))
    _makers.update(state()._stats)


def pytest_runtest_setup() -> None:
    if os.environ["MUTANT_UNDER_TEST"] == "stats":
        state()._stats.update(_makers)
