"""Values that a JSON schema allows, for when nobody has said anything that fits.

Always the same for the same schema and name, and sensible where the name says what is meant. Pure.
"""

from __future__ import annotations

import math
import re
from typing import Final

from trio_codex.server.standin.patterns import matching_text
from trio_codex.server.standin.schema import Resolver, Schema, fits, kind_of

_BY_FORMAT: Final = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT15M",
    "email": "alex@example.com",
    "idn-email": "alex@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "https://example.com/",
    "iri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "regex": ".*",
    "json-pointer": "/a",
}
_BY_NAME: Final = (
    (("email", "mail"), "alex@example.com"),
    (("city", "town", "place", "location", "destination", "where", "to"), "Paris"),
    (("origin", "source", "departure", "from"), "London"),
    (("country",), "France"),
    (("date", "day", "when"), "2026-01-15"),
    (("time",), "09:30"),
    (("phone", "number"), "+15550100"),
    (("url", "link", "website"), "https://example.com/"),
    (("name", "person", "customer", "who"), "Alex"),
    (("language",), "English"),
    (("id", "code", "key"), "A1"),
)
_PLAIN: Final = (
    "a",
    "A",
    "1",
    "0",
    "abc",
    "ABC",
    "Abc",
    "123",
    "12345",
    "A1",
    "a1",
    "AB-123",
    "2026-01-15",
    "09:30",
    "+15550100",
)
_LONGEST: Final = 10_000


def sample_text(name: str, schema: Schema, resolver: Resolver, variant: int = 0) -> str:
    """A string that the schema allows; variants differ from one another where the schema leaves room.

    Raises ValueError when it would be far too long.
    """
    suffix = str(variant + 1) if variant else ""
    words = re.findall(r"[a-z]+", name.lower())
    by_name = next((value for hints, value in _BY_NAME if any(hint in words for hint in hints)), name or "text")
    candidates = [_BY_FORMAT[schema["format"]]] if schema.get("format") in _BY_FORMAT else [by_name + suffix]
    shortest, longest = int(schema.get("minLength", 0)), schema.get("maxLength")
    if shortest > _LONGEST:
        raise ValueError(f"the schema asks for a text of more than {_LONGEST} characters")
    for candidate in (*candidates, *_PLAIN):
        padded = candidate.ljust(shortest, "a")[: None if longest is None else int(longest)]
        for each in (candidate, padded, suffix + padded[len(suffix) :]):
            if (not suffix or suffix in each) and fits(each, schema, resolver):
                return each
    for extra in range(shortest + 3):
        generated = matching_text(str(schema.get("pattern", "")), extra + variant)
        if fits(generated, schema, resolver):
            return generated
    return candidates[0]


def sample_number(schema: Schema, resolver: Resolver, variant: int = 0) -> int | float:
    """A number that the schema allows."""
    whole = kind_of(schema) == "integer"
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    step = schema.get("multipleOf") or (1 if whole or high - low > 2 else (high - low) / 4)
    if math.isfinite(low):
        start = math.ceil(low / step) * step
    elif math.isfinite(high):
        start = math.floor(high / step) * step - 8 * step
    else:
        start = step
    fitting = (value for at in range(variant + 8) if fits(value := _tidy(start + at * step, whole), schema, resolver))
    found = list(fitting)
    return found[min(variant, len(found) - 1)] if found else _tidy(start, whole)


def _tidy(value: float, whole: bool) -> int | float:
    return round(value) if whole else round(value, 9)
