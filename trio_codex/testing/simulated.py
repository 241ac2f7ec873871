"""A lawful server in memory, and somebody who calls it: whole conversations in virtual time.

::

    async def test_the_weather(autojump_clock):
        async def responder(request, answer):
            match request.items[-1]:
                case FunctionCallOutput(output=output):
                    await answer.say(f"It is {output}.")
                case _:
                    await answer.call("get_weather", {"city": "Oslo"})

        async with simulated_call(Agent(tools=[get_weather]), responder) as (session, caller):
            await caller.say("What is the weather like?")
            assert await caller.hear() == "It is sunny."

The server is the local server's own: the pure peer and the shell around it; only sockets, ears and mouth are simulated. It speaks as
fast as its speech sounds (`pace`), the caller's microphone sends all the time, and under `trio.testing.MockClock(autojump_threshold=0)`
an hour of it takes seconds. Faults of the session work as in the local server.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import trio

from trio_codex.agent import Agent
from trio_codex.credentials import Endpoint
from trio_codex.errors import ConnectionLost
from trio_codex.protocol import AnswerRequest, FunctionCallOutput, Item, Peer, encode_server_event
from trio_codex.server import Answer, Responder, SpeechToText, StandIn, TextToSpeech
from trio_codex.server.connection import Engines, RealtimeConnection
from trio_codex.server.faults import FaultPlan
from trio_codex.session import Session, open_realtime_session
from trio_codex.testing.beside import tasks_beside
from trio_codex.testing.voices import (
    BYTES_PER_MS,
    CHUNK_MS,
    SimulatedDetector,
    SimulatedSTT,
    SimulatedTTS,
    spoken,
    understood,
)
from trio_codex.tool_running import run_inline
from trio_codex.transport import Target, Transport
from trio_codex.transport.memory import MemoryTransport, memory_pair

__all__ = ["Answering", "Caller", "SimulatedServer", "simulated", "simulated_call"]

Answering: TypeAlias = Responder | Callable[[AnswerRequest, Answer], Awaitable[None]] | Callable[[str], str] | None
"""What decides what is said: a responder, an async function like its `respond`, or a function from words to words."""

_SESSION_S: Final = 3600.0
_PAUSE_S: Final = 0.5
_SETTLED_S: Final = 3.0
_QUIET_S: Final = 2.0


class SimulatedServer:
    """A connector (`transport=` of a session), for any number of connections. `requests` are all that was to be answered."""

    def __init__(self, engines: Engines, faults: FaultPlan, nursery: trio.Nursery) -> None:
        self.requests: list[AnswerRequest] = []
        self.peers: list[Peer] = []
        self.failure: Exception | None = None
        self._engines = engines
        self._faults = faults
        self._nursery = nursery
        self._labels = count(1)

    async def run_sync(self, function: Callable[[], Any], /) -> Any:
        """Run a sync tool inline."""
        return await run_inline(function)

    def __call__(self, target: Target, /) -> AbstractAsyncContextManager[Transport]:
        """Connect."""
        return self._connect(target)

    @asynccontextmanager
    async def _connect(self, target: Target) -> AsyncIterator[MemoryTransport]:
        await trio.lowlevel.checkpoint()
        near, far = memory_pair(0)
        self._nursery.start_soon(self._serve, target, _Line(far), name="simulated server")
        try:
            yield near
        finally:
            near.drop()

    async def _serve(self, target: Target, line: _Line) -> None:
        if refusal := self._faults.refusal:
            try:
                await line.send(encode_server_event(refusal.event))
            except trio.BrokenResourceError:
                return
            await line.close(refusal.code, refusal.reason)
            return
        query = dict(parse_qsl(urlsplit(target.url).query))
        kind, model = query.get("intent", "realtime"), query.get("model", "gpt-realtime")
        peer = Peer(kind=kind, model=model, label=f"sim{next(self._labels)}")
        self.peers.append(peer)
        lifetime_s = self._faults.lifetime_s(_SESSION_S)
        await RealtimeConnection(
            peer, line, self._engines, lifetime_s=lifetime_s, faults=self._faults.session()
        ).serve()
        line.hang_up()


class _Line:
    """A memory transport as the line of the server."""

    def __init__(self, far: MemoryTransport) -> None:
        self._far = far

    async def receive(self) -> str | bytes:
        try:
            return await self._far.receive()
        except ConnectionLost:
            raise trio.EndOfChannel from None

    async def send(self, frame: str) -> None:
        try:
            await self._far.send(frame)
        except ConnectionLost:
            raise trio.BrokenResourceError from None

    async def close(self, code: int, reason: str) -> None:
        await self._far.close(code, reason)

    def hang_up(self) -> None:
        self._far.drop()


class _Watched:
    """A responder that keeps what it was asked, and the first exception: a test is to fail with it, not to wonder about silence."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering or StandIn()
        self.server: SimulatedServer

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        self.server.requests.append(request)
        try:
            await self._respond(request, answer)
        except Exception as error:
            self.server.failure = self.server.failure or error
            raise

    async def _respond(self, request: AnswerRequest, answer: Answer) -> None:
        answering: Any = self._answering
        if hasattr(answering, "respond"):
            await answering.respond(request, answer)
        elif inspect.iscoroutinefunction(answering):
            await answering(request, answer)
        else:
            await answer.say(answering(_last_words(request.items)))


def _last_words(items: Sequence[Item]) -> str:
    """What the user said last, or what a function has returned since."""
    for item in reversed(items):
        if isinstance(item, FunctionCallOutput):
            return item.output
        if getattr(item, "role", None) == "user":
            return "".join(part.text or part.transcript or "" for part in getattr(item, "content", ()))
    return ""


