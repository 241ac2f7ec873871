"""How a class and a JSON object become one another: the cattrs converter of the wire classes.

Owns unions, told apart by `type` and then by `role`, and classes, with what their fields cannot say kept in `extra`. Knows no
event and no frame (those are `codec`'s).

Invariants: structuring accepts dicts, lists and scalars as a JSON parser gives them and raises only `Misfit`; unstructuring
accepts what the annotations allow and raises only `Misfit`; `unstructure(structure(value)) == value`.
"""

import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import attrs

from trio_codex.protocol.strict import (
    SCALARS,
    Structure,
    Unstructure,
    converter,
    decoded_base64,
    has_origin,
    re_encodes,
    structure_hook,
)
from trio_codex.protocol.wire import KINDS, Misfit, Unknown, Wire, new, set_state

__all__ = ["converter", "structure_hook"]


# --- unions ------------------------------------------------------------------------------------------------------------


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def kind_of(member: Any) -> type:
    """The Python type that a JSON parser gives for this member of a union."""
    origin: type = get_origin(member) or member
    return dict if origin is Mapping or issubclass(origin, Wire | Unknown) else origin


def tag_of(member: Any) -> tuple[str, ...]:
    """The `type`, and `role` if it has one, that mark this member; the empty tag is the default member's."""
    if not (isinstance(member, type) and issubclass(member, Wire)):
        return ()
    constants = constants_of(member)
    tags = (getattr(member, "tag", None) or constants.get("type"), constants.get("role"))
    return tuple(tag for tag in tags if tag is not None)


def structure_union(annotation: Any, untagged: type | None = None) -> Structure:
    members = get_args(annotation)
    objects = [member for member in members if kind_of(member) is dict]
    hooks = {kind_of(member): structure_hook(member) for member in members if member not in objects}
    if int in hooks:
        hooks[float] = hooks[int]  # JSON has one kind of number; the hook looks closer
    if objects:
        hooks[dict] = structure_objects(objects, untagged)
    if len(objects) == len(members):
        return hooks[dict]
    names = " or ".join(KINDS[kind] for kind in hooks if kind is not float)

    def structure(value: Any, _: object = None) -> Any:
        hook = hooks.get(type(value))
        if hook is None:
            raise Misfit.expected(names, value)
        return hook(value)

    return structure


def structure_objects(members: list[type], untagged: type | None) -> Structure:
    if len(members) == 1:
        return structure_hook(members[0])
    hooks = {tag_of(member): structure_hook(member) for member in members}
    default = hooks.pop((), None)
    by_type = {tag[0]: hook for tag, hook in hooks.items() if len(tag) == 1}
    by_role: dict[str, dict[str, Structure]] = {}
    for tag, hook in hooks.items():
        if len(tag) > 1:
            by_role.setdefault(tag[0], {})[tag[1]] = hook
    for name, roles in by_role.items():
        by_type[name] = choose("role", roles, default, None)
    return choose("type", by_type, default, structure_hook(untagged) if untagged else None)


def choose(
    field: str, hooks: Mapping[str, Structure], default: Structure | None, absent: Structure | None
) -> Structure:
    """Choose by the string in a field: a member, the default for an unknown string, `absent` for none at all."""

    def structure(value: Any, _: object = None) -> Any:
        if type(value) is not dict:
            raise Misfit.expected("an object", value)
        tag = value.get(field)
        if type(tag) is str:
            hook = hooks.get(tag, default)
            if hook is None:
                raise Misfit("unknown type", field)
        elif tag is None and absent is not None:
            hook = absent
        else:
            raise misfit_of_tag(value, field)
        return hook(value)

    return structure


def misfit_of_tag(value: dict[str, Any], field: str) -> Misfit:
    misfit = Misfit.expected("a string", value[field]) if field in value else Misfit("required field missing")
    misfit.steps.append(field)
    return misfit


def unstructure_union(annotation: Any) -> Unstructure:
    members = get_args(annotation)
    hooks = {get_origin(member) or member: converter.get_unstructure_hook(member) for member in members}
    names = " or ".join(member.__name__ for member in hooks)
    mapping = hooks.get(Mapping)

    def unstructure(value: Any) -> Any:
        hook = hooks.get(type(value)) or (mapping if isinstance(value, Mapping) else None)
        if hook is None:
            raise Misfit.expected(names, value)
        return hook(value)

    return unstructure


def structure_annotated(annotation: Any) -> Structure:
    return structure_union(annotation.__origin__, annotation.__metadata__[0].cls)


def unstructure_annotated(annotation: Any) -> Unstructure:
    return unstructure_union(annotation.__origin__)


# --- classes -----------------------------------------------------------------------------------------------------------


def constants_of(cls: type[Wire]) -> dict[str, str]:
    """The fields with one value only, `type` and `role`, that a class has as class variables."""
    fields = {field.name for field in attrs.fields(cls)}
    return {name: getattr(cls, name) for name in ("type", "role") if name not in fields and hasattr(cls, name)}


