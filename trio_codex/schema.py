"""JSON schema from Python types: what a model is told about the arguments of a tool.

Owns the list of types that tools may use. `structuring` reads JSON by the same list; what is described here is
accepted there and nothing else is. Objects are closed (`additionalProperties: false`), a field with a default is
not required. Classes go to `$defs` under their own name, so that they may be nested and recursive.

It must not know what a tool is. `UnsupportedTypeError` is for its caller, who can say whose parameter it was.
"""

import dataclasses
import datetime
import enum
import inspect
import math
import types
import typing
import uuid
from collections import abc
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NewType, NotRequired, Required, Union, get_args, get_origin
from weakref import WeakKeyDictionary

import attrs

from trio_codex.docstrings import parse_docstring

Json = dict[str, Any]
ABSENT: Any = inspect.Parameter.empty

SCALARS: Mapping[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    None: "null",
    types.NoneType: "null",
}
FORMATS: Mapping[Any, str] = {
    datetime.datetime: "date-time",
    datetime.date: "date",
    datetime.time: "time",
    uuid.UUID: "uuid",
}
SEQUENCES: Mapping[Any, type] = {
    list: list,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Collection: list,
    abc.Iterable: list,
    set: set,
    abc.MutableSet: set,
    abc.Set: frozenset,
    frozenset: frozenset,
}
MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_ALIAS = getattr(typing, "TypeAliasType", ())  # Python 3.12


class UnsupportedTypeError(Exception):
    """A type that has no strict JSON form; the text says which and why."""


@attrs.frozen
class Member:
    """One field of an object: of a class, or a parameter of a function; `default` is shown if JSON can say it."""

    key: str
    annotation: Any
    required: bool
    default: Any = ABSENT
    description: str = ""


def bare(annotation: Any) -> tuple[Any, str]:
    """Take `Annotated`, `Required`, `NewType` and aliases off; gives the type itself and the description on the way."""
    description = ""
    while True:
        if get_origin(annotation) is Annotated:
            description = description or next((each for each in annotation.__metadata__ if isinstance(each, str)), "")
            annotation = annotation.__origin__
        elif get_origin(annotation) in (Required, NotRequired):
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, _ALIAS):
            annotation = annotation.__value__
        else:
            return annotation, description


def kind(annotation: Any) -> Any:
    """Give what decides about a type: its origin (`list` for `list[int]`, `Union` for `A | B`) or the type itself."""
    origin = get_origin(annotation) or annotation
    return Union if origin is types.UnionType else origin


def is_enum(annotation: Any) -> bool:
    """Say whether it is an enumeration."""
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def is_record(annotation: Any) -> bool:
    """Say whether it is a class with fields: attrs, dataclass or TypedDict."""
    return isinstance(annotation, type) and (
        attrs.has(annotation) or dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation)
    )


def show(annotation: Any) -> str:
    """Write a type as its user wrote it, more or less."""
    return annotation.__qualname__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


# --- classes ---------------------------------------------------------------------------------------------------------


_MEMBERS: WeakKeyDictionary[type, tuple[Member, ...]] = WeakKeyDictionary()


def members(cls: type, local: Mapping[str, Any]) -> tuple[Member, ...]:
    """Give the fields of an attrs class, dataclass or TypedDict as JSON knows them. Raises UnsupportedTypeError.

    `local` are the names visible where the tool was written: a class defined inside a function may refer to its
    neighbours. They matter the first time; then the annotations stay resolved, on the class too, where cattrs looks.
    """
    if cls not in _MEMBERS:
        try:
            try:
                hints = _resolve(cls, None)
            except NameError:
                hints = _resolve(cls, dict(local))
        except (NameError, AttributeError, TypeError, SyntaxError) as error:
            raise UnsupportedTypeError(f"an annotation of {show(cls)} cannot be resolved ({error})") from error
        _MEMBERS[cls] = tuple(_members(cls, hints))
    return _MEMBERS[cls]


def _resolve(cls: type, local: dict[str, Any] | None) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, localns=local, include_extras=True)
    if attrs.has(cls):
        attrs.resolve_types(cls, localns=local)
    elif dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            field.type = hints[field.name]
    else:
        _resolve_typed_dict(cls, hints)
    return hints


def _resolve_typed_dict(cls: Any, hints: dict[str, Any]) -> None:
    # Python itself overlooks Required and NotRequired where annotations are strings.
    required = {key for key in hints if _required(hints[key], key in cls.__required_keys__)}
    cls.__annotations__ = hints
    cls.__required_keys__, cls.__optional_keys__ = frozenset(required), frozenset(hints.keys() - required)


def _required(annotation: Any, otherwise: bool) -> bool:
    while get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
    origin = get_origin(annotation)
    return origin is Required or (otherwise and origin is not NotRequired)


