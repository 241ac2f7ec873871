"""The tasks of a session: reader, writer, tool runner, timers; and the order in which they end.

The reader never waits for the user: it decodes, feeds the core, performs. The writer alone sends, under a shield with a deadline of its
own, because a cancelled send leaves half a frame on the wire; its last act is the closing handshake. Leaving goes in order: tools are
cancelled, the writer drains and says goodbye, then the rest is cancelled while it is still shielded; `patience` bounds it all.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
import trio

from trio_codex.errors import ConnectionLost, RemoteProtocolError
from trio_codex.events import RawModelEvent
from trio_codex.protocol import decode_server_event
from trio_codex.session.shell import OutgoingFrame, Shell, log
from trio_codex.session.tool_runner import ToolRunner
from trio_codex.transport import ABNORMAL, Transport

SEND_LIMIT_S: Final = 30.0
"""A frame that cannot be written in this time means that the peer has stopped reading: the connection is broken."""


class Services:
    """All tasks of one session, under one cancel scope that is shielded once the session is open."""

    def __init__(self, shell: Shell, transport: Transport, tools: ToolRunner, patience: float) -> None:
        self._shell = shell
        self._transport = transport
        self._tools = tools
        self._patience = patience
        self._scope = trio.CancelScope()
        self._tools_scope = trio.CancelScope()
        self._send_scope = trio.CancelScope()
        self._tools_ended = trio.Event()
        self._written = trio.Event()
        self._left = trio.Event()
        self._leaving = False
        self._unwritten = 0  # frames of verbs that never reached the wire

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run everything until `leave`, or until a task fails."""
        shell = self._shell
        shell.start_tool, shell.cancel_tool = self._tools.start, self._tools.cancel
        shell.prepare_handoff = self._tools.prepare
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    shell.start_timer = lambda name, seconds: nursery.start_soon(self._timer, name, seconds)
                    await nursery.start(self._run_tools)
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    task_status.started()
        finally:
            shell.end(None)

    def shield(self) -> None:
        """From now on only `leave` ends the services, in order."""
        self._scope.shield = True

    async def leave(self) -> None:
        """End everything, in order, within the patience. May be called twice; whoever comes second waits for the first."""
        with trio.CancelScope(shield=True):
            if self._leaving:
                await self._left.wait()
                return
            self._leaving = True
            with trio.move_on_after(self._patience):
                self._tools_scope.cancel(reason="the session is left")
                await self._tools_ended.wait()
                self._shell.end(None)
                await self._written.wait()
            self._shell.end(None)
            self._send_scope.cancel(reason="the session's patience is over")
            self._scope.cancel(reason="the session is left")
            self._left.set()

    @property
    def lost_something(self) -> ConnectionLost | None:
        """The end of the connection, if it cost an accepted verb and nobody has been told."""
        self._count_unwritten()
        lost = self._shell.lost
        return lost if lost is not None and self._unwritten and not self._shell.told else None

    # --- tasks -----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        shell = self._shell
        while True:
            try:
                frame = await self._transport.receive()
            except ConnectionLost as lost:
                log.info("the connection ended: %s", lost)
                shell.end(lost)
                return
            self._take(frame)

    def _take(self, frame: str | bytes) -> None:
        shell = self._shell
        if shell.feeds.raw:
            shell.feeds.put(RawModelEvent(_plain(frame)))
        try:
            event = decode_server_event(frame)
        except RemoteProtocolError as error:
            log.warning("a frame of the server is not the protocol: %s", error)
            shell.perform(shell.conversation.bad_frame(error))
        else:
            shell.perform(shell.conversation.receive(event, trio.current_time()))

    async def _write(self) -> None:
        try:
            async for frame in self._shell.outgoing:
                if not await self._send(frame):
                    break
            else:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + self._patience) as self._send_scope:
                    await self._transport.close()
        finally:
            self._written.set()

    async def _send(self, frame: OutgoingFrame) -> bool:
        lost: ConnectionLost | None = None
        with trio.CancelScope(shield=True, deadline=trio.current_time() + SEND_LIMIT_S) as self._send_scope:
            try:
                await self._transport.send(frame.text)
            except ConnectionLost as error:
                lost = error
        if self._send_scope.cancelled_caught:
            lost = ConnectionLost(ABNORMAL, f"the peer took no data for {SEND_LIMIT_S:g} s")
        if frame.room:
            self._shell.give_back_room()
        if lost is not None:
            self._unwritten += frame.room
            # What the peer said before it went is still to be read; the reader comes to the same end by itself,
            # unless the peer is there and does not read.
            if self._send_scope.cancelled_caught:
                self._shell.end(lost)
        return lost is None

    def _count_unwritten(self) -> None:
        while True:
            try:
                self._unwritten += self._shell.outgoing.receive_nowait().room
            except (trio.WouldBlock, trio.EndOfChannel):
                return

    async def _run_tools(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self._tools_scope:
                await self._tools.serve(task_status=task_status)
        finally:
            self._tools_ended.set()

    async def _timer(self, name: str, seconds: float) -> None:
        await trio.sleep(seconds)
        self._shell.perform(self._shell.conversation.timed_out(name))


def _plain(frame: str | bytes) -> Any:
    try:
        data = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return frame
    return data if isinstance(data, dict) else frame
