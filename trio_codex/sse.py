"""Server-sent events, from bytes to values. Pure; the format is that of the WHATWG HTML standard, section 9.2.6."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import attrs

__all__ = ["ServerSentEvent", "SseParser"]


@attrs.frozen
class ServerSentEvent:
    """One event: `name` ("message" unless the server says another) and `data`, its lines joined."""

    data: str
    name: str = "message"


class SseParser:
    """Takes a stream of events in any chunking. An event that is not ended by a blank line when the stream ends is none."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take more bytes; gives the events that they complete."""
        return [event for line in self._lines(self._decoder.decode(chunk)) if (event := self._take(line)) is not None]

    def _lines(self, text: str) -> Iterator[str]:
        """Lines end with LF, CR or CRLF, and with nothing else that `str.splitlines` knows."""
        if text and self._after_cr:
            text = text.removeprefix("\n")
            self._after_cr = False
        if text.endswith("\r"):
            self._after_cr = True
        *whole, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for part in whole:
            yield self._line + part
            self._line = ""
        self._line += rest

    def _take(self, line: str) -> ServerSentEvent | None:
        if not line:
            name, data = self._name, self._data
            self._name, self._data = "", []
            return ServerSentEvent("\n".join(data), name or "message") if data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        return None
