"""Worker processes as seen from Trio: a bounded pool, one job per worker at a time, each process owned by one task.

A process is started, read, and ended by one task of the pool's nursery (`Worker.tend`), so none outlives the scope, whatever is
cancelled when. A job begins when a worker is free and is over when the worker has said so, not when its user leaves: an abandoned
job is cancelled in the background, and a worker that does not answer is killed. A worker that dies fails the job it had, and the
next job starts another. Knows nothing of what the engines do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.speech.framing import Frame, FrameReader, Kind, encode, pieces

__all__ = ["Job", "Pool", "open_pool"]

Deliver = Callable[[Frame], Awaitable[None]]

# The worker sees the modules that we see. (-m would put the working directory first, whatever lies there.)
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from trio_codex.speech.worker import main; main(sys.argv[2])"
_ANSWER_WITHIN = 5.0  # s, for an engine that was told to drop a job
_EXIT_WITHIN = 0.5  # s


class Job:
    """One piece of work at one worker; `over` is set when the worker has finished it, failed or died."""

    def __init__(self, worker: Worker, number: int, deliver: Deliver) -> None:
        self.over = trio.Event()
        self.worker = worker
        self._number = number
        self._deliver = deliver
        self._result = ""
        self._failure: VoiceError | None = None

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one frame. Waits while the worker is behind; cancelled, the frame was not sent. Raises VoiceError."""
        try:
            async with self.worker.sending:
                await self.worker.stdin.send_all(encode(kind, self._number, payload))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self.over.wait()
            self.raise_failure()
            raise trio.ClosedResourceError("the engine was closed") from None

    async def send_pieces(self, payload: bytes) -> None:
        """Send DATA of any length; cancelled, whole frames of it were sent."""
        for piece in pieces(payload):
            await self.send(Kind.DATA, piece)

    async def result(self) -> str:
        """Wait for the end of the job and return what the worker gave. Raises VoiceError."""
        await self.over.wait()
        self.raise_failure()
        return self._result

    def raise_failure(self) -> None:
        """Raise the VoiceError that ended the job, if one did."""
        if self._failure is not None:
            raise self._failure

    async def take(self, frame: Frame) -> None:
        """Take a frame which the worker sent."""
        if frame.job != self._number or self.over.is_set():
            return
        if frame.kind is Kind.DONE:
            self._result = frame.payload.decode()
            self.over.set()
        elif frame.kind is Kind.FAILED:
            self.fail(VoiceError(f"the speech engine failed: {frame.payload.decode()}", code="worker_failed"))
        else:
            await self._deliver(frame)

    def fail(self, failure: VoiceError) -> None:
        """End the job with an error, unless it is over."""
        if not self.over.is_set():
            self._failure = failure
            self.over.set()
