"""What should sound now: the session's audio as an iterator, and the place where a sink reports what was heard.

The queue holds one answer, and for a speaker that is still at the one before, what is left of that. What is taken from it counts as
heard until a sink reports; barge-in empties it at once. When an answer begins, everything older is dropped: also the answer before, if
nobody took anything while it was the newest. So what nobody takes never piles up, and nobody is cut short for being a little behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import trio

from trio_codex.protocol import Play
from trio_codex.session.streams import Over
from trio_codex.waiters import Waiters, wait_among, wake_first

Heard: TypeAlias = Callable[[str, int, int], None]


class Speaker:
    """`session.audio`: `async for pcm in session.audio` gives what should be played next, in whole samples of the output format.

    It ends with the session, as event streams do, and goes on after an interruption with the next answer. Cancel-safe. A second
    `async for` at the same time raises trio.BusyResourceError.
    """

    def __init__(self, taken: Heard) -> None:
        self._taken = taken
        self._queue: list[Play] = []
        self._response_id: str | None = None
        self._listened = False  # since the newest answer began
        self._over: Over | None = None
        self._listener: Waiters = []
        self._busy = False

    def play(self, effect: Play) -> None:
        """Queue audio."""
        if effect.response_id != self._response_id:
            before = self._response_id if self._listened else None
            self._queue = [play for play in self._queue if play.response_id == before]
            self._response_id = effect.response_id
            self._listened = self._busy
        self._queue.append(effect)
        wake_first(self._listener)

    def stop(self, response_id: str | None = None) -> None:
        """Forget what was not taken, all of it or that of one response."""
        self._queue = [play for play in self._queue if response_id not in (None, play.response_id)]

    def finish(self, over: Over) -> None:
        """The session is over; what is queued can still be taken."""
        self._over = over
        wake_first(self._listener)

    def __aiter__(self) -> Speaker:
        return self

    async def __anext__(self) -> bytes:
        if self._busy:
            raise trio.BusyResourceError("another task iterates over session.audio; there is one speaker")
        self._busy = True
        try:
            await trio.lowlevel.checkpoint()
            while not self._queue:
                if self._over is not None:
                    raise self._over()
                await wait_among(self._listener)
            next_ = self._queue.pop(0)
            self._listened = True
            self._taken(next_.item_id, next_.content_index, len(next_.data))
            return next_.data
        finally:
            self._busy = False


class PlaybackReports:
    """`session.playback`: where a sink says what was really heard, which is what an interrupted answer is cut to."""

    def __init__(self, played: Heard) -> None:
        self._played = played

    def played(self, item_id: str, content_index: int, nbytes: int) -> None:
        """Report that `nbytes` more bytes of this part were heard. From the first report on, only reports count."""
        self._played(item_id, content_index, nbytes)
