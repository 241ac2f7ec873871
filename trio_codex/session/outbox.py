"""What is on its way from the session to its transport: frames in order, and the room that verbs wait for.

The queue is unbounded, because only verbs that hold room and the core's own bounded outputs fill it; room is counted in frames. The
writer begins when there is something to write, takes everything that waits at once, and ends when nothing does: a session that listens
has none. Without a writer, a transport that can (`Eager`) is handed what comes alone right away, in the same order and with nothing
to cancel: that spares a turn of the scheduler for each chunk of a microphone (30 µs of 75 µs in a session at the pace of speech), and the
writer for the first message (60 µs of an opening). Frames that come in a crowd are left to the writer, who sends them together.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import trio

from trio_codex.errors import ConnectionLost
from trio_codex.transport import Eager
from trio_codex.waiters import Waiters, wait_among, wake_first

__all__ = ["ROOM", "Outbox", "OutgoingFrame"]

ROOM: Final = 64
"""Frames that verbs may have in the outbox before the next one waits."""

_CROWD_S: Final = 0.001
"""Three sends within this time are a crowd; two are not, such as the settings and the first message."""


OutgoingFrame: TypeAlias = tuple[str, bool]
"""A frame in the outbox, its text empty if the transport has it already, and whether a verb holds room for it."""


class Outbox:
    """The frames that wait for the writer. `eager` is the transport, if it takes frames without waiting."""

    def __init__(self) -> None:
        self.eager: Eager | None = None
        self.closed: bool = False
        self.writing: bool = False  # a writer has begun and has not come to the end of what waits
        self._frames: list[OutgoingFrame] = []
        self._room = ROOM
        self._roomless: Waiters = []  # verbs that wait for room, which is handed to them
        self._last = self._last_but_one = 0.0  # when somebody had something to send

    # --- room ------------------------------------------------------------------------------------------------------

    async def wait_room(self) -> None:
        """Wait until there is room for one more frame and take it. Cancel-safe; gives way to others only if it has to wait."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._room:
            self._room -= 1
        else:
            await wait_among(self._roomless)

    def take_room_nowait(self) -> None:
        """The same without waiting; trio.WouldBlock when there is none."""
        if not self._room:
            raise trio.WouldBlock
        self._room -= 1

    def give_back_room(self) -> None:
        """A frame is written, or the verb needed none: the next one has it."""
        if self._roomless:
            wake_first(self._roomless)
        else:
            self._room += 1

    @property
    def waiting(self) -> int:
        """How many verbs wait for room."""
        return len(self._roomless)

    # --- frames ----------------------------------------------------------------------------------------------------

    def put(self, text: str, *, room: bool) -> bool:
        """Queue a frame; False when the session is over. `send` follows when everything that belongs together is queued."""
        if not self.closed:
            self._frames.append((text, room))
        return not self.closed

    def send(self) -> bool:
        """Send what is queued, if that can be done at once; says whether a writer is to begin."""
        if not self._frames or self.writing:
            return False
        now = trio.current_time()
        alone = now - self._last_but_one > _CROWD_S
        self._last_but_one, self._last = self._last, now
        self.writing = self.eager is None or not alone or not self._sent_by(self.eager)
        return self.writing

    def _sent_by(self, transport: Eager) -> bool:
        try:
            written = transport.send_nowait([text for text, _ in self._frames])
        except ConnectionLost:
            return False  # the writer is going to meet it as well, and knows what to do
        if not written:
            self._frames = [("", room) for _, room in self._frames]
            return False
        frames, self._frames = self._frames, []
        for _, room in frames:
            if room:
                self.give_back_room()
        return True

    def take(self, most: int | None = None) -> list[OutgoingFrame]:
        """Take all frames that wait, or so many; when there are none, the writer has come to its end."""
        frames, self._frames = self._frames[:most], [] if most is None else self._frames[most:]
        self.writing = bool(frames)
        return frames

    def close(self) -> None:
        """No frame will come any more. One who waits for room is let in, to be told, gives it back, and so lets in the next."""
        self.closed = True
        self.give_back_room()
