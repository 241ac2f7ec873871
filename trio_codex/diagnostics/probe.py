"""The smallest turn there is: connect, wait for the session, ask for one text, look at what comes.

It tells a failure of the service from one of ours, so it uses nothing that could fail by itself: no session, no settings, no codec, only
the transport and plain JSON. Each phase (connecting, the session, the answer) has its own time limit, and the goodbye one too. What the
service does is never an exception here but a `Probe`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

import attrs
import trio

from trio_codex.credentials import Endpoint, KeySource
from trio_codex.diagnostics.reasons import extract_session_id
from trio_codex.errors import ConfigurationError, ConnectionFailed, ConnectionLost, ServerRefused, TrioCodexError
from trio_codex.events import ErrorInfo
from trio_codex.transport import Connector, Transport
from trio_codex.transport.dialing import DEFAULT_MODEL, connector_for, resolve_target

__all__ = ["GOODBYE_S", "Probe", "ProbeKind", "asking_for_a_key", "format_probe_failure", "probe_text_turn"]

GOODBYE_S: Final = 1.0
"""How long the closing handshake may take; then the socket is closed by force."""

NOT_AN_EVENT: Final = "(not an event)"

ProbeKind = Literal["ok", "upstream_server_error", "probe_failed", "timeout", "connect_failed"]

_WHAT_HAPPENED: Final[Mapping[ProbeKind, str]] = {
    "ok": "completed",
    "upstream_server_error": "returned upstream server_error during",
    "probe_failed": "failed",
    "timeout": "did not answer in time during",
    "connect_failed": "could not be reached for",
}


@attrs.frozen
class Probe:
    """What a probe met. `events` are the types of all that the server sent; `error` is why it is not ok, as far as anybody said."""

    kind: ProbeKind
    model: str
    session_id: str | None = None
    events: tuple[str, ...] = ()
    error: ErrorInfo | ConnectionFailed | ConnectionLost | None = None

    @property
    def ok(self) -> bool:
        """Whether the service answered."""
        return self.kind == "ok"

    @property
    def failure(self) -> TrioCodexError | None:
        """What went wrong as an error, with whose fault it is and what to do; None if it is ok."""
        if self.ok:
            return None
        if isinstance(self.error, TrioCodexError):
            return self.error
        error = self.error or ErrorInfo("error", "it did not answer")
        code = "timeout" if self.kind == "timeout" else error.code
        return ServerRefused(
            f"{self.model}: {error.message}", type=error.type, code=code, param=error.param, session_id=self.session_id
        )


async def probe_text_turn(
    *,
    model: str | None = None,
    prompt: str = "Reply with exactly ok.",
    timeout: float = 8.0,
    endpoint: Endpoint | None = None,
    api_key: KeySource | None = None,
    transport: str | Connector | None = None,
) -> Probe:
    """Ask the service for one short answer, outside of any conversation, and tell what came of it.

    ::

        probe = await probe_text_turn()
        print("the service works" if probe.ok else format_probe_failure(probe))

    `endpoint`, `api_key`, `model` and `transport` are those of `open_realtime_session`; `timeout` is in seconds and for each phase. Raises
    ConfigurationError (no key, a callable that raises instead of giving one, a bad CA file) before any network use, and nothing else.
    Cancelling it closes the connection.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError(f"timeout must be a number of seconds above 0, not {timeout!r}")
    endpoint = endpoint or Endpoint.from_environment()
    with asking_for_a_key():
        target = await resolve_target(endpoint, api_key, model=model, call_id=None, timeout=timeout)
    turn = _Turn(endpoint.deployment or model or DEFAULT_MODEL, timeout)
    try:
        async with connector_for(transport)(target) as connection:
            try:
                return await turn.run(connection, prompt)
            finally:
                with trio.move_on_after(GOODBYE_S, shield=True):
                    await connection.close()
    except ConnectionFailed as error:
        return turn.result("connect_failed", error)


@contextmanager
def asking_for_a_key() -> Iterator[None]:
    """Whatever a callable raises that was asked for a key is a ConfigurationError here."""
    try:
        yield
    except TrioCodexError:
        raise
    except Exception as error:
        raise ConfigurationError(f"whoever was asked for the key raised {type(error).__name__}") from error


