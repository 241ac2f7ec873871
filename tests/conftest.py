"""How the suite runs: Hypothesis profiles, a deadline over every async test, Trio's scheduler under a seed.

pytest --hypothesis-profile=thorough tests/protocol      many more examples, longer runs of the state machines
pytest --trio-seed=17                                    the order in which a failed run scheduled its tasks
"""

from __future__ import annotations

import functools
import importlib.util
import random
import signal
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio._core._run as scheduler
from hypothesis import HealthCheck, settings

pytest_plugins = ["trio_codex.pytest_plugin", "pytester"]  # it is there already where the project is installed anew

# --- Hypothesis --------------------------------------------------------------------------------------------------------

# No deadline per example: two busy cores are no measure. What is slow shows in `--durations`.
settings.register_profile(
    "quick",
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    parent=settings.get_profile("quick"),
    max_examples=600,
    stateful_step_count=80,
)
settings.register_profile(
    "mutants",  # the same examples for every mutant
    parent=settings.get_profile("quick"),
    max_examples=20,
    derandomize=True,
    database=None,
)
settings.load_profile("quick")

# --- async tests -------------------------------------------------------------------------------------------------------

DEADLINE_S = 120.0
"""A net under every async test, on the clock that it runs on; `@pytest.mark.deadline(seconds)` sets another. Tests have tighter ones."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--trio-seed", type=int, default=None, help="the seed of Trio's scheduler; by default another each time"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows_keys: this test shows a key on purpose")
    config.pluginmanager.register(_module("secrecy"), "secrecy")
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that runs the tests in its background lets them ignore it
    config.addinivalue_line("markers", "deadline(seconds): how long an async test may take, on its own clock")
    if config.getoption("--trio-seed") is None:
        config.option.trio_seed = random.SystemRandom().randrange(2**32)
    # Trio's own switch for tests that want the same order again; there is no public one.
    vars(scheduler)["_ALLOW_DETERMINISTIC_SCHEDULING"] = True


def pytest_make_parametrize_id(val: object) -> str | None:
    """No backslashes in the names of tests: pytest doubles them when it runs again in the same process, as mutation testing does."""
    return ascii(val).replace("\\", "/") if isinstance(val, str | bytes) and "\\" in ascii(val) else None


def _module(name: str) -> ModuleType:
    """A module beside this one; the tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.hookimpl(trylast=True)  # pytest-trio marks the async tests in this hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("trio"):
            marker = item.get_closest_marker("deadline")
            _bound(item, marker.args[0] if marker else DEADLINE_S)


def _bound(item: pytest.Function, seconds: float) -> None:
    hypothesis = getattr(item.obj, "hypothesis", None)
    if hypothesis is None:
        item.obj = _within(item.obj, seconds)
    elif not getattr(hypothesis.inner_test, "is_bounded", False):
        hypothesis.inner_test = _within(hypothesis.inner_test, seconds)


def _within(test: Callable[..., Awaitable[Any]], seconds: float) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> Any:
        with trio.fail_after(seconds):
            return await test(*args, **kwargs)

    bounded.is_bounded = True  # type: ignore[attr-defined]
    return bounded


@pytest.fixture(autouse=True)
def trio_seed(request: pytest.FixtureRequest) -> int:
    """The seed of Trio's scheduler in this test; a failure prints it."""
    seed: int = request.config.getoption("--trio-seed")
    scheduler._r.seed(seed)
    return seed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and item.get_closest_marker("trio"):
        report.sections.append(
            ("Trio's scheduler", f"the same order again: --trio-seed={item.config.option.trio_seed}")
        )
    return report