def _members(cls: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    if typing.is_typeddict(cls):
        yield from (Member(key, annotation, key in cls.__required_keys__) for key, annotation in hints.items())
    elif attrs.has(cls):
        for field in attrs.fields(cls):
            if field.init:
                required = field.default is attrs.NOTHING
                default = ABSENT if required else field.default
                yield Member(field.alias or field.name, hints[field.name], required, default)
    else:
        for each in dataclasses.fields(cls):
            if each.init:
                required = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
                yield Member(each.name, hints[each.name], required, each.default)


# --- describing ------------------------------------------------------------------------------------------------------


@attrs.define
class _Description:
    """One schema in the making: the definitions met so far, each class under a name of its own."""

    local: Mapping[str, Any]
    definitions: dict[str, Json] = attrs.field(factory=dict)
    names: dict[type, str] = attrs.field(factory=dict)

    def of(self, annotation: Any) -> Json:
        annotation, description = bare(annotation)
        schema = self._of_bare(annotation)
        return {**schema, "description": description} if description else schema

    def _of_bare(self, annotation: Any) -> Json:
        base, parts = kind(annotation), get_args(annotation)
        if annotation is Any or annotation is object:
            return {}
        if base in SCALARS:
            return {"type": SCALARS[base]}
        if base in FORMATS:
            return {"type": "string", "format": FORMATS[base]}
        if base is Literal:
            return _choice(parts)
        if base is Union:
            return {"anyOf": [self.of(part) for part in parts]}
        if base is tuple:
            return self._tuple(parts)
        if base in SEQUENCES:
            return self._array(parts[0] if parts else Any, unique=issubclass(SEQUENCES[base], abc.Set))
        if base in MAPPINGS:
            return self._mapping(parts)
        if is_enum(annotation):
            return _choice([each.value for each in annotation])
        if is_record(annotation):
            return {"$ref": f"#/$defs/{self._define(annotation)}"}
        raise UnsupportedTypeError(f"{show(annotation)} is not a type that a model can fill in")

    def _array(self, part: Any, *, unique: bool = False) -> Json:
        return {"type": "array", "items": self.of(part)} | ({"uniqueItems": True} if unique else {})

    def _tuple(self, parts: tuple[Any, ...]) -> Json:
        if not parts:
            return self._array(Any)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return self._array(parts[0])
        each = [self.of(part) for part in parts]
        # Servers refuse an array without `items` even where `prefixItems` says it all.
        return {
            "type": "array",
            "prefixItems": each,
            "items": {"anyOf": each},
            "minItems": len(each),
            "maxItems": len(each),
        }

    def _mapping(self, parts: tuple[Any, ...]) -> Json:
        if not parts:
            return {"type": "object", "additionalProperties": True}
        if bare(parts[0])[0] is not str:
            raise UnsupportedTypeError(f"keys of a JSON object are str, not {show(parts[0])}")
        return {"type": "object", "additionalProperties": self.of(parts[1])}

    def _define(self, cls: type) -> str:
        if cls not in self.names:
            name, number = cls.__name__, 1
            while name in self.definitions:
                number += 1
                name = f"{cls.__name__}_{number}"
            self.names[cls] = name
            self.definitions[name] = {}  # taken: the class may refer to itself
            try:
                self.definitions[name] = self.record(cls)
            except UnsupportedTypeError as error:
                raise UnsupportedTypeError(f"{error} (in {show(cls)})") from None
        return self.names[cls]

    def record(self, cls: type) -> Json:
        said = parse_docstring("" if _made_up(cls) else cls.__doc__)
        fields = [
            attrs.evolve(member, description=said.parameters.get(member.key, "")) for member in members(cls, self.local)
        ]
        return self.object(fields) | ({"description": said.text} if said.text else {})

    def object(self, fields: list[Member]) -> Json:
        properties = {}
        for member in fields:
            properties[member.key] = self.of(member.annotation)
            if member.description:
                properties[member.key].setdefault("description", member.description)
            if (default := _plain(member.default)) is not ABSENT:
                properties[member.key]["default"] = default
        required = [member.key for member in fields if member.required]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def finish(self, schema: Json) -> Json:
        return schema | ({"$defs": self.definitions} if self.definitions else {})


def _made_up(cls: type) -> bool:
    """Say whether the docstring is the signature that dataclasses put there."""
    return dataclasses.is_dataclass(cls) and (cls.__doc__ or "").startswith(f"{cls.__name__}(")


def _choice(values: Any) -> Json:
    kinds = {SCALARS.get(type(value)) for value in values}
    if None in kinds:
        raise UnsupportedTypeError("the values of a Literal or Enum must be str, int, float, bool or None")
    return ({"type": kinds.pop()} if len(kinds) == 1 else {}) | {"enum": list(values)}


def _plain(value: Any) -> Any:
    """Give a default as JSON, ABSENT when it has no such form."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, (list, tuple)):
        parts = [_plain(each) for each in value]
        return ABSENT if ABSENT in parts else parts
    return value if type(value) in SCALARS and value not in (math.inf, -math.inf) and value == value else ABSENT


def describe_object(fields: list[Member], local: Mapping[str, Any]) -> Json:
    """Describe an object with these fields: the `parameters` of a function. Raises UnsupportedTypeError."""
    description = _Description(local)
    return description.finish(description.object(fields))


def describe_record(cls: type, local: Mapping[str, Any]) -> Json:
    """Describe a class by itself, not by reference. Raises UnsupportedTypeError."""
    description = _Description(local)
    return description.finish(description.record(cls))


def describe(annotation: Any, local: Mapping[str, Any]) -> Json:
    """Describe any supported type. Raises UnsupportedTypeError."""
    description = _Description(local)
    return description.finish(description.of(annotation))
