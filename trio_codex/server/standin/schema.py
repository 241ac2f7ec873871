"""The part of JSON Schema that functions are described with: references, types, and whether a value fits.

What is not known here allows anything. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]


class Resolver:
    """Follows the `$ref`s of one schema; how deep it goes is bounded, because schemas may be recursive."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def resolve(self, schema: Any) -> Schema:
        """The schema without `$ref` and `allOf`; what is no object allows anything."""
        seen = 0
        while isinstance(schema, Mapping) and "$ref" in schema and seen < 16:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema, seen = {**self._at(str(schema["$ref"])), **rest}, seen + 1
        if not isinstance(schema, Mapping):
            return {}
        resolved: Schema = schema
        for part in resolved.get("allOf") or ():
            resolved = _both(resolved, self.resolve(part))
        return resolved

    def _at(self, reference: str) -> Schema:
        place: Any = self._root
        for step in reference.lstrip("#").split("/"):
            if step:
                place = place.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(place, Mapping) else {}
        return place if isinstance(place, Mapping) else {}


def _both(one: Schema, other: Schema) -> Schema:
    merged = {**other, **one}
    for key in ("properties", "$defs"):
        if key in one and key in other:
            merged[key] = {**other[key], **one[key]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def kind_of(schema: Schema) -> str:
    """The type that a schema is about, by its `type` or by what it says."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    hints = {"properties": "object", "items": "array", "minimum": "number", "maximum": "number"}
    return next((kind for key, kind in hints.items() if key in schema), "string")


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def fits(value: Any, schema: Any, resolver: Resolver) -> bool:
    """Whether a schema allows a value."""
    if isinstance(schema, bool):
        return schema
    schema = resolver.resolve(schema)
    branches = [fits(value, branch, resolver) for branch in schema.get("anyOf") or schema.get("oneOf") or ()]
    if branches and not any(branches):
        return False
    if "oneOf" in schema and sum(branches) != 1:
        return False
    if "not" in schema and fits(value, schema["not"], resolver):
        return False
    if ("const" in schema and not _same(value, schema["const"])) or (
        "enum" in schema and not any(_same(value, member) for member in schema["enum"])
    ):
        return False
    return _has_type(value, schema) and _within(value, schema, resolver)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _has_type(value: Any, schema: Schema) -> bool:
    kinds = schema.get("type", list(_TYPES))
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if isinstance(value, bool) and kind in ("integer", "number"):
            continue
        if isinstance(value, _TYPES.get(kind, (object,))) or (kind == "integer" and _is_whole(value)):
            return True
    return False


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _within(value: Any, schema: Schema, resolver: Resolver) -> bool:
    match value:
        case bool() | None:
            return True
        case int() | float():
            return _number_within(value, schema)
        case str():
            return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf) and (
                "pattern" not in schema or _matches(schema["pattern"], value)
            )
        case list():
            return _list_within(value, schema, resolver)
        case dict():
            known = schema.get("properties") or {}
            other = schema.get("additionalProperties", True)
            return all(name in value for name in schema.get("required") or ()) and all(
                fits(entry, known.get(name, other), resolver) for name, entry in value.items()
            )
        case _:
            return True


def _number_within(value: float, schema: Schema) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf")
    if not (low <= value <= high and above < value < below):
        return False
    return step is None or math.isclose(value / step, round(value / step), abs_tol=1e-9)


def _list_within(value: list[Any], schema: Schema, resolver: Resolver) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    if schema.get("uniqueItems") and any(entry in value[:at] for at, entry in enumerate(value)):
        return False
    first = schema.get("prefixItems") or []
    rest = schema.get("items", True)
    return all(fits(entry, first[at] if at < len(first) else rest, resolver) for at, entry in enumerate(value))


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True
