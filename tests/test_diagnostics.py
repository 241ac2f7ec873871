"""The reasons table by table, and the probe against a scripted peer in memory, real sockets and the local server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from trio_codex import Endpoint
from trio_codex.diagnostics import (
    Probe,
    extract_session_id,
    format_probe_failure,
    probe_text_turn,
    skip_reason_for_error,
)
from trio_codex.errors import (
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    InternalError,
    ServerRefused,
    VoiceError,
)
from trio_codex.events import ErrorEvent, ErrorInfo
from trio_codex.protocol import decode_server_event
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS
from trio_codex.transport import Target, Transport
from trio_codex.transport.memory import MemoryTransport, memory_pair

QUOTA = "insufficient_quota"
MODEL = "realtime_model_unavailable"
PROTOCOL = "realtime_protocol_incompatible"
UPSTREAM = "realtime_upstream_server_error"

OUTAGE = "The server had an error. Include the session ID in your message: sess_CvX2kPq9. We apologise."


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def circular() -> Exception:
    first, second = ValueError("one"), ValueError("two")
    first.__cause__, second.__cause__ = second, first
    return first


def done(error: Any, **details: Any) -> dict[str, Any]:
    """A `response.done` that failed."""
    response = {"id": "resp_1", "status": "failed", "status_details": {"type": "failed", "error": error, **details}}
    return {"type": "response.done", "event_id": "event_9", "response": response}


def http_body(**error: Any) -> str:
    return json.dumps({"error": {"message": "…", "type": "invalid_request_error", "param": None, "code": None} | error})


# --- skip reasons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        # texts
        ("HTTP 429: insufficient_quota", QUOTA),
        ("INSUFFICIENT_QUOTA", QUOTA),
        ("model_not_found", MODEL),
        ("The model `x` does not exist or you do not have access to it.", MODEL),
        ("Unknown parameter: 'response.output_modalities'.", PROTOCOL),
        ("unknown field response.output_modalities", PROTOCOL),
        ("Unexpected field: 'session.audio'", PROTOCOL),
        ("unrecognized field in session.update", PROTOCOL),
        ("[unknown_parameter] session.tools", PROTOCOL),
        ("server_error", UPSTREAM),
        (f"server_error: {OUTAGE}", f"{UPSTREAM} (session_id=sess_CvX2kPq9)"),
        ("connection reset by peer", None),
        ("the parameter is unknown", None),
        ("", None),
        # mappings: message, code and type are looked at, wherever they are
        ({"code": "insufficient_quota", "message": "You exceeded your current quota."}, QUOTA),
        ({"type": "insufficient_quota", "code": None, "message": "You exceeded your current quota."}, QUOTA),
        ({"message": "insufficient_quota"}, QUOTA),
        ({"code": "model_not_found", "message": "Not here."}, MODEL),
        ({"code": "unknown_parameter", "param": "response.output_modalities", "message": "No."}, PROTOCOL),
        ({"code": "unknown_parameter", "param": "session.audio.input.turn_detection", "message": "No."}, PROTOCOL),
        ({"code": "unknown_parameter", "param": None, "message": None}, PROTOCOL),
        ({"type": "invalid_request_error", "message": "Unknown parameter: 'session.type'."}, PROTOCOL),
        ({"type": "server_error", "message": "Try again."}, UPSTREAM),
        ({"type": "server_error", "message": OUTAGE}, f"{UPSTREAM} (session_id=sess_CvX2kPq9)"),
        ({"type": "server_error", "message": "No.", "session_id": "sess_9"}, f"{UPSTREAM} (session_id=sess_9)"),
        ({"type": "invalid_request_error", "code": "invalid_value", "message": "No."}, None),
        ({"type": "error", "error": {"type": "server_error", "message": "No."}}, UPSTREAM),
        ({"detail": [{"msg": "insufficient_quota"}]}, QUOTA),
        (done({"type": "server_error", "code": None, "message": OUTAGE}), f"{UPSTREAM} (session_id=sess_CvX2kPq9)"),
        (done({"type": "insufficient_quota", "code": "insufficient_quota", "message": "No."}), QUOTA),
        # the first reason counts
        ({"type": "server_error", "message": "model_not_found, insufficient_quota"}, QUOTA),
        ({"type": "server_error", "code": "unknown_parameter", "message": "model_not_found"}, MODEL),
        ({"type": "server_error", "code": "unknown_parameter", "message": "No."}, PROTOCOL),
        # nulls, texts and other things in the place of details
        ({"message": None}, None),
        ({"error": None}, None),
        ({"error": "insufficient_quota"}, QUOTA),
        ({"message": {"text": ["insufficient_quota"]}}, QUOTA),
        ({"type": "response.done", "response": None}, None),
        ({"type": "response.done", "response": {"status": "failed", "status_details": None}}, None),
        ({"type": "response.done", "response": {"status": "failed", "status_details": "server_error"}}, UPSTREAM),
        (done(None), None),
        (done("model_not_found"), MODEL),
        ({}, None),
        ({1: {2: 3}}, None),
        (None, None),
        (429, None),
        (b"insufficient_quota \xff", QUOTA),
        (("server_error", {"message": "insufficient_quota"}), QUOTA),
        # exceptions
        (ServerRefused("You exceeded your quota.", code="insufficient_quota"), QUOTA),
        (ServerRefused("No such thing.", code="unknown_parameter", param="session.speed"), PROTOCOL),
        (ServerRefused(OUTAGE, type="server_error"), f"{UPSTREAM} (session_id=sess_CvX2kPq9)"),
        (ServerRefused("Bad voice.", code="invalid_value"), None),
        (ConnectionFailed("refused", status=403, body=http_body(code="model_not_found")), MODEL),
        (ConnectionFailed("refused", status=429, body=http_body(code="insufficient_quota")), QUOTA),
        (ConnectionFailed("refused", status=500, body=http_body(type="server_error")), UPSTREAM),
        (ConnectionFailed("refused", status=401, body=http_body(code="invalid_api_key")), None),
        (ConnectionFailed("cannot reach api.example"), None),
        (ConnectionLost(4001, "insufficient_quota"), QUOTA),
        (ConnectionLost(1006), None),
        (VoiceError("No.", status=429, code="insufficient_quota"), QUOTA),
        (caused(RuntimeError("it broke"), ServerRefused("No.", code="model_not_found")), MODEL),
        (ExceptionGroup("tasks", [ValueError("x"), ServerRefused("No.", code="model_not_found")]), MODEL),
        (InternalError("odd"), None),
        (circular(), None),
        # events
        (ErrorInfo("insufficient_quota", "No."), QUOTA),
        (ErrorEvent(ErrorInfo("server_error", OUTAGE)), f"{UPSTREAM} (session_id=sess_CvX2kPq9)"),
        (ErrorEvent(ErrorInfo("invalid_request_error", "No.", "unknown_parameter", "session.x")), PROTOCOL),
        (ErrorEvent(ErrorInfo("protocol_error", "not JSON")), None),
        (decode_server_event(json.dumps(done({"type": "server_error", "code": None}))), UPSTREAM),
        # probes
        (Probe("upstream_server_error", "m", "sess_7", error=ErrorInfo("x", "y")), f"{UPSTREAM} (session_id=sess_7)"),
        (Probe("probe_failed", "m", "sess_7", error=ErrorInfo("x", "y", "insufficient_quota")), QUOTA),
        (Probe("ok", "m", "sess_7"), None),
    ],
    ids=repr,
)
def test_skip_reason(error: object, reason: str | None) -> None:
    assert skip_reason_for_error(error) == reason


@pytest.mark.parametrize(
    ("error", "session_id"),
    [
        (OUTAGE, "sess_CvX2kPq9"),
        ("sess_A1 then sess_B2", "sess_A1"),
        ({"message": OUTAGE}, "sess_CvX2kPq9"),
        ({"error": {"message": OUTAGE}}, "sess_CvX2kPq9"),
        ({"type": "session.created", "session": {"id": "sess_Zz9"}}, "sess_Zz9"),
        ({"message": None, "session_id": "sess_Q"}, "sess_Q"),
        (ServerRefused(OUTAGE), "sess_CvX2kPq9"),
        (ConnectionFailed("refused", status=500, body=http_body(message=OUTAGE)), "sess_CvX2kPq9"),
        (ConnectionLost(1011, "see sess_Ab3-x"), "sess_Ab3"),
        (ErrorEvent(ErrorInfo("server_error", OUTAGE)), "sess_CvX2kPq9"),
        (Probe("timeout", "m", "sess_7"), "sess_7"),
        ("assess_this and that", None),
        ("sess_", None),
        ({"message": None}, None),
        (None, None),
    ],
    ids=repr,
)
def test_session_id(error: object, session_id: str | None) -> None:
    assert extract_session_id(error) == session_id


# --- the sentence --------------------------------------------------------------------------------------------------------


OH = ErrorInfo("server_error", "Oh.")


@pytest.mark.parametrize(
    ("probe", "happened", "facts"),
    [
        (
            Probe("upstream_server_error", "gpt-realtime", "sess_7", ("session.created", "error"), OH),
            "returned upstream server_error during",
            "session_id=sess_7, events=session.created -> error, error=Oh.",
        ),
        (
            Probe("upstream_server_error", "gpt-realtime", None, ("error",), OH),
            "returned upstream server_error during",
            "session_id=unknown, events=error, error=Oh.",
        ),
        (
            Probe("connect_failed", "gpt-realtime", error=ConnectionFailed("cannot reach api.example")),
            "could not be reached for",
            "session_id=unknown, events=none, error=cannot reach api.example",
        ),
    ],
    ids=["with a session", "without", "no connection"],
)
def test_sentence(probe: Probe, happened: str, facts: str) -> None:
    expected = f"OpenAI Realtime {happened} a minimal raw WebSocket probe (model=gpt-realtime, {facts})"
    assert format_probe_failure(probe) == expected


# --- the probe, in memory and in virtual time ----------------------------------------------------------------------------

HERE = Endpoint.custom("http://127.0.0.1:1/v1")
CREATED = {"type": "session.created", "event_id": "event_1", "session": {"type": "realtime", "id": "sess_Ab12"}}
COMPLETED = {"type": "response.done", "response": {"id": "resp_1", "status": "completed", "output": []}}
DONE = "response.done"
SESSION = "session.created"

Peer = Callable[[MemoryTransport], Awaitable[None]]


class Memory:
    """A connector to a peer in memory; it keeps what came of the connection."""

    def __init__(self, peer: Peer, size: float = 100) -> None:
        self.peer = peer
        self.size = size
        self.target: Target | None = None
        self.closed = False

    @asynccontextmanager
    async def __call__(self, target: Target, /) -> AsyncIterator[Transport]:
        self.target = target
        near, far = memory_pair(self.size)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run, far)
            try:
                yield near
            finally:
                near.drop()
                self.closed = True
                nursery.cancel_scope.cancel()

    async def _run(self, far: MemoryTransport) -> None:
        with suppress(ConnectionLost):
            await self.peer(far)


def says(*frames: Any, before: int = 1, then: str = "listen") -> Peer:
    """A peer that says the first `before` frames at once, the others after the request; then it listens, hangs up or vanishes."""

    async def peer(far: MemoryTransport) -> None:
        for frame in frames[:before]:
            await far.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        if len(frames) > before:
            await far.receive()
            for frame in frames[before:]:
                await far.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        if then == "hang up":
            await far.close(1011, "internal error, session sess_Zz1")
        elif then == "vanish":
            far.drop()
        while then == "listen":
            await far.receive()
        await trio.sleep_forever()

    return peer


async def probe(peer: Peer | Memory, **options: Any) -> Probe:
    transport = peer if isinstance(peer, Memory) else Memory(peer)
    with trio.fail_after(60):
        found = await probe_text_turn(endpoint=HERE, transport=transport, **options)
    assert transport.closed
    return found


def error(kind: str, message: Any = "Oh.", **more: Any) -> dict[str, Any]:
    return {"type": "error", "event_id": "event_2", "error": {"type": kind, "message": message, **more}}


def ended(status: str, details: Any) -> dict[str, Any]:
    return {"type": DONE, "response": {"id": "resp_1", "status": status, "status_details": details}}


RESULTS: list[tuple[str, Peer, str, Any, tuple[str, ...]]] = [
    (
        "completed",
        says(CREATED, {"type": "response.created"}, COMPLETED),
        "ok",
        None,
        (SESSION, "response.created", DONE),
    ),
    (
        "error before the session",
        says(error("invalid_request_error")),
        "upstream_server_error",
        ErrorInfo("invalid_request_error", "Oh."),
        ("error",),
    ),
    (
        "server_error after it",
        says(CREATED, error("server_error")),
        "upstream_server_error",
        ErrorInfo("server_error", "Oh."),
        (SESSION, "error"),
    ),
    (
        "another error after it",
        says(CREATED, error("invalid_request_error", code="unknown_parameter", param="response.input")),
        "probe_failed",
        ErrorInfo("invalid_request_error", "Oh.", "unknown_parameter", "response.input"),
        (SESSION, "error"),
    ),
    (
        "an error without anything",
        says(CREATED, {"type": "error", "error": None}),
        "probe_failed",
        ErrorInfo("error", "the server sent an error without saying which"),
        (SESSION, "error"),
    ),
    (
        "failed, with an error",
        says(
            CREATED, ended("failed", {"type": "failed", "error": {"type": "server_error", "code": 7, "message": "Oh."}})
        ),
        "probe_failed",
        ErrorInfo("server_error", "Oh.", code="7", response_id="resp_1"),
        (SESSION, DONE),
    ),
    (
        "failed, details null",
        says(CREATED, ended("failed", None)),
        "probe_failed",
        ErrorInfo("response_failed", "response.done failed", response_id="resp_1"),
        (SESSION, DONE),
    ),
    (
        "failed, details a text",
        says(CREATED, ended("failed", "out of order")),
        "probe_failed",
        ErrorInfo("response_failed", "out of order", response_id="resp_1"),
        (SESSION, DONE),
    ),
    (
        "failed, error null",
        says(CREATED, ended("failed", {"error": None})),
        "probe_failed",
        ErrorInfo("response_failed", "response.done failed", response_id="resp_1"),
        (SESSION, DONE),
    ),
    (
        "incomplete",
        says(CREATED, ended("incomplete", {"type": "incomplete", "reason": "content_filter"})),
        "probe_failed",
        ErrorInfo("response_failed", "response.done failed", code="content_filter", response_id="resp_1"),
        (SESSION, DONE),
    ),
    (
        "done without a response",
        says(CREATED, {"type": DONE, "response": None}),
        "probe_failed",
        ErrorInfo("response_failed", "response.done failed"),
        (SESSION, DONE),
    ),
    ("silence", says(), "timeout", ErrorInfo("timeout", "no session.created came within 8 s"), ()),
    (
        "silence after the session",
        says(CREATED, {"type": "response.created"}),
        "timeout",
        ErrorInfo("timeout", "no response.done came within 8 s"),
        (SESSION, "response.created"),
    ),
    (
        "nonsense on the way",
        says("{", b"\xff", "[]", '{"type": 7}', CREATED, "{", COMPLETED, before=5),
        "ok",
        None,
        ("(not an event)", "(not an event)", "(not an event)", "7", SESSION, "(not an event)", DONE),
    ),
]


@pytest.mark.parametrize(
    ("peer", "kind", "error", "events"), [row[1:] for row in RESULTS], ids=[row[0] for row in RESULTS]
)
async def test_what_a_probe_meets(
    peer: Peer, kind: str, error: Any, events: tuple[str, ...], autojump_clock: trio.abc.Clock
) -> None:
    found = await probe(peer)
    assert (found.kind, found.error, found.events, found.ok) == (kind, error, events, kind == "ok")
    assert found.session_id == ("sess_Ab12" if SESSION in events else None)
    assert found.model == "gpt-realtime-2.1"


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize(("then", "code"), [("hang up", 1011), ("vanish", 1006)])
async def test_a_server_that_leaves(before: int, then: str, code: int, autojump_clock: trio.abc.Clock) -> None:
    found = await probe(says(*[CREATED] * before, before=before, then=then))
    assert isinstance(found.error, ConnectionLost)
    assert (found.kind, found.error.code) == ("probe_failed", code)
    if code == 1011:
        assert found.session_id == ("sess_Ab12" if before else "sess_Zz1")


async def test_what_was_said_before_the_end_counts(autojump_clock: trio.abc.Clock) -> None:
    found = await probe(says(CREATED, error("server_error"), before=2, then="vanish"))
    assert (found.kind, found.error) == ("upstream_server_error", ErrorInfo("server_error", "Oh."))


async def test_the_session_id_of_an_error_before_the_session(autojump_clock: trio.abc.Clock) -> None:
    found = await probe(says(error("server_error", OUTAGE)))
    assert (found.session_id, found.ok) == ("sess_CvX2kPq9", False)
    assert skip_reason_for_error(found) == f"{UPSTREAM} (session_id=sess_CvX2kPq9)"


async def test_exactly_this_is_sent(autojump_clock: trio.abc.Clock) -> None:
    came: list[Any] = []

    async def peer(far: MemoryTransport) -> None:
        await trio.sleep(3)
        assert came == []
        await far.send(json.dumps(CREATED))
        came.append(json.loads(await far.receive()))
        await far.send(json.dumps(COMPLETED))
        while True:
            came.append(json.loads(await far.receive()))

    memory = Memory(peer)
    assert (await probe(memory, model="gpt-x", prompt="Say „yes“.")).ok
    content = [{"type": "input_text", "text": "Say „yes“."}]
    message = {"type": "message", "role": "user", "content": content}
    assert came == [{"type": "response.create", "response": {"conversation": "none", "input": [message]}}]
    assert memory.target is not None
    assert memory.target.url == "ws://127.0.0.1:1/v1/realtime?model=gpt-x"
    assert "OpenAI-Beta" not in dict(memory.target.headers)


async def test_each_phase_has_its_own_time(autojump_clock: trio.abc.Clock) -> None:
    async def peer(far: MemoryTransport) -> None:
        await trio.sleep(7.5)
        await far.send(json.dumps(CREATED))
        await far.receive()
        await trio.sleep(7.5)
        await far.send(json.dumps(COMPLETED))
        with suppress(ConnectionLost):
            await far.receive()

    started = trio.current_time()
    assert (await probe(peer)).ok
    assert trio.current_time() - started == pytest.approx(15)


@pytest.mark.parametrize(("frames", "took"), [([], 2.0), ([CREATED], 2.0), ([CREATED, COMPLETED], 0.0)])
async def test_a_server_that_never_says_goodbye_costs_a_second(
    frames: list[Any], took: float, autojump_clock: trio.abc.Clock
) -> None:
    async def peer(far: MemoryTransport) -> None:
        await says(*frames, then="sleep")(far)

    started = trio.current_time()
    found = await probe(peer, timeout=2.0)
    assert found.ok is (took == 0)
    assert trio.current_time() - started == pytest.approx(took + 1)


async def test_a_server_that_does_not_read(autojump_clock: trio.abc.Clock) -> None:
    async def peer(far: MemoryTransport) -> None:
        await far.send(json.dumps(CREATED))
        await trio.sleep_forever()

    found = await probe(Memory(peer, size=0), timeout=2.0)
    assert (found.kind, found.session_id) == ("timeout", "sess_Ab12")


async def test_a_probe_can_be_cancelled(autojump_clock: trio.abc.Clock) -> None:
    memory = Memory(says(CREATED))
    started = trio.current_time()
    with trio.move_on_after(1) as scope:
        await probe(memory)
    assert scope.cancelled_caught
    assert memory.closed
    assert trio.current_time() - started <= 2


# --- the probe, over the network -----------------------------------------------------------------------------------------


async def test_nobody_there() -> None:
    with trio.fail_after(10):
        found = await probe_text_turn(endpoint=HERE)
    assert found.kind == "connect_failed"
    assert isinstance(found.error, ConnectionFailed)
    assert (found.ok, found.events, found.session_id) == (False, (), None)


async def test_a_server_that_accepts_and_says_nothing() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        endpoint = Endpoint.custom(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1")
        with trio.fail_after(5):
            found = await probe_text_turn(endpoint=endpoint, timeout=0.2)
    assert found.kind == "connect_failed"
    assert "0.2 s" in str(found.error)


async def test_the_local_server() -> None:
    with trio.fail_after(10):
        async with open_local_server(stt=ScriptedSTT([]), tts=ToneTTS(), api_key="the-key") as server:
            found = await probe_text_turn(endpoint=server.endpoint)
            refused = await probe_text_turn(endpoint=Endpoint.custom(server.http_url), api_key="another-key")
    assert found.ok, format_probe_failure(found)
    assert (found.events[0], found.events[-1]) == (SESSION, DONE)
    assert found.session_id is not None
    assert refused.kind == "connect_failed"
    assert isinstance(refused.error, ConnectionFailed)
    assert refused.error.status == 401
    assert "another-key" not in repr(refused) + format_probe_failure(refused)


# --- what is yours to mend -----------------------------------------------------------------------------------------------


async def failing() -> str:
    await trio.lowlevel.checkpoint()
    raise OSError("the vault is shut")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"endpoint": Endpoint.azure(resource="mine")}, "no API key found"),
        ({"endpoint": Endpoint.custom("http://example.org/v1"), "api_key": "sk-test"}, "unencrypted"),
        ({"endpoint": HERE, "transport": "carrier-pigeon"}, "carrier-pigeon"),
        ({"endpoint": HERE, "timeout": 0}, "timeout"),
        ({"endpoint": HERE, "timeout": "8"}, "timeout"),
        ({"endpoint": HERE, "timeout": None}, "timeout"),
        ({"endpoint": HERE, "api_key": lambda: {}["vault"]}, "whoever was asked for the key raised KeyError"),
        ({"endpoint": HERE, "api_key": failing}, "whoever was asked for the key raised OSError"),
        ({"endpoint": HERE, "timeout": float("nan")}, "timeout"),
    ],
)
async def test_bad_options(options: dict[str, Any], names: str) -> None:
    with trio.fail_after(5), pytest.raises(ConfigurationError, match=names):
        await probe_text_turn(**options)


async def test_a_bad_ca_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("CODEX_CA_CERTIFICATE", str(tmp_path / "none.pem"))
    with trio.fail_after(5), pytest.raises(ConfigurationError, match=r"none\.pem"):
        await probe_text_turn(endpoint=Endpoint.custom("https://127.0.0.1:1/v1"))


@pytest.mark.parametrize(
    ("probe", "fault", "advice"),
    [
        (
            Probe("probe_failed", "m", error=ErrorInfo("invalid_request_error", "No.", code="model_not_found")),
            "account",
            "model",
        ),
        (Probe("upstream_server_error", "m", "sess_1", error=ErrorInfo("server_error", "Oh.")), "service", "try again"),
        (Probe("timeout", "m", error=ErrorInfo("timeout", "nothing came")), "service", "in time"),
        (Probe("connect_failed", "m", error=ConnectionFailed("no", status=401)), "account", "API key"),
        (Probe("probe_failed", "m", error=ConnectionLost(1006)), "network", "new session"),
        (Probe("probe_failed", "m"), "program", ""),
    ],
)
def test_a_failure_says_what_to_do(probe: Probe, fault: str, advice: str) -> None:
    failure = probe.failure
    assert failure
    assert failure.fault == fault
    assert advice in failure.advice
    assert failure.session_id == probe.session_id


def test_what_is_ok_has_no_failure() -> None:
    assert Probe("ok", "m").failure is None
