"""Worker processes as Trio sees them: a bounded pool, one job per worker at a time, each process owned by one task.

A process is started, read and ended by one task of the pool's nursery, so none outlives the scope, whatever is
cancelled when. A job begins when a worker is free and is over when the worker has said so, not when its user leaves:
an abandoned job is cancelled in the background, and a worker that does not answer, or stands still, is killed. A worker that dies fails
the job it had, and the next job starts another. Knows nothing of what the engines do.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import trio

from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.speech.framing import Frame, FrameReader, Kind, encode, pieces

__all__ = ["Job", "Pool", "open_pool"]

Deliver = Callable[[Frame], Awaitable[None]]

# The worker imports from where we import. (With -m the working directory would come first, whatever lies there.)
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from trio_codex.speech.worker import main; main(sys.argv[2])"
)
_ANSWER_WITHIN = 5.0  # s, for an engine that was told to drop its job
_EXIT_WITHIN = 0.5  # s
_PROGRESS_WITHIN = 20.0  # s, for an engine that owes an answer or has to take what is sent


class Job:
    """One piece of work at one worker. `over` is set once the worker has finished it, has failed or is gone."""

    def __init__(self, worker: _Worker, number: int, deliver: Deliver, on_over: Callable[[], None]) -> None:
        self.over: trio.Event = trio.Event()
        self.worker = worker
        self.waiting_since: float = math.inf  # for the worker; it is not its fault when nobody sends or takes
        self._number = number
        self._deliver = deliver
        self._on_over = on_over
        self._result = ""
        self._failure: Exception | None = None

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one frame; waits while the worker is behind. Cancelled, nothing was sent.

        Raises VoiceError when the worker has failed or died, trio.ClosedResourceError when the job is over.
        """
        if not self.over.is_set():
            self.waiting_since = trio.current_time()
            try:
                await self.worker.send(encode(kind, self._number, payload))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self.over.wait()
            else:
                return
            finally:
                if kind is not Kind.END:
                    self.waiting_since = math.inf
        await self.result()
        raise trio.ClosedResourceError("the speech engine has finished this already")

    async def send_pieces(self, payload: bytes) -> None:
        """Send DATA of any length; cancelled, some whole frames of it were sent. Raises VoiceError."""
        for piece in pieces(payload):
            await self.send(Kind.DATA, piece)

    async def result(self) -> str:
        """Wait for the end of the job and return what the worker gave. Raises VoiceError."""
        await self.over.wait()
        if self._failure is not None:
            raise self._failure
        return self._result

    async def take(self, frame: Frame) -> None:
        """Take a frame which the worker sent; frames of jobs before are ignored."""
        if frame.job != self._number or self.over.is_set():
            return
        match frame.kind:
            case Kind.DONE:
                self._end(frame.payload.decode(), None)
            case Kind.FAILED:
                self.fail(VoiceError(f"the speech engine failed: {frame.payload.decode()}", code="worker_failed"))
            case _:
                waiting = self.waiting_since < math.inf
                self.waiting_since = math.inf
                await self._deliver(frame)
                if waiting:
                    self.waiting_since = trio.current_time()

    def fail(self, failure: Exception) -> None:
        """End the job with an error, unless it is over."""
        if not self.over.is_set():
            self._end("", failure)

    def _end(self, result: str, failure: Exception | None) -> None:
        self._result, self._failure = result, failure
        self.over.set()
        self._on_over()


class _Worker:
    """One process and the job it has."""

    def __init__(self, engine: str, process: trio.Process) -> None:
        self.ready: trio.Event = trio.Event()
        self._engine = engine
        self._process = process
        self._stdin = cast("trio.abc.SendStream", process.stdin)
        self._stdout = cast("trio.abc.ReceiveStream", process.stdout)
        self._sending = trio.Lock()
        self._jobs = 0
        self._job: Job | None = None
        self._complaint = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, deliver: Deliver, on_over: Callable[[], None]) -> Job:
        self._jobs += 1
        self._job = Job(self, self._jobs, deliver, on_over)
        return self._job

    async def send(self, frame: bytes) -> None:
        async with self._sending:
            await self._stdin.send_all(frame)

    async def read(self) -> None:
        """Hand the worker's frames to its job until the process ends; then say why."""
        reader = FrameReader()
        async for data in self._stdout:
            for frame in reader.feed(bytes(data)):
                await self._take(frame)
        status = await self._process.wait()
        reason = f"failed: {self._complaint}" if self._complaint else f"has lost its process (status {status})"
        code = "worker_failed" if self._complaint else "worker_died"
        self.fail(VoiceError(f"the speech engine {self._engine} {reason}", code=code))

    async def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.READY:
            self.ready.set()
        elif frame.job == 0:
            self._complaint = frame.payload.decode()
        elif self._job is not None:
            await self._job.take(frame)

    def fail(self, failure: Exception) -> None:
        if self._job is not None:
            self._job.fail(failure)

    def give_up(self, complaint: str) -> None:
        self._complaint = complaint
        self.kill()

    def kill(self) -> None:
        # It leads a session of its own, and flite, which it may have started, is of its group.
        if self.is_alive():
            os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        with trio.CancelScope(shield=True):
            await self._stdin.aclose()
            with trio.move_on_after(_EXIT_WITHIN):
                await self._process.wait()
            self.kill()
            await self._process.wait()
            await self._stdout.aclose()


