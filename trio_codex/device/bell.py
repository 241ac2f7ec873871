"""Waking one Trio task from any thread."""

from __future__ import annotations

from contextlib import suppress

import trio


class Bell:
    """Rung from any thread, waited for by one task; several rings before it waits are one. Make it inside `trio.run`."""

    def __init__(self) -> None:
        self._trio = trio.lowlevel.current_trio_token()
        self._rung = trio.Event()

    def ring(self) -> None:
        """Wake the task. Never waits and never raises: an audio thread may outlive the run by a moment."""
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(self._ring, idempotent=True)

    def _ring(self) -> None:
        self._rung.set()

    async def wait(self) -> None:
        """Wait until it has been rung since the last time. Cancel-safe."""
        await self._rung.wait()
        self._rung = trio.Event()
