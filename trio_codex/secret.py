"""A text that must not be seen: keys and tokens, from where they are found to the header that carries them."""

import hmac
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

import attrs

_LEAST: Final = 8
_TELLS_NOTHING: Final = (
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "api-version",
    "call_id",
    "deployment",
    "intent",
    "model",
)
_SCHEME: Final = re.compile("^(Basic|Bearer|Token) +", re.IGNORECASE)


@attrs.frozen(repr=False, eq=False)
class Secret:
    """A key or token. Its repr and str hide it; `reveal()` gives it, and nothing else does."""

    _text: str

    def reveal(self) -> str:
        """Give the secret itself, for the header it goes into and for nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


def secrets_in(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What must not be seen when a server repeats it: the values of headers and of a query that may hold a key, as they are sent too."""
    values = (_SCHEME.sub("", value) for name, value in pairs if name.lower() not in _TELLS_NOTHING)
    telling = [value for value in values if len(value) >= _LEAST]
    return tuple(dict.fromkeys(spelled for value in telling for spelled in (value, quote(value, safe=""))))


def without(secrets: Iterable[str], text: str) -> str:
    """Take secrets out of a text."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
