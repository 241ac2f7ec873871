"""The plugin in a run of pytest that is not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import trio
from trio.testing import MockClock
from trio_codex import Agent

def test_blocking(local_server):
    import urllib.request
    with urllib.request.urlopen(local_server.http_url + "/models", timeout=5) as answer:
        assert answer.status == 200

def test_scripted(scripted_session):
    async def main():
        async with scripted_session(Agent()) as (session, line):
            await session.send_message("hello", respond=False)
            await line.expect("conversation.item.create")
    trio.run(main, clock=MockClock(autojump_threshold=0))

def test_simulated(simulated_call):
    async def main():
        async with simulated_call(responder=lambda words: "Yes.") as (_, caller):
            await caller.say("hello")
            assert await caller.hear() == "Yes."
    trio.run(main, clock=MockClock(autojump_threshold=0))
"""


def pytest_run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "trio_codex.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def test_somebody_elses_tests(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    assert "3 passed" in pytest_run(tmp_path, "-q")


def test_a_run_that_does_not_use_it_does_not_load_it(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_nothing_is_loaded():\n"
        "    assert not {'trio_codex.testing', 'trio_codex.server', 'attrs'} & sys.modules.keys()\n"
    )
    without = ["-p", "no:trio", "-p", "no:hypothesispytest", "-p", "no:anyio"]
    assert "1 passed" in pytest_run(tmp_path, "-q", *without)


def test_its_marker_is_known(tmp_path: Path) -> None:
    assert "local_server(**options)" in pytest_run(tmp_path, "--markers")
