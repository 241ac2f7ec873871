"""Opening and leaving the local server: `open_local_server`, and `serve` for the command line.

Everything that runs is in one task, shielded once it is ready, so that however the block is left the sessions get their goodbye
first and the engines go last. What the body raises comes out as it is, after all has ended.
"""

from __future__ import annotations

import gc
import ipaddress
import json as json_module
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import trio

from trio_codex.audio import require
from trio_codex.credentials import Endpoint
from trio_codex.errors import ConfigurationError, InternalError, TrioCodexError
from trio_codex.server.engines import SpeechToText, TextToSpeech
from trio_codex.server.faults import FaultPlan
from trio_codex.server.responder import Responder

PATIENCE_S = 3.0
"""How long an orderly end may take; what is left then is cut off."""
RECOGNISERS = SYNTHESISERS = 2


@attrs.frozen
class LocalServer:
    """A running server. The URLs end in `/v1`; `endpoint` is for `open_realtime_session` and shows the key, if there is one."""

    http_url: str
    ws_url: str
    endpoint: Endpoint


@asynccontextmanager
async def open_local_server(
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
    responder: Responder | None = None,
    stt: SpeechToText | None = None,
    tts: TextToSpeech | None = None,
    faults: Sequence[str] = (),
    seed: int = 0,
) -> AsyncIterator[LocalServer]:
    """Serve the API (`docs/server.md`) on one port of this machine while the block runs; `port=0` lets the system choose.

    ::

        async with open_local_server() as server, open_realtime_session(agent, endpoint=server.endpoint) as session:
            ...

    `responder` decides what is said (None: the stand-in, which needs no language model), `stt` and `tts` hear and speak (None:
    the local engines, in worker processes). `faults` are what the server does wrong, as `NAME[:PARAMETERS]` (see
    `trio_codex.server.faults.FAULTS`); the same `seed` gives the same run. Leaving closes the sessions (code 1001) and ends everything
    within three seconds. Raises ConfigurationError for a port in use, a host that is not loopback without `api_key`, a fault that there is
    not, and without the extra `local`.
    """
    plan = FaultPlan(faults, seed)
    if not api_key and not _is_loopback(host):
        raise ConfigurationError(f"host {host!r} is not loopback: the server needs an api_key there")
    for package in ("hypercorn", "starlette", "pocketsphinx"):
        require(package, extra="local")
    running = _Running(host, port, api_key or None, responder, stt, tts, plan)
    raised: BaseException | None = None  # by the body
    failure: BaseException | None = None  # of the server
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(running.run)
            try:
                yield running.server
            except (trio.Cancelled, GeneratorExit):
                raise
            except BaseException as error:
                raised = error
            finally:
                await running.stop()  # noqa: ASYNC102 - it shields itself, for a bounded time
    except BaseExceptionGroup as group:
        if group.split(trio.Cancelled)[0] is not None:
            raise
        failure = _cause_of(group)
    if failure is not None:
        raise failure
    if raised is not None:
        raise raised


async def serve(
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    api_key: str | None = None,
    json: bool = False,
    faults: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Serve until cancelled. Prints where it listens once it does, with `json` as one line `{"http_url":…,"ws_url":…}`."""
    async with open_local_server(host, port, api_key, faults=faults, seed=seed) as server:
        gc.freeze()  # what has been imported stays: looking at it in every collection would hold all sessions up
        urls = {"http_url": server.http_url, "ws_url": server.ws_url}
        line = (
            json_module.dumps(urls) if json else f"Listening on {server.http_url} and {server.ws_url}; Ctrl-C ends it."
        )
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        await trio.sleep_forever()


class _Running:
    """The engines, the application and the web server, as one service."""

    def __init__(
        self,
        host: str,
        port: int,
        api_key: str | None,
        responder: Responder | None,
        stt: SpeechToText | None,
        tts: TextToSpeech | None,
        faults: FaultPlan,
    ) -> None:
        from trio_codex.server.web import listen

        self._faults = faults

        self._api_key = api_key
        self._responder = responder
        self._stt = stt
        self._tts = tts
        self._socket = listen(host, port)
        self.server = _described(host, self._socket.getsockname()[1], api_key)
        self._scope = trio.CancelScope()
        self._stopping = trio.Event()
        self._over = trio.Event()

    async def run(  # noqa: ASYNC128 - the web server says when it has started
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until `stop`."""
        try:
            with self._scope, self._socket:
                async with AsyncExitStack() as engines:
                    await self._serve(engines, task_status)
        finally:
            self._over.set()

    async def _serve(self, stack: AsyncExitStack, task_status: trio.TaskStatus[None]) -> None:
        from trio_codex.server.app import Service, application
        from trio_codex.server.connection import Engines
        from trio_codex.server.standin import StandIn
        from trio_codex.server.web import WebServer
        from trio_codex.speech import open_recognizer, open_synthesizer

        stt, tts = self._stt, self._tts
        if stt is None:
            stt = await stack.enter_async_context(open_recognizer(workers=RECOGNISERS))
        if tts is None:
            tts = await stack.enter_async_context(open_synthesizer(workers=SYNTHESISERS))
        service = Service(
            Engines(stt=stt, tts=tts, responder=self._responder or StandIn(), patience=trio.Semaphore(RECOGNISERS - 1)),
            self._api_key,
            faults=self._faults,
        )
        web = WebServer(application(service), self._faults)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(web.serve, self._socket)
            self._scope.shield = True
            task_status.started()
            await self._stopping.wait()
            await service.stop()
            web.stop()

    async def stop(self) -> None:
        """End in order, or at least in time."""
        with trio.move_on_after(PATIENCE_S, shield=True):
            self._stopping.set()
            await self._over.wait()
        self._scope.cancel()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _described(host: str, port: int, api_key: str | None) -> LocalServer:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - these mean everywhere
    place = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
    http_url = f"http://{place}/v1"
    carries_key = api_key is not None and _is_loopback(shown)
    headers = {"Authorization": f"Bearer {api_key}"} if carries_key else {}
    return LocalServer(http_url, f"ws://{place}/v1", Endpoint.custom(http_url, headers=headers))


def _cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What made the server fail: a typed error as it is, anything else as our defect."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, TrioCodexError) or not isinstance(first, Exception):
        return first
    error = InternalError(f"the local server failed: {first!r}")
    error.__cause__ = first
    return error
