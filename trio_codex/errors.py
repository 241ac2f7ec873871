"""What can go wrong, as a tree, by whose fault it is.

Every error of the library derives from `TrioCodexError` and answers the same questions: what happened (`what`), whose fault it is
(`fault`), whether the same again may work (`retryable`, `retry_after`), what to do (`advice`), and what to quote when asking the service
about it (`session_id`, `request_id`, `event_id`, as far as known). What the service's codes and statuses mean is in `verdicts`. Nothing
secret is ever part of a message, a repr or a log line. Only this module defines exceptions that users are meant to catch.
"""

from __future__ import annotations

from typing import Literal

from trio_codex.verdicts import Fault, code_in, verdict_on, verdict_on_close

__all__ = [
    "ConfigurationError",
    "ConnectionFailed",
    "ConnectionLost",
    "Fault",
    "InternalError",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "ServerRefused",
    "ToolError",
    "TrioCodexError",
    "VoiceError",
]

Stage = Literal["dns", "tcp", "proxy", "tls", "handshake"]
"""How far a connection came: what failed."""


class TrioCodexError(Exception):
    """The root of everything that trio_codex raises on its own account.

    `fault` says whose it is: the `program` (what it asked for, its settings), the `account` (key, quota, access), the `network`, the
    `service`, or this `library`. `retryable` says whether the same again may work, `retry_after` in how many seconds if the service
    said so, `advice` what to do ("" where the text says it all). The ids are None where not known.
    """

    fault: Fault = "program"
    retryable: bool = False
    retry_after: float | None = None
    session_id: str | None = None
    request_id: str | None = None
    event_id: str | None = None
    _advice: str = ""

    @property
    def what(self) -> str:
        """What happened, without the advice that some texts end with."""
        return str(self).removesuffix(f"; {self._advice}")

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self._advice


class ConfigurationError(TrioCodexError):
    """What was asked for cannot work: a missing key or extra, a bad setting, a file that is not what it should be. Yours to mend."""

    def __init__(self, *args: object, advice: str = "") -> None:
        super().__init__(*args)
        self._advice = advice


class ConnectionFailed(TrioCodexError):  # noqa: N818 - the name is part of the public face
    """No connection came about: DNS, TCP, a proxy, TLS, the handshake or the time limit; `stage` says which, as far as known.

    `status` is the HTTP status of a refused handshake, `body` the start of what the server said and `code` the API's error code in it;
    all are None otherwise.
    """

    fault: Fault
    retryable: bool

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        body: str | None = None,
        stage: Stage | None = None,
        advice: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.stage = stage
        self.code: str | None = code_in(body)
        self.request_id = request_id
        self.retry_after = retry_after
        self.fault = "network"
        self.retryable = stage in (None, "dns", "tcp", "handshake")
        if status is not None and stage != "proxy":
            self.fault, self.retryable, said = verdict_on(status=status, code=self.code, message=body)
            advice = advice or said
        self._advice = advice
        super().__init__(f"{message}; {advice}" if advice else message)


class ConnectionLost(TrioCodexError):  # noqa: N818 - the name is part of the public face
    """The peer ended the connection, or it broke. `code` is the websocket close code (1006: no close frame came)."""

    fault: Fault
    retryable: bool

    def __init__(self, code: int, reason: str = "", *, session_id: str | None = None) -> None:
        super().__init__(f"connection lost (code {code}{': ' + reason if reason else ''})")
        self.code = code
        self.reason = reason
        self.session_id = session_id
        self.fault, self.retryable, self._advice = verdict_on_close(code, reason)


class ServerRefused(TrioCodexError):  # noqa: N818 - the name is part of the public face
    """The server answered a request with an error. `type`, `code` and `param` are the server's, `event_id` names our event.

    Over HTTP there are also its `status`, the `request_id` to quote, and `retry_after` seconds if the server asked to wait.
    """

    fault: Fault
    retryable: bool

    def __init__(
        self,
        message: str,
        *,
        type: str | None = None,  # noqa: A002 - the wire's name
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        session_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.session_id = session_id
        self.fault, self.retryable, self._advice = verdict_on(status=status, code=code, kind=type, message=message)


class ProtocolError(TrioCodexError):
    """A frame or an event breaks the protocol; the subclasses say on whose side."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that is not the protocol. `path` leads to the wrong field, as in `$.response.status`."""

    fault: Fault = "service"

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(f"{message} @ {path}")
        self.path = path


class LocalProtocolError(ProtocolError):
    """We were asked to send something that the protocol does not allow at this point."""


class ToolError(TrioCodexError):
    """Raised by a tool on purpose: its text goes to the model as it is."""


class VoiceError(TrioCodexError):
    """A speech service failed. `status` is the HTTP status, `code` the service's error code, where there were any."""

    fault: Fault
    retryable: bool

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.fault, self.retryable, self._advice = verdict_on(status=status, code=code, message=message)


class InternalError(TrioCodexError):
    """A defect of trio_codex itself; please report it. The original exception is the `__cause__`."""

    fault: Fault = "library"
    _advice = "please report it, with the output of `trio-codex doctor --report` and this traceback"
