"""Webhooks: is this request really from the service, and what does it say?

The signature scheme is that of Standard Webhooks: HMAC-SHA256 over id, time and body, under a secret that the service and we share.
Nothing of a request is read before its signature has been checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import orjson

from trio_codex.credentials import Secret
from trio_codex.errors import ConfigurationError, RemoteProtocolError

__all__ = ["CallIncoming", "IncomingCall", "SipHeader", "WebhookEvent", "verify_webhook"]

TOLERANCE_S: Final = 300
_PREFIX: Final = "whsec_"
_ID, _TIME, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]


@attrs.frozen
class WebhookEvent:
    """Something that happened; `data` is as the API writes it. `created_at` is in Unix seconds."""

    id: str
    type: str
    created_at: int
    data: Any


@attrs.frozen
class SipHeader:
    """A header of the SIP INVITE."""

    name: str
    value: str


@attrs.frozen
class IncomingCall:
    """A call that waits to be accepted. The headers are in the order of the INVITE, repeated ones too; media security is rtp or srtp."""

    call_id: str
    sip_headers: tuple[SipHeader, ...] = ()
    sip_media_security: str | None = None

    def header(self, name: str) -> str | None:
        """The first header of this name, without regard to case."""
        return next((each.value for each in self.sip_headers if each.name.lower() == name.lower()), None)


@attrs.frozen
class CallIncoming(WebhookEvent):
    """`realtime.call.incoming`: somebody calls."""

    data: IncomingCall

    @property
    def call_id(self) -> str:
        """The call to accept, reject or join."""
        return self.data.call_id


def verify_webhook(
    body: bytes | str, headers: Headers, secret: str | Secret | None = None, *, now: float | None = None
) -> WebhookEvent:
    """Check a webhook's signature and give its event; a `CallIncoming` for `realtime.call.incoming`.

    ::

        event = verify_webhook(await request.body(), request.headers, secret)

    `body` is the raw body, `headers` a mapping or pairs, `secret` the webhook's own (None: OPENAI_WEBHOOK_SECRET), `now` the time in Unix
    seconds (None: this machine's). Signatures are refused when they are more than five minutes off. Raises RemoteProtocolError for a
    request that is not the service's, ConfigurationError for a secret that is none. Source: https://www.standardwebhooks.com
    """
    key = _key(secret)
    raw = body.encode() if isinstance(body, str) else bytes(body)
    named = {_text(name).lower(): _text(value) for name, value in _pairs(headers)}
    for name in (_ID, _TIME, _SIGNATURE):
        if not named.get(name):
            raise _not_the_services(f"the header {name} is missing", name)
    _check_time(named[_TIME], time.time() if now is None else now)
    signed = b".".join((named[_ID].encode(errors="replace"), named[_TIME].encode(), raw))
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    given = [each.removeprefix("v1,").encode(errors="replace") for each in named[_SIGNATURE].split()]
    if not sum(
        hmac.compare_digest(expected, each) for each in given
    ):  # all are compared, so that the time says nothing
        raise _not_the_services("the signature is not of this body under this secret", _SIGNATURE)
    return _event(raw)


def _not_the_services(reason: str, header: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"this webhook cannot be trusted: {reason}", path=f"headers.{header}")


def _key(secret: str | Secret | None) -> bytes:
    if not isinstance(secret, Secret):
        secret = Secret(os.environ.get("OPENAI_WEBHOOK_SECRET", "") if secret is None else secret)
    text = secret.reveal().strip()
    if not text:
        raise ConfigurationError("no webhook secret: give verify_webhook one, or set OPENAI_WEBHOOK_SECRET")
    if not text.startswith(_PREFIX):
        return text.encode()
    encoded = text.removeprefix(_PREFIX)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise ConfigurationError(f"the webhook secret is not {_PREFIX}<base64>") from None


def _check_time(stamp: str, now: float) -> None:
    try:
        sent = float(int(stamp))
    except (ValueError, OverflowError):
        raise _not_the_services("its time is not a whole number of seconds", _TIME) from None
    if abs(now - sent) > TOLERANCE_S:
        age = "old" if sent < now else "in the future"
        raise _not_the_services(
            f"it is more than {TOLERANCE_S // 60} minutes {age}, if the clock of this machine is right", _TIME
        )


def _pairs(headers: Headers) -> Iterable[tuple[str | bytes, str | bytes]]:
    return headers.items() if isinstance(headers, Mapping) else headers


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


# --- what it says ------------------------------------------------------------------------------------------------------


def _event(raw: bytes) -> WebhookEvent:
    try:
        stated = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise RemoteProtocolError("the webhook's body is not JSON") from None
    if not isinstance(stated, dict):
        raise RemoteProtocolError("the webhook's body is not an object")
    kind, identity = _field(stated, "type", str, "$"), _field(stated, "id", str, "$")
    created_at, data = _field(stated, "created_at", int, "$"), stated.get("data")
    if kind == "realtime.call.incoming":
        return CallIncoming(identity, kind, created_at, _call(data))
    return WebhookEvent(identity, kind, created_at, data)


def _call(data: Any) -> IncomingCall:
    if not isinstance(data, dict):
        raise RemoteProtocolError("an object is expected", path="$.data")
    call_id = _field(data, "call_id", str, "$.data")
    headers = data.get("sip_headers") or []
    if not isinstance(headers, list) or not all(isinstance(each, dict) for each in headers):
        raise RemoteProtocolError("a list of headers is expected", path="$.data.sip_headers")
    pairs = (
        SipHeader(*(_field(each, name, str, "$.data.sip_headers") for name in ("name", "value"))) for each in headers
    )
    security = data.get("sip_media_security")
    return IncomingCall(call_id, tuple(pairs), security if isinstance(security, str) else None)


def _field(stated: dict[str, Any], name: str, kind: type, where: str) -> Any:
    value = stated.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RemoteProtocolError(f"required field missing or not {kind.__name__}", path=f"{where}.{name}")
    return value
