"""JSON values into the types of a tool's parameters, strictly: what fits is taken, nothing is coerced.

A cattrs converter whose every leaf and container is checked (cattrs alone takes "7" for a 7 and a string for a list
of letters). An int is fine where a float is asked for. Unknown fields are refused, defaults are kept. The types are
those that `schema` describes; `problems` says where and why a value does not fit, in the words of JSON, for the
model to mend it.

Every hook looks up its parts when it is called, so recursive types need no preparation.
"""

import datetime
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, Union, get_args, is_typeddict

import orjson
from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, typeddicts

from trio_codex.schema import FORMATS, MAPPINGS, SCALARS, SEQUENCES, bare, is_enum, is_record, kind, members

_KINDS: Mapping[Any, str] = {dict: "object", list: "array", **SCALARS}
_READERS: Mapping[Any, Callable[[str], Any]] = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    uuid.UUID: uuid.UUID,
}


class MismatchError(ValueError):
    """A JSON value is not what was asked for."""

    def __init__(self, expected: str, value: object) -> None:
        super().__init__(f"expected {expected}, got {_abridged(value)}")


def _abridged(value: object) -> str:
    if isinstance(value, (dict, list)):
        return f"an {_KINDS[type(value)]}"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}…"


# --- leaves ----------------------------------------------------------------------------------------------------------


def _scalar(value: Any, annotation: Any) -> Any:
    if is_enum(annotation):  # IntEnum and StrEnum come here as subclasses
        return _enum(value, annotation)
    if annotation is float and type(value) is int:
        return float(value)
    if type(value) is not (type(None) if annotation is None else annotation):
        raise MismatchError(SCALARS[annotation], value)
    return value


def _formatted(value: Any, annotation: Any) -> Any:
    if type(value) is str:
        try:
            return _READERS[annotation](value)
        except ValueError:
            pass
    raise MismatchError(f"a string of format {FORMATS[annotation]}", value)


