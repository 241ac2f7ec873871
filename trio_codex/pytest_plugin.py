"""Fixtures for pytest: `local_server`, `scripted_session`, `simulated_call`. Installed as an entry point, so it imports nothing until used.

`local_server` is a server on this machine in a thread of its own, for tests in any style; `@pytest.mark.local_server(…)` gives it the
options of `open_local_server`. Without more it speaks and understands simulated speech (`trio_codex.testing.voices`); `stt=None, tts=None`
ask for the real engines. The other two are the functions of `trio_codex.testing`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trio_codex.server import LocalServer
    from trio_codex.session import Session
    from trio_codex.testing import Caller, Line

__all__ = ["local_server", "scripted_session", "simulated_call"]


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "local_server(**options): what the fixture local_server runs, as for trio_codex.server.open_local_server",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say why `skip_if_unavailable` has skipped a test, where pytest-trio has forgotten it."""
    report = yield
    availability: Any = sys.modules.get("trio_codex.testing.availability")
    if report.skipped and availability is not None and isinstance(report.longrepr, tuple):
        path, line, said = report.longrepr
        reason = availability.take_reason()
        report.longrepr = (path, line, said if reason is None else f"Skipped: {reason}")
    return report


@pytest.fixture
def local_server(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """A local server (`.http_url`, `.ws_url`, `.endpoint`) for this test."""
    from trio_codex.testing.threads import local_server as running
    from trio_codex.testing.voices import SimulatedSTT, SimulatedTTS

    options: dict[str, Any] = {"stt": SimulatedSTT(), "tts": SimulatedTTS(pace=10)}
    for marker in reversed(list(request.node.iter_markers("local_server"))):
        options |= marker.kwargs
    with running(**options) as server:
        yield server


@pytest.fixture
def scripted_session() -> Callable[..., AbstractAsyncContextManager[tuple[Session, Line]]]:
    """`trio_codex.testing.scripted_session`: a session whose server is the test."""
    from trio_codex.testing import scripted_session

    return scripted_session


@pytest.fixture
def simulated_call() -> Callable[..., AbstractAsyncContextManager[tuple[Session, Caller]]]:
    """`trio_codex.testing.simulated_call`: a session and somebody who calls, in virtual time."""
    from trio_codex.testing import simulated_call

    return simulated_call
