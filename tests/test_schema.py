"""What the model is told and what is accepted are the same: described types, strict structuring, and both at once."""

import dataclasses
import datetime
import enum
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NewType, Required, TypedDict

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from trio_codex.schema import UnsupportedTypeError, describe, describe_record
from trio_codex.structuring import CONVERTER, problems


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Tone(enum.StrEnum):
    SOFT = "soft"


UserId = NewType("UserId", int)


@attrs.frozen
class Point:
    """A place.

    Attributes:
        x: to the right
    """

    x: int
    y: Annotated[int, "upwards"] = 0


@dataclasses.dataclass
class Tree:
    value: int
    children: "list[Tree]" = dataclasses.field(default_factory=list)


class Address(TypedDict, total=False):
    street: Required[str]
    number: int


@attrs.frozen
class Circle:
    kind: Literal["circle"]
    radius: float


@attrs.frozen
class Square:
    kind: Literal["square"]
    side: float


@attrs.frozen
class Hidden:
    _inner: int
    derived: int = attrs.field(init=False, default=3)


def structured(annotation: Any, value: Any) -> Any:
    return CONVERTER.structure(json.loads(json.dumps(value)), annotation)


def complaint(annotation: Any, value: Any) -> str:
    with pytest.raises(Exception) as caught:
        structured(annotation, value)
    return "; ".join(problems(caught.value))


