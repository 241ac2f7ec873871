"""Scripted peers: a session talks to a script instead of a server, in memory and in virtual time, or over a real socket.

::

    async def test_weather(autojump_clock):
        async def script(line):
            await line.expect(ConversationItemCreate)
            await line.expect(ResponseCreate)
            await line.say("response.created", response={"id": "resp_1", "status": "in_progress"})
            await line.say("response.done", response={"id": "resp_1", "status": "completed", "output": []})

        async with scripted(script) as peer:
            async with open_realtime_session(agent, transport=peer, api_key="sk-test") as session:
                reply = await session.ask("What is the weather?")

The script runs beside the test and may as well be part of it: `scripted_session(agent)` gives the session and the line together. In
memory, sync tools run inline, because worker threads look idle to a clock that jumps (`trio.testing.MockClock(autojump_threshold=0)`).
A script that fails ends the test with its `ScriptFailed`; what the test itself raises comes out as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import trio

from trio_codex.agent import Agent
from trio_codex.credentials import Endpoint
from trio_codex.errors import ConnectionFailed
from trio_codex.server.faults import FaultPlan
from trio_codex.session import Session, open_realtime_session
from trio_codex.testing.beside import tasks_beside
from trio_codex.testing.line import Line
from trio_codex.tool_running import run_inline
from trio_codex.transport import Target, Transport
from trio_codex.transport.memory import MemoryTransport, memory_pair

__all__ = ["Script", "ScriptedPeer", "run_inline", "scripted", "scripted_session"]

Script: TypeAlias = Callable[[Line], Awaitable[None]]


class ScriptedPeer:
    """A connector (`transport=` of a session) that connects to a script, once. `target` is what it was asked to connect to."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.target: Target | None = None
        self.near: MemoryTransport
        self.far: MemoryTransport
        self.near, self.far = memory_pair(0)

    async def run_sync(self, function: Callable[[], Any], /) -> Any:
        """Run a sync tool inline."""
        return await run_inline(function)

    def __call__(self, target: Target, /) -> AbstractAsyncContextManager[Transport]:
        """Connect."""
        return self._connect(target)

    @asynccontextmanager
    async def _connect(self, target: Target) -> AsyncIterator[MemoryTransport]:
        await trio.lowlevel.checkpoint()
        if self.target is not None:
            raise ConnectionFailed("a scripted peer takes one connection; make another one")
        self.target = target
        try:
            yield self.near
        finally:
            self.near.drop()


@asynccontextmanager
async def scripted(
    script: Script | None = None, *, acknowledge: bool = True, faults: Sequence[str] = (), seed: int = 0
) -> AsyncIterator[ScriptedPeer]:
    """Run a script as the server of one session, in memory; gives the connector, which has the `line` as well.

    `faults` come between the script and the session: those of events, see `trio_codex.server.faults`. When the block is left, the script
    is given its time to end. Raises what the script raises, ScriptFailed above all.
    """
    plan = FaultPlan(faults, seed)
    plan.check_places("events")
    peer = ScriptedPeer(Line(acknowledge=acknowledge, faults=plan.session()))
    async with beside(script, peer.line, partial(peer.line.carry, peer.far), peer.near.drop):
        yield peer


@asynccontextmanager
async def scripted_session(
    agent: Agent | None = None,
    script: Script | None = None,
    *,
    acknowledge: bool = True,
    faults: Sequence[str] = (),
    seed: int = 0,
    **options: Any,
) -> AsyncIterator[tuple[Session, Line]]:
    """Open a session with a script (or with the test itself) as its server; gives both ends. Options are the session's own."""
    options = {"endpoint": Endpoint.openai(), "api_key": "sk-test", **options}
    async with (
        scripted(script, acknowledge=acknowledge, faults=faults, seed=seed) as peer,
        open_realtime_session(agent or Agent(), transport=peer, **options) as session,
    ):
        yield session, peer.line


@asynccontextmanager
async def beside(
    script: Script | None, line: Line, carry: Callable[[], Awaitable[None]], hang_up: Callable[[], None]
) -> AsyncIterator[None]:
    """Run a script and what carries its line beside a block; then the line is hung up, and the script may end."""
    async with tasks_beside(hang_up) as nursery:
        nursery.start_soon(carry, name="line")
        if script is not None:
            nursery.start_soon(script, line, name="script")
        yield
