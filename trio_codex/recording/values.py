"""What goes into the core and comes out of it, as JSON; and what went in, back again.

Values that JSON has no word for stand as an object with one key that begins with "$". Inputs come back as values that make the core
decide as it did: agents with the same tools and handoffs, whose functions nobody will call. Outputs only need to be compared, so they
are told briefly. What belongs to the user (a context, a guardrail's result) is written as what it is called, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, cast

import attrs
import orjson
import pybase64

from trio_codex import errors
from trio_codex.agent import Agent, Guardrail, Handoff
from trio_codex.errors import ConfigurationError, TrioCodexError
from trio_codex.events import HistoryUpdatedEvent, RawModelEvent
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    UNSET,
    Briefing,
    ContentPart,
    Emit,
    Item,
    ResponseParams,
    SemanticVAD,
    Send,
    ServerVAD,
    SessionSettings,
    Transcription,
    UnknownEvent,
    Wire,
    decode_client_event,
    decode_server_event,
    structure,
    unstructure,
)
from trio_codex.recording.redaction import AUDIO, HIDDEN, redacted, restored
from trio_codex.secret import Secret
from trio_codex.tools import Tool

_SETTINGS: Final[dict[str, type]] = {
    cls.__name__: cls for cls in (SessionSettings, ServerVAD, SemanticVAD, Transcription)
}
_FORMS_OF: Final[dict[type, str]] = {ContentPart: "part", ResponseParams: "params"}
_SERVER: Final = frozenset(SERVER_EVENTS.values())
_CLIENT: Final = frozenset(CLIENT_EVENTS.values())


class Written:
    """Writes inputs and outputs; `define` is called once for each agent, before the first line that refers to it."""

    def __init__(self, define: Callable[[dict[str, Any]], None], *, audio: bool) -> None:
        self._define = define
        self._audio = audio
        self._briefings: dict[int, tuple[Briefing, int]] = {}  # by identity; kept, so that no other takes it

    def input(self, value: object) -> Any:
        """Give an argument of the core as JSON."""
        match value:
            case Enum() if value is UNSET:
                return {"$unset": True}
            case None | bool() | int() | float() | str():
                return value
            case bytes() if not self._audio:
                return {AUDIO: len(value)}
            case bytes():
                return {"$bytes": pybase64.b64encode_as_string(value)}
            case Briefing():
                return {"$briefing": self._briefing(value)}
            case TrioCodexError():
                return {"$error": type(value).__name__, "message": str(value)}
            case Wire() | UnknownEvent():
                return self._wire(value)
            case list() | tuple():
                return [self.input(item) for item in value]
            case Mapping():
                return {"$map": {str(name): self.input(item) for name, item in value.items()}}
            case _ if type(value).__name__ in _SETTINGS:
                fields = ((field.name, getattr(value, field.name)) for field in attrs.fields(cast("Any", type(value))))
                given = {name: self.input(item) for name, item in fields if item is not UNSET}
                return {"$settings": type(value).__name__, "fields": given}
        return {"$other": type(value).__name__}

    def effects(self, effects: object) -> Any:
        """Give what came out as JSON, briefly."""
        return [self._effect(effect) for effect in cast("list[object]", effects)]

    def _wire(self, value: Wire | UnknownEvent) -> dict[str, Any]:
        form = redacted(unstructure(value), audio=self._audio)
        if isinstance(value, UnknownEvent):
            return {"$unknown": form}
        if type(value) in _SERVER:
            return {"$server": form}
        if type(value) in _CLIENT:
            return {"$client": form}
        return {f"${_FORMS_OF.get(type(value), 'item')}": form}

    def _effect(self, effect: object) -> dict[str, Any]:
        match effect:
            case Send(event):
                return {"send": redacted(unstructure(event), audio=False)}
            case Emit(HistoryUpdatedEvent(history=items)):
                return {"emit": "history_updated", "items": len(items)}
            case Emit(RawModelEvent()):
                return {"emit": "raw_model_event"}
            case Emit(event):
                return {"emit": event.type, **_fields(event)}
        return {"do": type(effect).__name__, **_fields(effect)}

    def _briefing(self, briefing: Briefing) -> int:
        if id(briefing) not in self._briefings:
            number = len(self._briefings) + 1
            self._briefings[id(briefing)] = briefing, number
            self._define({"briefing": number, **_described(briefing)})
        return self._briefings[id(briefing)][1]


class Read:
    """Makes inputs of what `Written` wrote."""

    def __init__(self) -> None:
        self._briefings: dict[int, Briefing] = {}

    def define(self, line: Mapping[str, Any]) -> None:
        """Take the description of an agent."""
        self._briefings[line["briefing"]] = _briefing(restored(line))

    def input(self, form: Any) -> Any:
        """Give an argument for the core."""
        if isinstance(form, list):
            return tuple(self.input(item) for item in form)
        if not isinstance(form, dict):
            return form
        match form:
            case {"$briefing": number}:
                return self._briefings[number]
            case {"$settings": name, "fields": fields}:
                return _SETTINGS[name](**{field: self.input(item) for field, item in fields.items()})
            case {"$map": members}:
                return {name: self.input(item) for name, item in members.items()}
            case {"$error": name, "message": message}:
                return _error(name, message)
        (tag, value), *_ = form.items()
        return _READ[tag](value)


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "$unset": lambda _: UNSET,
    AUDIO: bytes,
    "$bytes": pybase64.b64decode,
    "$server": lambda form: decode_server_event(orjson.dumps(restored(form))),
    "$client": lambda form: decode_client_event(orjson.dumps(restored(form))),
    "$unknown": lambda form: UnknownEvent(form["type"], restored(form)),
    "$part": lambda form: structure(restored(form), ContentPart),
    "$params": lambda form: structure(restored(form), ResponseParams),
    "$item": lambda form: structure(restored(form), Item),
    "$other": lambda name: f"<{name}>",
}


# --- outputs -----------------------------------------------------------------------------------------------------------


def _fields(value: object) -> dict[str, Any]:
    return {field.name: brief(getattr(value, field.name)) for field in attrs.fields(cast("Any", type(value)))}


def brief(value: object) -> Any:
    """Tell a value of an effect or an event: agents and tools by name, bytes by length, anything else as JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray() | memoryview():
            return {AUDIO: len(value)}
        case Enum():
            return value.name
        case Agent() | Tool() | Handoff() | HostedMcp():
            return value.name
        case Guardrail():
            return {"name": value.name, "every": value.every, "hold": value.hold, "on_error": value.on_error}
        case BaseException():
            return {"error": type(value).__name__, "message": str(value)}
        case Mapping():
            return redacted(value, told=brief)
        case list() | tuple():
            return [brief(item) for item in value]
        case set() | frozenset():
            return sorted(map(str, value))
        case Wire() | UnknownEvent():
            return redacted(unstructure(value))
    if attrs.has(type(value)):
        return _fields(value)
    return f"<{type(value).__name__}>"


# --- agents ------------------------------------------------------------------------------------------------------------


def _described(briefing: Briefing) -> dict[str, Any]:
    """All of an agent that the core looks at."""
    return {
        "agent": briefing.agent.name,
        "voice": briefing.agent.voice,
        "instructions": briefing.instructions,
        "tools": [_described_tool(tool) for tool in briefing.tools],
        "handoffs": [redacted(handoff.schema()) for handoff in briefing.handoffs],
        "guardrails": [brief(guardrail) for guardrail in briefing.agent.guardrails],
    }


def _described_tool(tool: Tool | HostedMcp) -> dict[str, Any]:
    if isinstance(tool, HostedMcp):
        approval = {"approval_timeout": tool.approval_timeout, "approval_default": tool.approval_default}
        return {**redacted(tool.schema()), **approval, "respond": tool.respond}
    return {**redacted(tool.schema()), "on_interrupt": tool.on_interrupt, "respond": tool.respond}


def _briefing(line: Mapping[str, Any]) -> Briefing:
    guardrails = [_guardrail(**given) for given in line["guardrails"]]
    return Briefing(
        agent=Agent(name=line["agent"], voice=line["voice"], guardrails=tuple(guardrails)),
        instructions=line["instructions"],
        tools=tuple(_tool(given) for given in line["tools"]),
        handoffs=tuple(_handoff(given) for given in line["handoffs"]),
    )


def _tool(given: Mapping[str, Any]) -> Tool | HostedMcp:
    rest = {name: value for name, value in given.items() if name not in ("type", "strict")}
    if given["type"] != "mcp":
        return Tool(function=_never, **rest)
    headers = {name: Secret(HIDDEN) for name in rest.pop("headers", None) or {}}
    return HostedMcp(headers=headers, **rest)


def _handoff(given: Mapping[str, Any]) -> Handoff:
    handoff = Handoff(Agent(), tool_name=given["name"], description=given["description"])
    object.__setattr__(handoff, "parameters", given["parameters"])  # it is derived from a class that is not here
    return handoff


def _guardrail(name: str, **given: Any) -> Guardrail:
    def check(text: str) -> None:
        """See `_never`."""

    check.__name__ = name  # which the model is told
    return Guardrail(check, **given)


def _never(*_: object) -> None:
    """Nobody calls a tool or a guardrail when a recording is replayed: what came of the call is recorded."""


def _error(name: str, message: str) -> TrioCodexError:
    """An error of the same kind and text; what else it knew is not needed to replay."""
    kind = getattr(errors, name, ConfigurationError)
    error = cast("TrioCodexError", kind.__new__(kind))
    error.args = (message,)
    return error
