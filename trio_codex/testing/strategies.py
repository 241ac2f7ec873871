"""Hypothesis strategies for everything that is said on the wire, derived from the wire classes themselves.

`server_events()` and `client_events()` draw events that encode, and decode to the same event again: every class, absent
fields, explicit nulls, unknown fields, unknown types, beta-era names. `json_values()` draws JSON. A new field or class is
covered without a change here.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import attrs
from hypothesis import strategies as st

from trio_codex.protocol.client_events import CLIENT_EVENTS, ClientEvent
from trio_codex.protocol.convert import Layout, is_union, tag_of
from trio_codex.protocol.server_events import SERVER_EVENTS, ServerEvent
from trio_codex.protocol.wire import Unknown, UnknownEvent, Untagged, Wire

__all__ = ["client_events", "json_objects", "json_values", "server_events", "wire_objects"]

SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    bytes: st.binary(max_size=12),
    bool: st.booleans(),
    int: st.integers(-(2**70), 2**70),
    float: st.floats(allow_nan=False, allow_infinity=False),
}


@cache
def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value: numbers of any size, nested arrays and objects."""
    scalars = st.none() | st.one_of(*(SCALARS[kind] for kind in (bool, int, float, str)))
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS[str], inner, max_size=3),
        max_leaves=6,
    )


@cache
def json_objects(*, without: frozenset[str] = frozenset()) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that lack the keys in `without`."""
    return st.dictionaries(SCALARS[str].filter(lambda key: key not in without), json_values(), max_size=3)


@cache
def server_events() -> st.SearchStrategy[ServerEvent]:
    """Every event that a server can send, `UnknownEvent` included."""
    return events(SERVER_EVENTS)


@cache
def client_events() -> st.SearchStrategy[ClientEvent]:
    """Every event that a client can send, `UnknownEvent` included."""
    return events(CLIENT_EVENTS)


def events(table: Mapping[str, type[Wire]]) -> st.SearchStrategy[Any]:
    known = [wire_objects(cls) for cls in list[Any](dict.fromkeys(table.values()))]
    return st.one_of(*known, unknown_objects(UnknownEvent, frozenset(table)))


@cache
def wire_objects(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of one wire class, with unknown fields and explicit nulls in `extra`."""
    layout = Layout.of(cls)
    fields = {name: of_annotation(shape) for name, shape in layout.annotations.items()}
    if hasattr(cls, "tag"):
        fields["type"] = st.just(cls.tag)
    names = frozenset({*layout.annotations, *layout.constants})
    nullable = sorted(names - layout.required - layout.constants.keys() - {"type"})

    def build(given: dict[str, Any], nulls: set[str], unknown: dict[str, Any], older: str | None) -> Any:
        extra = {name: None for name in nulls if given.get(name) is None} | unknown
        absent = {field.name: None for field in attrs.fields(cls) if field.name in nullable}
        return cls(**{**absent, **given}, extra=extra | ({"type": older} if older else {}))

    return st.builds(
        build,
        st.fixed_dictionaries(
            {name: field for name, field in fields.items() if name not in nullable},
            optional={name: field for name, field in fields.items() if name in nullable},
        ),
        st.sets(st.sampled_from(nullable), max_size=2) if nullable else st.just(set()),
        st.just({}) | json_objects(without=names),
        st.sampled_from([None, *cls.older]),
    )


def unknown_objects(cls: type[Unknown], known: frozenset[str]) -> st.SearchStrategy[Any]:
    types = SCALARS[str].filter(lambda name: name not in known)
    return st.builds(lambda name, body: cls(type=name, body={**body, "type": name}), types, json_objects())


def of_annotation(annotation: Any) -> st.SearchStrategy[Any]:
    origin = get_origin(annotation)
    if annotation in SCALARS:
        return SCALARS[annotation]
    if annotation is Any:
        # A field that may be any JSON reads None when it is absent.
        return json_values().filter(lambda value: value is not None)
    if origin is tuple:
        return st.lists(of_annotation(get_args(annotation)[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(SCALARS[str], of_value(get_args(annotation)[1]), max_size=2)
    if origin is Annotated:
        return of_union(annotation.__origin__, annotation.__metadata__[0])
    if is_union(annotation):
        return of_union(annotation, None)
    return st.deferred(lambda: wire_objects(annotation))


def of_value(annotation: Any) -> st.SearchStrategy[Any]:
    return json_values() if annotation is Any else of_annotation(annotation)


def of_union(annotation: Any, untagged: Untagged | None) -> st.SearchStrategy[Any]:
    members = get_args(annotation)
    tags = frozenset(tag_of(member)[0] for member in members if tag_of(member))
    drawn = []
    for member in members:
        if isinstance(member, type) and issubclass(member, Unknown):
            drawn.append(unknown_objects(member, tags))
        elif get_origin(member) is Mapping and tags:
            drawn.append(unknown_objects(Unknown, tags).map(lambda unknown: unknown.body))
        else:
            drawn.append(of_annotation(member))
    if untagged is not None:
        drawn.append(of_annotation(untagged.cls).map(lambda whole: attrs.evolve(whole, type=None)))
    return st.one_of(*drawn)