@attrs.frozen
class Layout:
    """What both directions need to know of a class."""

    annotations: dict[str, Any]
    """Of every field but `extra`, without None."""
    constants: dict[str, str]
    required: frozenset[str]
    binary: list[str]
    """The fields that hold base64."""
    exact: dict[str, type]
    """The fields whose values, if they are of this very type, are the same in JSON and in Python."""

    @classmethod
    def of(cls, wire: type[Wire]) -> "Layout":
        attrs.resolve_types(wire, include_extras=True)
        fields = [field for field in attrs.fields(wire) if field.name != "extra"]
        annotations = {field.name: without_none(field.type) for field in fields}
        return cls(
            annotations=annotations,
            constants=constants_of(wire),
            required=frozenset(field.name for field in fields if field.default is attrs.NOTHING),
            binary=[name for name, annotation in annotations.items() if annotation is bytes],
            exact={name: kind for name, kind in annotations.items() if kind in SCALARS and kind is not bytes},
        )


def without_none(annotation: Any) -> Any:
    if not is_union(annotation):
        return annotation
    return Union[tuple(member for member in get_args(annotation) if member is not types.NoneType)]  # noqa: UP007


def structure_class(cls: type[Wire]) -> Structure:
    layout = Layout.of(cls)
    constants, binary = layout.constants, layout.binary
    required = tuple(name for name in (*constants, *layout.annotations) if name in layout.required or name in constants)
    plain: dict[str, Any] = layout.exact | constants
    hooks = {name: structure_hook(annotation) for name, annotation in layout.annotations.items()}
    # A default that is not None is for those who build the object; an absent field reads None.
    blank: dict[str, Any] = dict.fromkeys(hooks)

    def structure(value: Any, _: object = None) -> Wire:
        if type(value) is not dict:
            raise Misfit.expected("an object", value)
        state = blank.copy()
        extra: dict[str, Any] = {}
        name = ""
        try:
            for name, item in value.items():
                kind = plain.get(name, NEVER)
                if type(item) is kind:
                    state[name] = item
                elif name in hooks and (item is not None or name in required):
                    state[name] = hooks[name](item)
                elif item != kind:
                    extra[name] = kept(item, kind, cls.older if name == "type" else ())
        except Misfit as misfit:
            misfit.steps.append(name)
            raise
        for name in required:
            if name not in value:
                raise Misfit("required field missing", name)
        for name in binary:
            if state[name] is not None and not re_encodes(value[name]):
                extra[name] = value[name]
        state["extra"] = extra
        # What `cls(**state)` does, at a third of its cost: wire classes have no validators and no converters.
        event = new(cls)
        set_state(event, state)
        return event

    return structure


def kept(item: Any, expected: Any, older: tuple[str, ...]) -> Any:
    """An unknown field, or an explicit null, or the beta-era name of a type."""
    if isinstance(expected, str) and item not in older:
        raise Misfit(f"expected {expected!r}")
    return item


NEVER = object()


def unstructure_class(cls: type[Wire]) -> Unstructure:
    layout = Layout.of(cls)
    constants, exact, required = layout.constants, layout.exact, layout.required
    hooks = {name: converter.get_unstructure_hook(annotation) for name, annotation in layout.annotations.items()}

    def unstructure(value: Any) -> dict[str, Any]:
        if not isinstance(value, cls):
            raise Misfit.expected(cls.__name__, value)
        wire: dict[str, Any] = constants.copy()
        state = vars(value)
        name = ""
        try:
            for name, hook in hooks.items():
                item = state[name]
                if item is None and name not in required:
                    continue  # most fields of most objects
                wire[name] = item if type(item) is exact.get(name) else hook(item)
        except Misfit as misfit:
            misfit.steps.append(name)
            raise
        for name, item in value.extra.items():
            if name not in wire or says_the_same(layout, cls.older, name, item, wire):
                wire[name] = item
        return wire

    return unstructure


def says_the_same(layout: Layout, older: tuple[str, ...], name: str, item: Any, wire: dict[str, Any]) -> bool:
    """Whether what was received stands for what is in the field; if it was changed since (attrs.evolve), it does not."""
    if name in layout.binary:
        return type(item) is str and decoded_base64(item) == decoded_base64(wire[name])
    return name == "type" and name in layout.constants and item in older


def structure_unknown(cls: type[Unknown]) -> Structure:
    def structure(value: Any, _: object = None) -> Unknown:
        if type(value) is not dict:
            raise Misfit.expected("an object", value)
        if type(value.get("type")) is not str:
            raise misfit_of_tag(value, "type")
        return cls(type=value["type"], body=value)

    return structure


def unstructure_unknown(cls: type[Unknown]) -> Unstructure:
    def unstructure(value: Any) -> dict[str, Any]:
        if not isinstance(value, cls):
            raise Misfit.expected(cls.__name__, value)
        return {**value.body, "type": value.type}

    return unstructure


def is_kind(base: type) -> Callable[[Any], bool]:
    return lambda annotation: isinstance(annotation, type) and issubclass(annotation, base)


FACTORIES: list[tuple[Callable[[Any], bool], Callable[[Any], Structure], Callable[[Any], Unstructure]]] = [
    (is_union, structure_union, unstructure_union),
    (has_origin(Annotated), structure_annotated, unstructure_annotated),
    (is_kind(Wire), structure_class, unstructure_class),
    (is_kind(Unknown), structure_unknown, unstructure_unknown),
]
for _applies, _structure_factory, _unstructure_factory in FACTORIES:
    converter.register_structure_hook_factory(_applies, _structure_factory)
    converter.register_unstructure_hook_factory(_applies, _unstructure_factory)
