"""The language of the rules, word by word: what each check lets pass, and what it says of the rest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from trio_codex.protocol.checks import (
    LEFT_OUT,
    Check,
    Rule,
    among,
    at_least,
    at_most,
    between,
    different,
    find,
    keys,
    left_out,
    matches,
    must,
    none_of,
    null,
    of_type,
    one_of,
    pairs,
)

WHOLE: dict[str, Any] = {
    "tools": [{"name": "a"}, {"name": "b"}, "no tool", {}],
    "b": {"c": {"x": 1, "y": None}},
    "n": [],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("b", [(("b",), WHOLE["b"])]),
        ("b.c.x", [(("b", "c", "x"), 1)]),
        ("b.c.y", [(("b", "c", "y"), None)]),
        ("b.c.z", []),
        ("b.c.x.z", []),
        ("tools.name", []),
        ("b{}", [(("b", "c"), WHOLE["b"]["c"])]),
        ("b.c{}", [(("b", "c", "x"), 1), (("b", "c", "y"), None)]),
        ("b{}.x", [(("b", "c", "x"), 1)]),
        ("b[]", []),
        ("tools{}", []),
        ("n[]", []),
        ("tools[]", [(("tools", index), tool) for index, tool in enumerate(WHOLE["tools"])]),
        ("tools[].name", [(("tools", 0, "name"), "a"), (("tools", 1, "name"), "b")]),
        ("tools[].name[]", []),
    ],
)
def test_the_values_at_a_path(path: str, found: list[Any]) -> None:
    assert find(WHOLE, path) == found
    assert find(OrderedDict(WHOLE), path) == found
    assert find([], path) == []


def says(check: Check, value: Any, whole: Any = WHOLE) -> str | None:
    return check(value, whole)


@pytest.mark.parametrize(
    ("make", "passing", "refused", "complaint"),
    [
        (lambda: must("be even", lambda value: value % 2 == 0), [2], 3, "must be even, not 3"),
        (lambda: between(1, 5), [1, 5, 2.5], 0, "must be 1 to 5, not 0"),
        (lambda: between(1, 5), [], 5.01, "must be 1 to 5, not 5.01"),
        (lambda: between(1, 5), [], True, "must be 1 to 5, not True"),
        (lambda: between(1, 5, "inf"), ["inf"], "2", "must be 1 to 5 or 'inf', not '2'"),
        (lambda: between(1, 5, "inf", "auto"), ["auto"], None, "must be 1 to 5 or 'inf' or 'auto', not None"),
        (lambda: at_least(2), [2, 2.5, 99], 1, "must be 2 or more, not 1"),
        (lambda: at_least(0), [], False, "must be 0 or more, not False"),
        (lambda: one_of("a"), ["a"], "b", "must be 'a', not 'b'"),
        (lambda: one_of("a", "b", "c"), ["a", "c"], LEFT_OUT, "must be 'a', 'b' or 'c', not left out"),
        (lambda: one_of("a", also="an object", of_kind=dict), ["a", {}], "b", "must be 'a', or an object, not 'b'"),
        (lambda: none_of("a", "b", says="be another"), ["c", None], "b", "must be another, not 'b'"),
        (lambda: at_most(3), ["", "abc"], "abcd", "must be a string of 3 characters at most, not of 4"),
        (lambda: at_most(3), [], 7, "must be a string of 3 characters at most, not 7"),
        (lambda: matches("[a-z]+", "small letters"), ["abc"], "abC", "must be small letters, not 'abC'"),
        (lambda: matches("[a-z]+", "small letters"), [], 7, "must be small letters, not 7"),
        (lambda: of_type(list, "an array"), [[]], {"secret": 1}, "must be an array, not an object"),
        (lambda: left_out("nobody needs it"), [], 1, "must be left out: nobody needs it"),
        (lambda: null("it is off"), [], 1, "must be None (null): it is off"),
        (lambda: different("name"), [[], [{"name": "a"}, {"name": "b"}], [{}, {}], ["a", "a"], "aa", None],
         [{"name": "a"}, {"name": "b"}, {"name": "a"}], "must have different names, not 'a' twice"),
        (lambda: among("tools[].name", "a tool"), ["a", "b"], "c", "must be a tool ('a', 'b'), not 'c'"),
        (lambda: among("n[].name", "a tool"), [], "c", "must be a tool (there are none), not 'c'"),
        (lambda: pairs(1), [{}, {"a": 1}, [1, 2]], {"a": 1, "b": 2}, "must hold 1 pairs at most, not 2"),
        (lambda: keys(at_most(2)), [{}, {"ab": 1}, ["abc"], "abc"], {"ab": 1, "abc": 2},
         "has a key that must be a string of 2 characters at most, not of 3"),
    ],
)  # fmt: skip
def test_what_a_check_lets_pass_and_what_it_says_of_the_rest(
    make: Callable[[], Check], passing: list[Any], refused: Any, complaint: str
) -> None:
    assert [says(make(), value) for value in passing] == [None] * len(passing)
    assert says(make(), refused) == complaint


def test_anything_is_among_what_is_not_told() -> None:
    assert says(among("more[].name", "a tool"), "c") is None
    nested = among("groups[].tools[].name", "a tool")
    assert says(nested, "c", {"groups": []}) == "must be a tool (there are none), not 'c'"
    assert says(nested, "c", {"tools": []}) is None


def test_a_check_of_keys_sees_the_whole_too() -> None:
    check = keys(among("tools[].name", "a tool"))
    assert says(check, {"a": 1, "b": 2}) is None
    assert says(check, {"a": 1, "c": 2}) == "has a key that must be a tool ('a', 'b'), not 'c'"


def test_long_values_are_shown_in_part() -> None:
    for value in ("x" * 100, SimpleNamespace(words="x" * 100)):
        said = says(of_type(list, "an array"), value)
        assert said is not None
        assert len(said) == len("must be an array, not ") + 60
        assert "..." in said


def test_a_rule_says_where_it_is_broken() -> None:
    rule = Rule("tools[].name", one_of("a"), "a source")
    assert list(rule.violations(WHOLE)) == [(("tools", 1, "name"), "must be 'a', not 'b'")]
    assert list(rule.violations({})) == []
    assert list(rule.violations({"tools": [{"name": None}, {"name": "b"}]})) == [
        (("tools", 1, "name"), "must be 'a', not 'b'")
    ]


def test_a_rule_may_look_at_what_stands_beside() -> None:
    rule = Rule("choice", among("tools[].name", "a tool"), "a source")
    assert list(rule.violations({**WHOLE, "choice": "b"})) == []
    assert list(rule.violations({**WHOLE, "choice": "c"})) == [(("choice",), "must be a tool ('a', 'b'), not 'c'")]


def test_a_rule_may_ask_for_what_is_not_there() -> None:
    rule = Rule("b.d", one_of("a"), "a source", required=True)
    assert list(rule.violations(WHOLE)) == [(("b", "d"), "must be 'a', not left out")]
    assert list(rule.violations({"b": {"d": "a"}})) == []


@pytest.mark.parametrize(
    ("when", "applies"),
    [
        ({"b.c.x": (1, 2)}, True),
        ({"b.c.x": (2,)}, False),
        ({"tools[].name": ("b",)}, True),
        ({"b.c.x": (1,), "tools[].name": ("b",)}, True),
        ({"b.c.x": (1,), "tools[].name": ("c",)}, False),
        ({"more": (None,)}, False),
    ],
)
def test_a_rule_may_depend_on_other_values(when: dict[str, Any], applies: bool) -> None:
    for path, required in (("n", False), ("d", True)):
        rule = Rule(path, left_out("so it is"), "a source", when=when, required=required)
        assert bool(list(rule.violations(WHOLE))) == applies
