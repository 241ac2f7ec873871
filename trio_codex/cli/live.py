"""A spoken call through microphone and loudspeaker, until the session ends or somebody ends it (Ctrl-C)."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

import trio

from trio_codex.cli.beside import beside
from trio_codex.cli.console import Console
from trio_codex.cli.minutes import Minutes
from trio_codex.device import SoundDevice
from trio_codex.errors import ConnectionLost
from trio_codex.events import SpeechStartedEvent, SpeechStoppedEvent
from trio_codex.session import Session

SILENCE_S: Final = 0.5
"""What the server's turn detection waits for before it says that speech has stopped, unless told otherwise."""


class LiveCall:
    """One call: `hold` it, then look at the minutes."""

    def __init__(self, device: SoundDevice, console: Console) -> None:
        self.minutes: Minutes = Minutes(console)
        self._device = device
        self._console = console

    async def hold(self, session: Session) -> None:
        """Speak and listen until the session ends. Raises TrioCodexError when the device stops."""
        self._console.line("notice", "Speak; Ctrl-C ends. Wear headphones, or the agent hears itself.")
        async with self._device.attach(session), beside(partial(self._mark_turns, session)):
            await self.minutes.follow(session)

    async def _mark_turns(self, session: Session) -> None:
        """A turn begins when the user speaks; noises that come to nothing do not count."""
        with session.subscribe({SpeechStartedEvent, SpeechStoppedEvent}) as events, suppress(ConnectionLost):
            async for event in events:
                match event:
                    case SpeechStartedEvent() if any(turn.user or turn.agent for turn in self.minutes.turns[-1:]):
                        self.minutes.begin_turn()
                    case SpeechStoppedEvent():
                        self.minutes.voice_ended_at = trio.current_time() - SILENCE_S
