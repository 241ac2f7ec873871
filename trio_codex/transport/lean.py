"""The lean transport: frames straight over a socket, with as few turns of the scheduler as the work needs.

Whoever calls `receive` reads, and answers pings in passing; there is no task of its own, so nothing hops from one to another. Frames that
wait together go out together. What is written is kept until the system has taken it, so a send that is cancelled breaks nothing: its
frame goes out with the next. The end is whatever comes first: a goodbye, a frame that may not come, the end of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import trio
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from trio_codex.errors import ConnectionFailed, ConnectionLost
from trio_codex.secret import without
from trio_codex.transport import ABNORMAL, NORMAL, Target, Transport
from trio_codex.transport.frames import Frames
from trio_codex.transport.handshake import Handshake
from trio_codex.transport.refusals import refused, why_not_opened
from trio_codex.transport.streams import host_of, open_socket, tls_context
from trio_codex.transport.wires import SocketWire, TlsWire, Wire
from trio_codex.trust import tls_failure
from trio_codex.waiters import Waiters, wait_among, wake_all

__all__ = ["LeanTransport", "open_lean"]

_STUCK_S: Final = 0.05
"""How often the reader tries to get rid of a pong that the system would not take, which happens when the peer reads nothing."""

_READS: Final = 2
_MANY: Final = 64
"""How often the reader reads before others have their turn, as long as there is more, and how many messages are enough.

A turn of the scheduler for two reads of a flood instead of one: 28.1 → 26.1 µs for 4,800 bytes with words, 61 → 56 µs for 24,000.
"""

_LEFT: Final = 64
"""Messages that come during the goodbye, while nobody receives, and are kept."""

_MARKER: Final = "-"
_HEAD_BYTES: Final = 64 * 1024
_END_OF_HEAD: Final = b"\r\n\r\n"


def open_lean(target: Target, /) -> AbstractAsyncContextManager[Transport]:
    """Connect to a ws:// or wss:// URL. Raises ConnectionFailed, ConfigurationError for a bad CA file; leaving the block closes at once."""
    return _Connection(target)


class _Connection:
    """The block in which a connection lives; a generator would take half a KiB for as long as it is open."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def __aenter__(self) -> LeanTransport:
        self._wire, transport = await _connected(self._target)
        del self._target  # with its headers and all
        return transport

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wire.close()


class LeanTransport:
    """A connection over a wire. One task sends; any may receive or close at the same time, for they take turns at reading."""

    def __init__(self, wire: Wire, frames: Frames, secrets: Sequence[str] = ()) -> None:
        self._wire = wire
        self._frames = frames
        self._secrets = secrets
        # To look for one character, which keys have and base64 has not, takes 0.1 µs in a piece of audio; for the key itself 1.2 µs.
        self._markers = [_MARKER if _MARKER in secret else secret for secret in secrets]
        self._reading = False
        self._others: Waiters = []  # those whose turn it is not
        self._sending = False
        self._stuck = False  # the wire has kept something
        self._broken = False  # nothing can be written any more; what the peer said before is still to be read

    # --- receiving -------------------------------------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """Give the next frame, without a checkpoint if it is there. Cancel-safe. Raises ConnectionLost, after all frames before the end."""
        while not self._has_received():
            await self._read()
        return self._shown(self._frames.received.pop(0))

    async def receive_many(self) -> list[str | bytes]:
        """Give all frames that have come, at least one, without a checkpoint if they are there. Otherwise like `receive`."""
        while not self._has_received():
            await self._read()
        messages, self._frames.received = self._frames.received, []
        for place, message in enumerate(messages):
            for marker in self._markers:
                if type(message) is str and marker in message:
                    messages[place] = self._shown(message)
        return messages

    def _has_received(self) -> bool:
        if self._frames.received:
            return True
        if self._frames.over is not None:
            raise self._lost()
        return False

    def _shown(self, message: str | bytes) -> str | bytes:
        if type(message) is str:
            for marker in self._markers:
                if marker in message:
                    return without(self._secrets, message)
        return message

    async def _read(self) -> None:
        """Wait until something has come, and take it in; or until another task has done so."""
        if self._reading:
            await wait_among(self._others)
            return
        self._reading = True
        try:
            if self._stuck and not self._sending:
                with trio.move_on_after(_STUCK_S):
                    await self._wire.wait_readable()
                self._write(b"")
            else:
                await self._wire.wait_readable()
            self._take_in()
        finally:
            self._reading = False
            if self._others:
                wake_all(self._others)

    def _take_in(self) -> None:
        for _ in range(_READS):
            try:
                data = self._wire.read()
            except OSError:
                data = b""
            if data:
                if answer := self._frames.feed(data):
                    self._write(answer)
            elif data is not None:
                self._frames.feed_end()
            if not data or not self._wire.full or len(self._frames.received) > _MANY:
                break

    async def _until_over(self) -> None:
        """Read to the end, for somebody who does not receive."""
        kept = len(self._frames.received) + _LEFT
        while self._frames.over is None:
            await self._read()
            while not self._broken and len(self._frames.received) > kept:
                self._frames.received.pop()

    # --- sending ---------------------------------------------------------------------------------------------------

    async def send(self, frame: str) -> None:
        """Write one frame, without a checkpoint if the system takes it at once.

        Cancel-safe: it goes out, at the latest with the next one. Raises ConnectionLost, with the peer's own reason if it gave one.
        """
        await self.send_many((frame,))

    async def send_many(self, frames: Sequence[str]) -> None:
        """Write frames with one call of the system. What holds for `send` holds for all of them together."""
        if not self.send_nowait(frames):
            await self._until_written()
        if self._broken:
            await self._until_over()
            raise self._lost()

    def send_nowait(self, frames: Sequence[str]) -> bool:
        """Write frames, while nobody else sends; False when something is left, which is kept for `send_many`. Raises ConnectionLost."""
        if self._frames.over is not None or self._frames.closing:
            raise self._lost()
        text = self._frames.text
        if len(frames) == 1 and frames[0]:  # most come alone
            return self._write(text(frames[0])) and not self._broken
        return self._write(b"".join([text(frame) for frame in frames if frame])) and not self._broken

    def _write(self, data: bytes) -> bool:
        """Whether everything is written, or will never be."""
        try:
            self._stuck = not self._broken and not self._wire.write(data)
        except OSError:
            self._broken, self._stuck = True, False
        return not self._stuck

    async def _until_written(self) -> None:
        self._sending = True
        try:
            while self._stuck:
                await self._wire.wait_writable()
                self._write(b"")
        finally:
            self._sending = False

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Exchange close frames. Never raises; set a time limit, for the peer may never answer."""
        if not self._write(self._frames.goodbye(code, reason)):
            await self._until_written()
        await self._until_over()

    def _lost(self) -> ConnectionLost:
        over = self._frames.over or ConnectionLost(NORMAL if self._frames.closing else ABNORMAL)
        return ConnectionLost(over.code, without(self._secrets, over.reason))