@asynccontextmanager
async def simulated(
    responder: Answering = None,
    *,
    pace: float = 1.0,
    stt: SpeechToText | None = None,
    tts: TextToSpeech | None = None,
    faults: Sequence[str] = (),
    seed: int = 0,
) -> AsyncIterator[SimulatedServer]:
    """Run a server in memory that keeps to the protocol; gives the connector for any number of sessions.

    `responder` decides what is said (None: the local server's stand-in); what it raises fails its response, and is raised when the block is
    left. `pace`: how many times faster than real time it speaks. `faults` are those in and around a session. Raises ConfigurationError
    for other faults.
    """
    plan = FaultPlan(faults, seed)
    plan.check_places("line", "events")
    watched = _Watched(responder)
    engines = Engines(
        stt=stt or SimulatedSTT(),
        tts=tts or SimulatedTTS(pace=pace),
        responder=watched,
        make_detector=SimulatedDetector,
        patience=trio.Semaphore(1000),
    )
    async with tasks_beside() as nursery:
        watched.server = server = SimulatedServer(engines, plan, nursery)
        yield server
    if server.failure is not None:
        raise server.failure


class Caller:
    """A person who calls: a microphone that is always on, and an ear for what the agent says.

    `heard` is what the agent has said, utterance by utterance, as far as it sounded; a pause of half a second ends one.
    """

    def __init__(self, session: Session, server: SimulatedServer) -> None:
        self.session = session
        self.server = server
        self.heard: list[str] = []
        self._began = trio.current_time()
        self._sent = 0  # ms
        self._spoke_at = self._began
        self._mouth = trio.Lock()
        # Unbounded, as `heard` is: a test need not hear everything.
        self._utterances, self._unheard = trio.open_memory_channel[str](float("inf"))

    async def say(self, text: str) -> None:
        """Say something, in the time that it takes. Interrupts the agent, if it speaks. Cancelled, it stops in the middle.

        Raises ConnectionLost or trio.ClosedResourceError when the session is over.
        """
        pcm = spoken(text)
        async with self._mouth:
            await self._be_silent()
            for at in range(0, len(pcm), CHUNK_MS * BYTES_PER_MS):
                piece = pcm[at : at + CHUNK_MS * BYTES_PER_MS]
                await trio.sleep_until(self._began + (self._sent + len(piece) / BYTES_PER_MS) / 1000)
                await self._send(piece)
            self._spoke_at = trio.current_time()

    async def hear(self, *, within: float = 60.0) -> str:
        """Wait for the agent's next utterance and give it, as far as it sounded. Raises trio.TooSlowError after so many seconds."""
        with trio.fail_after(within):
            return await self._unheard.receive()

    async def _send(self, pcm: bytes) -> None:
        self._sent += len(pcm) // BYTES_PER_MS
        await self.session.send_audio(pcm)

    async def _be_silent(self) -> None:
        """Send the silence since the last sound."""
        ms = int((trio.current_time() - self._began) * 1000) - self._sent
        if ms > 0:
            await self._send(bytes(ms * BYTES_PER_MS))

    async def microphone(self) -> None:
        """Send silence while nobody speaks: often after an utterance, whose end is to be found in it, later seldom."""
        try:
            while True:
                settled = trio.current_time() - self._spoke_at > _SETTLED_S
                await trio.sleep(_QUIET_S if settled else CHUNK_MS / 1000)
                if not self._mouth.locked():
                    async with self._mouth:
                        await self._be_silent()
        except (ConnectionLost, trio.ClosedResourceError):
            pass  # the test meets it where it uses the session

    async def ear(self) -> None:
        """Hear what sounds, piece by piece, as long as it sounds."""
        sound: list[bytes] = []
        pieces = aiter(self.session.audio)
        try:
            while True:
                with trio.move_on_after(_PAUSE_S if sound else float("inf")) as silence:
                    pcm = await anext(pieces)
                    silence.deadline = float("inf")
                    await trio.sleep(len(pcm) / BYTES_PER_MS / 1000)
                    sound.append(pcm)
                if silence.cancelled_caught:
                    self._say_heard(sound)
        except (StopAsyncIteration, ConnectionLost):
            self._say_heard(sound)
            self._utterances.close()

    def _say_heard(self, sound: list[bytes]) -> None:
        if sound:
            self.heard.append(understood(b"".join(sound)))
            self._utterances.send_nowait(self.heard[-1])
            sound.clear()


@asynccontextmanager
async def simulated_call(
    agent: Agent | None = None,
    responder: Answering = None,
    *,
    pace: float = 1.0,
    faults: Sequence[str] = (),
    seed: int = 0,
    **options: Any,
) -> AsyncIterator[tuple[Session, Caller]]:
    """Open a session with a simulated server and put a caller on the line; gives both. Further options are the session's own.

    Sessions end after an hour, as those of the service do (`faults=["expiry:after=…"]` for another time).
    """
    options = {"endpoint": Endpoint.openai(), "api_key": "sk-test", **options}
    async with (
        simulated(responder, pace=pace, faults=faults, seed=seed) as server,
        open_realtime_session(agent or Agent(), transport=server, **options) as session,
        tasks_beside() as nursery,
    ):
        caller = Caller(session, server)
        nursery.start_soon(caller.microphone, name="microphone")
        nursery.start_soon(caller.ear, name="ear")
        yield session, caller
