"""No key is ever seen: everything that the suite prints, logs, raises, records and traces is searched for every key that it uses.

A plugin that `conftest` loads, so that every test is a test of this as well. Keys are learnt where they pass: whatever becomes a `Secret`,
whatever goes into headers that may hold one, and what a child process is given as a key. What is shown is heard where it leaves: the
captured output, the loggers, the making of errors, the output of child processes, recordings in the test's own folder, finished spans.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from trio_codex.endpoints import Endpoint
from trio_codex.errors import ConnectionFailed, TrioCodexError
from trio_codex.secret import Secret, secrets_in

LEAST = 7
"""Shorter ones are words that may stand anywhere; `sk-test` is long enough."""
KEY_VARIABLE = re.compile(r"(API_KEY|TOKEN|SECRET)$")


class Watch:
    """What one test has used and shown."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.shown: list[tuple[str, str]] = []

    def learn(self, *texts: str) -> None:
        self.secrets.update(text for text in texts if len(text) >= LEAST)

    def hear(self, where: str, text: str) -> None:
        self.shown.append((where, text))

    def leaks(self) -> list[str]:
        """Where a key was shown; the key itself is not repeated."""
        if not self.secrets:
            return []
        pattern = re.compile("|".join(map(re.escape, sorted(self.secrets, key=len, reverse=True))))
        return [f"{where}: {pattern.sub('<KEY>', text)[:500]}" for where, text in self.shown if pattern.search(text)]


watch = Watch()


class Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        watch.hear(f"logged by {record.name}", self.format(record))


def after(owner: type, name: str, heard: Any) -> None:
    """Have `heard` called with the arguments and the result of every call of a method."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        heard(self, result, *args, **kwargs)
        return result

    setattr(owner, name, method)


def pytest_configure() -> None:
    after(Secret, "__init__", lambda secret, *_: watch.learn(secret.reveal()))
    after(Endpoint, "headers", lambda _, headers, *__: watch.learn(*secrets_in(headers)))
    for kind in (TrioCodexError, ConnectionFailed):
        after(kind, "__init__", lambda error, *_, **__: watch.hear(f"raised, {type(error).__name__}", told_by(error)))
    after(subprocess.Popen, "__init__", started)
    after(
        subprocess.Popen,
        "communicate",
        lambda process, result, *_, **__: watch.hear("said by a process", f"{result!r}"),
    )
    listener = Listener()
    listener.setFormatter(logging.Formatter("%(message)s"))
    tree = logging.getLogger("trio_codex")
    tree.addHandler(listener)
    tree.setLevel(logging.DEBUG)
    if not os.environ.get("TRIO_CODEX_TEST_FRAMES"):  # every frame of every test: a fifth of the time again
        logging.getLogger("trio_codex.frames").setLevel(logging.INFO)


def told_by(error: TrioCodexError) -> str:
    return f"{error!s} {error!r} {vars(error)!r}"


def started(process: Any, _: None, *args: Any, env: Mapping[str, str] | None = None, **kwargs: Any) -> None:
    watch.learn(*(text for name, text in (env or {}).items() if KEY_VARIABLE.search(name)))


@pytest.fixture(autouse=True)
def no_key_is_seen(request: pytest.FixtureRequest) -> Generator[Watch]:
    """Learns and hears for one test; `pytest_runtest_makereport` judges."""
    watch.__init__()  # type: ignore[misc]
    yield watch
    folder = request.node.funcargs.get("tmp_path")
    for path in folder.rglob("*.jsonl") if isinstance(folder, Path) else ():
        watch.hear(f"recorded in {path.name}", path.read_text(encoding="utf-8", errors="replace"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "teardown" and report.passed and not item.get_closest_marker("shows_keys"):
        for where, text in report.sections:
            watch.hear(where, text)
        if leaks := watch.leaks():
            report.outcome = "failed"
            report.longrepr = "a key was shown\n" + "\n".join(leaks)
    return report
