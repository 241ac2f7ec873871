"""A response of the server while it runs, and for a short while after."""

from __future__ import annotations

from typing import Final

import attrs

from trio_codex.agent import Agent
from trio_codex.protocol.asks import Said
from trio_codex.protocol.floor import SESSION
from trio_codex.protocol.guarded import Guarded
from trio_codex.protocol.settings import Briefing

__all__ = ["Running", "Sound"]


_NOBODY: Final = frozenset((SESSION,))


@attrs.frozen
class Sound:
    """A piece of what an answer sounds like: the audio as it came, and cut into whole samples. `data` None: the part is over."""

    response_id: str
    item_id: str
    content_index: int
    data: bytes | None = attrs.field(default=None, repr=False)
    samples: bytes = attrs.field(default=b"", repr=False)


@attrs.define(eq=False)
class Running:
    """A response that is not done, or was until a moment ago (`over`). `cut`: nothing more of it is to be heard.

    `briefing` is the agent that was in charge when it began: its tools are the ones that it calls, its guardrails check what it says.
    """

    id: str
    briefing: Briefing
    askers: frozenset[str] = frozenset()
    ours: bool = False  # made for a request of ours, as far as is known
    out_of_band: bool = False
    cut: bool = False
    cancelled: bool = False  # we have told the server so
    over: bool = False
    calls: set[str] = attrs.field(factory=set)  # ids of the functions it has called
    said: Said = attrs.field(factory=Said)
    guarded: Guarded[Sound] | None = None
    owed: str | None = None  # it is over with this status, which who asked is told once its guardrails are through

    @property
    def agent(self) -> Agent:
        """Who answers."""
        return self.briefing.agent

    @property
    def pending(self) -> bool:
        """Whether guardrails still have to pass what it says."""
        return self.guarded is not None and self.guarded.pending

    @property
    def asked(self) -> bool:
        """Whether somebody waits for what it says."""
        told = self.over and self.guarded is None  # what a guardrail still held when it was over is owed to them
        return not told and not self.askers <= _NOBODY  # asked for each delta