# --- what is said ---


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (UserId, {"type": "integer"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Color, {"type": "string", "enum": ["red", "blue"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (list, {"type": "array", "items": {}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (dict, {"type": "object", "additionalProperties": True}),
        (datetime.date, {"type": "string", "format": "date"}),
        (Annotated[str, "a name"], {"type": "string", "description": "a name"}),
    ],
)
def test_described(annotation: Any, schema: dict[str, Any]) -> None:
    assert describe(annotation, {}) == schema


def test_a_fixed_tuple_says_its_items_twice() -> None:
    schema = describe(tuple[int, str], {})
    assert schema["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert (schema["minItems"], schema["maxItems"]) == (2, 2)
    assert "items" in schema


def test_a_class_describes_its_fields() -> None:
    assert describe_record(Point, {}) == {
        "type": "object",
        "description": "A place.",
        "properties": {
            "x": {"type": "integer", "description": "to the right"},
            "y": {"type": "integer", "description": "upwards", "default": 0},
        },
        "required": ["x"],
        "additionalProperties": False,
    }


def test_recursive_classes_refer_to_themselves() -> None:
    schema = describe(Tree, {})
    assert schema["$ref"] == "#/$defs/Tree"
    assert schema["$defs"]["Tree"]["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    assert schema["$defs"]["Tree"]["required"] == ["value"]
    assert "description" not in schema["$defs"]["Tree"]  # the made-up docstring of a dataclass says nothing


def test_classes_of_one_name_keep_apart() -> None:
    other = attrs.make_class("Point", {"z": attrs.field(type=str)})
    schema = describe(tuple[Point, other], {})  # type: ignore[valid-type]
    assert schema["$defs"].keys() == {"Point", "Point_2"}


def test_typed_dict_with_required_keys() -> None:
    assert describe_record(Address, {})["required"] == ["street"]


def test_private_and_derived_fields() -> None:
    assert describe_record(Hidden, {})["properties"].keys() == {"inner"}
    assert structured(Hidden, {"inner": 1}) == Hidden(1)


@pytest.mark.parametrize(
    "annotation",
    [bytes, complex, Callable[[], int], dict[int, str], list[bytes], type, Literal[b"x"], object()],
)
def test_types_that_no_model_can_fill_in(annotation: Any) -> None:
    with pytest.raises(UnsupportedTypeError):
        describe(annotation, {})


def test_the_path_to_an_unsupported_type_is_named() -> None:
    cls = attrs.make_class(
        "Outer", {"inner": attrs.field(type=attrs.make_class("Inner", {"b": attrs.field(type=bytes)}))}
    )
    with pytest.raises(UnsupportedTypeError, match=r"bytes is not .* \(in Inner\) \(in Outer\)"):
        describe(cls, {})


def test_an_annotation_that_cannot_be_resolved() -> None:
    cls = attrs.make_class("Broken", {"x": attrs.field(type="Nowhere")})
    with pytest.raises(UnsupportedTypeError, match=r"Broken cannot be resolved .*Nowhere"):
        describe(cls, {})


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements are newer")
def test_type_aliases() -> None:
    names: dict[str, Any] = {}
    exec("type Ids = list[int]", names)
    assert describe(names["Ids"], {}) == {"type": "array", "items": {"type": "integer"}}
    assert structured(names["Ids"], [1]) == [1]


# --- what is taken ---


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 7, 7.0),
        (Color, "red", Color.RED),
        (Level, 2, Level.HIGH),
        (Tone, "soft", Tone.SOFT),
        (UserId, 3, 3),
        (int | None, None, None),
        (float | int, 3, 3),
        (list[int | str], [1, "a"], [1, "a"]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple, [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (frozenset[str], ["a"], frozenset("a")),
        (Iterable[int], [1], [1]),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (Mapping[str, Any], {"a": None}, {"a": None}),
        (Point, {"x": 1}, Point(1)),
        (Tree, {"value": 1, "children": [{"value": 2}]}, Tree(1, [Tree(2)])),
        (Address, {"street": "Main"}, {"street": "Main"}),
        (Point | Tree | None, {"value": 1}, Tree(1)),
        (Circle | Square, {"kind": "square", "side": 2}, Square("square", 2.0)),
        (datetime.date, "2026-02-28", datetime.date(2026, 2, 28)),
        (datetime.datetime, "2026-02-28T10:00:00", datetime.datetime(2026, 2, 28, 10)),
        (uuid.UUID, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
        (Annotated[int, "a number"], 5, 5),
    ],
)
def test_structured(annotation: Any, value: Any, expected: Any) -> None:
    found = structured(annotation, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (int, "7", '$: expected integer, got "7"'),
        (int, True, "$: expected integer, got true"),
        (int, 7.0, "$: expected integer, got 7.0"),
        (bool, 1, "$: expected boolean, got 1"),
        (str, None, "$: expected string, got null"),
        (float, "1", '$: expected number, got "1"'),
        (str, ["a"], "$: expected string, got an array"),
        (list[str], "abc", '$: expected array, got "abc"'),
        (list[int], [1, "2", None], '$[1]: expected integer, got "2"; $[2]: expected integer, got null'),
        (dict[str, int], {"a": "b"}, '$.a: expected integer, got "b"'),
        (dict[str, int], [], "$: expected object, got an array"),
        (tuple[int, str], [1], "$: expected array of 2, got an array"),
        (set[int], {"a": 1}, "$: expected array, got an object"),
        (Literal[1, "a"], True, '$: expected one of 1, "a", got true'),
        (Level, True, "$: expected one of 1, 2, got true"),
        (Color, "RED", '$: expected one of "red", "blue", got "RED"'),
        (int | None, "7", '$: expected integer or null, got "7"'),
        (Point | None, {"x": "1"}, '$.x: expected integer, got "1"'),
        (Point, {}, "$.x: required, but missing"),
        (Point, {"x": 1, "z": 2}, "$.z: there is no such field"),
        (Point, [1], "$: expected object, got an array"),
        (Tree, {"value": 1, "children": [{"value": None}]}, "$.children[0].value: expected integer, got null"),
        (Address, {"street": "a", "number": "1"}, '$.number: expected integer, got "1"'),
        (Address, {"number": 1}, "$.street: required, but missing"),
        (datetime.date, "tomorrow", '$: expected a string of format date, got "tomorrow"'),
        (datetime.date, 5, "$: expected a string of format date, got 5"),
    ],
)
def test_refused(annotation: Any, value: Any, said: str) -> None:
    assert complaint(annotation, value) == said


def test_a_long_value_is_abridged() -> None:
    assert len(complaint(int, "x" * 10_000)) < 120


def test_a_validator_of_the_class_speaks_for_itself() -> None:
    @attrs.frozen
    class Even:
        n: int = attrs.field()

        @n.validator
        def _check(self, _: object, value: int) -> None:
            if value % 2:
                raise ValueError("must be even")

    assert complaint(list[Even], [{"n": 1}]) == "$[0]: must be even"


class Add(TypedDict):
    op: Literal["+"]
    left: "Add | Mul | int"


class Mul(TypedDict):
    op: Literal["*"]
    left: "Add | Mul | int"


def test_tagged_unions_do_not_take_exponential_time() -> None:
    describe(Add | Mul, {})
    value: Any = 1
    for _ in range(60):
        value = {"op": "*", "left": {"op": "+", "left": value}}
    assert structured(Add | Mul, value) == value


# --- both at once ---

TYPES: tuple[Any, ...] = (
    str,
    int,
    float,
    bool,
    None,
    Literal["a", 1, None],
    Color,
    Level,
    int | None,
    list[int],
    list[str | None],
    tuple[int, str],
    dict[str, bool],
    dict[str, float] | list[int],
    Point,
    Point | Tree,
    list[Tree],
    Address,
    Circle | Square,
)


def agrees(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """Validate as JSON schema says, as far as our schemas go."""
    if "$ref" in schema:
        return agrees(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema:
        return any(agrees(each, value, root) for each in schema["anyOf"])
    if "enum" in schema:
        return any(type(each) is type(value) and each == value for each in schema["enum"])
    kinds: dict[str, Any] = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}
    match schema.get("type"):
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "array" if isinstance(value, list):
            parts = schema.get("prefixItems", [schema["items"]] * len(value))
            return len(parts) == len(value) and all(
                agrees(part, each, root) for part, each in zip(parts, value, strict=True)
            )
        case "object" if isinstance(value, dict):
            named, others = schema.get("properties", {}), schema["additionalProperties"]
            return set(schema.get("required", ())) <= value.keys() and all(
                agrees(named.get(key, others), each, root) if key in named or others is not False else False
                for key, each in value.items()
            )
        case kind:
            return isinstance(value, kinds[str(kind)])


keys = st.sampled_from(["x", "y", "value", "children", "kind", "side", "radius", "street", "number", "z"])
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "red", "square", "circle", "7", 1.5])
json_values = st.recursive(leaves, lambda each: st.lists(each, max_size=3) | st.dictionaries(keys, each, max_size=3))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TYPES), json_values)
def test_what_is_described_is_what_is_accepted(annotation: Any, value: Any) -> None:
    schema = describe(annotation, {})
    said: list[str] = []
    try:
        CONVERTER.structure(value, annotation)
    except Exception as error:
        said = list(problems(error))
    assert agrees(schema, value, schema) == (not said)
    assert all(each.startswith("$") for each in said)
