"""What can go wrong, as a tree, by whose fault it is.

Every error of the library derives from `TrioCodexError`. A message says what happened and what to do; nothing secret is ever
part of a message, a repr or a log line. Only this module defines exceptions that users are meant to catch.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "ConnectionFailed",
    "ConnectionLost",
    "InternalError",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "ServerRefused",
    "ToolError",
    "TrioCodexError",
    "VoiceError",
]


class TrioCodexError(Exception):
    """The root of everything that trio_codex raises on its own account."""


class ConfigurationError(TrioCodexError):
    """What was asked for cannot work: a missing key or extra, a bad setting, a file that is not what it should be. Yours to mend."""


class ConnectionFailed(TrioCodexError):  # noqa: N818 - the name is part of the public face
    """No connection came about: DNS, TCP, TLS, the handshake or the time limit.

    `status` is the HTTP status of a refused handshake, `body` the start of what the server said; both are None otherwise.
    """

    def __init__(self, message: str, *, status: int | None = None, body: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class ConnectionLost(TrioCodexError):  # noqa: N818 - the name is part of the public face
    """The peer ended the connection, or it broke. `code` is the websocket close code (1006: no close frame came)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"connection lost (code {code}{': ' + reason if reason else ''})")
        self.code = code
        self.reason = reason


class ServerRefused(TrioCodexError):  # noqa: N818 - the name is part of the public face
    """The server answered a request with an error. `type`, `code` and `param` are the server's, `event_id` names our event.

    Of an HTTP request, `status` is its status, `request_id` the server's name for it, `retry_after` the seconds to wait, if it said so.
    """

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
    ) -> None:
        super().__init__(message)
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after


class ProtocolError(TrioCodexError):
    """A frame or an event breaks the protocol; the subclasses say on whose side."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that is not the protocol. `path` leads to the wrong field, as in `$.response.status`."""

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(f"{message} @ {path}")
        self.path = path


class LocalProtocolError(ProtocolError):
    """We were asked to send something that the protocol does not allow at this point."""


class ToolError(TrioCodexError):
    """Raised by a tool on purpose: its text goes to the model as it is."""


class VoiceError(TrioCodexError):
    """A speech service failed. `status` is the HTTP status, `code` the service's error code, where there were any."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class InternalError(TrioCodexError):
    """A defect of trio_codex itself; please report it. The original exception is the `__cause__`."""
