"""What a user wrote, as JSON has it: copied all the way down, or refused with its place and never with its value."""

from __future__ import annotations

import functools
from collections import UserDict, namedtuple
from datetime import date
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from trio_codex.errors import ConfigurationError
from trio_codex.protocol.plain import as_json


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Shade(Enum):
    DARK = "dark"


class Share(float):
    pass


class Loud(dict[str, str]):
    """A mapping that says more than the dict that it is made of holds."""

    def items(self) -> Any:
        return [(key, value.upper()) for key, value in super().items()]


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (None, None),
        (True, True),
        (False, False),
        (Color.RED, "red"),
        ("ä", "ä"),
        (Size.LARGE, 3),
        (2**70, 2**70),
        pytest.param(2**1024 - 1, 2**1024 - 1, id="large"),
        (Share(0.5), 0.5),
        (Pair(1, (2, [3])), [1, [2, [3]]]),
        (MappingProxyType({Color.RED: UserDict({"x": Pair("y", None)})}), {"red": {"x": ["y", None]}}),
        ([], []),
        ({}, {}),
        (
            {"a": [1, -0.0, 1e300, True, None, '"ä[{'], "b": {"c": {}}},
            {"a": [1, -0.0, 1e300, True, None, '"ä[{'], "b": {"c": {}}},
        ),
        ({"a": Color.RED, "b": [Size.LARGE, (1,)]}, {"a": "red", "b": [3, [1]]}),
        ([{"a": 2**70}], [{"a": 2**70}]),
        ([{Color.RED: Share(0.5)}], [{"red": 0.5}]),
        ([Loud(a="b")], [{"a": "B"}]),
    ],
)
def test_what_json_can_say(given: object, plain: object) -> None:
    found = as_json(given, "it")
    assert found == plain
    assert kinds(found) == kinds(plain)


def test_it_is_a_copy() -> None:
    given: dict[str, Any] = {"a": [{"b": 1}]}
    found = as_json(given, "it")
    given["a"][0]["b"] = 2
    given["a"].append(3)
    assert found == {"a": [{"b": 1}]}


def test_more_brackets_than_levels_are_no_depth() -> None:
    given = {"a": [[[index]] for index in range(80)], "b": "[{" * 200}
    assert as_json(given, "it") == given


def kinds(value: object) -> object:
    """The exact types, all the way down."""
    if isinstance(value, dict):
        return [(type(key), kinds(item)) for key, item in value.items()]
    return [kinds(item) for item in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (float("nan"), "it must be a JSON value, which nan is not [JSON, RFC 8259]"),
        (float("-inf"), "it must be a JSON value, which -inf is not [JSON, RFC 8259]"),
        (b"secret", "it must be a JSON value, which bytes is not [JSON, RFC 8259]"),
        (bytearray(b"secret"), "it must be a JSON value, which bytearray is not [JSON, RFC 8259]"),
        (memoryview(b"secret"), "it must be a JSON value, which memoryview is not [JSON, RFC 8259]"),
        ({1, 2}, "it must be a JSON value, which set is not [JSON, RFC 8259]"),
        ({"a": [float("nan")]}, "it.a[0] must be a JSON value, which nan is not [JSON, RFC 8259]"),
        ({"a": UUID(int=1)}, "it.a must be a JSON value, which UUID is not [JSON, RFC 8259]"),
        ({"a": Shade.DARK}, "it.a must be a JSON value, which Shade is not [JSON, RFC 8259]"),
        ([date(2026, 1, 1)], "it[0] must be a JSON value, which date is not [JSON, RFC 8259]"),
        ([0, {"a": {"b": object()}}], "it[1].a.b must be a JSON value, which object is not [JSON, RFC 8259]"),
        ({"a": {7: "secret"}}, "it.a must have names that are strings, not int [JSON, RFC 8259]"),
        ("secret\ud800", "it holds half of a surrogate pair, which UTF-8 cannot say [JSON, RFC 8259]"),
        (["a", "\udfff"], "it[1] holds half of a surrogate pair, which UTF-8 cannot say [JSON, RFC 8259]"),
        pytest.param(2**1024, "it must be a number below 2**1024 [JSON, RFC 8259]", id="large"),
        ({"a": [-(10**5000)]}, "it.a[0] must be a number below 2**1024 [JSON, RFC 8259]"),
        ({"\ud900": 1}, "it holds half of a surrogate pair, which UTF-8 cannot say [JSON, RFC 8259]"),
    ],
)
def test_what_it_cannot_say(given: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        as_json(given, "it")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("wrap", "plain"),
    [
        (lambda inner: [inner], lambda inner: [inner]),
        (lambda inner: {"a": inner}, lambda inner: {"a": inner}),
        (lambda inner: (inner,), lambda inner: [inner]),
        (lambda inner: MappingProxyType({"a": inner}), lambda inner: {"a": inner}),
    ],
    ids=["lists", "dicts", "tuples", "mappings"],
)
def test_how_deep_it_may_be(wrap: Any, plain: Any) -> None:
    deep: Any = 1
    found: Any = 1
    for _ in range(100):
        deep, found = wrap(deep), plain(found)
    assert as_json(deep, "it") == found
    with pytest.raises(ConfigurationError) as caught:
        as_json(wrap(deep), "it")
    assert str(caught.value).startswith("it")
    assert str(caught.value).endswith("… is nested too deeply (more than 100 levels)")


TOO_DEEP: list[Any] = functools.reduce(lambda inner, _: [inner], range(101), [])


@pytest.mark.parametrize("bad", [object(), {1: 2}, "\ud800", pytest.param(2**1024, id="large"), TOO_DEEP])
def test_a_long_place_is_cut(bad: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        as_json(bad, "x" * 300)
    assert str(caught.value).split()[0].rstrip("…") == "x" * 200
