"""Every object of the API, field by field: the classes against a table of names and types that does not come from them.

`wire.json` was drawn from the types of `openai` 3.54.0. It has a line for each event and object: `name?` is optional; `@Name` is an object,
`[…]` an array, `{…}` a map, `'x'` a string that is known, `lit:` a literal, `|` stands between alternatives.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.protocol.test_events import OLDER
from trio_codex.errors import RemoteProtocolError
from trio_codex.protocol.client_events import CLIENT_EVENTS
from trio_codex.protocol.codec import (
    decode_client_event,
    decode_server_event,
    encode_client_event,
    encode_server_event,
)
from trio_codex.protocol.server_events import SERVER_EVENTS
from trio_codex.protocol.wire import Unknown, Wire

TABLE = json.loads(Path(__file__).with_name("wire.json").read_text(encoding="utf-8"))
FAMILIES = ("server", "translation_server", "client", "translation_client")
EVENTS = [pytest.param(family, name, id=f"{family}:{name}") for family in FAMILIES for name in TABLE[family]]

KEPT_AS_THEY_ARE = {"annotations", "input_schema", "metadata", "tool_choice", "tools", "variables"}
"""Fields whose values are the business of users, tools and models: JSON, not classes. (An item's `tools` are classes.)"""

SAMPLES: dict[str, Any] = {
    "str": "s",
    "int": 3,
    "float": 0.5,
    "bool": True,
    "base64": "AAECAw==",
    "any": {"a": [1, None]},
}


def alternatives(shape: str) -> list[str]:
    """The alternatives of a shape; those inside brackets are the brackets' own."""
    found, depth = [""], 0
    for piece in re.split(r"( \| |[\[\]{}])", shape):
        depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        if piece == " | " and depth == 0:
            found.append("")
        else:
            found[-1] += piece
    return found


def samples(shape: str, *, optional: bool) -> list[Any]:
    """Values of a shape, in which each alternative comes at least once."""
    if len(several := alternatives(shape)) > 1:
        return [sample for one in several for sample in samples(one, optional=optional)]
    if shape.startswith("@"):
        return objects(TABLE["objects"][shape[1:]], optional=optional)
    if shape.startswith("["):
        return [samples(shape[1:-1], optional=optional)]
    if shape.startswith("{"):
        return [{f"key{at}": sample for at, sample in enumerate(samples(shape[1:-1], optional=optional))}]
    if shape.startswith("'"):
        return [shape[1:-1]]
    return [json.loads(shape.removeprefix("lit:"))] if shape.startswith("lit:") else [SAMPLES[shape]]


def objects(fields: Mapping[str, str], *, optional: bool) -> list[dict[str, Any]]:
    """Objects with all fields, or with those that are required, in which each alternative of each field comes at least once."""
    values = {
        name.rstrip("?"): samples(shape, optional=optional)
        for name, shape in fields.items()
        if optional or not name.endswith("?")
    }
    count = max([len(several) for several in values.values()], default=1)
    return [{name: several[at % len(several)] for name, several in values.items()} for at in range(count)]


def halves(family: str) -> tuple[Callable[[str], Any], Callable[[Any], str]]:
    if family.endswith("server"):
        return decode_server_event, encode_server_event
    return decode_client_event, encode_client_event


def strays(value: Any, path: str) -> Iterator[str]:
    """Where there is something that no field of a class has taken."""
    if isinstance(value, Wire):
        yield from (f"{path}.{name}" for name in value.extra)
        for field in attrs.fields(type(value)):
            if field.name != "extra":
                yield from strays(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, tuple):
        for item in value:
            yield from strays(item, path)
    elif isinstance(value, (Mapping, Unknown)) and path.rsplit(".", 1)[1] not in KEPT_AS_THEY_ARE:
        yield path


def test_the_events_are_those_of_the_table() -> None:
    named = {family: set(TABLE[family]) for family in FAMILIES}
    assert named["server"] | named["translation_server"] == SERVER_EVENTS.keys() - OLDER.keys()
    assert named["client"] - {"response.create+references"} | named["translation_client"] == CLIENT_EVENTS.keys()


@pytest.mark.parametrize("optional", [True, False], ids=["all fields", "required fields"])
@pytest.mark.parametrize(("family", "name"), EVENTS)
def test_every_field_arrives_in_a_field_and_comes_back(family: str, name: str, optional: bool) -> None:
    decode, encode = halves(family)
    for frame in objects(TABLE[family][name], optional=optional):
        event = decode(json.dumps(frame))
        assert json.loads(encode(event)) == frame
        assert list(strays(event, "$")) == []


@pytest.mark.parametrize("name", TABLE["session"])
def test_every_field_of_a_session_as_servers_give_it(name: str) -> None:
    for session in objects(TABLE["session"][name], optional=True):
        frame = {"type": "session.updated", "event_id": "e", "session": session}
        event = decode_server_event(json.dumps(frame))
        assert json.loads(encode_server_event(event)) == frame
        assert list(strays(event, "$")) == []


Keys = tuple[str | int, ...]


def places(value: Any, way: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """All fields and array members that classes describe, with the way to each."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        of_an_item = key == "tools" and value.get("type") == "mcp_list_tools"
        if key not in KEPT_AS_THEY_ARE or of_an_item:
            yield (*way, key), item
            yield from places(item, (*way, key))


def path_of(way: Keys) -> str:
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in way)


def spoiled(frame: Any, way: Keys, wrong: Any) -> str:
    """The frame with another value in one place."""
    copy = json.loads(json.dumps(frame))
    *outer, last = way
    functools.reduce(operator.getitem, outer, copy)[last] = wrong
    return json.dumps(copy)


@pytest.mark.parametrize(("family", "name"), EVENTS)
def test_a_field_of_the_wrong_type_is_refused_at_any_depth(family: str, name: str) -> None:
    decode, _ = halves(family)
    for frame in objects(TABLE[family][name], optional=True):
        for way, value in places(frame):
            with pytest.raises(RemoteProtocolError) as caught:
                decode(spoiled(frame, way, 7 if isinstance(value, list) else [[]]))
            assert caught.value.path.startswith(path_of(way))
