"""The small language that the tables of `rules` are written in: a rule, the paths of its values, and what can hold for them.

A check looks at one value, and at the whole that it stands in where two fields depend on each other; it gives None or the words that go
on after the name of the field. Checks take any JSON value without raising: that the kinds are right is seen to elsewhere. They
never repeat an object, which may hold what is secret. (`peer_rules` has the language of the server's half: the server's words.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from reprlib import Repr
from typing import Any, Final, TypeAlias

import attrs

Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]

Check: TypeAlias = Callable[[Any, Mapping[str, Any]], str | None]
"""Looks at a value and at the whole that it stands in; gives None, or what goes on after the name of the field."""


@attrs.frozen
class Rule:
    """What holds for the values at a path (`tools[].name`: of each tool, `metadata{}`: each entry) that are there and not null.

    It applies where, for each path of `when`, one of these values stands. `required`: something must be there.
    """

    path: str
    check: Check
    source: str
    when: Mapping[str, Collection[Any]] = attrs.field(factory=dict)
    required: bool = False

    def violations(self, whole: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
        """Where it is broken, and how."""
        found = find(whole, self.path)
        if self.required and not found:
            found = [(tuple(self.path.split(".")), LEFT_OUT)]
        if not found or not self._applies(whole):
            return
        for path, value in found:
            complaint = None if value is None else self.check(value, whole)
            if complaint is not None:
                yield path, complaint

    def _applies(self, whole: Mapping[str, Any]) -> bool:
        return all(any(value in values for _, value in find(whole, path)) for path, values in self.when.items())


def find(whole: Any, path: str) -> list[tuple[Path, Any]]:
    """The values at a path, each with its own."""
    names, spread = _steps(path)
    for name in names:  # most paths end here, the others go on below
        if not (type(whole) is dict or isinstance(whole, Mapping)) or name not in whole:
            return []
        whole = whole[name]
    level: list[tuple[Path, Any]] = [(names, whole)]
    for step in spread:
        level = [((*way, key), inner) for way, value in level for key, inner in _inside(value, step)]
    return level


@cache
def _steps(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names up to the first step that leads to many, and all steps from there on."""
    steps = tuple(path.replace("[]", ".[]").replace("{}", ".{}").split("."))
    first = next((index for index, step in enumerate(steps) if step in ("[]", "{}")), len(steps))
    return steps[:first], steps[first:]


def _inside(value: Any, step: str) -> Iterable[tuple[Step, Any]]:
    if step == "[]":
        return enumerate(value) if isinstance(value, list) else ()
    if step == "{}":
        return value.items() if isinstance(value, Mapping) else ()
    return ((step, value[step]),) if isinstance(value, Mapping) and step in value else ()


# --- what can hold ----------------------------------------------------------------------------------------------------


class _LeftOut:
    def __repr__(self) -> str:
        return "left out"


LEFT_OUT: Final = _LeftOut()

_repr = Repr()
_repr.maxstring = _repr.maxother = 60


def _shown(value: Any) -> str:
    return "an object" if isinstance(value, Mapping) else _repr.repr(value)


def _listed(values: Collection[Any]) -> str:
    *others, last = map(repr, values)
    return f"{', '.join(others)} or {last}" if others else last


def must(says: str, holds: Callable[[Any], bool]) -> Check:
    """What `holds` says in Python, said in words."""
    return lambda value, whole: None if holds(value) else f"must {says}, not {_shown(value)}"


def between(low: float, high: float, *others: Any) -> Check:
    """A number within these bounds, or one of the others."""
    return must(
        f"be {low} to {high}" + (f" or {_listed(others)}" if others else ""),
        lambda value: value in others or (_is_number(value) and low <= value <= high),
    )


def at_least(low: float) -> Check:
    """A number from here on."""
    return must(f"be {low} or more", lambda value: _is_number(value) and value >= low)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def one_of(*values: Any, also: str = "", of_kind: type | tuple[type, ...] = ()) -> Check:
    """One of these values; or, as `also` says in words, anything of another kind, which other rules look into."""
    return must(
        f"be {_listed(values)}{also and f', or {also}'}",
        lambda value: value in values or isinstance(value, of_kind),
    )


def none_of(*values: Any, says: str) -> Check:
    """Anything but these."""
    return must(says, lambda value: value not in values)


def at_most(characters: int) -> Check:
    """A text of so many characters."""
    said = f"be a string of {characters} characters at most"

    def check(value: Any, whole: Mapping[str, Any]) -> str | None:
        if not isinstance(value, str):
            return f"must {said}, not {_shown(value)}"
        return None if len(value) <= characters else f"must {said}, not of {len(value)}"

    return check


def matches(pattern: str, says: str) -> Check:
    """A text of this form."""
    return must(f"be {says}", lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def of_type(kind: type, says: str) -> Check:
    """A value of this kind."""
    return must(f"be {says}", lambda value: isinstance(value, kind))


def left_out(because: str) -> Check:
    """Nothing, or null."""
    return lambda value, whole: f"must be left out: {because}"


def null(because: str) -> Check:
    """Null, said explicitly."""
    return lambda value, whole: f"must be None (null): {because}"


def different(name: str) -> Check:
    """A list of objects of which no two have the same value there."""

    def check(value: Any, whole: Mapping[str, Any]) -> str | None:
        entries = value if isinstance(value, list) else []
        names = [entry.get(name) for entry in entries if isinstance(entry, Mapping)]
        twice = [each for index, each in enumerate(names) if each is not None and each in names[:index]]
        return f"must have different names, not {_shown(twice[0])} twice" if twice else None

    return check


def among(path: str, says: str) -> Check:
    """One of the values at another path; if nothing is said of those, anything."""

    def check(value: Any, whole: Mapping[str, Any]) -> str | None:
        known = [other for _, other in find(whole, path)]
        if value in known or not any(find(whole, path.partition("[]")[0])):
            return None
        return f"must be {says} ({', '.join(map(_shown, known)) or 'there are none'}), not {_shown(value)}"

    return check


def pairs(most: int) -> Check:
    """An object with so many entries."""

    def check(value: Any, whole: Mapping[str, Any]) -> str | None:
        if not isinstance(value, Mapping) or len(value) <= most:
            return None
        return f"must hold {most} pairs at most, not {len(value)}"

    return check


def keys(check: Check) -> Check:
    """An object whose keys are so."""

    def check_keys(value: Any, whole: Mapping[str, Any]) -> str | None:
        broken = (check(key, whole) for key in value) if isinstance(value, Mapping) else ()
        return next((f"has a key that {complaint}" for complaint in broken if complaint), None)

    return check_keys
