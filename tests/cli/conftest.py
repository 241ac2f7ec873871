"""Running the command line as a user does: in a process of its own, in an empty folder, without keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

LIMIT_S = 60


def _hear_ctrl_c() -> None:
    """A shell that runs the tests in its background lets them, and so their commands, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@attrs.frozen
class Cli:
    """Runs `python -m trio_codex` and finds every process that it, or a child of it, left behind."""

    folder: Path
    mark: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CODEX_"))}
        return kept | {"CODEX_HOME": str(self.folder / "no-such-home"), "TRIO_CODEX_TEST": self.mark, "NO_COLOR": "1"}

    @contextmanager
    def start(self, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
        """A running command; it is killed if the test leaves it running, as a failing one does."""
        with subprocess.Popen(
            [sys.executable, "-m", "trio_codex", *arguments],
            cwd=self.folder,
            env=self.environment | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_ctrl_c,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments: str, input: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **more) as process:
            out, err = finish(process, input)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def survivors(self) -> list[str]:
        """The command lines of processes that carry this test's mark; they get a moment to be reaped."""
        for _ in range(40):
            found = [line for line in map(self._command_line, Path("/proc").glob("[0-9]*")) if line]
            if not found:
                return []
            time.sleep(0.05)
        return found

    def _command_line(self, process: Path) -> str | None:
        try:
            if f"TRIO_CODEX_TEST={self.mark}".encode() not in (process / "environ").read_bytes():
                return None
            return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode() or None
        except OSError:
            return None


def finish(process: subprocess.Popen[str], input: str = "") -> tuple[str, str]:
    try:
        return process.communicate(input, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        pytest.fail(f"{process.args} did not end within {LIMIT_S} s")


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    runner = Cli(tmp_path, uuid.uuid4().hex)
    yield runner
    assert runner.survivors() == []
