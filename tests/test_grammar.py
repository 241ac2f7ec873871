"""The rules of what a client may say: what passes, what is refused, and how the refusal names it."""

from __future__ import annotations

from typing import Any

import pytest

from trio_codex.grammar import (
    Refusal,
    Rule,
    a_function_s_schema,
    an_object,
    each,
    either,
    fields,
    flag,
    nullable,
    number,
    one_of,
    tagged,
    text,
)

PERSON = fields("name", name=text(at_most=5), age=number(0, 150, whole=True))


def refusal(rule: Rule, value: Any, path: str = "") -> tuple[str | None, str | None]:
    with pytest.raises(Refusal) as refused:
        rule(value, path)
    return refused.value.code, refused.value.param


@pytest.mark.parametrize(
    ("rule", "value", "code", "param"),
    [
        (PERSON, {}, "missing_required_parameter", "name"),
        (PERSON, {"name": 3}, "invalid_type", "name"),
        (PERSON, {"name": "Leopold"}, "invalid_value", "name"),
        (PERSON, {"name": "Leo", "age": 2.5}, "invalid_type", "age"),
        (PERSON, {"name": "Leo", "age": True}, "invalid_type", "age"),
        (PERSON, {"name": "Leo", "age": -1}, "invalid_value", "age"),
        (PERSON, {"name": "Leo", "height": 2}, "unknown_parameter", "height"),
        (PERSON, [], "invalid_type", None),
        (each(PERSON, at_least=2), [{"name": "Leo"}], "invalid_value", None),
        (fields(all=each(PERSON)), {"all": [{"name": "Leo"}, {}]}, "missing_required_parameter", "all[1].name"),
        (text(pattern="[a-z]+"), "A", "invalid_value", None),
        (flag, 1, "invalid_type", None),
        (one_of("a", "b"), "c", "invalid_value", None),
        (nullable(flag), 0, "invalid_type", None),
        (either(text(), PERSON), {"age": 3}, "missing_required_parameter", "name"),
        (either(text(), PERSON), 3, "invalid_type", None),
        (tagged(person=an_object), {}, "missing_required_parameter", "type"),
        (tagged(person=an_object), {"type": "dog"}, "invalid_value", "type"),
        (tagged(audio__pcm=an_object), {"type": "audio__pcm"}, "invalid_value", "type"),
    ],
)
def test_what_is_refused(rule: Rule, value: Any, code: str, param: str | None) -> None:
    assert refusal(rule, value) == (code, param or "")
    assert refusal(rule, value, "session") == (code, f"session.{param}" if param else "session")


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (PERSON, {"name": "Leo", "age": 7}),
        (fields(others_pass=True, a=flag), {"a": True, "b": object()}),
        (nullable(PERSON), None),
        (either(text(), PERSON), "Leo"),
        (either(text(), PERSON), {"name": "Leo"}),
        (tagged(audio__pcm=an_object), {"type": "audio/pcm"}),
        (number(0), 1e9),
    ],
)
def test_what_passes(rule: Rule, value: Any) -> None:
    rule(value, "")


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "Invalid type for 'it': expected an object, but got an array instead."),
        ({"type": "text"}, "'text'. Supported values are: 'null', 'boolean', "),
        ({"type": ["string", 3]}, "Invalid value: 3."),
        ({"properties": [1]}, "'it.properties': expected an object"),
        ({"properties": {"a": "string"}}, "'it.properties.a': expected an object, but got a string"),
        ({"properties": {"a": {"items": {"anyOf": [{"enum": 5}]}}}}, "'it.properties.a.items.anyOf[0].enum'"),
        ({"$defs": {"a": {"required": [1]}}}, "'it.$defs.a.required[0]': expected a string"),
        ({"additionalProperties": "no"}, "'it.additionalProperties'"),
        ({"minLength": -1}, "'it.minLength': Expected a value >= 0"),
        ({"maximum": "10"}, "'it.maximum': expected a decimal"),
        ({"multipleOf": 0}, "'it.multipleOf': Expected a value > 0, but got 0 instead."),
        ({"pattern": 3}, "'it.pattern'"),
        (nested(65), "nested too deeply. Expected at most 64 levels."),
        (nested(5000), "nested too deeply"),
    ],
)
def test_schemas_of_the_wrong_shape(schema: Any, says: str) -> None:
    with pytest.raises(Refusal) as refused:
        a_function_s_schema(schema, "it")
    assert says in refused.value.message
    assert refused.value.param == "it"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"a": True, "b": {"$ref": "#/$defs/b"}}, "additionalProperties": False},
        {"type": ["object", "null"], "x-note": [], "properties": {"n": {"minimum": -3.5, "multipleOf": 0.1}}},
        nested(64),
    ],
)
def test_schemas_that_pass(schema: Any) -> None:
    a_function_s_schema(schema, "it")
