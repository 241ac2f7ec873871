"""What decides what the server says: the seam between a session and a model, or something that stands in for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from trio_codex.protocol import AnswerRequest

__all__ = ["Answer", "AnswerRequest", "Responder"]


class Answer(Protocol):
    """How a responder answers: any number of these, in order; nothing at all is an empty response.

    Both wait until the client has taken enough of what was said before, and are cancelled when the client or the user's
    voice interrupts the response. Their effect up to there stands.
    """

    async def say(self, text: str) -> None:
        """Say something: spoken, or written where the request asks for text. Several in a row are one message."""

    async def call(self, name: str, arguments: str | Mapping[str, Any]) -> None:
        """Call a function of the client; arguments as JSON text or as a mapping."""


class Responder(Protocol):
    """Answers requests. One instance serves all sessions of a server, several requests at a time."""

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        """Answer a request. Returning completes the response, an exception fails it (`server_error`)."""
