"""What users give as plain values, checked where it enters. Each check raises ConfigurationError for anything else, and says `where`."""

from __future__ import annotations

import math

from trio_codex.errors import ConfigurationError

__all__ = ["check_count", "check_seconds", "check_text"]


def check_seconds(value: object, *, where: str, or_none: bool = False, or_zero: bool = False) -> None:
    """A time: seconds above 0; with `or_none` also None, for no limit, with `or_zero` also 0."""
    if value is None and or_none:
        return
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if not is_time or (value == 0 and not or_zero):
        kind = f"seconds {'from 0 on' if or_zero else 'above 0'}{' or None' if or_none else ''}"
        raise ConfigurationError(f"{where} must be {kind}, not {value!r}")


def check_count(value: object, *, where: str) -> None:
    """How many: a whole number, at least 1."""
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{where} must be a whole number, at least 1, not {value!r}")


def check_text(value: object, *, where: str, or_none: bool = False) -> None:
    """A name or the like: a text that is not blank; with `or_none` also None, where there is a default."""
    if not (isinstance(value, str) and value.strip()) and not (value is None and or_none):
        raise ConfigurationError(f"{where} must be a text that is not blank, not {value!r}")
