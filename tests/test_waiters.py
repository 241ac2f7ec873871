from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from trio_codex.waiters import Waiters, wait_among, wake_all, wake_first


async def test_who_has_waited_longest_is_woken_first(autojump_clock: trio.abc.Clock) -> None:
    waiters: Waiters = []
    woken: list[int] = []

    async def wait(number: int) -> None:
        await trio.sleep(number)
        await wait_among(waiters)
        woken.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(wait, number)
        await trio.sleep(4)
        assert len(waiters) == 4
        wake_first(waiters)
        await wait_all_tasks_blocked()
        assert woken == [0]
        wake_first(waiters)
        await wait_all_tasks_blocked()
        assert woken == [0, 1]
        wake_all(waiters)
        assert waiters == []
    assert sorted(woken) == [0, 1, 2, 3]


async def test_who_is_cancelled_waits_no_longer(autojump_clock: trio.abc.Clock) -> None:
    waiters: Waiters = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_among, waiters)
        await wait_all_tasks_blocked()
        with trio.move_on_after(1) as scope:
            await wait_among(waiters)
        assert scope.cancelled_caught
        assert len(waiters) == 1
        wake_first(waiters)


async def test_who_is_woken_and_cancelled_at_once_has_been_woken() -> None:
    waiters: Waiters = []
    came = False

    async def wait() -> None:
        nonlocal came
        await wait_among(waiters)
        came = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        wake_first(waiters)
        nursery.cancel_scope.cancel()
    assert came


def test_nobody_to_wake_is_no_error() -> None:
    wake_first([])
    wake_all([])
