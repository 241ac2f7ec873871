"""How JSON and Python become one another, kind by kind: what fits, what does not and what is said of it. On classes of no API."""

from __future__ import annotations

import base64
import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import attrs
import pytest

from trio_codex.errors import LocalProtocolError, RemoteProtocolError
from trio_codex.protocol.codec import structure, unstructure
from trio_codex.protocol.strict import re_encodes
from trio_codex.protocol.wire import Unknown, Untagged, Wire, changed


@attrs.frozen(kw_only=True, slots=False)
class Cat(Wire):
    type: ClassVar[str] = "cat"
    older: ClassVar[tuple[str, ...]] = ("kitten", "mouser")

    lives: int
    picture: bytes | None = None
    names: tuple[str, ...] | None = None
    ages: Mapping[str, int] | None = None
    notes: Mapping[str, Any] | None = None
    weight: float | None = None
    tame: bool | None = True


@attrs.frozen(kw_only=True, slots=False)
class Guard(Wire):
    type: ClassVar[str] = "dog"
    role: ClassVar[str] = "guard"

    place: Mapping[str, str] | str


@attrs.frozen(kw_only=True, slots=False)
class Guide(Wire):
    type: ClassVar[str] = "dog"
    role: ClassVar[str] = "guide"

    limit: int | str | None = None


@attrs.frozen(kw_only=True, slots=False)
class Fish(Wire):
    tag: ClassVar[str] = "fish"

    type: str | None = None
    of: Cat | None = None


@attrs.frozen(slots=False)
class Beast(Unknown):
    """Any other animal."""


Animal = Cat | Guard | Guide | Fish | Beast
Pet = Annotated[Cat | Guard | Fish | Beast, Untagged(Fish)]
Dog = Guard | Guide


@attrs.frozen(kw_only=True, slots=False)
class House(Wire):
    animals: tuple[Animal, ...] = ()
    pet: Pet | None = None
    dog: Dog | None = None
    guest: Cat | Mapping[str, Any] | None = None
    stray: Beast | None = None


SAID = [
    (bool, True, True),
    (int, 7, 7),
    (float, 7, 7),
    (float, 0.5, 0.5),
    (str, "text", "text"),
    (bytes, "AAE=", b"\0\1"),
    (tuple[int, ...], [1, 2], (1, 2)),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (int | str, 7, 7),
    (int | str, "inf", "inf"),
    (Cat, {"type": "cat", "lives": 9}, Cat(lives=9, tame=None)),
    (Cat, {"type": "cat", "lives": 9, "tame": False, "weight": 4}, Cat(lives=9, tame=False, weight=4)),
    (Cat, {"type": "cat", "lives": 9, "tame": None}, Cat(lives=9, tame=None, extra={"tame": None})),
    (Cat, {"type": "cat", "lives": 9, "sound": None}, Cat(lives=9, tame=None, extra={"sound": None})),
    (Cat, {"type": "cat", "lives": 9, "sound": [1]}, Cat(lives=9, tame=None, extra={"sound": [1]})),
    (Cat, {"type": "mouser", "lives": 9}, Cat(lives=9, tame=None, extra={"type": "mouser"})),
    (Cat, {"type": "cat", "lives": 9, "picture": "AAE="}, Cat(lives=9, tame=None, picture=b"\0\1")),
    (Cat, {"type": "cat", "lives": 9, "picture": "AAF="}, Cat(lives=9, tame=None, picture=b"\0\1", extra={"picture": "AAF="})),
    (Cat, {"type": "cat", "lives": 9, "names": ["Tom"], "ages": {"old": 8}, "notes": {"a": None}},
     Cat(lives=9, tame=None, names=("Tom",), ages={"old": 8}, notes={"a": None})),
    (Animal, {"type": "cat", "lives": 1}, Cat(lives=1, tame=None)),
    (Animal, {"type": "dog", "role": "guard", "place": "door"}, Guard(place="door")),
    (Animal, {"type": "dog", "role": "guard", "place": {"of": "Tom"}}, Guard(place={"of": "Tom"})),
    (Animal, {"type": "dog", "role": "guide"}, Guide()),
    (Animal, {"type": "dog", "role": "guide", "limit": 3}, Guide(limit=3)),
    (Animal, {"type": "dog", "role": "cook", "salt": 1}, Beast("dog", {"type": "dog", "role": "cook", "salt": 1})),
    (Animal, {"type": "fish", "of": {"type": "cat", "lives": 1}}, Fish(type="fish", of=Cat(lives=1, tame=None))),
    (Animal, {"type": "yeti"}, Beast("yeti", {"type": "yeti"})),
    (Pet, {}, Fish()),
    (Pet, {"type": None}, Fish(extra={"type": None})),
    (Pet, {"type": "cat", "lives": 1}, Cat(lives=1, tame=None)),
    (House, {"dog": {"type": "dog", "role": "guide"}}, House(dog=Guide(), animals=None)),  # type: ignore[arg-type]
    (House, {"animals": [], "pet": {"type": "yeti"}}, House(pet=Beast("yeti", {"type": "yeti"}))),
    (House, {"animals": [], "guest": {"type": "cat", "lives": 1}}, House(guest=Cat(lives=1, tame=None))),
    (House, {"animals": [], "pet": {}}, House(pet=Fish())),
    (House, {"animals": [], "guest": {"type": "yeti"}}, House(guest={"type": "yeti"})),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "made"), SAID)
