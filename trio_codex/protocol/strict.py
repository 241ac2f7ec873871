"""Strict translation of scalars, arrays and mappings between JSON and Python; where the cattrs converter lives.

cattrs coerces by default (`"7"` becomes 7, None becomes "None"); these hooks do not: they return what fits and raise `Misfit` for
what does not. The one change of kind is base64 text to bytes, and 5.0 to 5 where an integer is expected (equal by value).
Unions and classes are `convert`'s, which completes the converter; take it from there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast, get_args, get_origin

import pybase64
from cattrs import Converter

from trio_codex.protocol.wire import Misfit

__all__ = [
    "SCALARS",
    "Structure",
    "Unstructure",
    "converter",
    "decoded_base64",
    "has_origin",
    "re_encodes",
    "unchanged",
]


class Structure(Protocol):
    """A hook that turns a JSON value into a Python one.

    cattrs passes the annotation too; our hooks are made for one annotation each and are called without it.
    """

    def __call__(self, value: Any, annotation: Any = ..., /) -> Any:
        """Translate, or raise `Misfit`."""


Unstructure = Callable[[Any], Any]

converter: Converter = Converter(detailed_validation=False)


def structure_hook(annotation: Any) -> Structure:
    """The converter's hook for an annotation, which may be called with the value alone."""
    return cast("Structure", converter.get_structure_hook(annotation))


def exact_str(value: Any, _: object = None) -> str:
    if type(value) is str:
        return value
    raise Misfit.expected("a string", value)


def exact_bool(value: Any, _: object = None) -> bool:
    if type(value) is bool:
        return value
    raise Misfit.expected("a boolean", value)


def exact_int(value: Any, _: object = None) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise Misfit.expected("an integer", value)


def exact_float(value: Any, _: object = None) -> float:
    # An integer stays one: as a float it could lose digits.
    if type(value) is float or type(value) is int:
        return value
    raise Misfit.expected("a number", value)


def decoded_base64(value: Any, _: object = None) -> bytes:
    """The bytes of standard, padded base64 without anything in between."""
    if type(value) is not str:
        raise Misfit.expected("a string of base64", value)
    try:
        return pybase64.b64decode(value, validate=True)
    except ValueError:
        raise Misfit("not valid base64") from None


def encoded_base64(value: Any) -> str:
    if type(value) is not bytes:
        raise Misfit.expected("bytes", value)
    return pybase64.b64encode_as_string(value)


def re_encodes(text: str) -> bool:
    """Whether valid base64 is what its bytes encode to: the last character before the padding has bits that no byte keeps."""
    if not text.endswith("="):
        return True
    return text[-3] in "AQgw" if text.endswith("==") else text[-2] in "AEIMQUYcgkosw048"


def unchanged(value: Any, _: object = None) -> Any:
    """The hook of `Any`: JSON that is kept as it is."""
    return value


SCALARS: dict[type, tuple[Structure, Unstructure]] = {
    str: (exact_str, exact_str),
    bool: (exact_bool, exact_bool),
    int: (exact_int, exact_int),
    float: (exact_float, exact_float),
    bytes: (decoded_base64, encoded_base64),
}


def structure_tuple(annotation: Any) -> Structure:
    hook = structure_hook(get_args(annotation)[0])

    def structure(value: Any, _: object = None) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Misfit.expected("an array", value)
        try:
            return tuple(map(hook, value))
        except Misfit:
            raise first_misfit(hook, value) from None

    return structure


def unstructure_tuple(annotation: Any) -> Unstructure:
    hook = converter.get_unstructure_hook(get_args(annotation)[0])

    def unstructure(value: Any) -> list[Any]:
        if not isinstance(value, tuple | list):
            raise Misfit.expected("a sequence", value)
        try:
            return list(map(hook, value))
        except Misfit:
            raise first_misfit(hook, value) from None

    return unstructure


def first_misfit(hook: Callable[[Any], Any], items: Sequence[Any]) -> Misfit:
    """The misfit with its index, which `map` does not tell."""
    for index, item in enumerate(items):
        try:
            hook(item)
        except Misfit as misfit:
            misfit.steps.append(index)
            return misfit
    raise AssertionError("a hook has to be a function of its argument")


def structure_mapping(annotation: Any) -> Structure:
    hook = structure_hook(get_args(annotation)[1])

    def structure(value: Any, _: object = None) -> dict[str, Any]:
        if type(value) is not dict:
            raise Misfit.expected("an object", value)
        return value if hook is unchanged else {key: located(hook, key, item) for key, item in value.items()}

    return structure


def unstructure_mapping(annotation: Any) -> Unstructure:
    hook = converter.get_unstructure_hook(get_args(annotation)[1])

    def unstructure(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Misfit.expected("a mapping", value)
        return dict(value) if hook is unchanged else {key: located(hook, key, item) for key, item in value.items()}

    return unstructure


def located(hook: Callable[[Any], Any], step: str, value: Any) -> Any:
    try:
        return hook(value)
    except Misfit as misfit:
        misfit.steps.append(step)
        raise


def has_origin(origin: Any) -> Callable[[Any], bool]:
    """Whether a hook factory applies to an annotation: by what stands before its brackets."""
    return lambda annotation: get_origin(annotation) is origin


for _scalar, (_structure_scalar, _unstructure_scalar) in SCALARS.items():
    converter.register_structure_hook(_scalar, _structure_scalar)
    converter.register_unstructure_hook(_scalar, _unstructure_scalar)
converter.register_structure_hook_factory(lambda annotation: annotation is Any, lambda _: unchanged)
converter.register_unstructure_hook_factory(lambda annotation: annotation is Any, lambda _: unchanged)
converter.register_structure_hook_factory(has_origin(tuple), structure_tuple)
converter.register_unstructure_hook_factory(has_origin(tuple), unstructure_tuple)
converter.register_structure_hook_factory(has_origin(Mapping), structure_mapping)
converter.register_unstructure_hook_factory(has_origin(Mapping), unstructure_mapping)