def format_probe_failure(probe: Probe) -> str:
    """Put a probe into one sentence, with what the service needs to look into it."""
    match probe.error:
        case None:
            message = "none"
        case ErrorInfo(message=message):
            pass
        case error:
            message = error.what
    return (
        f"OpenAI Realtime {_WHAT_HAPPENED[probe.kind]} a minimal raw WebSocket probe (model={probe.model}, "
        f"session_id={probe.session_id or 'unknown'}, events={' -> '.join(probe.events) or 'none'}, error={message})"
    )


class _Turn:
    """One turn, as far as it has come."""

    def __init__(self, model: str, timeout: float) -> None:
        self._model = model
        self._timeout = timeout
        self._events: list[str] = []
        self._session_id: str | None = None

    async def run(self, connection: Transport, prompt: str) -> Probe:
        """Go through it. Raises nothing but Cancelled."""
        awaited = "session.created"
        try:
            with trio.fail_after(self._timeout):
                created = await self._until(awaited, connection)
            if created.get("type") == "error":
                return self.result("upstream_server_error", _stated(created))
            self._session_id = _text(_object(created.get("session")).get("id"))
            awaited = "response.done"
            with trio.fail_after(self._timeout):
                with suppress(ConnectionLost):  # what the server said before it hung up is still to be read
                    await connection.send(_request(prompt))
                done = await self._until(awaited, connection)
        except trio.TooSlowError:
            return self.result("timeout", ErrorInfo("timeout", f"no {awaited} came within {self._timeout:g} s"))
        except ConnectionLost as lost:
            return self.result("probe_failed", lost)
        return self._judged(done)

    async def _until(self, kind: str, connection: Transport) -> Mapping[str, Any]:
        """Read until this event or an error comes."""
        while True:
            event = _event(await connection.receive())
            self._events.append(_text(event.get("type")) or NOT_AN_EVENT)
            if self._events[-1] in (kind, "error"):
                return event

    def _judged(self, event: Mapping[str, Any]) -> Probe:
        if event.get("type") == "error":
            error = _stated(event)
            return self.result("upstream_server_error" if error.type == "server_error" else "probe_failed", error)
        response = _object(event.get("response"))
        if response.get("status") == "completed":
            return self.result("ok", None)
        return self.result("probe_failed", _failure(response))

    def result(self, kind: ProbeKind, error: ErrorInfo | ConnectionFailed | ConnectionLost | None) -> Probe:
        """What came of it."""
        return Probe(kind, self._model, self._session_id or extract_session_id(error), tuple(self._events), error)


def _request(prompt: str) -> str:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}
    return json.dumps({"type": "response.create", "response": {"conversation": "none", "input": [message]}})


# --- reading leniently: a service that fails may say so in any shape ----------------------------------------------------


def _event(frame: str | bytes) -> Mapping[str, Any]:
    try:
        return _object(json.loads(frame))
    except (ValueError, RecursionError):
        return {}


def _stated(event: Mapping[str, Any]) -> ErrorInfo:
    return _error(event.get("error"), ErrorInfo("error", "the server sent an error without saying which"))


def _failure(response: Mapping[str, Any]) -> ErrorInfo:
    """Why a response did not complete."""
    details = response.get("status_details")
    response_id = _text(response.get("id"))
    reason = _text(_object(details).get("reason"))
    unsaid = ErrorInfo("response_failed", "response.done failed", code=reason, response_id=response_id)
    return _error(_object(details).get("error") if isinstance(details, Mapping) else details, unsaid)


def _error(stated: object, default: ErrorInfo) -> ErrorInfo:
    """What the server states as an error, a text or an object; what it leaves out is as in the default."""
    if isinstance(stated, str):
        return attrs.evolve(default, message=stated or default.message)
    fields = {name: _text(_object(stated).get(name)) for name in ("type", "message", "code", "param", "event_id")}
    return attrs.evolve(default, **{name: text for name, text in fields.items() if text})


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
