"""A text that must not be seen: keys and tokens, from where they are found to the header that carries them."""

import hmac

import attrs


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
