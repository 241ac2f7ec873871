"""Frames in the log: each one at DEBUG, on `trio_codex.frames`, without audio and without what opens a door.

Looked at once, when the connection is made: a logger that is not heard then costs nothing per frame.
"""

from __future__ import annotations

import logging
from typing import Final

import orjson

from trio_codex.logs import get_logger
from trio_codex.recording.redaction import redacted
from trio_codex.transport import Transport

__all__ = ["tapped"]

_log: Final = get_logger("frames")
_SHOWN: Final = 2000


def tapped(transport: Transport) -> Transport:
    """Give the transport, with its frames in the log if anybody listens to them."""
    return _Tapped(transport) if _log.isEnabledFor(logging.DEBUG) else transport


class _Tapped:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, frame: str) -> None:
        _log.debug("sent %s", _shown(frame))
        await self._transport.send(frame)

    async def receive(self) -> str | bytes:
        frame = await self._transport.receive()
        _log.debug("received %s", _shown(frame))
        return frame

    async def close(self) -> None:
        await self._transport.close()


def _shown(frame: str | bytes) -> str:
    try:
        text = orjson.dumps(redacted(orjson.loads(frame))).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return f"{len(frame)} that are no event"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
