"""Values of Python as a JSON parser would give them: dicts, lists, strings, numbers, booleans, None.

Owns the one way in which what a user wrote (tuples, read-only mappings, subclasses of str or int) becomes what the codec writes. What
JSON cannot say is refused with its place, never with its value, which may be secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from trio_codex.errors import ConfigurationError

__all__ = ["as_json"]

_HALF: Final = re.compile("[\ud800-\udfff]")
_LEVELS: Final = 100
"""How deep a setting may be nested; the codec writes 250 levels, and the frame around it takes some."""

_BITS: Final = 1024
"""Of a whole number: as many as double precision has room for. No reader need follow beyond, and Python does not write 4,301 digits."""

_AS_IT_STANDS: Final = (
    orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
)


def as_json(value: object, where: str) -> Any:
    """Give the value as JSON has it, all the way down. Raises ConfigurationError, naming the place in `where`."""
    if type(value) is dict or type(value) is list:
        # What a writer and a parser give back as it was is JSON as it stands: the schema of a tool takes 1.5 µs so instead of 15. What
        # has too few brackets cannot be nested too deeply.
        try:
            text = orjson.dumps(value, option=_AS_IT_STANDS)
            if text.count(b"[") + text.count(b"{") <= _LEVELS and (copy := orjson.loads(text)) == value:
                return copy
        except (TypeError, ValueError):
            pass
    return _copied(value, where, _LEVELS)


def _copied(value: object, where: str, levels: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        if value.bit_length() > _BITS:
            raise ConfigurationError(f"{where[:200]} must be a number below 2**{_BITS} [JSON, RFC 8259]")
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, (bytes, bytearray, memoryview)):
        if levels == 0:
            raise ConfigurationError(f"{where[:200]}… is nested too deeply (more than {_LEVELS} levels)")
        if isinstance(value, Mapping):
            return {_key(key, where): _copied(item, f"{where}.{key}", levels - 1) for key, item in value.items()}
        return [_copied(item, f"{where}[{index}]", levels - 1) for index, item in enumerate(value)]
    kind = value if isinstance(value, float) else type(value).__name__
    raise ConfigurationError(f"{where[:200]} must be a JSON value, which {kind} is not [JSON, RFC 8259]")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ConfigurationError(
            f"{where[:200]} must have names that are strings, not {type(key).__name__} [JSON, RFC 8259]"
        )
    return _text(key, where)


def _text(value: str, where: str) -> str:
    if not value.isascii() and _HALF.search(value):
        raise ConfigurationError(
            f"{where[:200]} holds half of a surrogate pair, which UTF-8 cannot say [JSON, RFC 8259]"
        )
    return str.__str__(value)
