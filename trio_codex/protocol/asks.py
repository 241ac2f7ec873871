"""Who waits for an answer under a ticket, and what has been said to them so far.

An `ask` goes on over several responses: the one it asked for, and those that follow its function calls. What a response says is kept
with the response until it is done, and only then counts for who asked: until then it may turn out to be somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from itertools import chain

import attrs

from trio_codex.errors import ServerRefused
from trio_codex.events import Usage
from trio_codex.protocol.effects import Effects, Settle
from trio_codex.protocol.floor import SESSION
from trio_codex.protocol.items import Item


@attrs.frozen
class Reply:
    """What `ask` gives: the words and the audio of the whole turn, the last response's status, the usage of all, the items."""

    transcript: str
    audio: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    status: str
    usage: Usage
    items: tuple[Item, ...] = attrs.field(repr=lambda items: f"<{len(items)} items>")


@attrs.define
class Said:
    """What one response has said, or all responses to one ask; `words` by the part of the item that they are in."""

    words: dict[tuple[str, int], list[str]] = attrs.field(factory=dict)
    audio: list[bytes] = attrs.field(factory=list)
    items: list[Item] = attrs.field(factory=list)
    usage: Usage = attrs.field(factory=Usage)

    def add(self, other: Said) -> None:
        """Append what another response has said."""
        unsaid = {(f"{len(self.items)}+{at}", 0): [_words_of(item)] for at, item in enumerate(other.items)}
        self.words |= other.words or unsaid
        self.audio += other.audio
        self.items += other.items
        self.usage += other.usage


class Asks:
    """The open tickets; tickets of nobody who waits are ignored everywhere."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._open: dict[str, list[Said]] = {}

    def open(self, ticket: str) -> None:
        """Somebody begins to wait."""
        self._open[ticket] = []

    def close(self, ticket: str) -> bool:
        """Nobody waits any more; says whether somebody did."""
        return self._open.pop(ticket, None) is not None

    def want(self, askers: Set[str]) -> bool:
        """Whether what these asked for is still wanted: by one who waits, or by one who never did."""
        return not askers or any(asker == SESSION or asker in self._open for asker in askers)

    def told(self, askers: Iterable[str], said: Said) -> None:
        """A response to these is done; what a guardrail still holds of it is added to `said` as it passes."""
        for ticket in askers:
            if (ask := self._open.get(ticket)) is not None:
                ask.append(said)

    def settle(self, askers: Iterable[str], status: str, failure: ServerRefused | None = None) -> None:
        """The turn is over for these."""
        for ticket in sorted(askers):
            if (told := self._open.pop(ticket, None)) is not None:
                ask = Said()
                for said in told:
                    ask.add(said)
                words = "".join(chain.from_iterable(ask.words.values()))
                reply = Reply(words, b"".join(ask.audio), status, ask.usage, tuple(ask.items))
                self._effects.add(Settle(ticket, None if failure else reply, failure))


def _words_of(item: Item) -> str:
    return "".join(part.text or part.transcript or "" for part in getattr(item, "content", ()))
