"""The frames between this process and a worker: length, kind, number of the job, payload. Used on both sides; no I/O, no Trio.

A job is BEGIN (JSON settings), any number of DATA, END downwards, and DATA, PARTIAL and exactly one DONE or FAILED
upwards. CANCEL may come at any time and is answered by DONE, if the job is not over already. Frames of other jobs
than the present one are stale and mean nothing. A frame downwards is never longer than what a pipe takes at once or
not at all, so that a cancelled write leaves no half frame behind.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

import attrs

_HEADER = struct.Struct("<IBI")
_ATOMIC = 4096  # PIPE_BUF of Linux; a write up to this size is all or nothing

ROOM = (_ATOMIC - _HEADER.size) // 2 * 2
"""The longest payload downwards: whole samples, 85 ms of audio."""


class Kind(enum.IntEnum):
    """What a frame is."""

    BEGIN = 1
    DATA = 2
    END = 3
    CANCEL = 4
    READY = 5
    PARTIAL = 6
    DONE = 7
    FAILED = 8


@attrs.frozen
class Frame:
    """One frame as it was read."""

    kind: Kind
    job: int
    payload: bytes = b""


def encode(kind: Kind, job: int, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return _HEADER.pack(len(payload), kind, job) + payload


def pieces(payload: bytes) -> Iterator[bytes]:
    """Cut a payload into pieces which each fit a frame downwards; an empty one gives none."""
    return (payload[at : at + ROOM] for at in range(0, len(payload), ROOM))


class FrameReader:
    """Puts frames together from whatever pieces the pipe gives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete now, in order."""
        self._buffer += data
        frames = []
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            length, kind, job = _HEADER.unpack_from(self._buffer, at)
            end = at + _HEADER.size + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(Kind(kind), job, bytes(self._buffer[at + _HEADER.size : end])))
            at = end
        del self._buffer[:at]
        return frames
