"""Where the peer's ids come from, and how much it is willing to hold. Counters, no randomness: the same inputs give the
same ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs


class Ids:
    """Ids such as `item_k3_0007`: a kind, the label of the session, a number. `taken` says what a client has called its own so."""

    def __init__(self, label: str, taken: Callable[[str], bool]) -> None:
        self._label = label
        self._taken = taken
        self._counts: Counter[str] = Counter()

    def new(self, kind: str) -> str:
        """The next id of a kind that is free."""
        while True:
            self._counts[kind] += 1
            made = f"{kind}_{self._label}_{self._counts[kind]:04}"
            if not self._taken(made):
                return made

    def event(self) -> str:
        """The id of the next event."""
        return self.new("event")


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds of one session. `idle_ms`: audio kept while turn detection hears nobody speak; `turn_ms`: the longest
    turn."""

    append_bytes: int = 15 * 2**20
    idle_ms: int = 30_000
    turn_ms: int = 15 * 60_000
    items: int = 10_000
    kept_audio_bytes: int = 64 * 2**20
    responses: int = 16
