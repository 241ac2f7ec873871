"""The inside of a worker process: one engine, one job at a time, frames on the pipes that were standard input and output.

Imports no Trio. Everything the engine has loaded stays warm between jobs. The process ends as soon as the other end
of its standard input is gone, which also a parent killed by SIGKILL brings about; a thread watches for that, so that
it holds in the middle of a job. (PR_SET_PDEATHSIG does not do: it fires when the *thread* that started the process
ends, and Trio starts processes from a cache of threads that end after ten idle seconds.)
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NoReturn, Protocol

from trio_codex.speech.framing import Frame, FrameReader, Kind, encode

__all__ = ["Engine", "Job", "JobCancelled", "main"]

_ENGINES = {
    "espeak-ng": ("espeak", "Espeak"),
    "flite": ("flite", "Flite"),
    "pocketsphinx": ("pocketsphinx", "Pocketsphinx"),
}


class JobCancelled(Exception):  # noqa: N818 - not an error
    """The parent has lost interest in the job."""


class Engine(Protocol):
    """What a worker runs: loads in its constructor, does one job at a time."""

    def run(self, job: Job) -> str:
        """Do one job and return its result; JobCancelled passes through, and the engine is ready for the next one."""


class _Line:
    """The two pipes, blocking."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()

    def receive(self) -> Frame:
        while not self._frames:
            self._read()
        return self._frames.popleft()

    def waiting(self) -> deque[Frame]:
        """Return what has come, without waiting."""
        if select.select([self._source], [], [], 0)[0]:
            self._read()
        return self._frames

    def send(self, kind: Kind, job: int, payload: bytes = b"") -> None:
        frame = memoryview(encode(kind, job, payload))
        while frame:
            frame = frame[os.write(self._sink, frame) :]

    def _read(self) -> None:
        data = os.read(self._source, 1 << 16)
        if not data:
            _end()
        self._frames.extend(self._reader.feed(data))


class Job:
    """One job as its engine sees it."""

    def __init__(self, line: _Line, number: int, settings: Mapping[str, Any]) -> None:
        self._line = line
        self._number = number
        self.settings = settings

    def pieces(self) -> Iterator[bytes]:
        """Give what the parent sends, up to its end; JobCancelled when it gives up."""
        while True:
            frame = self._line.receive()
            if frame.job != self._number:
                continue
            if frame.kind is Kind.END:
                return
            if frame.kind is Kind.CANCEL:
                raise JobCancelled
            yield frame.payload

    def say(self, payload: bytes, kind: Kind = Kind.DATA) -> None:
        """Send a piece of the result; JobCancelled when nobody wants it any more."""
        if any(frame.kind is Kind.CANCEL and frame.job == self._number for frame in self._line.waiting()):
            raise JobCancelled
        self._line.send(kind, self._number, payload)


def main(role: str) -> None:
    """Run the engine of that name until the parent is gone."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # C libraries print; what they print must not end up between the frames.
    line = _Line(sys.stdin.fileno(), os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        engine = _load(role)
    except Exception as error:  # it is for the parent to judge
        line.send(Kind.FAILED, 0, _describe(error))
        sys.exit(1)
    line.send(Kind.READY, 0)
    while True:
        _do_next_job(line, engine)


def _load(role: str) -> Engine:
    module, name = _ENGINES[role]
    engine: Engine = getattr(import_module(f"trio_codex.speech.{module}"), name)()
    return engine


def _do_next_job(line: _Line, engine: Engine) -> None:
    frame = line.receive()
    if frame.kind is not Kind.BEGIN:
        return
    try:
        result = engine.run(Job(line, frame.job, json.loads(frame.payload)))
    except JobCancelled:
        line.send(Kind.DONE, frame.job)
    except Exception as error:  # it is for the parent to judge
        line.send(Kind.FAILED, frame.job, _describe(error))
    else:
        line.send(Kind.DONE, frame.job, result.encode())


def _describe(error: Exception) -> bytes:
    return f"{type(error).__name__}: {error}".encode(errors="replace")


def _die_with_parent() -> None:
    hangup = select.poll()
    hangup.register(sys.stdin.fileno(), 0)
    hangup.poll()
    _end()


def _end() -> NoReturn:
    # Also what the engine may have started; but only if this process was made the leader of a group.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
