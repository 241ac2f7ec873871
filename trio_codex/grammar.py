"""What a client may say, as rules: the small grammar in which the server's tables are written, and the refusal.

A rule is a callable `(value, path)` that returns when the value is good and raises `Refusal` otherwise, with the code, the parameter
and the kind of sentence that the API uses. Rules look at one value only: what depends on state is the business of who has it.
Knows no event and no endpoint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

Rule: TypeAlias = Callable[[Any, str], None]


class Refusal(Exception):  # noqa: N818 - never leaves the server: it becomes an error of the API
    """The reason why a client's event or request is not obeyed; `kind` is the API's type of error."""

    def __init__(
        self, code: str | None, message: str, param: str | None = None, *, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind


_KINDS: Final = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "null" if value is None else type(value).__name__)


def wrong_type(path: str, expected: str, value: Any) -> Refusal:
    """The refusal of a value of the wrong type."""
    where = f" for '{path}'" if path else ""
    return Refusal("invalid_type", f"Invalid type{where}: expected {expected}, but got {_kind(value)} instead.", path)


def wrong_value(path: str, message: str) -> Refusal:
    """The refusal of a value of the right type; `message` goes on after the parameter's name."""
    return Refusal("invalid_value", f"Invalid '{path}': {message}", path)


def text(*, at_most: int | None = None, pattern: str | None = None) -> Rule:
    """A string, of so many characters at most, in this form."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(path, "a string", value)
        if at_most is not None and len(value) > at_most:
            raise wrong_value(path, f"string too long. Expected at most {at_most} characters, but got {len(value)}.")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise wrong_value(path, f"string does not match pattern. Expected a string that matches '{pattern}'.")

    return check


def flag(value: Any, path: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)


def number(low: float, high: float | None = None, *, whole: bool = False) -> Rule:
    """A number within these bounds."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise wrong_type(path, "an integer" if whole else "a decimal", value)
        if value < low:
            raise wrong_value(path, f"Expected a value >= {low}, but got {value} instead.")
        if high is not None and value > high:
            raise wrong_value(path, f"Expected a value <= {high}, but got {value} instead.")

    return check


def one_of(*values: Any) -> Rule:
    """One of these values."""

    def check(value: Any, path: str) -> None:
        if value not in values:
            supported = ", ".join(repr(entry) for entry in values)
            raise Refusal("invalid_value", f"Invalid value: {value!r}. Supported values are: {supported}.", path)

    return check


def nullable(rule: Rule) -> Rule:
    """Null, or what the rule says."""
    return lambda value, path: None if value is None else rule(value, path)


def either(plain: Rule, structured: Rule) -> Rule:
    """A plain value as the first rule says, or an object as the second says."""
    return lambda value, path: (structured if isinstance(value, Mapping) else plain)(value, path)


def each(rule: Rule, *, at_least: int = 0) -> Rule:
    """A list of what the rule says, of so many entries at least."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        if len(value) < at_least:
            raise wrong_value(path, f"array too short. Expected at least {at_least} entries, but got {len(value)}.")
        for index, entry in enumerate(value):
            rule(entry, f"{path}[{index}]")

    return check


def below(path: str, name: str) -> str:
    """The path of a field; that of the whole is empty."""
    return f"{path}.{name}" if path else name


def fields(*required: str, others_pass: bool = False, **rules: Rule) -> Rule:
    """An object with these fields and no others, or with others that nobody looks at."""

    def check(value: Any, path: str) -> None:
        an_object(value, path)
        for name in required:
            if name not in value:
                raise Refusal(
                    "missing_required_parameter",
                    f"Missing required parameter: '{below(path, name)}'.",
                    below(path, name),
                )
        for name, entry in value.items():
            if name not in rules:
                if others_pass:
                    continue
                where = below(path, name)
                raise Refusal("unknown_parameter", f"Unknown parameter: '{where}'.", where)
            rules[name](entry, below(path, name))

    return check


def tagged(**members: Rule) -> Rule:
    """An object whose `type` says which of the rules holds for it."""

    def check(value: Any, path: str) -> None:
        an_object(value, path)
        where = below(path, "type")
        if "type" not in value:
            raise Refusal("missing_required_parameter", f"Missing required parameter: '{where}'.", where)
        one_of(*(name.replace("__", "/") for name in members))(value["type"], where)
        members[value["type"].replace("/", "__")](value, path)

    return check


def an_object(value: Any, path: str) -> None:
    """Any object: a prompt's variables, what goes with a trace."""
    if not isinstance(value, Mapping):
        raise wrong_type(path, "an object", value)


# --- JSON schemas ------------------------------------------------------------------------------------------------------


def a_function_s_schema(value: Any, path: str) -> None:
    """What describes the parameters of a function: an object that is a JSON schema, as far as anybody here reads it."""
    an_object(value, path)
    try:
        _check_schema(value, path)
    except Refusal as refusal:
        raise Refusal("invalid_function_parameters", f"Invalid schema for function: {refusal.message}", path) from None


def _check_schema(root: Any, path: str) -> None:
    below_it = [(root, path, 0)]
    while below_it:  # no recursion: how deep it goes is the client's choice
        schema, where, depth = below_it.pop()
        if isinstance(schema, bool):
            continue
        if depth > _DEEPEST_SCHEMA:
            raise wrong_value(path, f"nested too deeply. Expected at most {_DEEPEST_SCHEMA} levels.")
        _KEYWORDS(schema, where)
        below_it += [(inner, at, depth + 1) for inner, at in _schemas_in(schema, where)]


def _schemas_in(schema: Mapping[str, Any], path: str) -> Iterator[tuple[Any, str]]:
    for name in _SCHEMA_MAPS & schema.keys():
        yield from ((inner, below(f"{path}.{name}", each_name)) for each_name, inner in schema[name].items())
    for name in _SCHEMA_LISTS & schema.keys():
        yield from ((inner, f"{path}.{name}[{at}]") for at, inner in enumerate(schema[name]))
    for name in _SCHEMAS & schema.keys():
        yield schema[name], f"{path}.{name}"


def _anything(_value: Any, _path: str) -> None:
    pass


def _more_than_nothing(value: Any, path: str) -> None:
    number(0)(value, path)
    if value == 0:
        raise wrong_value(path, "Expected a value > 0, but got 0 instead.")


_DEEPEST_SCHEMA: Final = 64
_SCHEMA_MAPS: Final = frozenset({"properties", "$defs", "definitions"})
_SCHEMA_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS: Final = frozenset({"items", "not", "additionalProperties"})
_SIMPLE_TYPE: Final = one_of("null", "boolean", "object", "array", "number", "integer", "string")
_KEYWORDS: Final = fields(
    others_pass=True,
    type=lambda value, path: (each(_SIMPLE_TYPE) if isinstance(value, list) else _SIMPLE_TYPE)(value, path),
    required=each(text()),
    enum=each(_anything),
    examples=each(_anything),
    pattern=text(),
    format=text(),
    uniqueItems=flag,
    multipleOf=_more_than_nothing,
    **{"$ref": text()},
    **dict.fromkeys(_SCHEMA_MAPS, an_object),
    **dict.fromkeys(_SCHEMA_LISTS, each(_anything)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), number(0)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), number(-math.inf)),
)
