"""The local server for programs that know nothing of Trio: in a thread of its own, with its own event loop.

So a test in any style (blocking, asyncio, Trio under a clock of its own) talks to it over real sockets. A clock that jumps
(`trio.testing.MockClock`) does not go with it: for that there are `scripted` and `simulated`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import trio

from trio_codex.server import LocalServer, open_local_server

__all__ = ["local_server"]

Running: TypeAlias = tuple[LocalServer, Callable[[], None]]


@contextmanager
def local_server(**options: Any) -> Iterator[LocalServer]:
    """Run `open_local_server(**options)` in a thread while the block runs. Blocks for a moment; raises what the server raises."""
    started: Future[Running] = Future()
    failures: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(options, started, failures), name="local server")
    thread.start()
    try:
        server, stop = started.result()
        try:
            yield server
        finally:
            stop()
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _run(options: dict[str, Any], started: Future[Running], failures: list[BaseException]) -> None:
    try:
        trio.run(_serve, options, started)
    except BaseException as error:  # noqa: ASYNC103 - the other thread raises it
        if started.done():
            failures.append(error)
        else:
            started.set_exception(error)


async def _serve(options: dict[str, Any], started: Future[Running]) -> None:
    async with open_local_server(**options) as server:
        token, over = trio.lowlevel.current_trio_token(), trio.Event()

        def stop() -> None:
            with suppress(trio.RunFinishedError):  # it has failed, and says so when the thread has ended
                token.run_sync_soon(over.set)

        started.set_result((server, stop))
        await over.wait()
