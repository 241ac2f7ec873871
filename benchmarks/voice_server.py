"""The scripted service of a voice pipeline, over HTTP: recordings into words after 50 ms; texts into sound, the first 1,024 bytes of it
after 100 ms and the rest at twice the pace of speech.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Final

_STT_S: Final = 0.05
_FIRST_S: Final = 0.1
_PIECE: Final = bytes(1024)
_PIECE_S: Final = len(_PIECE) / 96_000
_PIECES_PER_CHARACTER: Final = 3
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Service(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self) -> None:
        self._received = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return
        self._received = b""
        if b"/audio/transcriptions" in head.split(b"\r\n", 1)[0]:
            self._loop.call_later(
                _STT_S, self._write, self._answer(b"application/json", b'{"text": "Tell me a story."}')
            )
        else:
            text = json.loads(body)["input"]
            self._loop.call_later(
                _FIRST_S, self._speak, len(text) * _PIECES_PER_CHARACTER, self._loop.time() + _FIRST_S
            )

    @staticmethod
    def _answer(kind: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _speak(self, pieces: int, when: float, first: bool = True) -> None:
        if self._transport.is_closing():
            return
        head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nTransfer-Encoding: chunked\r\n\r\n" if first else b""
        self._transport.write(head + b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE))
        if pieces > 1:
            self._loop.call_at(when + _PIECE_S, self._speak, pieces - 1, when + _PIECE_S, False)
        else:
            self._transport.write(b"0\r\n\r\n")
