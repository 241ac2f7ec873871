"""The tasks of a session: reader, writer, tools, timers; and the order in which they end.

The reader never waits for the user: it decodes, feeds the core, performs; while nothing is to be done, it is the only task. The writer,
one at a time, alone sends, because a cancelled send leaves half a frame on the wire; each frame has a deadline. Leaving is a task, begun
when somebody asks for it (the block's end, `aclose` from anywhere, even from a tool), who may then be cancelled without harm: tools are
cancelled, the writer comes to its end, goodbye is said, then the rest is cancelled while it is still shielded; `patience` bounds it all.
Nothing else cancels a service once the session is open, so no send is ever cut off before that, unless a service fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import orjson
import trio

from trio_codex.errors import ConnectionLost, RemoteProtocolError
from trio_codex.events import RawModelEvent
from trio_codex.protocol import (
    FunctionCall,
    ResponseOutputAudioDelta,
    ResponseOutputItemDone,
    ServerEvent,
    decode_server_event,
)
from trio_codex.session.diary import log
from trio_codex.session.outbox import OutgoingFrame
from trio_codex.session.shell import Shell
from trio_codex.session.tool_runner import ToolRunner
from trio_codex.transport import ABNORMAL, Eager, Transport
from trio_codex.waiters import Waiters, wait_among, wake_all

SEND_LIMIT_S: Final = 30.0
SLOWEST: Final = 16 * 1024
"""A frame has 30 s, and a second more for each 16 KiB, to be written; else the peer has stopped reading and the connection is broken."""


class Services:
    """All tasks of one session, under one cancel scope that is shielded once the session is open."""

    def __init__(self, shell: Shell, transport: Transport, tools: ToolRunner, patience: float) -> None:
        self._shell = shell
        self._transport = transport
        # Its class is asked, which Python remembers: to look through an instance takes 30 µs each time.
        self._eager = cast("Eager", transport) if issubclass(type(transport), Eager) else None
        shell.outbox.eager = self._eager
        shell.own_tasks = self
        self._tools = tools
        self._patience = patience
        self._scope: trio.CancelScope
        self._nursery: trio.Nursery | None = None  # None: no task may begin
        self._timers: dict[str, trio.CancelScope] = {}
        self._left: trio.Event | None = None  # once somebody has asked to leave
        self._leaving: Waiters = []  # who waits for the writer's end, to say goodbye
        self._broken: ConnectionLost | None = None  # what the writer met
        self._unwritten = False  # a verb was accepted and its frame has not reached the wire
        self._sounds: str | None = None  # the item whose audio came last

    async def run(self) -> None:
        """Run everything until it is left, or until a task fails; the task that calls it reads."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._scope = self._nursery.cancel_scope
                self._tools.begin(self._nursery)
                if self._shell.outbox.writing:  # what was to be said first was not all taken at once
                    self.start_writer()
                try:
                    await self._read()
                    await trio.sleep_forever()  # so that tasks can still begin, until the session is left
                finally:
                    self._tools.end()
                    self._nursery = None
        finally:
            self._shell.end(None)
            self._count_unwritten()
            if self._left is not None:
                self._left.set()

    def shield(self) -> None:
        """From now on the services end only when they are left, in order."""
        self._scope.shield = True

    def leave(self) -> None:
        """Begin to end everything, in order, within the patience. May be called twice."""
        if self._nursery is not None and self._left is None:
            self._left = trio.Event()
            self._nursery.start_soon(self._leave_in_order, self._left, name="session leaving")

    async def wait_left(self) -> None:
        """Wait until that is done."""
        if self._left is not None:
            await self._left.wait()
        else:  # it ends already, because a task has failed or the opening is cancelled
            await trio.lowlevel.checkpoint()

    @property
    def lost_something(self) -> ConnectionLost | None:
        """The end of the connection, if it cost an accepted verb and nobody has been told. Known once everything has ended."""
        if not self._unwritten or self._shell.told:
            return None
        return self._shell.lost or self._broken or ConnectionLost(ABNORMAL, "the session was left too soon")

    # --- tasks -----------------------------------------------------------------------------------------------------

    async def _leave_in_order(self, left: trio.Event) -> None:
        began = trio.current_time()
        with trio.move_on_at(began + self._patience / 2):  # the other half is for what is still to be said
            await self._tools.stop()
        self._shell.end(None)
        with trio.move_on_at(began + self._patience):
            await self._say_goodbye()
        self._scope.cancel(reason="the session is left")
        left.set()

    async def _say_goodbye(self) -> None:
        """When everything is written; if the writer has come to an end before that, nothing can be said."""
        while self._shell.outbox.writing and self._broken is None:
            await wait_among(self._leaving)
        if self._broken is None:
            await self._transport.close()

    async def _read(self) -> None:
        while True:
            try:
                if self._eager is not None:
                    frames = await self._eager.receive_many()
                else:
                    frames = (await self._transport.receive(),)
            except ConnectionLost as lost:
                log.info("the connection ended: %s", lost)
                self._shell.end(lost)
                return
            await self._take_all(frames)
            del frames  # may be long, and the next may be long in coming

    async def _take_all(self, frames: Iterable[str | bytes]) -> None:
        now = trio.current_time()
        for frame in frames:
            event = self._take(frame, now)
            if type(event) is ResponseOutputAudioDelta and event.item_id != self._sounds:
                self._sounds = event.item_id
                await _give_way()
            elif type(event) is ResponseOutputItemDone and type(event.item) is FunctionCall:
                await _give_way()

    def _take(self, frame: str | bytes, now: float) -> ServerEvent | None:
        """Do what an event of the server asks for, and give it; None if it is none."""
        shell = self._shell
        if shell.feeds.raw:
            shell.feeds.put(RawModelEvent(_plain(frame)))
        try:
            event = decode_server_event(frame)
        except RemoteProtocolError as error:
            log.warning("a frame of the server is not the protocol: %s", error)
            shell.perform(shell.conversation.bad_frame(error, frame))
            return None
        shell.perform(shell.conversation.receive(event, now))
        return event

    def start_writer(self) -> None:
        """Write until nothing waits in the outbox any more."""
        if self._nursery is not None:
            self._nursery.start_soon(self._write, name="session writer")

    async def _write(self) -> None:
        outbox = self._shell.outbox
        most = None if self._eager is not None else 1
        while self._broken is None and (frames := outbox.take(most)):
            self._unwritten = any(room for _, room in frames)
            self._broken = await self._send(frames)
            self._unwritten = self._unwritten and self._broken is not None
        wake_all(self._leaving)

    async def _send(self, frames: Sequence[OutgoingFrame]) -> ConnectionLost | None:
        """Write frames; gives what broke the connection, if anything did."""
        lost: ConnectionLost | None = None
        texts = [text for text, _ in frames]
        try:
            if self._eager is None or not self._eager.send_nowait(texts):  # a deadline is kept for 30 s: most need none
                await self._send_in_time(texts)
        except ConnectionLost as error:
            # The session goes on until the reader comes to the same end: what the peer said before is still to be read.
            lost = error
        for _, room in frames:
            if room:
                self._shell.outbox.give_back_room()
        return lost

    async def _send_in_time(self, texts: Sequence[str]) -> None:
        """Write one frame, or what an eager transport has kept of many."""
        with trio.move_on_after(SEND_LIMIT_S + sum(map(len, texts)) / SLOWEST) as limit:
            if self._eager is not None:
                await self._eager.send_many(())
            else:
                await self._transport.send(texts[0])
        if limit.cancelled_caught:
            lost = ConnectionLost(ABNORMAL, "the peer stopped reading")
            self._shell.end(lost)
            raise lost

    def _count_unwritten(self) -> None:
        left = self._shell.outbox.take()
        self._unwritten = self._unwritten or any(room for _, room in left)

    def start_timer(self, name: str, seconds: float) -> None:
        """Tell the core when so much time has passed."""
        if self._nursery is not None:
            self._timers[name] = timer = trio.CancelScope(deadline=trio.current_time() + seconds)
            self._nursery.start_soon(self._timer, name, timer, name="timer")

    def stop_timer(self, name: str) -> None:
        """What it was for has come, if there is such a timer."""
        if timer := self._timers.pop(name, None):
            timer.cancel(reason="what it was for has come")

    async def _timer(self, name: str, timer: trio.CancelScope) -> None:
        with timer:
            await trio.sleep_forever()
        if self._timers.get(name) is timer:  # nobody has stopped it
            del self._timers[name]
            self._shell.perform(self._shell.conversation.timed_out(name))


async def _give_way() -> None:
    """Let the first sound of an answer be heard, or a tool run, before what came with it is looked at (0.2 ms for a short answer).

    Trio draws lots for the order within a turn, so it takes two until the others have had theirs. What came must not be lost: shielded.
    """
    await trio.lowlevel.cancel_shielded_checkpoint()
    await trio.lowlevel.cancel_shielded_checkpoint()


def _plain(frame: str | bytes) -> Any:
    try:
        data = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return frame
    return data if isinstance(data, dict) else frame
