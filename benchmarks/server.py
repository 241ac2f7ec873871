"""The scripted Realtime server: one process, one thread, no library, so that contestants wait for themselves and not for it.

The words of the user's last message choose what the next response is: "call" is a function call, "talk SAID" is speech at the pace of
speech until the connection ends, in answers of fifty pieces, so many of which the first one has said already; "flood COUNT BYTES" is so
many pieces of speech as fast as they are taken, in answers as long as the API allows; anything else is one piece of speech at once.
After the output of a function call, the audio of the response carries how many nanoseconds the output took; after "count", how many
pieces of the user's audio have come; all other audio carries when it was sent, see `frames`.

Run as `python -m benchmarks.server [core]`; on a core of its own it never sleeps, for to wake it there takes some 50 µs, which everybody
would wait for three times in an opening. Reads the files of a certificate and its key from CERTIFICATE and KEY for TLS; writes its ports,
without and with TLS and that of the voice pipeline's service, to standard output and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha1
from itertools import count
from typing import Any, Final

from benchmarks.frames import DELTA_MS, DELTAS_PER_ANSWER, LONGEST_BYTES, SESSION, Answer, event, framed, item_frames
from benchmarks.voice_server import Service

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BEFORE_CALL_ENDS_S: Final = 0.003  # so that what came before it is through, as in life
_TEXT, _CLOSE, _PING = 1, 8, 9
_PEEK: Final = 160
_APPEND: Final = b"input_audio_buffer.append"
_FLOOD_BYTES: Final = 1 << 18

_SESSION_CREATED: Final = framed(event("session.created", session=SESSION))
_SESSION_UPDATED: Final = framed(event("session.updated", session=SESSION))


class Caller(asyncio.Protocol):
    """One connection: a websocket that is never fragmented by its peer, and the script."""

    _numbers = count(1)

    def __init__(self) -> None:
        self._received = bytearray()
        self._open = False
        self._words = ""
        self._last: str | None = None  # the id of the last item
        self._call_sent: int | None = None
        self._report: int | None = None
        self._appended = 0
        self._paused = False
        self._flood: Iterator[bytes] = iter(())
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- the websocket ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        self._received += data
        if not self._open:
            head, end, rest = bytes(self._received).partition(b"\r\n\r\n")
            if not end:
                return
            self._received = bytearray(rest)
            self._accept(head)
        while (frame := self._next_frame()) is not None:
            self._frame(*frame)

    def _accept(self, head: bytes) -> None:
        key = next(line[19:] for line in head.split(b"\r\n") if line[:19].lower() == b"sec-websocket-key: ")
        accept = b64encode(sha1(key + _MAGIC).digest())
        self._open = True
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + _SESSION_CREATED
        )

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._received
        if len(data) < 6:
            return None
        size, at = data[1] & 0x7F, 2
        if size > 125:
            at = 4 if size == 126 else 10
            if len(data) < at:
                return None
            size = int.from_bytes(data[2:at], "big")
        end = at + 4 + size
        if len(data) < end:
            return None
        assert data[0] & 0x80, "no client here sends fragments"
        mask, opcode = bytes(data[at : at + 4]), data[0] & 0x0F
        payload = bytes(data[at + 4 : end])
        del data[:end]
        if size > 4 * _PEEK:  # looking closer at the user's audio would take this process longer than some clients
            ends = _unmasked(payload[:_PEEK], mask) + _unmasked(payload[(size - _PEEK) & ~3 :], mask)
            if _APPEND in ends:
                return opcode, _APPEND
        return opcode, _unmasked(payload, mask)

    def _frame(self, opcode: int, payload: bytes) -> None:
        if payload is _APPEND:
            self._appended += 1
        elif opcode == _TEXT:
            self._hear(json.loads(payload))
        elif opcode == _PING:
            self._transport.write(bytes((0x8A, len(payload))) + payload)
        elif opcode == _CLOSE:
            self._transport.write(bytes((0x88, len(payload))) + payload)
            self._transport.close()

    # --- the script ------------------------------------------------------------------------------------------------

    def _hear(self, said: dict[str, Any]) -> None:
        match said["type"]:
            case "input_audio_buffer.append":
                self._appended += 1
            case "session.update":
                self._transport.write(_SESSION_UPDATED)
            case "conversation.item.create":
                self._item(said["item"])
            case "response.create":
                self._respond()

    def _item(self, item: dict[str, Any]) -> None:
        now = time.monotonic_ns()
        if item["type"] == "function_call_output" and self._call_sent is not None:
            self._report, self._call_sent, self._words = now - self._call_sent, None, ""
        elif item["type"] == "message":
            self._words = item["content"][0]["text"]
        item = {"id": f"item_{next(self._numbers)}", **item}
        self._transport.write(item_frames(item, self._last))
        self._last = item["id"]

    def _answer(self) -> Answer:
        answer = Answer(next(self._numbers), self._last)
        self._last = answer.item_id
        return answer

    def _respond(self) -> None:
        answer = self._answer()
        match self._words.split():
            case ["call"]:
                self._transport.write(answer.call_begins())
                self._loop.call_later(_BEFORE_CALL_ENDS_S, self._end_call, answer.call_ends())
            case ["flood", pieces, size]:
                self._flood = self._answers(answer, int(pieces), int(size))
                self.resume_writing()
            case ["count"]:
                self._transport.write(answer.begins() + answer.audio(self._appended) + answer.ends())
            case ["talk", said]:
                self._transport.write(answer.begins())
                self._talk(answer, self._loop.time(), int(said))
            case _:
                number, self._report = self._report or time.monotonic_ns(), None
                self._transport.write(answer.begins() + answer.audio(number) + answer.ends())

    def pause_writing(self) -> None:
        """The client is slower than we are."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client takes more."""
        self._paused = False
        while not self._paused and (data := next(self._flood, b"")):
            self._transport.write(data)

    def _answers(self, answer: Answer, pieces: int, size: int) -> Iterator[bytes]:
        most = LONGEST_BYTES // size
        while pieces > most:
            yield from _flood(answer, most, size)
            pieces, answer = pieces - most, self._answer()
        yield from _flood(answer, pieces, size)

    def _end_call(self, frames: bytes) -> None:
        self._call_sent = time.monotonic_ns()
        self._transport.write(frames)

    def _talk(self, answer: Answer, when: float, said: int) -> None:
        if self._transport.is_closing():
            return
        if said == DELTAS_PER_ANSWER:
            self._transport.write(answer.ends())
            answer, said = self._answer(), 0
            self._transport.write(answer.begins())
        self._transport.write(answer.words() + answer.audio(time.monotonic_ns()))
        self._loop.call_at(when + DELTA_MS / 1000, self._talk, answer, when + DELTA_MS / 1000, said + 1)


