"""The faults that the local server can commit, as data: names, parameters with defaults and units, and a line on each.

`FAULTS` is what the documentation, the command line and the checks of parameters are made of. A fault is written `NAME` or
`NAME:PARAMETERS`, with parameters as `key=value` and commas between them; the first one may leave out its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from trio_codex.errors import ConfigurationError

__all__ = ["FAULTS", "Fault", "FaultKind", "Parameter", "Place", "describe_faults", "parse_fault"]

Place: TypeAlias = Literal["http", "tcp", "line", "events"]

PLACES: Final[Mapping[Place, str]] = {
    "http": "Before the session: the HTTP request, of the websocket or of any other route",
    "tcp": "Under the session: the bytes of a connection",
    "line": "Around the session: how long it lasts, and whether there is one at all",
    "events": "In the session: the events of the protocol (these work in memory as well)",
}


@attrs.frozen
class Parameter:
    """A parameter: its default says its type; `choices` are all values it may have, if they can be told, else the least one is known."""

    name: str
    default: int | float | str
    unit: str = ""
    choices: tuple[str, ...] = ()
    least: int = 0

    def read(self, text: str) -> int | float | str:
        """Read a value. Raises ValueError."""
        if self.choices and text not in self.choices:
            raise ValueError(f"{self.name} is one of {', '.join(self.choices)}, not {text!r}")
        if isinstance(self.default, str):
            return text
        try:
            value = type(self.default)(text)
        except ValueError:
            raise ValueError(f"{self.name} is a number, not {text!r}") from None
        if not self.least <= value < float("inf"):
            raise ValueError(f"{self.name} is a number of at least {self.least}, not {text!r}")
        return value

    def __str__(self) -> str:
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        unit = f" {self.unit}" if self.unit else ""
        choices = f" ({' | '.join(self.choices)})" if self.choices else ""
        return f"{self.name}={default}{unit}{choices}"


@attrs.frozen
class FaultKind:
    """A fault that there is: where it is committed, what it does, and what may be set."""

    name: str
    place: Place
    about: str
    parameters: tuple[Parameter, ...] = ()


@attrs.frozen
class Fault:
    """A fault that is wanted, with the values of all its parameters."""

    kind: FaultKind
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.kind.name


_YES_NO: Final = ("yes", "no")
_ON: Final = Parameter("on", "all", choices=("all", "realtime", "rest"))
_TIMES: Final = Parameter("times", 0, "requests, 0: all")
_NTH: Final = Parameter("nth", 1, "of its kind, 0: all")
_CHANCE: Final = Parameter("chance", 0.3)
_AFTER: Final = Parameter("after", 5, "frames of the server")

FAULTS: Final[Mapping[str, FaultKind]] = {
    kind.name: kind
    for kind in (
        # --- http ---
        FaultKind("drop-before-upgrade", "http", "The request is read and the connection closed without an answer.", (_TIMES, _ON)),
        FaultKind(
            "unauthorized",
            "http",
            "401, its body framed by a length, in chunks, or by the end of the connection.",
            (
                Parameter("framing", "content-length", choices=("content-length", "chunked", "close")),
                Parameter("code", "invalid_api_key"),
                _TIMES,
                _ON,
            ),
        ),
        FaultKind("invalid-api-key", "http", "401 with code invalid_api_key.", (_TIMES, _ON)),
        FaultKind("expired-key", "http", "401 with code token_expired: an ephemeral key whose time is over.", (_TIMES, _ON)),
        FaultKind("model-not-found", "http", "404 with code model_not_found.", (_TIMES, _ON)),
        FaultKind(
            "rate-limited",
            "http",
            "429 with code rate_limit_exceeded and a Retry-After header.",
            (Parameter("retry_after", 1.0, "s"), _TIMES, _ON),
        ),
        FaultKind("insufficient-quota", "http", "429 with code insufficient_quota.", (_TIMES, _ON)),
        FaultKind(
            "server-error",
            "http",
            "A 5xx status with type server_error.",
            (Parameter("status", 500), _TIMES, _ON),
        ),
        # --- tcp ---
        FaultKind(
            "cut-answer",
            "tcp",
            "The answer to a request of HTTP breaks off after so much of its body; websockets are left alone.",
            (Parameter("after", 100, "bytes"),),
        ),
        FaultKind("no-close-reply", "tcp", "The client's close frame is not answered; the connection stays open."),
        FaultKind("close-without-tcp-close", "tcp", "Close frames are exchanged, but the server does not close the connection."),
        FaultKind(
            "half-open",
            "tcp",
            "After so many frames the server neither reads nor writes any more, not even pongs; the connection stays open.",
            (_AFTER,),
        ),
        FaultKind(
            "drop",
            "tcp",
            "After so many frames the connection ends without a goodbye, in the middle of the next frame.",
            (_AFTER, Parameter("how", "fin", choices=("fin", "reset"))),
        ),
        FaultKind(
            "latency",
            "tcp",
            "What the server says arrives late, in order.",
            (Parameter("ms", 100.0, "ms"), Parameter("jitter", 0.0, "ms at most on top")),
        ),
        FaultKind("slow-reading", "tcp", "The server reads no faster than this.", (Parameter("rate", 16000.0, "bytes/s"),)),
        FaultKind("ping-storm", "tcp", "Pings come before the answer to the client's close frame.", (Parameter("count", 100, "pings"),)),
        # --- line ---
        FaultKind(
            "expiry",
            "line",
            "The session ends with close code 1001 after so long, with or without a session_expired error before it.",
            (Parameter("after", 3600.0, "s"), Parameter("event", "yes", choices=_YES_NO)),
        ),
        FaultKind(
            "refused-session",
            "line",
            "The websocket opens, an error comes instead of session.created, and it closes with code 4000.",
            (Parameter("code", "model_not_found"), Parameter("type", "invalid_request_error")),
        ),
        # --- events ---
        FaultKind(
            "reject-update",
            "events",
            "A session.update is answered with an error.",
            (_NTH, Parameter("code", "invalid_value")),
        ),
        FaultKind(
            "vad-race",
            "events",
            "A response that the client did not ask for begins just before its response.create arrives, as turn detection does it.",
            (Parameter("nth", 1, "of its kind", least=1),),  # who loses every race has to try for ever
        ),
        FaultKind(
            "failed-response",
            "events",
            "response.done says failed, with its status_details as an object or as a bare string.",
            (Parameter("details", "object", choices=("object", "string")), _NTH, Parameter("code", "server_error")),
        ),
        FaultKind(
            "error-event",
            "events",
            "A response.create is answered with an error of the service and nothing else.",
            (_NTH, Parameter("type", "server_error"), Parameter("code", "server_error")),
        ),
        FaultKind(
            "cut-arguments",
            "events",
            "A function call ends in the middle of its JSON, and so does its response.",
            (Parameter("status", "incomplete", choices=("incomplete", "cancelled", "completed")), _NTH),
        ),
        FaultKind(
            "transcripts",
            "events",
            "The transcript of what the user said comes before the answer begins, after it is done, never, or as a failure.",
            (Parameter("when", "after", choices=("before", "after", "never", "failed")),),
        ),
        FaultKind("duplicate-deltas", "events", "A delta is said twice, with the same event id.", (_CHANCE,)),
        FaultKind("reorder-deltas", "events", "Two neighbouring deltas of an item change places.", (_CHANCE,)),
        FaultKind("odd-bytes", "events", "Audio deltas are cut anew, each with an odd number of bytes."),
        FaultKind(
            "huge-item", "events", "A message of this size appears in the conversation.", (Parameter("size", 8, "MiB"),)
        ),
        FaultKind(
            "unknown-events",
            "events",
            "Events of unknown types come between the others, and these have unknown fields.",
            (Parameter("every", 1, "events"),),
        ),
        FaultKind(
            "malformed-events",
            "events",
            "Events of known types come that lack what they must have.",
            (Parameter("every", 5, "events"),),
        ),
        FaultKind(
            "beta-session",
            "events",
            "session.created has the shape of the beta protocol, and the other events, if wanted, the names of it.",
            (Parameter("names", "no", choices=_YES_NO),),
        ),
    )
}  # fmt: skip


def parse_fault(text: str) -> Fault:
    """Read `NAME[:PARAMETERS]`. Raises ConfigurationError, which says what there is."""
    name, _, given = text.partition(":")
    kind = FAULTS.get(name.strip())
    if kind is None:
        raise ConfigurationError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    values: dict[str, Any] = {parameter.name: parameter.default for parameter in kind.parameters}
    for at, part in enumerate(filter(None, (part.strip() for part in given.split(",")))):
        key, equals, value = part.partition("=")
        if not equals and at == 0 and kind.parameters:
            key, value = kind.parameters[0].name, part
        parameter = next((each for each in kind.parameters if each.name == key.strip()), None)
        if parameter is None:
            takes = ", ".join(each.name for each in kind.parameters) or "no parameters"
            raise ConfigurationError(f"fault {kind.name}: {key!r} is no parameter of it; it takes {takes}")
        try:
            values[parameter.name] = parameter.read(value.strip())
        except ValueError as error:
            raise ConfigurationError(f"fault {kind.name}: {error}") from None
    return Fault(kind, values)


def describe_faults(kinds: Iterable[FaultKind] = FAULTS.values()) -> str:
    """Tell all faults, as Markdown: a table for each place."""
    lines: list[str] = []
    place = None
    for kind in kinds:
        if kind.place != place:
            place = kind.place
            lines += [
                "",
                f"## {PLACES[place]}",
                "",
                "| fault | parameters and their defaults | what it does |",
                "|---|---|---|",
            ]
        parameters = "<br>".join(f"`{parameter}`" for parameter in kind.parameters).replace("|", "\\|")
        lines.append(f"| `{kind.name}` | {parameters} | {kind.about} |")
    return "\n".join(lines[1:]) + "\n"
