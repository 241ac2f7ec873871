"""How a response ended, read from `response.done` once and leniently.

Servers differ in what they put into `status_details`: nothing, an object, a bare string. Whatever it was, a failed response has an error
with a message. Knows nothing of who asked, or of what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from trio_codex.errors import ServerRefused
from trio_codex.events import ErrorInfo, Usage
from trio_codex.protocol.codec import unstructure
from trio_codex.protocol.items import Response, ResponseError, StatusDetails

_CUT_OFF: Final = frozenset({None, "turn_detected", "client_cancelled"})


@attrs.frozen(kw_only=True)
class Outcome:
    """The end of one response. `details` is the server's own account; `error` is None unless the response failed."""

    status: str
    details: Mapping[str, Any] | str | None = None
    reason: str | None = None
    error: ErrorInfo | None = None
    usage: Usage | None = None

    @property
    def cut_off(self) -> bool:
        """Whether speech or the client ended it."""
        return self.status == "cancelled" and self.reason in _CUT_OFF

    @property
    def failure(self) -> ServerRefused | None:
        """The error for who asked, if the response failed."""
        if self.error is None:
            return None
        return ServerRefused(self.error.message, type=self.error.type, code=self.error.code or self.error.type)


def outcome_of(response: Response) -> Outcome:
    """Read a response that is done; one without a status counts as completed."""
    status = response.status or "completed"
    details = response.status_details
    known = details if isinstance(details, StatusDetails) else StatusDetails()
    return Outcome(
        status=status,
        details=None if details is None else unstructure(details),
        reason=known.reason,
        error=_error(response, details) if status == "failed" else None,
        usage=_usage(response),
    )


def _error(response: Response, details: StatusDetails | str | None) -> ErrorInfo:
    known = details if isinstance(details, StatusDetails) else StatusDetails(reason=details)
    error = known.error or ResponseError(message=known.reason)
    return ErrorInfo(
        type=error.type or "response_failed",
        message=error.message or 'response.done failed (status="failed")',
        code=error.code,
        response_id=response.id,
    )


def _usage(response: Response) -> Usage | None:
    wire = response.usage
    if wire is None:
        return None
    given, made = wire.input_token_details, wire.output_token_details
    return Usage(
        total_tokens=wire.total_tokens or 0,
        input_tokens=wire.input_tokens or 0,
        output_tokens=wire.output_tokens or 0,
        cached_tokens=(given.cached_tokens if given else None) or 0,
        input_audio_tokens=(given.audio_tokens if given else None) or 0,
        output_audio_tokens=(made.audio_tokens if made else None) or 0,
        responses=1,
    )