def _nothing() -> None: ...


class Pool:
    """At most `size` workers of one engine; see `open_pool`."""

    def __init__(self, engine: str, size: int, nursery: trio.Nursery) -> None:
        self._engine = engine
        self._slots = trio.Semaphore(size)
        self._nursery = nursery
        self._idle: list[_Worker] = []

    @asynccontextmanager
    async def job(
        self, settings: Mapping[str, Any], deliver: Deliver, on_over: Callable[[], None] = _nothing
    ) -> AsyncIterator[Job]:
        """Begin a job at a free worker, waiting for one; `deliver` gets the DATA and PARTIAL frames it sends.

        While `deliver` waits, so does the worker; `on_over` is called when the job is over. Leaving the block before
        the job is over abandons it. Cancel-safe. Raises VoiceError.
        """
        job = await self._begin(deliver, on_over)
        self._nursery.start_soon(self._watch, job)
        try:
            await job.send(Kind.BEGIN, json.dumps(dict(settings)).encode())
            yield job
        finally:
            if not job.over.is_set():
                self._nursery.start_soon(self._abandon, job)

    async def warm(self) -> None:
        """Start one worker in advance; if that fails, the next job will say so."""
        async with self._slots:
            with suppress(VoiceError, trio.ClosedResourceError):
                self._idle.append(await self._take_idle())

    async def _begin(self, deliver: Deliver, on_over: Callable[[], None]) -> Job:
        await self._slots.acquire()
        try:
            worker = await self._take_idle()
        except BaseException:
            self._slots.release()
            raise

        def end() -> None:
            self._idle.append(worker)
            self._slots.release()
            on_over()

        return worker.begin(deliver, end)

    async def _take_idle(self) -> _Worker:
        if self._nursery.cancel_scope.cancel_called:
            raise trio.ClosedResourceError(f"the speech engine {self._engine} was closed")
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
        return await self._start()

    async def _start(self) -> _Worker:
        try:
            worker: _Worker = await self._nursery.start(self._tend)
        except OSError as error:
            text = f"the speech engine {self._engine} cannot be started: {error}"
            raise VoiceError(text, code="worker_failed") from error
        return worker

    async def _tend(self, task_status: trio.TaskStatus[_Worker]) -> None:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", _START, json.dumps(sys.path), self._engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        worker = _Worker(self._engine, process)
        try:
            task_status.started(worker)
            await worker.read()
        finally:
            await worker.stop()  # noqa: ASYNC102 - it shields itself, for a bounded time
            worker.fail(trio.ClosedResourceError(f"the speech engine {self._engine} was closed"))

    async def _watch(self, job: Job) -> None:
        while not job.over.is_set():
            now = trio.current_time()
            if now - job.waiting_since >= _PROGRESS_WITHIN:
                job.worker.give_up(f"no progress within {_PROGRESS_WITHIN:g} s")
                return
            with trio.move_on_at(min(job.waiting_since, now) + _PROGRESS_WITHIN):
                await job.over.wait()

    async def _abandon(self, job: Job) -> None:
        with trio.move_on_after(_ANSWER_WITHIN), suppress(VoiceError, trio.ClosedResourceError):
            await job.send(Kind.CANCEL)
            await job.result()
        if not job.over.is_set():
            job.worker.kill()


@asynccontextmanager
async def open_pool(engine: str, size: int) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` workers; one is started at once, in the background. Leaving ends every process."""
    if size < 1:
        raise ConfigurationError(f"a speech engine needs at least one worker, not {size}")
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            pool = Pool(engine, size, nursery)
            nursery.start_soon(pool.warm)
            try:
                yield pool
            except (trio.Cancelled, GeneratorExit):
                raise
            except BaseException as error:  # what the body raises must not pass through the nursery
                failure = error
            finally:
                nursery.cancel_scope.cancel()
    finally:
        if failure is not None:
            raise failure