def test_what_fits_is_made_and_said_again(kind: Any, value: Any, made: Any) -> None:
    seen = structure(value, kind)
    assert seen == made
    assert type(seen) is type(made)
    if isinstance(made, Wire | Unknown):
        assert unstructure(seen) == value
        if isinstance(made, Wire):
            assert seen.extra == made.extra


def test_an_integer_may_be_written_as_a_number() -> None:
    for kind in (int, int | str):
        number: Any = structure(5.0, kind)
        assert (number, type(number)) == (5, int)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (bool, 1, "expected a boolean, got an integer @ $"),
        (int, True, "expected an integer, got a boolean @ $"),
        (int, 5.5, "expected an integer, got a number @ $"),
        (float, "5", "expected a number, got a string @ $"),
        (float, True, "expected a number, got a boolean @ $"),
        (str, 5, "expected a string, got an integer @ $"),
        (bytes, 5, "expected a string of base64, got an integer @ $"),
        (bytes, "A", "not valid base64 @ $"),
        (bytes, "QQ==!", "not valid base64 @ $"),
        (bytes, "Q Q==", "not valid base64 @ $"),
        (tuple[int, ...], {}, "expected an array, got an object @ $"),
        (tuple[int, ...], [1, "a", None], "expected an integer, got a string @ $[1]"),
        (Mapping[str, int], [], "expected an object, got an array @ $"),
        (Mapping[str, int], {"a": 1, "b": "c"}, "expected an integer, got a string @ $.b"),
        (int | str, None, "expected an integer or a string, got null @ $"),
        (int | str, 5.5, "expected an integer, got a number @ $"),
        (Mapping[str, str] | str, 5, "expected a string or an object, got an integer @ $"),
        (Cat, [], "expected an object, got an array @ $"),
        (Cat, {"lives": 9}, "required field missing @ $.type"),
        (Cat, {"type": "cat"}, "required field missing @ $.lives"),
        (Cat, {"type": "cat", "lives": None}, "expected an integer, got null @ $.lives"),
        (Cat, {"type": "dog", "lives": 9}, "expected 'cat' @ $.type"),
        (Cat, {"type": "cat", "lives": 9, "names": [1]}, "expected a string, got an integer @ $.names[0]"),
        (Animal, [], "expected an object, got an array @ $"),
        (Animal, {}, "required field missing @ $.type"),
        (Animal, {"type": None}, "expected a string, got null @ $.type"),
        (Animal, {"type": "dog"}, "required field missing @ $.role"),
        (Animal, {"type": "dog", "role": 7}, "expected a string, got an integer @ $.role"),
        (Dog, {"type": "dog", "role": "cook"}, "unknown type @ $.role"),
        (Dog, {"type": "cat"}, "unknown type @ $.type"),
        (Pet, {"type": 7}, "expected a string, got an integer @ $.type"),
        (House, {"animals": [{"type": "fish", "of": {"type": "cat", "lives": "x"}}]},
         "expected an integer, got a string @ $.animals[0].of.lives"),
        (Beast, [], "expected an object, got an array @ $"),
        (Beast, {}, "required field missing @ $.type"),
        (Beast, {"type": 7}, "expected a string, got an integer @ $.type"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_path(kind: Any, value: Any, reason: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        structure(value, kind)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Cat(lives=None), "expected an integer, got null @ $.lives"),  # type: ignore[arg-type]
        (Cat(lives=1, picture="AAAA"), "expected bytes, got a string @ $.picture"),  # type: ignore[arg-type]
        (Cat(lives=1, names="Tom"), "expected a sequence, got a string @ $.names"),  # type: ignore[arg-type]
        (Cat(lives=1, names=("Tom", 7)), "expected a string, got an integer @ $.names[1]"),  # type: ignore[arg-type]
        (Cat(lives=1, ages=[8]), "expected a mapping, got an array @ $.ages"),  # type: ignore[arg-type]
        (Cat(lives=1, ages={"old": "8"}), "expected an integer, got a string @ $.ages.old"),  # type: ignore[dict-item]
        (Guide(limit=b""), "expected int or str, got bytes @ $.limit"),  # type: ignore[arg-type]
        (Guard(place=7), "expected Mapping or str, got an integer @ $.place"),  # type: ignore[arg-type]
        (Fish(of=Guide()), "expected Cat, got Guide @ $.of"),  # type: ignore[arg-type]
        (House(stray=Fish()), "expected Beast, got Fish @ $.stray"),  # type: ignore[arg-type]
        (House(pet=Guide()), "expected Cat or Guard or Fish or Beast, got Guide @ $.pet"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_said_is_refused_with_the_path(value: Any, reason: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        unstructure(value)
    assert str(caught.value) == reason


def test_sequences_and_mappings_of_any_kind_can_be_said() -> None:
    ages = MappingProxyType({"old": 8})
    cat = Cat(lives=1, names=["Tom"], ages=ages, notes=MappingProxyType({"a": [1]}), tame=None)  # type: ignore[arg-type]
    assert unstructure(cat) == {"type": "cat", "lives": 1, "names": ["Tom"], "ages": {"old": 8}, "notes": {"a": [1]}}


def test_what_was_received_gives_way_to_what_was_changed() -> None:
    cat = structure({"type": "kitten", "lives": 1, "picture": "AAF=", "tame": None, "more": 1}, Cat)
    changed = attrs.evolve(cat, picture=b"new", tame=False)
    said = {"type": "kitten", "lives": 1, "picture": "bmV3", "tame": False, "more": 1}
    assert unstructure(changed) == said
    assert unstructure(attrs.evolve(cat, extra={"picture": 7, "type": "dog", "lives": 2})) == {
        "type": "cat", "lives": 1, "picture": "AAE=",
    }  # fmt: skip


@pytest.mark.parametrize("padding", ["", "=", "=="])
def test_base64_that_encodes_to_itself_is_known(padding: str) -> None:
    for last in f"{string.ascii_letters}{string.digits}+/":
        text = "AAAA" + "A" * (3 - len(padding)) + last + padding
        assert re_encodes(text) == (base64.b64encode(base64.b64decode(text)).decode() == text)


def test_a_changed_object_is_what_evolving_gives() -> None:
    cat = structure({"type": "kitten", "lives": 9, "picture": "AAAA", "tail": None}, Cat)
    for fields in ({}, {"lives": 8}, {"lives": 7, "names": ("Tom",), "extra": {}}):
        other = changed(cat, **fields)
        assert type(other) is Cat
        assert other is not cat
        assert other == attrs.evolve(cat, **fields)
        assert unstructure(other) == unstructure(attrs.evolve(cat, **fields))
    assert cat.lives == 9