def _chosen(value: Any, choices: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Any:
    pairs = list(choices)
    for wire, meant in pairs:
        if type(wire) is type(value) and wire == value:
            return meant
    raise MismatchError("one of " + ", ".join(_abridged(wire) for wire, _ in pairs), value)


def _literal(value: Any, annotation: Any) -> Any:
    return _chosen(value, ((each, each) for each in get_args(annotation)))


def _enum(value: Any, annotation: Any) -> Any:
    return _chosen(value, ((each.value, each) for each in annotation))


# --- containers ------------------------------------------------------------------------------------------------------


def _parts(given: Iterable[tuple[int | str, Any, Any]], owner: Any) -> Iterator[Any]:
    """Structure (index, value, type) one by one; all that fails is raised together, each with its index."""
    errors = []
    for index, value, annotation in given:
        try:
            yield CONVERTER.structure(value, annotation)
        except Exception as error:
            error.add_note(IterableValidationNote(f"at {index!r}", index, annotation))
            errors.append(error)
    if errors:
        raise IterableValidationError("not all parts fit", errors, owner)


def _array(value: Any, annotation: Any) -> Any:
    if type(value) is not list:
        raise MismatchError("array", value)
    part = (*get_args(annotation), Any)[0]
    made = list(_parts(((index, each, part) for index, each in enumerate(value)), annotation))
    return SEQUENCES[kind(annotation)](made)


def _tuple(value: Any, annotation: Any) -> Any:
    if type(value) is not list:
        raise MismatchError("array", value)
    types = get_args(annotation) or (Any, ...)
    if types[1:] == (...,):
        types = (types[0],) * len(value)
    if len(types) != len(value):
        raise MismatchError(f"array of {len(types)}", value)
    return tuple(_parts(zip(range(len(value)), value, types, strict=True), annotation))


def _mapping(value: Any, annotation: Any) -> Any:
    if type(value) is not dict:
        raise MismatchError("object", value)
    part = (*get_args(annotation)[1:], Any)[0]
    return dict(zip(value, _parts(((key, each, part) for key, each in value.items()), annotation), strict=True))


def _union(value: Any, annotation: Any) -> Any:
    errors: list[Exception] = []
    for part in _candidates(value, get_args(annotation)):
        try:
            return CONVERTER.structure(value, part)
        except Exception as error:
            errors.append(error)
    # Where only one member could have been meant, its own complaint says more than a list of all members.
    deeper = [error for error in errors if isinstance(error, (ClassValidationError, IterableValidationError))]
    if len(deeper) == 1:
        raise deeper[0]
    raise MismatchError(" or ".join(_expected(part) for part in get_args(annotation)), value)


def _candidates(value: Any, parts: tuple[Any, ...]) -> list[Any]:
    """Order and thin out the members of a union for this value.

    One that is exactly the value's own kind comes first (3 for `float | int` stays an int). Classes whose fields or
    tags (Literals) do not fit are left out: trying all of them at every level of a tree would take exponential time.
    """
    if type(value) is dict:
        fitting = [part for part in parts if _may_fit(value, bare(part)[0])]
        return fitting or list(parts)
    return sorted(parts, key=lambda part: bare(part)[0] is not type(value))


def _may_fit(value: dict[str, Any], annotation: Any) -> bool:
    if not is_record(annotation):
        return kind(annotation) in MAPPINGS or annotation in (Any, object)
    fields = {member.key: member for member in members(annotation, {})}
    return (
        value.keys() <= fields.keys()
        and all(key in value for key, member in fields.items() if member.required)
        and all(_tag_fits(each, bare(fields[key].annotation)[0]) for key, each in value.items())
    )


def _tag_fits(value: Any, annotation: Any) -> bool:
    return kind(annotation) is not Literal or any(
        type(each) is type(value) and each == value for each in get_args(annotation)
    )


def _expected(annotation: Any) -> str:
    annotation, _ = bare(annotation)
    base = kind(annotation)
    if base in SCALARS:
        return SCALARS[base]
    if base is Literal:
        return " or ".join(map(_abridged, get_args(annotation)))
    if is_enum(annotation):
        return " or ".join(_abridged(each.value) for each in annotation)
    return "array" if base in SEQUENCES or base is tuple else FORMATS.get(base, "object")


def _record(annotation: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    make: Any = typeddicts.make_dict_structure_fn if is_typeddict(annotation) else make_dict_structure_fn
    structure = make(
        annotation,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        **({} if is_typeddict(annotation) else {"_cattrs_use_alias": True}),
    )

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise MismatchError("object", value)
        return structure(value, annotation)

    return hook


def _strict_converter() -> Converter:
    converter = Converter()
    register = converter.register_structure_hook_func
    register(lambda t: kind(t) in SEQUENCES, _array)
    register(lambda t: kind(t) is tuple, _tuple)
    register(lambda t: kind(t) in MAPPINGS, _mapping)
    converter.register_structure_hook_factory(is_record, _record)
    register(is_enum, _enum)
    register(lambda t: t in FORMATS, _formatted)
    register(lambda t: kind(t) is Literal, _literal)
    register(lambda t: kind(t) is Union, _union)
    register(lambda t: t is Any or t is object, lambda value, _: value)
    register(lambda t: t in SCALARS, _scalar)
    for scalar in (str, int, float):  # cattrs has hooks of its own for these classes, which come before all predicates
        converter.register_structure_hook(scalar, _scalar)
    return converter


CONVERTER = _strict_converter()


def problems(error: Exception, path: str = "$") -> Iterator[str]:
    """Say all that is wrong with a value that could not be structured, each as `$.path: what`."""
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        noted, others = error.group_exceptions()
        for part, note in noted:
            step = note.index if isinstance(note, IterableValidationNote) else note.name
            where = f"{path}[{step}]" if isinstance(step, int) else f"{path}.{step}"
            yield from [f"{where}: required, but missing"] if isinstance(part, KeyError) else problems(part, where)
        for other in others:
            yield from problems(other, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        yield from (f"{path}.{key}: there is no such field" for key in sorted(error.extra_fields))
    elif isinstance(error, RecursionError):
        yield f"{path[:40]}…: nested too deeply"
    else:
        yield f"{path}: {error}"
