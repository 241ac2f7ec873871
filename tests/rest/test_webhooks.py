"""Signatures of webhooks: what is let through, and what is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_codex.credentials import Secret
from trio_codex.errors import ConfigurationError, RemoteProtocolError
from trio_codex.rest import CallIncoming, SipHeader, WebhookEvent, verify_webhook

NOW = 1_800_000_000
KEY = b"\x00\x01 a secret of ours \xff"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "realtime.call.incoming",
        "created_at": NOW,
        "data": {
            "call_id": "rtc_1",
            "sip_headers": [
                {"name": "From", "value": "a"},
                {"name": "Via", "value": "1"},
                {"name": "Via", "value": "2"},
            ],
        },
    }
).encode()


def signature(body: bytes = BODY, *, key: bytes = KEY, stamp: str = str(NOW), identity: str = "wh_1") -> str:
    digest = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(signed: str = signature(), stamp: str = str(NOW)) -> dict[str, str]:
    return {"Webhook-Id": "wh_1", "WEBHOOK-TIMESTAMP": stamp, "webhook-signature": signed}


def test_a_call() -> None:
    event = verify_webhook(BODY, headers(), SECRET, now=NOW)
    assert isinstance(event, CallIncoming)
    assert (event.id, event.type, event.created_at) == ("evt_1", "realtime.call.incoming", NOW)
    assert (event.call_id, event.data.call_id) == ("rtc_1", "rtc_1")
    assert event.data.sip_headers == (SipHeader("From", "a"), SipHeader("Via", "1"), SipHeader("Via", "2"))
    assert (event.data.header("via"), event.data.header("To"), event.data.sip_media_security) == ("1", None, None)


def test_another_event() -> None:
    body = b'{"id":"evt_2","object":"event","type":"response.completed","created_at":1,"data":{"id":"resp_1"}}'
    assert verify_webhook(body, headers(signature(body)), SECRET, now=NOW) == WebhookEvent(
        "evt_2", "response.completed", 1, {"id": "resp_1"}
    )


@pytest.mark.parametrize(
    "signed",
    [
        signature(),
        signature().removeprefix("v1,"),
        f"v1,AAAA {signature()}",
        f"{signature()} v1a,xyz",
        f"v1,{'A' * 43}= {signature(key=b'old')} {signature()}",
    ],
)
def test_several_signatures(signed: str) -> None:
    assert verify_webhook(BODY, headers(signed), SECRET, now=NOW)


def test_other_shapes_of_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = headers(signature(key=b"plain text"))
    assert verify_webhook(BODY.decode(), plain, Secret("plain text"), now=NOW)
    assert verify_webhook(
        BODY, [(name.encode(), value.encode()) for name, value in plain.items()], "plain text", now=NOW
    )
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", SECRET)
    assert verify_webhook(BODY, headers(), now=NOW)
    assert verify_webhook(BODY, headers(), SECRET.rstrip("="), now=NOW)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_clocks_may_differ_by_five_minutes(seconds: int) -> None:
    assert verify_webhook(BODY, headers(), SECRET, now=NOW + seconds)


@pytest.mark.parametrize(
    ("changed", "now", "reason"),
    [
        ({}, NOW + 301, "5 minutes old"),
        ({}, NOW - 301, "in the future"),
        ({"WEBHOOK-TIMESTAMP": "soon"}, NOW, "whole number"),
        ({"WEBHOOK-TIMESTAMP": ""}, NOW, "webhook-timestamp is missing"),
        ({"WEBHOOK-TIMESTAMP": str(NOW + 1)}, NOW, "not of this body"),
        ({"Webhook-Id": "wh_2"}, NOW, "not of this body"),
        ({"webhook-signature": ""}, NOW, "webhook-signature is missing"),
        ({"webhook-signature": "v1, v1,"}, NOW, "not of this body"),
        ({"webhook-signature": signature(key=b"another")}, NOW, "not of this body"),
        ({"webhook-signature": "ünïcode"}, NOW, "not of this body"),
        ({"webhook-signature": "v1,\udcff"}, NOW, "not of this body"),
        ({"Webhook-Id": "\udcff"}, NOW, "not of this body"),
        ({"WEBHOOK-TIMESTAMP": "9" * 400}, NOW + 0.5, "whole number"),
    ],
)
def test_what_is_not_let_through(changed: dict[str, str], now: float, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        verify_webhook(BODY, {**headers(), **changed}, SECRET, now=now)
    assert signature() not in str(caught.value)


def test_now_is_this_machines_time() -> None:
    with pytest.raises(RemoteProtocolError, match="minutes"):
        verify_webhook(BODY, headers(), SECRET)


@given(st.binary(max_size=80), st.integers(0, 79), st.integers(1, 255))
def test_a_changed_byte_is_noticed(body: bytes, at: int, flip: int) -> None:
    changed = bytearray(body or b"x")
    changed[at % len(changed)] ^= flip
    with pytest.raises(RemoteProtocolError, match="not of this body"):
        verify_webhook(bytes(changed), headers(signature(body or b"x")), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", " ", "whsec_!!!", None], ids=["empty", "blank", "not base64", "none"])
def test_a_secret_that_is_none(secret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_WEBHOOK_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="secret"):
        verify_webhook(BODY, headers(), secret, now=NOW)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{", "\\$"),
        (b"[]", "\\$"),
        (b'{"id":"e","created_at":1}', r"\$\.type"),
        (b'{"id":"e","type":"t","created_at":true}', r"\$\.created_at"),
        (b'{"id":"e","type":"realtime.call.incoming","created_at":1,"data":[]}', r"\$\.data"),
        (b'{"id":"e","type":"realtime.call.incoming","created_at":1,"data":{}}', r"\$\.data\.call_id"),
        (
            b'{"id":"e","type":"realtime.call.incoming","created_at":1,"data":{"call_id":"c","sip_headers":[1]}}',
            "sip_headers",
        ),
    ],
)
def test_a_body_that_says_nothing(body: bytes, path: str) -> None:
    with pytest.raises(RemoteProtocolError, match=path):
        verify_webhook(body, headers(signature(body)), SECRET, now=NOW)
