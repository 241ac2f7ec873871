"""A string that matches a regular expression, made from the parsed expression; "" for what cannot be parsed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

_parser = import_module("re._parser")  # the standard library has no public way to look into a pattern

_CLASSES = {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}
_CHARACTERS = "a1A0bcdefghijklmnopqrstuvwxyzBCDEFGHIJKLMNOPQRSTUVWXYZ23456789-_ .,:/@+#"


def matching_text(pattern: str, extra: int = 0) -> str:
    """A string in which the pattern is found; repetitions are made `extra` times more often than they need to be."""
    try:
        return _text(_parser.parse(pattern), extra)
    except (re.error, RecursionError):
        return ""


def _text(parsed: Sequence[tuple[Any, Any]], extra: int) -> str:
    return "".join(_piece(str(code), argument, extra) for code, argument in parsed)


def _piece(code: str, argument: Any, extra: int) -> str:
    match code:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return next(character for character in _CHARACTERS if ord(character) != argument)
        case "ANY":
            return "a"
        case "IN":
            return _member(argument)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            return _text(body, extra) * min(int(least) + extra, int(most))
        case "SUBPATTERN":
            return _text(argument[-1], extra)
        case "ATOMIC_GROUP":
            return _text(argument, extra)
        case "BRANCH":
            return _text(argument[1][0], extra)
        case _:
            return ""  # anchors, lookarounds and back references add nothing that could be made here


def _member(choices: Sequence[tuple[Any, Any]]) -> str:
    """A character of a set such as `[a-z0-9]` or `[^ ]`."""
    if str(choices[0][0]) == "NEGATE":
        return next((each for each in _CHARACTERS if not any(_has(choice, each) for choice in choices[1:])), "~")
    for code, argument in choices:
        match str(code):
            case "LITERAL":
                return chr(argument)
            case "RANGE":
                return chr(argument[0])
            case "CATEGORY" if str(argument) in _CLASSES:
                return _CLASSES[str(argument)]
    return "a"


def _has(choice: tuple[Any, Any], character: str) -> bool:
    match str(choice[0]), choice[1]:
        case "LITERAL", code:
            return bool(ord(character) == code)
        case "RANGE", (first, last):
            return bool(first <= ord(character) <= last)
        case "CATEGORY", category:
            tests = {"CATEGORY_DIGIT": str.isdigit, "CATEGORY_SPACE": str.isspace}
            word = character.isalnum() or character == "_"
            return tests[str(category)](character) if str(category) in tests else word
        case _:
            return False
