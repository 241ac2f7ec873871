"""Arguments for a function: what was said, put into the form that its JSON schema asks for.

Each parameter looks for its value in the words: a member of an enumeration, a number, yes or no, the phrase behind the
preposition that goes with its name. What nobody said is left out where it is optional; where it is required it gets a
sample value. The result fits the schema, as far as `schema` knows it. Deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trio_codex.server.standin.lexicon import (
    BEHIND,
    BEHIND_ANYTHING,
    DAYS,
    NEGATIONS,
    PROPER_NAMES,
    TIMES,
    WHOLE_SENTENCES,
)
from trio_codex.server.standin.samples import sample_number, sample_text
from trio_codex.server.standin.schema import Resolver, Schema, fits, kind_of
from trio_codex.server.standin.words import Number, Phrase, likeness, numbers, phrases, titled, tokens

_DEPTH: Final = 6
_MOST_VALUES: Final = 10_000
"""Nobody means a schema that asks for more, and it must not keep the server from all others."""
_NOTHING: Final = object()


def arguments_for(schema: Any, said: str) -> dict[str, Any]:
    """The arguments of one call: an object that fits the function's parameters. Raises ValueError for what asks for far too much."""
    filling = _Filling(schema if isinstance(schema, Mapping) else {}, said)
    try:
        value = filling.value("", schema, required=True, depth=0)
    except RecursionError:
        raise ValueError(
            "the schema of the function asks for more than itself: it refers to itself without end"
        ) from None
    return value if isinstance(value, dict) else {}


