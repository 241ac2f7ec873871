"""Which faults a server commits, when: the places where they are hooked in, and the seeds that make a run repeatable.

Every connection and every session gets generators of its own, seeded by the server's seed and its number; so the same seed and the same
order of connections give the same run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import attrs
import trio

from trio_codex.errors import ConfigurationError
from trio_codex.protocol import Error, ErrorDetails
from trio_codex.server.faults.answers import answer_to, read_request, read_to_the_end
from trio_codex.server.faults.events import EVENT_FAULTS, EventFaults
from trio_codex.server.faults.registry import FAULTS, Fault, Place, parse_fault
from trio_codex.server.faults.streams import STREAM_FAULTS, Latency, Replayed

__all__ = ["FaultPlan", "Refusal"]


@attrs.frozen
class Refusal:
    """How a session is refused after its websocket has opened."""

    event: Error
    reason: str
    code: int = 4000


class FaultPlan:
    """The faults of a server, as `NAME[:PARAMETERS]`. Raises ConfigurationError for those that there are not."""

    def __init__(self, faults: Iterable[str] = (), seed: int = 0) -> None:
        if isinstance(faults, str):
            faults = [faults]
        self.faults: Sequence[Fault] = [parse_fault(fault) for fault in faults]
        self._seed = seed
        self._connections = 0
        self._sessions = 0
        self._committed: Counter[int] = Counter()

    def check_places(self, *places: Place) -> None:
        """Raise ConfigurationError if there is a fault that belongs elsewhere."""
        for fault in self.faults:
            if fault.kind.place not in places:
                known = ", ".join(kind.name for kind in FAULTS.values() if kind.place in places)
                raise ConfigurationError(f"the fault {fault.name} needs a server with sockets; here there are {known}")

    def _at(self, place: Place) -> list[Fault]:
        return [fault for fault in self.faults if fault.kind.place == place]

    # --- sessions --------------------------------------------------------------------------------------------------

    def session(self) -> EventFaults | None:
        """The faults in what the next session says; None for none."""
        self._sessions += 1
        if not any(fault.name in EVENT_FAULTS for fault in self.faults):
            return None
        return EventFaults(self.faults, seed=f"{self._seed} session {self._sessions}")

    def lifetime_s(self, otherwise: float) -> float:
        """How long a session may last."""
        return min([fault.values["after"] for fault in self.faults if fault.name == "expiry"], default=otherwise)

    @property
    def refusal(self) -> Refusal | None:
        """How sessions are refused, if they are."""
        for fault in self.faults:
            if fault.name == "refused-session":
                code, kind = fault.values["code"], fault.values["type"]
                error = ErrorDetails(type=kind, code=code, message=f"The session was refused: {code}.")
                return Refusal(Error(event_id="event_fault_0001", error=error), f"{kind}.{code}")
        return None

    # --- connections -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def around(self, stream: trio.abc.HalfCloseableStream) -> AsyncIterator[Any]:
        """Give what the web server is to read and write instead of a new connection; None when it has been dealt with."""
        self._connections += 1
        carried: Any = stream
        if self._at("http"):
            try:
                head, read = await read_request(stream)
            except trio.BrokenResourceError:
                head, read = b"", b""
            fault = self._refusal_of(head)
            if fault is not None or not read:
                await _refuse(stream, b"" if fault is None else answer_to(fault))
                yield None
                return
            carried = Replayed(stream, read)
        async with trio.open_nursery() as nursery:
            for at, fault in enumerate(self._at("tcp")):
                if fault.name == "latency":
                    seed = f"{self._seed} connection {self._connections} {at}"
                    carried = Latency(carried, fault.values, Random(seed))  # noqa: S311 - not for secrets
                    nursery.start_soon(carried.deliver)
                else:
                    carried = STREAM_FAULTS[fault.name](carried, fault.values)
            yield carried
            nursery.cancel_scope.cancel()

    def _refusal_of(self, head: bytes) -> Fault | None:
        """The fault that a request meets, if there is one."""
        if not head:
            return None
        of = "realtime" if b"\r\nupgrade: websocket" in head.lower() else "rest"
        for at, fault in enumerate(self._at("http")):
            times, on = fault.values["times"], fault.values["on"]
            if on in ("all", of) and (times == 0 or self._committed[at] < times):
                self._committed[at] += 1
                return fault
        return None


async def _refuse(stream: trio.abc.HalfCloseableStream, answer: bytes) -> None:
    try:
        if answer:
            await stream.send_all(answer)
            await stream.send_eof()
            await read_to_the_end(stream)
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)
