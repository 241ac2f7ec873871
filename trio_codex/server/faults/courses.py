"""Faults in the course of a session: requests that are refused, responses that fail, calls that are cut, races."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import attrs

from trio_codex.protocol import (
    ClientEvent,
    ConversationItemDone,
    Error,
    ErrorDetails,
    FunctionCall,
    Response,
    ResponseCreate,
    ResponseDone,
    ResponseError,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputItemDone,
    Say,
    ServerEvent,
    SessionUpdate,
    StatusDetails,
)
from trio_codex.server.faults.fault import EventFault, Heard, Values

__all__ = ["CutArguments", "ErrorEvent", "Expiry", "FailedResponse", "RejectUpdate", "VadRace"]


class Expiry(EventFault):
    """The part of it that is said; the session's shell ends the session."""

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        is_it = isinstance(event, Error) and event.error.code == "session_expired"
        return () if is_it and self.values["event"] == "no" else (event,)


class RejectUpdate(EventFault):
    """Answers a session.update with an error."""

    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        """Give what becomes of an event of the client."""
        if not isinstance(event, SessionUpdate) or not self.is_due():
            return (event,)
        code = self.values["code"]
        return (_refusal(event, "invalid_request_error", code, f"The session.update was rejected ({code})."),)


class VadRace(EventFault):
    """Lets a response begin just before the client's own response.create is heard."""

    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        """Give what becomes of an event of the client."""
        if isinstance(event, ResponseCreate) and not _is_beside(event) and self.is_due():
            return (ResponseCreate(), event)
        return (event,)


class ErrorEvent(EventFault):
    """Answers a response.create with an error and nothing else."""

    def hear(self, event: ClientEvent) -> Iterable[Heard]:
        """Give what becomes of an event of the client."""
        if not isinstance(event, ResponseCreate) or not self.is_due():
            return (event,)
        message = "The server had an error while processing your request. Sorry about that!"
        return (_refusal(event, self.values["type"], self.values["code"], message),)


class FailedResponse(EventFault):
    """Lets a completed response end as failed."""

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        if not isinstance(event, ResponseDone) or event.response.status != "completed" or not self.is_due():
            return (event,)
        message = "The server had an error while processing your request. Sorry about that!"
        error = ResponseError(type="server_error", code=self.values["code"], message=message)
        details = message if self.values["details"] == "string" else StatusDetails(type="failed", error=error)
        return (_ended(event, "failed", details),)


class CutArguments(EventFault):
    """Cuts a call at its first delta and lets its other events tell the same."""

    def __init__(self, values: Values, random: Random) -> None:
        super().__init__(values, random)
        self._cut: dict[str, str] = {}  # what is left of the calls' arguments, by item
        self._whole: set[str] = set()
        self._responses: set[str] = set()

    def say(self, event: ServerEvent) -> Iterable[ServerEvent]:
        """Give what becomes of an event of the peer."""
        status = self.values["status"]
        match event:
            case ResponseFunctionCallArgumentsDelta(item_id=item_id, delta=delta):
                if item_id in self._cut:
                    return ()
                if item_id in self._whole:
                    return (event,)
                if not self.is_due():
                    self._whole.add(item_id)
                    return (event,)
                self._cut[item_id] = delta[: max(len(delta) // 2, 1)]
                self._responses.add(event.response_id)
                return (attrs.evolve(event, delta=self._cut[item_id]),)
            case ResponseFunctionCallArgumentsDone(item_id=item_id) if item_id in self._cut:
                return (attrs.evolve(event, arguments=self._cut[item_id]),)
            case ResponseOutputItemDone(item=item) | ConversationItemDone(item=item):
                return (attrs.evolve(event, item=self._shortened(item)),)
            case ResponseDone(response=Response(id=response_id, output=output)) if response_id in self._responses:
                event = attrs.evolve(
                    event, response=attrs.evolve(event.response, output=tuple(map(self._shortened, output or ())))
                )
                if status == "completed":
                    return (event,)
                reason = "max_output_tokens" if status == "incomplete" else "turn_detected"
                return (_ended(event, status, StatusDetails(type=status, reason=reason)),)
        return (event,)

    def _shortened(self, item: Any) -> Any:
        if not isinstance(item, FunctionCall) or item.id not in self._cut:
            return item
        status = "completed" if self.values["status"] == "completed" else "incomplete"
        return attrs.evolve(item, arguments=self._cut[item.id], status=status)


def _refusal(event: SessionUpdate | ResponseCreate, kind: str, code: str, message: str) -> Say:
    error = ErrorDetails(type=kind, code=code, message=message, event_id=event.event_id)
    return Say(Error(event_id=f"event_fault_{event.event_id or code}", error=error))


def _is_beside(event: ResponseCreate) -> bool:
    return event.response is not None and event.response.conversation == "none"


def _ended(event: ResponseDone, status: str, details: StatusDetails | str) -> ResponseDone:
    extra = {name: value for name, value in event.response.extra.items() if name != "status_details"}
    response = attrs.evolve(event.response, status=status, status_details=details, extra=extra)
    return attrs.evolve(event, response=response)
