"""Values of Python as a JSON parser would give them: dicts, lists, strings, numbers, booleans, None.

Owns the one way in which what a user wrote (tuples, read-only mappings, subclasses of str or int) becomes what the codec writes. What
JSON cannot say is refused with its place, never with its value, which may be secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from trio_codex.errors import ConfigurationError

__all__ = ["as_json"]

_HALF: Final = re.compile("[\ud800-\udfff]")
_LEVELS: Final = 100
"""How deep a setting may be nested; the codec writes 250 levels, and the frame around it takes some."""


def as_json(value: object, where: str, levels: int = _LEVELS) -> Any:
    """Give the value as JSON has it, all the way down. Raises ConfigurationError, naming the place in `where`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, (bytes, bytearray, memoryview)):
        if levels == 0:
            raise ConfigurationError(f"{where[:200]}… is nested too deeply (more than {_LEVELS} levels)")
        if isinstance(value, Mapping):
            return {_key(key, where): as_json(item, f"{where}.{key}", levels - 1) for key, item in value.items()}
        return [as_json(item, f"{where}[{index}]", levels - 1) for index, item in enumerate(value)]
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
