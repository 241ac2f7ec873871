"""What a conversation in writing wants done, as values; whoever runs it does it at once."""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs

from trio_codex.agent import Agent
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import CancelTool, Emit, PrepareHandoff, StartCheck, StartTool

__all__ = ["AskApproval", "Effect", "Effects", "Say", "StopAnswer"]


@attrs.frozen
class Say:
    """Say this piece of text."""

    text: str


@attrs.frozen
class StopAnswer:
    """Give up the answer that is coming."""


@attrs.frozen
class AskApproval:
    """Ask whether the API may make this call; report to `Dialogue.approved`."""

    request_id: str
    server: HostedMcp
    agent: Agent
    name: str
    arguments: str


Effect: TypeAlias = Say | StopAnswer | AskApproval | Emit | StartTool | CancelTool | PrepareHandoff | StartCheck


class Effects(list[Effect]):
    """Those that follow from one step, in their order."""

    def emit(self, event: Any) -> None:
        """The user is told."""
        self.append(Emit(event))

    def take(self) -> list[Effect]:
        """Give them away."""
        taken = list(self)
        self.clear()
        return taken
