"""What was said, called and given back in a conversation in writing: for the user, and as the input of the next request.

While a turn lasts, items go back to the API as they came, reasoning included, because some of them belong together; a turn that is over
is condensed to what everybody could have noticed. Every call stands with exactly one output. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from trio_codex.events import HistoryItem, HistoryPart
from trio_codex.protocol import FunctionCall

__all__ = ["STILL_RUNNING", "Book", "Entry"]

STILL_RUNNING: Final = "The tool is still running; its result will follow."
"""What the model reads of a call that went on when the user cut in."""


@attrs.define
class Entry:
    """One item. `raw` is what the API said, while the turn lasts; `text` what was generated, `said` what went on to be spoken."""

    id: str
    type: str
    role: str | None = None
    text: str = ""
    raw: Mapping[str, Any] | None = None
    call: FunctionCall | None = None
    said: str = ""
    start: int = 0  # where `said` begins in what the whole turn said
    heard: str | None = None  # None: all of it


@attrs.define
class Book:
    """The entries in their order, and the outputs of calls by their ids."""

    entries: list[Entry] = attrs.field(factory=list)
    outputs: dict[str, str] = attrs.field(factory=dict)
    approvals: dict[str, bool] = attrs.field(factory=dict)  # of calls that the API makes, by the ids of their requests

    def condense(self, start: int) -> None:
        """Keep what was said, called and given back from here on, and not how the API says it."""
        kept = [entry for entry in self.entries[start:] if entry.call or (entry.type == "message" and entry.text)]
        self.entries[start:] = kept
        for entry in kept:
            entry.raw = None

    def heard(self, start: int, text: str) -> None:
        """Of the turn that begins here, so much was heard."""
        for entry in self.entries[start:]:
            if entry.role == "assistant":
                heard = entry.said[: max(len(text) - entry.start, 0)]
                if len(heard) < len(entry.text):
                    entry.heard = heard

    def as_input(self) -> list[dict[str, Any]]:
        """The input of a request."""
        return [item for entry in self.entries for item in self._input(entry)]

    def history(self) -> tuple[HistoryItem, ...]:
        """The conversation as users see it."""
        return tuple(item for entry in self.entries for item in self._items(entry))

    def _input(self, entry: Entry) -> Iterator[dict[str, Any]]:
        if entry.call is not None:
            call = entry.call
            made = {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
            yield dict(entry.raw or made)
            output = self.outputs.get(call.call_id or "", STILL_RUNNING)
            yield {"type": "function_call_output", "call_id": call.call_id, "output": output}
        elif entry.raw is not None:
            yield dict(entry.raw)
            if entry.id in self.approvals:
                approve = self.approvals[entry.id]
                yield {"type": "mcp_approval_response", "approval_request_id": entry.id, "approve": approve}
        elif text := entry.text if entry.heard is None else entry.heard:
            yield {"type": "message", "role": entry.role, "content": text}

    def _items(self, entry: Entry) -> Iterator[HistoryItem]:
        if entry.call is not None:
            call_id = entry.call.call_id or ""
            yield HistoryItem(
                entry.id, "function_call", call_id=call_id, name=entry.call.name, arguments=entry.call.arguments
            )
            if call_id in self.outputs:
                output = self.outputs[call_id]
                yield HistoryItem(f"{entry.id}_output", "function_call_output", call_id=call_id, output=output)
        elif entry.type == "message":
            kind = "output_text" if entry.role == "assistant" else "input_text"
            yield HistoryItem(
                entry.id,
                "message",
                role=entry.role,
                status="completed" if entry.heard is None else "incomplete",
                content=(HistoryPart(kind, entry.text),),
                text_heard=entry.heard,
            )
