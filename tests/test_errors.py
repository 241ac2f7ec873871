"""Every error says what happened, whose fault it is, whether trying again helps and what to do."""

from __future__ import annotations

import json

import pytest

from trio_codex import errors
from trio_codex.errors import ConnectionFailed, ConnectionLost, ServerRefused, TrioCodexError, VoiceError


def body(code: str | None, message: str = "No.", kind: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "code": code, "param": None}})


@pytest.mark.parametrize(
    ("error", "fault", "retryable", "advice"),
    [
        (ServerRefused("You exceeded", code="insufficient_quota", status=429), "account", False, "add credit"),
        (ServerRefused("You exceeded", type="insufficient_quota", status=429), "account", False, "add credit"),
        (ServerRefused("Slow", code="rate_limit_exceeded", status=429, retry_after=3), "account", True, "wait"),
        (ServerRefused("No", status=429), "account", True, "wait"),
        (ServerRefused("Wrong", code="invalid_api_key", status=401), "account", False, "valid API key"),
        (ServerRefused("This key has expired.", code="invalid_api_key", status=401), "account", False, "has expired"),
        (ServerRefused("The client secret expired", status=401), "account", False, "has expired"),
        (ServerRefused("No", code="model_not_found", status=404), "account", False, "name a model"),
        (ServerRefused("No", status=404), "program", False, "check the URL"),
        (ServerRefused("No", status=403), "account", False, "may not"),
        (ServerRefused("No", code="invalid_value", param="session.voice"), "program", False, ""),
        (ServerRefused("No", code="unknown_parameter"), "library", False, "another version"),
        (ServerRefused("Oh", type="server_error"), "service", True, "try again"),
        (ServerRefused("Oh", status=503), "service", True, "try again"),
        (ServerRefused("Oh", status=418), "program", False, "mend it"),
        (ServerRefused("late", code="timeout"), "service", True, "in time"),
        (VoiceError("Oh", status=500), "service", True, "try again"),
        (VoiceError("No", code="insufficient_quota"), "account", False, "add credit"),
        (ConnectionFailed("x", status=401, body=body("invalid_api_key")), "account", False, "valid API key"),
        (ConnectionFailed("x", status=429, body=body(None, kind="insufficient_quota")), "account", False, "credit"),
        (ConnectionFailed("x", status=429, body="<html>"), "account", True, "wait"),
        (ConnectionFailed("x", status=302, body=""), "program", False, "redirects are not followed"),
        (ConnectionFailed("x", stage="dns", advice="spell it"), "network", True, "spell it"),
        (ConnectionFailed("x", stage="tls"), "network", False, ""),
        (ConnectionFailed("x", stage="proxy", status=407, advice="log in"), "network", False, "log in"),
        (ConnectionLost(1006), "network", True, "open a new session"),
        (ConnectionLost(1001, "session_expired"), "service", True, "60 minutes"),
        (ConnectionLost(1009), "program", False, "send less"),
        (ConnectionLost(4000, "beta_api_shape_disabled"), "program", False, "OpenAI-Beta"),
        (ConnectionLost(1011), "service", True, "open a new session"),
        (errors.ConfigurationError("no key"), "program", False, ""),
        (errors.LocalProtocolError("no"), "program", False, ""),
        (errors.RemoteProtocolError("no"), "service", False, ""),
        (errors.InternalError("no"), "library", False, "report"),
    ],
)
def test_whose_fault_and_what_to_do(error: TrioCodexError, fault: str, retryable: bool, advice: str) -> None:
    assert (error.fault, error.retryable) == (fault, retryable)
    assert advice in error.advice
    assert bool(advice) or not error.advice
    assert error.advice not in error.what or not error.advice


def test_the_ids_are_kept() -> None:
    refused = ServerRefused("No", event_id="evt_1", request_id="req_1", session_id="sess_1", retry_after=2.5)
    assert (refused.event_id, refused.request_id, refused.session_id, refused.retry_after) == (
        "evt_1",
        "req_1",
        "sess_1",
        2.5,
    )
    failed = ConnectionFailed("x", request_id="req_2", retry_after=1)
    assert (failed.request_id, failed.retry_after, failed.event_id, failed.session_id) == ("req_2", 1, None, None)
    assert ConnectionLost(1006, session_id="sess_2").session_id == "sess_2"


def test_every_error_is_in_the_tree_and_in_all() -> None:
    defined = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)}
    assert defined <= set(errors.__all__)
    assert all(issubclass(getattr(errors, name), TrioCodexError) for name in defined)


@pytest.mark.parametrize("text", [None, "", "no json", "[]", '{"error": null}', '{"error": "text"}', "[" * 100000])
def test_a_body_without_a_code(text: str | None) -> None:
    assert ConnectionFailed("x", status=500, body=text).code is None
