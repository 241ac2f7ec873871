"""What every transport has to do: `check_transport`.

A transport of your own passes it with a function that gives a connected pair: the transport, and a far end that can say why it closes
and can vanish (`FarEnd`). The suite runs in virtual time as well as over real sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

import trio

from trio_codex.errors import ConnectionLost
from trio_codex.testing.line import FarEnd
from trio_codex.transport import ABNORMAL, NORMAL, Transport

__all__ = ["ConnectPair", "check_transport"]

ConnectPair: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Transport, FarEnd]]]

_LIMIT_S: Final = 10
_LARGE: Final = 3 * 1024 * 1024


async def check_transport(connect_pair: ConnectPair) -> None:
    """Run all checks, each on a new pair and within 10 s. Raises AssertionError, or what the transport raises."""
    for check in (
        frames_keep_their_order,
        large_frames_cross_in_both_directions_at_once,
        a_cancelled_receive_loses_nothing,
        the_far_end_closes,
        the_far_end_vanishes,
        this_end_closes,
        both_ends_close_at_once,
    ):
        with trio.fail_after(_LIMIT_S):
            async with connect_pair() as (near, far):
                await check(near, far)


async def frames_keep_their_order(near: Transport, far: FarEnd) -> None:
    """What is sent arrives, whole and in order, whatever characters are in it."""
    frames = [f"{number} ü ☃ \U0001f3a4 \x00 {'x' * number}" for number in range(100)]
    for here, there in ((near, far), (far, near)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, here, frames)
            assert await _receive(there, len(frames)) == frames


async def large_frames_cross_in_both_directions_at_once(near: Transport, far: FarEnd) -> None:
    """Frames of several MB go both ways at the same time; nobody waits for the other's send."""
    theirs, ours = [letter * _LARGE for letter in "abc"], [letter * _LARGE for letter in "xyz"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, near, ours)
        nursery.start_soon(_send, far, theirs)
        nursery.start_soon(_receive_these, far, ours)
        nursery.start_soon(_receive_these, near, theirs)


async def a_cancelled_receive_loses_nothing(near: Transport, far: FarEnd) -> None:
    """However often `receive` is cancelled, each frame is given once."""
    frames = [str(number) for number in range(50)]
    came: list[str | bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, far, frames)
        patience = 0
        while len(came) < len(frames):
            patience = (patience + 1) % 5
            with trio.CancelScope() as scope:
                nursery.start_soon(_cancel_after, patience, scope)  # noqa: ASYNC111 - cancelling it late does no harm
                came.append(await near.receive())
    assert came == frames


async def the_far_end_closes(near: Transport, far: FarEnd) -> None:
    """What came before is still given; then every call says why, as often as it is asked."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_and_close, far, ["last words"], 1001, "the hour is over")
        assert await near.receive() == "last words"
        for _ in range(2):
            assert await _end_of_receiving(near) == (1001, "the hour is over")
            assert await _end_of_sending(near) == (1001, "the hour is over")
        await near.close()


async def the_far_end_vanishes(near: Transport, far: FarEnd) -> None:
    """No goodbye is code 1006."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, far, ["last words"])
        assert await near.receive() == "last words"
    far.drop()
    for _ in range(2):
        assert (await _end_of_receiving(near))[0] == ABNORMAL
        assert (await _end_of_sending(near))[0] == ABNORMAL
    await near.close()


async def this_end_closes(near: Transport, far: FarEnd) -> None:
    """The far end reads what was sent and sees an orderly end; here nothing works any more, and closing again does no harm."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_and_close, near, ["last words"])
        assert await far.receive() == "last words"
        assert (await _end_of_receiving(far))[0] == NORMAL
    assert (await _end_of_receiving(near))[0] == NORMAL
    assert (await _end_of_sending(near))[0] == NORMAL
    await near.close()


async def both_ends_close_at_once(near: Transport, far: FarEnd) -> None:
    """Goodbyes that cross are no problem."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.close)
        nursery.start_soon(far.close)
    assert (await _end_of_receiving(near))[0] == NORMAL


async def _send(transport: Transport, frames: list[str]) -> None:
    for frame in frames:
        await transport.send(frame)


async def _send_and_close(transport: Transport, frames: list[str], code: int = NORMAL, reason: str = "") -> None:
    await _send(transport, frames)
    if code == NORMAL:
        await transport.close()
    else:
        await transport.close(code, reason)  # type: ignore[call-arg] # only far ends are given a code


async def _receive(transport: Transport, count: int) -> list[str | bytes]:
    return [await transport.receive() for _ in range(count)]


async def _receive_these(transport: Transport, frames: list[str]) -> None:
    assert await _receive(transport, len(frames)) == frames


async def _cancel_after(checkpoints: int, scope: trio.CancelScope) -> None:
    for _ in range(checkpoints):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def _end_of_receiving(transport: Transport) -> tuple[int, str]:
    try:
        frame = await transport.receive()
    except ConnectionLost as lost:
        return lost.code, lost.reason
    raise AssertionError(f"received {frame[:80]!r} after the end")


async def _end_of_sending(transport: Transport) -> tuple[int, str]:
    try:
        while True:  # an end that has vanished is noticed after a while
            await transport.send("is somebody there?")
    except ConnectionLost as lost:
        return lost.code, lost.reason