class _Filling:
    """Fills one object; every number and phrase of what was said is used once."""

    def __init__(self, root: Schema, said: str) -> None:
        self._resolver = Resolver(root)
        self._said = said
        self._words = tokens(said)
        self._numbers: list[Number] = numbers(said)
        self._phrases: list[Phrase] = list(phrases(said))
        self._left = _MOST_VALUES

    def value(self, name: str, schema: Any, *, required: bool, depth: int, variant: int = 0) -> Any:
        """A value for a parameter, `_NOTHING` for an optional one that nobody spoke of."""
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"the schema of the function asks for more than {_MOST_VALUES} values")
        schema = self._resolver.resolve(schema)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return self._of_branches(name, schema, branches, required=required, depth=depth, variant=variant)
        kind = kind_of(schema)
        if kind == "object" and "enum" not in schema and "const" not in schema:
            return self._object(schema, depth) if required or depth == 0 else _NOTHING
        heard = self._heard(name, kind, schema, depth)
        if heard is not _NOTHING and fits(heard, schema, self._resolver):
            return heard
        return self._sample(name, kind, schema, depth, variant) if required else _NOTHING

    def _of_branches(
        self, name: str, schema: Schema, branches: Sequence[Any], *, required: bool, depth: int, variant: int
    ) -> Any:
        shared = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        wanted = [branch for branch in branches if kind_of(self._resolver.resolve(branch)) != "null"]
        for must in (False, True):
            for branch in wanted if depth < _DEPTH else ():
                joined = {**shared, **self._resolver.resolve(branch)}
                value = self.value(name, joined, required=must, depth=depth + 1, variant=variant)
                if value is not _NOTHING and fits(value, schema, self._resolver):
                    return value
            if not required:
                return _NOTHING
            if len(wanted) < len(branches):
                return None  # nobody spoke of it, and it may be null
        return None

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        known = schema.get("properties") or {}
        needed = schema.get("required") or ()
        other = schema.get("additionalProperties")
        result = {}
        for name in dict.fromkeys([*known, *needed]):
            if depth < _DEPTH or name in needed:
                inner = known.get(name, other if isinstance(other, Mapping) else {})
                value = self.value(name, inner, required=name in needed, depth=depth + 1)
                if value is not _NOTHING:
                    result[name] = value
        return result

    # --- what was said ---------------------------------------------------------------------------------------------

    def _heard(self, name: str, kind: str, schema: Schema, depth: int) -> Any:
        if "const" in schema:
            return _NOTHING
        if "enum" in schema:
            return next((member for member in schema["enum"] if self._mentions(str(member))), _NOTHING)
        match kind:
            case "boolean":
                return self._heard_flag(name)
            case "integer" | "number":
                return self._heard_number(name, schema)
            case "string":
                return self._heard_text(name, schema)
            case "array":
                return self._heard_list(name, schema, depth)
            case _:
                return _NOTHING

    def _mentions(self, member: str) -> bool:
        parts = tokens(member)
        return bool(parts) and all(
            any(word == part or (len(part) > 2 and likeness(word, part) > 0) for word in self._words) for part in parts
        )

    def _heard_flag(self, name: str) -> Any:
        for part in tokens(name):
            for at, word in enumerate(self._words):
                if len(part) > 2 and likeness(word, part):
                    return not NEGATIONS & set(self._words[max(at - 2, 0) : at])
        return _NOTHING

    def _heard_number(self, name: str, schema: Schema) -> Any:
        parts = tokens(name)

        def goes_with_name(number: Number) -> bool:
            return any(likeness(word, part) for word in (*number.before, *number.after) for part in parts)

        fitting = [number for number in self._numbers if fits(number.value, schema, self._resolver)]
        chosen = next(filter(goes_with_name, fitting), fitting[0] if fitting else None)
        if chosen is None:
            return _NOTHING
        self._numbers.remove(chosen)
        return chosen.value

    def _heard_text(self, name: str, schema: Schema) -> Any:
        parts = frozenset(tokens(name))
        if "format" in schema or "pattern" in schema:
            return next((word for word in self._said.split() if _in_form(word, schema, self._resolver)), _NOTHING)
        behind = next((prepositions for names, prepositions in BEHIND if parts & names), None)
        if parts & TIMES:
            day = next((word for word in self._words if word in DAYS), None)
            if day:
                return day
        for preposition in behind or (() if parts & WHOLE_SENTENCES else BEHIND_ANYTHING):
            for phrase in self._phrases:
                if phrase.preposition == preposition:
                    self._phrases.remove(phrase)
                    return titled(phrase.text) if parts & PROPER_NAMES else phrase.text
        return self._said.strip() if self._said.strip() and parts & WHOLE_SENTENCES else _NOTHING

    def _heard_list(self, name: str, schema: Schema, depth: int) -> Any:
        items = self._resolver.resolve(schema.get("items", {}))
        if "enum" in items:
            return [member for member in items["enum"] if self._mentions(str(member))] or _NOTHING
        found: list[Any] = []
        while depth < _DEPTH and kind_of(items) in ("integer", "number") and len(found) < schema.get("maxItems", 16):
            value = self._heard_number(name, items)
            if value is _NOTHING:
                break
            found.append(value)
        if kind_of(items) == "string":
            text = self._heard_text(name, items)
            if text is not _NOTHING:
                found.append(text)
        return found or _NOTHING

    # --- what nobody said ------------------------------------------------------------------------------------------

    def _sample(self, name: str, kind: str, schema: Schema, depth: int, variant: int) -> Any:
        proposals = self._proposals(schema)
        for proposed in proposals[variant:] + proposals[:variant]:
            if fits(proposed, schema, self._resolver):
                return proposed
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._sample_list(name, schema, depth)
            case "boolean":
                return not variant
            case "null":
                return None
            case "integer" | "number":
                return sample_number(schema, self._resolver, variant)
            case _:
                return sample_text(name, schema, self._resolver, variant)

    def _proposals(self, schema: Schema) -> list[Any]:
        given = [schema[key] for key in ("const", "default") if key in schema]
        return [*given, *(schema.get("examples") or ()), *(schema.get("enum") or ())]

    def _sample_list(self, name: str, schema: Schema, depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        size = max(int(schema.get("minItems", 0)), min(len(first), int(schema.get("maxItems", len(first)))))
        if depth >= _DEPTH:
            size = int(schema.get("minItems", 0))
        return [
            self.value(
                name,
                first[at] if at < len(first) else schema.get("items", {}),
                required=True,
                depth=depth + 1,
                variant=at,
            )
            for at in range(size)
        ]


def _in_form(word: str, schema: Schema, resolver: Resolver) -> bool:
    form = schema.get("format")
    if form is None:
        return fits(word, schema, resolver)
    return form == "email" and "@" in word and fits(word, schema, resolver)
