"""Arguments fit their schema, whatever it is, and say what was said, where it can be heard."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import jsonschema
import pytest
from hypothesis import given, settings

from trio_codex.grammar import Refusal, a_function_s_schema
from trio_codex.server.standin.arguments import arguments_for
from trio_codex.server.standin.patterns import matching_text

SAID = [
    "",
    "what is the weather in london",
    "please set a timer for twenty five minutes called tea",
    "no",
    "3.5 and 7 to bob@example.org",
]


def assert_fits(schema: dict[str, Any], said: str) -> dict[str, Any]:
    arguments = arguments_for(schema, said)
    jsonschema.Draft202012Validator(schema).validate(arguments)
    assert json.loads(json.dumps(arguments)) == arguments
    return arguments


# --- what was said -----------------------------------------------------------------------------------------------------


def one(name: str, **schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: schema}, "required": [name]}


@pytest.mark.parametrize(
    ("schema", "said", "value"),
    [
        (one("city", type="string"), "what is the weather in london", "London"),
        (one("city", type="string"), "weather for san francisco please", "San Francisco"),
        (one("city", type="string"), "Is it raining in McAllen today?", "McAllen"),
        (one("location", type="string"), "find a hotel near the airport", "Airport"),
        (one("units", enum=["celsius", "fahrenheit"]), "in fahrenheit please", "fahrenheit"),
        (one("size", enum=["small", "extra large"]), "an extra large pizza", "extra large"),
        (one("priority", enum=[1, 2, 3]), "with priority 2", 2),
        (one("minutes", type="integer"), "a timer for twenty five minutes", 25),
        (one("amount", type="number"), "send 12.50 dollars", 12.5),
        (one("year", type="integer"), "in two thousand twenty six", 2026),
        (one("year", type="integer"), "nineteen hundred and five", 1900),
        (one("count", type="integer", maximum=10), "eleven of 3", 3),
        (one("express", type="boolean"), "send it express", True),
        (one("express", type="boolean"), "but not express", False),
        (one("to", type="string", format="email"), "write to bob@example.org now", "bob@example.org"),
        (one("order_id", type="string", pattern="^[A-Z]{2}-[0-9]{4}$"), "where is order AB-1234", "AB-1234"),
        (one("query", type="string"), "how do I reset my password", "how do I reset my password"),
        (one("topic", type="string"), "tell me about black holes", "black holes"),
        (one("name", type="string"), "make a list called groceries", "Groceries"),
        (one("day", type="string"), "book it for tomorrow", "tomorrow"),
        (
            one("toppings", type="array", items={"enum": ["ham", "cheese", "olives"]}),
            "cheese and olives please",
            ["cheese", "olives"],
        ),
        (one("numbers", type="array", items={"type": "number"}), "add 1 2 and 3.5", [1, 2, 3.5]),
        (one("city", anyOf=[{"type": "string"}, {"type": "null"}]), "weather in rome", "Rome"),
        (one("city", anyOf=[{"type": "string"}, {"type": "null"}]), "weather", None),
        (one("city", type=["string", "null"]), "weather in rome", "Rome"),
    ],
)
def test_what_was_said_is_found(schema: dict[str, Any], said: str, value: object) -> None:
    (found,) = assert_fits(schema, said).values()
    assert found == value


def test_every_phrase_and_number_is_used_once() -> None:
    schema = {
        "type": "object",
        "properties": {
            "origin": {"type": "string"},
            "destination": {"type": "string"},
            "adults": {"type": "integer"},
            "children": {"type": "integer"},
        },
        "required": ["origin", "destination", "adults", "children"],
    }
    said = "two flights from paris to new york for two adults and three children"
    assert assert_fits(schema, said) == {"origin": "Paris", "destination": "New York", "adults": 2, "children": 3}


def test_optional_parameters_that_nobody_spoke_of_are_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "detail": {"type": "object"}},
        "required": ["city"],
    }
    assert assert_fits(schema, "weather in oslo") == {"city": "Oslo"}
    assert assert_fits(schema, "weather in oslo for 3 days") == {"city": "Oslo", "days": 3}


def test_defaults_and_examples_come_before_invention() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "default": "x"},
            "b": {"type": "integer", "examples": [7]},
            "c": {"const": "k"},
        },
        "required": ["a", "b", "c"],
    }
    assert assert_fits(schema, "") == {"a": "x", "b": 7, "c": "k"}


def test_nested_objects_references_and_recursion() -> None:
    schema = {
        "type": "object",
        "properties": {"order": {"$ref": "#/$defs/Order"}},
        "required": ["order"],
        "additionalProperties": False,
        "$defs": {
            "Order": {
                "type": "object",
                "properties": {
                    "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 2},
                    "parent": {"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}]},
                },
                "required": ["lines", "parent"],
                "additionalProperties": False,
            },
            "Line": {
                "allOf": [
                    {"type": "object", "properties": {"sku": {"type": "string", "minLength": 12}}, "required": ["sku"]},
                    {"properties": {"count": {"type": "integer", "exclusiveMinimum": 0}}, "required": ["count"]},
                ]
            },
        },
    }
    assert_fits(schema, "two of them")


@pytest.mark.parametrize(
    "schema", [None, {}, {"type": "object"}, True, {"properties": None}, {"type": "object", "required": ["x"]}]
)
def test_odd_schemas_are_survived(schema: Any) -> None:
    assert isinstance(arguments_for(schema, "hello"), dict)


# --- what nobody said --------------------------------------------------------------------------------------------------


def numbers() -> st.SearchStrategy[dict[str, Any]]:
    def bounded(kind: str, low: int, span: int, step: int | None, exclusive: bool) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": kind,
            ("exclusiveMinimum" if exclusive else "minimum"): low,
            "maximum": low + span,
        }
        return {**schema, "multipleOf": step} if step else schema

    return st.one_of(
        st.sampled_from(
            [
                {"type": "integer"},
                {"type": "number"},
                {"type": "integer", "maximum": -3},
                {"type": "number", "minimum": 0.1},
            ]
        ),
        st.builds(
            bounded,
            st.sampled_from(["integer", "number"]),
            st.integers(-1000, 1000),
            st.integers(10, 50),
            st.sampled_from([None, 2, 5]),
            st.booleans(),
        ),
        st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    def sized(least: int, more: int) -> dict[str, Any]:
        return {"type": "string", "minLength": least, "maxLength": least + more}

    patterns = [
        "^[a-z]+$",
        "^[A-Z]{3}-\\d{2,4}$",
        "^(red|green)$",
        "\\w+@\\w+\\.(com|org)",
        "^[^a-z]{5}$",
        "^\\+?[0-9 ]{7,}$",
        "^.{4}\\s?x$",
    ]
    return st.one_of(
        st.just({"type": "string"}),
        st.builds(sized, st.integers(0, 30), st.integers(0, 5)),
        st.sampled_from([{"type": "string", "pattern": pattern} for pattern in patterns]),
        st.sampled_from([{"type": "string", "pattern": "^[a-z]*$", "minLength": 9}]),
        st.sampled_from(
            [
                {"type": "string", "format": form}
                for form in ("date", "email", "uri", "uuid", "date-time", "time", "ipv4")
            ]
        ),
    )


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        numbers(),
        strings(),
        st.sampled_from(
            [
                {"type": "boolean"},
                {"type": "null"},
                {"const": {"a": [1]}},
                {"enum": ["x", 1, None, True]},
                {"enum": [[1], [2]]},
            ]
        ),
    )


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def to_object(properties: dict[str, Any], data: list[bool], closed: bool) -> dict[str, Any]:
        required = [name for name, wanted in zip(properties, data, strict=False) if wanted]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": not closed}

    names = st.sampled_from(
        ["city", "minutes", "to", "query", "size", "x", "order_id", "isExpress", "lines", "date", "from"]
    )
    return st.one_of(
        st.builds(
            to_object,
            st.dictionaries(names, inner, max_size=4),
            st.lists(st.booleans(), min_size=4, max_size=4),
            st.booleans(),
        ),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": least + 1},
            inner,
            st.integers(0, 2),
        ),
        st.builds(lambda first: {"type": "array", "prefixItems": first}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda schema: {"anyOf": [schema, {"type": "null"}]}, inner),
        st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner),
        st.builds(lambda schema: {"oneOf": [{"type": "boolean"}, {**schema, "title": "x"}]}, strings()),
    )


SCHEMAS = st.recursive(leaves(), containers, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(inner=SCHEMAS, required=st.booleans(), said=st.sampled_from(SAID))
def test_arguments_always_fit(inner: dict[str, Any], required: bool, said: str) -> None:
    schema = {
        "type": "object",
        "properties": {"value": inner, "city": {"type": "string"}},
        "required": ["value"] if required else [],
    }
    assert_fits(schema, said)


@settings(max_examples=50, deadline=None)
@given(
    least=st.integers(0, 5), kind=st.sampled_from([{"type": "string"}, {"type": "integer"}, {"enum": list("abcdef")}])
)
def test_unique_items_are_unique(least: int, kind: dict[str, Any]) -> None:
    assert_fits(one("xs", type="array", items=kind, minItems=least, uniqueItems=True), "")


@settings(max_examples=100, deadline=None)
@given(said=st.text(max_size=60))
def test_any_words_are_survived(said: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "count": {"type": "integer"},
            "ok": {"type": "boolean"},
            "text": {"type": "string"},
        },
        "required": ["city", "count", "ok", "text"],
    }
    assert_fits(schema, said)


@pytest.mark.parametrize(
    "pattern",
    ["^a{3}b?$", "[^\\d\\s]{2}", "(?:x|y)z+?", "^(?P<a>\\w)-$", "a|b", ".*", "\\bword\\b", "(?i)abc", "^$", "["],
)
def test_patterns_are_matched(pattern: str) -> None:
    text = matching_text(pattern)
    try:
        assert re.search(pattern, text)
    except re.error:
        assert text == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "minItems": 10**12},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "minLength": 10**9, "pattern": "^b+$"},
        {"type": "array", "minItems": 400, "items": {"type": "array", "minItems": 400}},
        {"allOf": [{"$ref": "#/properties/many"}]},
        {"const": 1, "not": {"$ref": "#/properties/many"}},
    ],
)
def test_a_schema_that_asks_for_far_too_much_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="more than"):
        arguments_for(one("many", **schema), "hello")


# --- schemas of any shape ------------------------------------------------------------------------------------------------

KEYWORDS = ["type", "required", "enum", "examples", "pattern", "format", "uniqueItems", "multipleOf", "$ref", "default"]
KEYWORDS += ["properties", "$defs", "anyOf", "oneOf", "allOf", "prefixItems", "items", "not", "additionalProperties"]
KEYWORDS += ["minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "const", "x"]
SCALARS = st.sampled_from([None, True, False, 0, 1, 2.5, -3, "string", "object", "array", "integer", "x", "#/x", "["])
ANY_SHAPE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(schema=st.dictionaries(st.sampled_from(KEYWORDS), ANY_SHAPE, max_size=4), said=st.sampled_from(SAID))
def test_a_schema_is_refused_or_filled(schema: dict[str, Any], said: str) -> None:
    try:
        a_function_s_schema(schema, "parameters")
    except Refusal as refusal:
        assert (refusal.code, refusal.param) == ("invalid_function_parameters", "parameters")
        with pytest.raises(jsonschema.SchemaError):  # nothing that JSON Schema allows is refused
            jsonschema.Draft202012Validator.check_schema(schema)
    else:
        with suppress(ValueError):  # it asks for too much
            assert isinstance(arguments_for({"type": "object", **schema}, said), dict)