def many_files() -> None:
    """Allow this process as many sockets as the system lets it have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    whole = int.from_bytes(payload, "little") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return whole.to_bytes(size, "little")


def _flood(answer: Answer, pieces: int, size: int) -> Iterator[bytes]:
    """So many pieces of sound with words between, joined to writes of some size."""
    piece = answer.words() + answer.audio(0, size)
    at_once = max(1, _FLOOD_BYTES // len(piece))
    yield answer.begins()
    for start in range(0, pieces, at_once):
        yield piece * min(at_once, pieces - start)
    yield answer.ends()


async def serve(announce: Callable[[int, int, int], None], *, sleepless: bool = False) -> None:
    """Serve on ports that the system chooses until standard input ends."""
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Caller, "127.0.0.1", 0, backlog=512)
    tls = await loop.create_server(Caller, "127.0.0.1", 0, backlog=512, ssl=_tls()) if _tls() else plain
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1) else over.set())
    voice = await loop.create_server(Service, "127.0.0.1", 0)
    if sleepless:

        def stay_awake() -> None:
            loop.call_soon(stay_awake)

        stay_awake()
    announce(*(each.sockets[0].getsockname()[1] for each in (plain, tls, voice)))
    await over.wait()


def _tls() -> ssl.SSLContext | None:
    certificate, key = os.environ.get("CERTIFICATE"), os.environ.get("KEY")
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


if __name__ == "__main__":
    own_core = len(sys.argv) > 1
    if own_core:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    many_files()
    asyncio.run(serve(lambda *ports: print(*ports, flush=True), sleepless=own_core))
