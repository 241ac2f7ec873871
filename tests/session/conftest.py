"""Sessions are tested in virtual time, in several orders of the scheduler, and each test leaves nothing behind.

A module that says `CLOCK = "virtual"` has its tests run under an autojump clock, each three times with other seeds; one that says
`CLOCK = "real"` has them run once. Both are checked for tasks and files that are left.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio._core._run as scheduler
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_codex.recording import Recorder, open_recorder as open_recorder_of_ours, read_recording, replay
from trio_codex.session import opening

ORDERS = 3

Main = Callable[[], Awaitable[Any]]


def in_virtual_time(
    main: Main, clock: trio.abc.Clock | None = None, instruments: Sequence[Any] = (), *, seed: int
) -> None:
    files = open_files()
    for order in range(ORDERS):
        scheduler._r.seed(seed + order)
        trio.run(nothing_is_left, main, clock=MockClock(autojump_threshold=0), instruments=list(instruments))
    assert open_files() == files


def in_real_time(main: Main, clock: trio.abc.Clock | None = None, instruments: Sequence[Any] = ()) -> None:
    files = open_files()
    trio.run(nothing_is_left, main, instruments=list(instruments))
    assert open_files() == files


async def nothing_is_left(main: Main) -> None:
    await wait_all_tasks_blocked()
    before = trio.lowlevel.current_statistics().tasks_living
    await main()
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == before, "tasks are left"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.hookimpl(trylast=True)  # once pytest-trio has marked what is async
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    runs = {"virtual": functools.partial(in_virtual_time, seed=config.getoption("--trio-seed")), "real": in_real_time}
    for item in items:
        clock = getattr(getattr(item, "module", None), "CLOCK", None)
        if clock is not None and item.get_closest_marker("trio") is not None:
            item.add_marker(pytest.mark.trio(run=runs[clock]), append=False)


@pytest.fixture(autouse=True)
def replayed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every session of these tests is recorded, and then the core, run over the recording, decides the same again.

    A module that counts tasks or steps says `RECORDED = False`.
    """
    if not getattr(request.module, "RECORDED", True):
        yield
        return
    paths: list[Path] = []

    def open_recorder(record: Any, run_sync: Any) -> AbstractAsyncContextManager[Recorder | None]:
        paths.append(tmp_path / f"{len(paths)}.jsonl")
        return open_recorder_of_ours(record or paths[-1], run_sync)

    monkeypatch.setattr(opening, "open_recorder", open_recorder)
    yield
    for path in filter(Path.exists, paths):
        found = replay(read_recording(path))
        assert found.same, found
