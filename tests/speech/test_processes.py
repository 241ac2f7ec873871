"""Worker processes never outlive the one that needs them: Ctrl-C, SIGKILL, a scope that is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import trio
from trio_codex.speech import open_recognizer, open_synthesizer

async def main():
    async with open_recognizer() as recognizer, open_synthesizer(engine="espeak-ng") as synthesizer:
        await recognizer.transcribe(b"")
        async with synthesizer.speak("one") as speech:
            async for _ in speech:
                pass
        print(*(pool._idle[0].pid for pool in (recognizer._pool, synthesizer._pool)), flush=True)
        async with recognizer.stream() as stream:
            while True:
                await stream.feed(bytes(96_000))

trio.run(main)
"""


def is_running(pid: int) -> bool:
    # An orphan that has ended may wait a while for the system's first process to take note of it.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_workers_end_with_their_parent(how: signal.Signals) -> None:
    # A group of its own, as a shell gives it, gets the signal as from a terminal.
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        workers = [int(pid) for pid in program.stdout.readline().split()]
        assert len(workers) == 2
        assert all(os.getpgid(worker) == worker for worker in workers)
        os.killpg(program.pid, how)
        _, errors = program.communicate(timeout=60)
    if how is signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert "ExceptionGroup" not in errors
    ends = time.monotonic() + 30
    while any(map(is_running, workers)):
        assert time.monotonic() < ends, "a worker is an orphan"
        time.sleep(0.02)


def test_a_worker_starts_without_trio() -> None:
    program = "import sys, trio_codex.speech.worker, trio_codex.speech.pocketsphinx, trio_codex.speech.flite; print('trio' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )
