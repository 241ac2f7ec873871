"""Looking at what is about to be sent, offline: the tables of `rules` applied to settings, agents and overrides.

Every complaint is a ConfigurationError that names the field as its author wrote it, the rule, and where the rule comes from. The checks
look at values only: what depends on a live session (a voice that has been heard, a response that runs) is the server's to judge. They
never change what is sent, and what they do not know passes. Warnings come back as texts; saying them once is the caller's business.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final, TypeAlias

import attrs
import orjson

from trio_codex.errors import ConfigurationError
from trio_codex.hosted import HostedMcp
from trio_codex.protocol.checks import Path, Rule, find
from trio_codex.protocol.convert import converter
from trio_codex.protocol.items import ResponseParams
from trio_codex.protocol.plain import as_json
from trio_codex.protocol.rules import (
    BETA_NAMES,
    CONFIGURATION,
    DEFAULTS,
    EVENT,
    FLAT_NAMES,
    MODELS,
    RESPONSE,
    SESSION,
    SHUTDOWNS,
)
from trio_codex.protocol.sessions import ClientSession
from trio_codex.protocol.settings import UNSET, WIRE_PATHS, Briefing, SessionSettings, session_object
from trio_codex.protocol.wire import Misfit

__all__ = ["check_event", "check_response", "check_session", "check_settings"]

Name: TypeAlias = Callable[[Path], str]
"""Gives the name that the author of a value knows it by, for its path on the wire."""


def check_settings(
    settings: SessionSettings,
    briefing: Briefing,
    *,
    over: SessionSettings | None = None,
    model: str | None = None,
    complete: bool = False,
) -> tuple[str, ...]:
    """Check what settings (laid over those that hold already) and an agent make of a session; gives warnings.

    `model` is None when it is not known. `complete`: nothing has been set before, so that the API's defaults hold for the rest. Raises
    ConfigurationError.
    """
    if not isinstance(settings, SessionSettings):
        raise ConfigurationError(f"settings must be SessionSettings, not {type(settings).__name__} [trio_codex]")
    # What holds already is there for the rules on two fields; whom a choice of an earlier agent named is no longer the question.
    merged = settings if over is None else attrs.evolve(over, tool_choice=UNSET).overlaid(settings)
    name = _in_briefing(briefing, merged)
    for index, tool in enumerate(briefing.tools):
        if not isinstance(tool, HostedMcp) and not isinstance(tool.parameters, Mapping):
            raise ConfigurationError(
                f"{name(('tools', index, 'parameters'))} must be a JSON schema, an object [{MODELS}]"
            )
    return _check_plain(session_object(briefing, merged), model=model, complete=complete, name=name)


def check_session(
    session: Mapping[str, Any], *, model: str | None = None, complete: bool = False, name: Name | None = None
) -> tuple[str, ...]:
    """Check the session object of a `session.update`, whoever wrote it; gives warnings. Raises ConfigurationError."""
    plain = as_json(session, "session")
    return _check_plain(plain, model=model, complete=complete, name=name or _under("session"))


def _check_plain(session: Mapping[str, Any], *, model: str | None, complete: bool, name: Name) -> tuple[str, ...]:
    """The same for a session object that is JSON as it stands."""
    whole = session if model is None else {"model": as_json(model, "session.model"), **session}
    try:
        text = orjson.dumps(whole).decode()
    except TypeError:  # an integer of more than 64 bits
        text = json.dumps(whole)
    try:
        return _warnings_of(text, complete)
    except _Wrong as wrong:
        raise wrong.named(name) from None


def check_response(params: Mapping[str, Any], briefing: Briefing, *, model: str | None = None) -> ResponseParams:
    """Check what a response is to be told, and give it as the wire has it. Raises ConfigurationError."""
    plain = as_json(params, "response")
    tools = [{"name": each.name} for each in briefing.functions]
    try:
        _refuse_beta_names(plain, {**BETA_NAMES, **FLAT_NAMES})
        checked: ResponseParams = _check_types(plain, ResponseParams)
        _apply(RESPONSE, {"model": model, "tools": tools, **plain})
    except _Wrong as wrong:
        raise wrong.named(_under("response")) from None
    return checked


def check_event(event: Mapping[str, Any]) -> None:
    """Check what every event of a client has, and not what it is about. Raises ConfigurationError."""
    try:
        _apply(EVENT, event)
    except _Wrong as wrong:
        raise wrong.named(_under("event")) from None


# --- applying ----------------------------------------------------------------------------------------------------------


@attrs.define
class _Wrong(Exception):  # noqa: N818 - it never leaves this module
    """What is wrong, and where on the wire; `named` says it to the author of the value."""

    path: Path
    says: str
    source: str

    def named(self, name: Name) -> ConfigurationError:
        return ConfigurationError(f"{name(self.path)}{self.says} [{self.source}]")


@lru_cache(maxsize=16)
def _warnings_of(text: str, complete: bool) -> tuple[str, ...]:
    """Check a session object (as JSON, so that it is what it was); whoever opens one session after the other sends the same.

    That it is known already spares 0.1 ms of the opening of a session.
    """
    whole = json.loads(text)
    _refuse_beta_names(whole, {**BETA_NAMES, **FLAT_NAMES})
    _check_types(whole, ClientSession)
    _apply(SESSION, _laid_under(whole, DEFAULTS) if complete else whole)
    return tuple(_announced_ends(whole))


def _apply(rules: Iterable[Rule], whole: Mapping[str, Any]) -> None:
    for rule in rules:
        for path, complaint in rule.violations(whole):
            raise _Wrong(path, f" {complaint}", rule.source)


def _check_types(plain: Mapping[str, Any], cls: Any) -> Any:
    """Let the codec say which field is of the wrong kind: what it refuses could not be sent."""
    try:
        return converter.structure(plain, cls)
    except Misfit as misfit:
        raise _Wrong(tuple(reversed(misfit.steps)), f": {misfit.reason}", MODELS) from None


def _refuse_beta_names(plain: Mapping[str, Any], at_top: Mapping[str, str | None]) -> None:
    places: list[tuple[Path, Any, Mapping[str, str | None]]] = [((), plain, at_top)]
    places += [(path, found, BETA_NAMES) for place in CONFIGURATION for path, found in find(plain, place)]
    for path, found, names in places:
        for key, today in names.items():
            if not isinstance(found, Mapping) or key not in found:
                continue
            advice = f"now it is {today}" if today else "the API has nothing in its place"
            raise _Wrong((*path, key), f" is a name of the beta era: {advice}", MODELS)


def _laid_under(value: Any, defaults: Any) -> Any:
    """The value, with the defaults where it says nothing."""
    if not (isinstance(value, Mapping) and isinstance(defaults, Mapping)):
        return value
    missing = {key: default for key, default in defaults.items() if key not in value}
    return {**{key: _laid_under(entry, defaults.get(key)) for key, entry in value.items()}, **missing}


def _announced_ends(whole: Mapping[str, Any]) -> Iterable[str]:
    for place in ("model", "audio.input.transcription.model"):
        for _, model in find(whole, place):
            for end in SHUTDOWNS:
                if isinstance(model, str) and fnmatchcase(model, end.model):
                    yield f"the model {model} is to be shut down, announced for {end.date} [{end.source}]"


# --- names -------------------------------------------------------------------------------------------------------------


def _dotted(path: Path) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step[:64]}" for step in path)
    return "".join(steps).removeprefix(".")


def _under(what: str) -> Name:
    """Names as the API's: `session.audio.output.speed`."""
    return lambda path: f"{what}.{_dotted(path)}"


_SETTINGS: Final = {wire: field for field, wire in WIRE_PATHS.items()}


def _in_briefing(briefing: Briefing, settings: SessionSettings) -> Name:
    """Names as users know them: `SessionSettings.speed`, the tools and the voice of an agent."""
    of_agent = f"of agent {briefing.agent.name!r}"

    def name(path: Path) -> str:
        if path[:1] == ("tools",):
            return _of_tools(path[1:], briefing, of_agent)
        field, rest = next(
            ((field, path[len(wire) :]) for wire, field in _SETTINGS.items() if path[: len(wire)] == wire),
            (str(path[0]), path[1:]),
        )
        if field in ("voice", "instructions") and getattr(settings, field) is UNSET:
            return f"{field} {of_agent}"
        if isinstance(getattr(settings, field, None), str):
            rest = ()  # written as one word, which the wire has as an object
        return f"SessionSettings.{_dotted((field, *rest))}"

    return name


def _of_tools(path: Path, briefing: Briefing, of_agent: str) -> str:
    if not path or not isinstance(path[0], int):
        return f"tools and handoffs {of_agent}"
    kind = "tool" if path[0] < len(briefing.tools) else "handoff"
    return f"{_dotted(path[1:])} of {kind} {briefing.functions[path[0]].name!r} {of_agent}"