# --- opening -----------------------------------------------------------------------------------------------------------


async def _connected(target: Target) -> tuple[Wire, LeanTransport]:
    wire: Wire | None = None
    said = bytearray()
    with trio.move_on_after(target.timeout):
        wire = await _open_wire(target)
        try:
            return wire, await _shake_hands(wire, target, said)
        except BaseException:
            wire.close()
            raise
    if wire is None:
        raise ConnectionFailed(f"no connection to {host_of(target.url)} within {target.timeout:g} s")
    raise why_not_opened(target, bytes(said), hung_up=False)


async def _open_wire(target: Target) -> Wire:
    context = tls_context(target)
    wire: Wire = SocketWire(await open_socket(target))
    if context is None:
        return wire
    tls = TlsWire(wire, context, urlsplit(target.url).hostname or "")
    try:
        await tls.handshake()
    except OSError as error:
        wire.close()
        message, advice = tls_failure(host_of(target.url), error)
        raise ConnectionFailed(message, stage="tls", advice=advice) from error
    except BaseException:
        wire.close()
        raise
    return tls


async def _shake_hands(wire: Wire, target: Target, said: bytearray) -> LeanTransport:
    """Become a websocket; `said` is what the peer said meanwhile. Raises ConnectionFailed."""
    handshake = Handshake(target)
    try:
        wire.write(handshake.request)
        proof = handshake.proof()  # from here on the peer thinks, and what runs after a wait runs on cold caches
        frames = Frames()
        transport = LeanTransport(wire, frames, target.secrets)
        while (head := said.find(_END_OF_HEAD) + len(_END_OF_HEAD)) < len(_END_OF_HEAD):
            await _hear(wire, target, said)
            if len(said) > _HEAD_BYTES or not said.startswith(b"HTTP/1."[: len(said)]):
                raise why_not_opened(target, bytes(said), hung_up=False)
        if not handshake.is_usual_yes(bytes(said[:head]), proof):
            await _look_closer(handshake, head, wire, target, said)
    except OSError as error:
        raise why_not_opened(target, bytes(said), hung_up=True) from error
    with suppress(OSError):  # which the reader is going to meet
        wire.write(frames.feed(bytes(said[head:])))  # what came with the answer may want one itself
    return transport


async def _look_closer(handshake: Handshake, head: int, wire: Wire, target: Target, said: bytearray) -> None:
    """Let the package judge what was said, and what follows if it was a no. Raises ConnectionFailed."""
    protocol = handshake.closer_look()
    protocol.receive_data(bytes(said[:head]))
    fed = head
    while not protocol.events_received() and protocol.handshake_exc is None:  # the body of a refusal
        if fed == len(said):
            await _hear(wire, target, said)
        protocol.receive_data(bytes(said[fed:]))
        fed = len(said)
    if protocol.handshake_exc is not None:
        raise _not_opened(target, bytes(said), protocol.handshake_exc)


async def _hear(wire: Wire, target: Target, said: bytearray) -> None:
    """Wait for more of what the peer says. Raises ConnectionFailed when it hangs up."""
    await wire.wait_readable()
    data = wire.read()
    if data == b"":
        raise why_not_opened(target, bytes(said), hung_up=True)
    said += data or b""


def _not_opened(target: Target, said: bytes, error: Exception) -> ConnectionFailed:
    if isinstance(error, InvalidStatus):  # no cause: it holds what the server said, which may repeat a key
        answer = error.response
        return refused(target, answer.status_code, _raw(answer.headers), bytes(answer.body or b""))
    failed = why_not_opened(target, said, hung_up=False)
    failed.__cause__ = error
    return failed


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.raw_items()]
