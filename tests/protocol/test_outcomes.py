"""How a response ended: every shape of its end that servers are known to send."""

from __future__ import annotations

from typing import Any

import pytest

from trio_codex.errors import ServerRefused
from trio_codex.events import ErrorInfo, Usage
from trio_codex.protocol import Response
from trio_codex.protocol.codec import structure
from trio_codex.protocol.outcomes import Outcome, outcome_of

NO_REASON = 'response.done failed (status="failed")'


def outcome(**response: Any) -> Outcome:
    read: Outcome = outcome_of(structure({"id": "r1", **response}, Response))
    return read


@pytest.mark.parametrize(
    ("status", "details", "cut_off"),
    [
        ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, True),
        ("cancelled", {"type": "cancelled", "reason": "client_cancelled"}, True),
        ("cancelled", {"type": "cancelled"}, True),
        ("cancelled", "a bare string", True),
        ("cancelled", None, True),
        ("cancelled", {"type": "cancelled", "reason": "maintenance"}, False),
        ("incomplete", {"type": "incomplete", "reason": "turn_detected"}, False),
        ("completed", None, False),
        (None, None, False),
    ],
)
def test_who_cut_it_off(status: str | None, details: Any, cut_off: bool) -> None:
    read = outcome(status=status, status_details=details)
    assert read.status == (status or "completed")
    assert read.cut_off is cut_off
    assert read.details == details
    assert read.reason == (details.get("reason") if isinstance(details, dict) else None)
    assert read.error is None
    assert read.failure is None


@pytest.mark.parametrize(
    ("details", "type_", "code", "message"),
    [
        (None, "response_failed", None, NO_REASON),
        ({}, "response_failed", None, NO_REASON),
        ("it broke", "response_failed", None, "it broke"),
        ({"reason": "out of order"}, "response_failed", None, "out of order"),
        ({"error": {"type": "server_error"}}, "server_error", None, NO_REASON),
        ({"error": {"code": "overloaded", "message": "later"}}, "response_failed", "overloaded", "later"),
        ({"reason": "r", "error": {"type": "t", "code": "c", "message": "m"}}, "t", "c", "m"),
    ],
)
def test_a_failure_has_a_type_and_a_message_whatever_was_told(
    details: Any, type_: str, code: str | None, message: str
) -> None:
    read = outcome(status="failed", status_details=details)
    assert read.error == ErrorInfo(type_, message, code, response_id="r1")
    failure = read.failure
    assert isinstance(failure, ServerRefused)
    assert (failure.type, failure.code) == (type_, code or type_)
    assert message in str(failure)


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        (None, None),
        ({}, Usage(responses=1)),
        ({"total_tokens": 7, "input_tokens": 4, "output_tokens": 3}, Usage(7, 4, 3, responses=1)),
        (
            {
                "total_tokens": 9, "input_tokens": 5, "output_tokens": 4,
                "input_token_details": {"cached_tokens": 2, "audio_tokens": 1, "text_tokens": 4},
                "output_token_details": {"audio_tokens": 3, "text_tokens": 1},
            },
            Usage(9, 5, 4, 2, 1, 3, 1),
        ),
        ({"input_token_details": {}, "output_token_details": {}}, Usage(responses=1)),
    ],
)  # fmt: skip
def test_what_it_cost(wire: dict[str, Any] | None, usage: Usage | None) -> None:
    assert outcome(usage=wire).usage == usage


def test_usages_add_up_field_by_field() -> None:
    assert Usage(1, 2, 3, 4, 5, 6, 7) + Usage(10, 20, 30, 40, 50, 60, 70) == Usage(11, 22, 33, 44, 55, 66, 77)
