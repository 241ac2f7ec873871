"""Who may come in: API keys, and the ephemeral keys that are made for browsers and telephones.

An ephemeral key (`ek_…`) opens websockets until it expires, each with the session that was attached to it, and nothing else.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import attrs
from starlette.requests import HTTPConnection

from trio_codex.server.routes.exchange import HttpRefusal

KEY_SUBPROTOCOL: Final = "openai-insecure-api-key."
EPHEMERAL: Final = "ek_"
MOST_SECRETS: Final = 10_000


@attrs.frozen(kw_only=True)
class ClientSecret:
    """An ephemeral key: until when it opens sessions (seconds since the epoch), and which."""

    value: str = attrs.field(repr=False)
    expires_at: int
    kind: str
    model: str
    settings: Mapping[str, Any]


@attrs.define
class Keys:
    """The key of the server, if it has one, and the ephemeral ones that it gave out."""

    api_key: str | None = attrs.field(default=None, repr=False)
    _secrets: dict[str, ClientSecret] = attrs.field(factory=dict, init=False, repr=False)

    def check(self, connection: HTTPConnection) -> None:
        """Refuse a request that does not show the server's key."""
        given = key_of(connection)
        if given is not None and given.startswith(EPHEMERAL):
            raise HttpRefusal(401, "A client secret opens realtime sessions only.", "invalid_api_key")
        self._check(given)

    def admit(self, connection: HTTPConnection) -> ClientSecret | None:
        """Refuse a session to who shows neither the server's key nor a valid client secret; give that secret."""
        given = key_of(connection)
        if given is None or not given.startswith(EPHEMERAL):
            self._check(given)
            return None
        secret = self._secrets.get(given)
        if secret is None or secret.expires_at <= time.time():
            raise HttpRefusal(401, "The client secret is unknown or has expired.", "invalid_api_key")
        return secret

    def give(self, kind: str, model: str, settings: Mapping[str, Any], lasts_s: int) -> ClientSecret:
        """Make an ephemeral key."""
        now = time.time()
        self._secrets = {key: secret for key, secret in self._secrets.items() if secret.expires_at > now}
        if len(self._secrets) >= MOST_SECRETS:
            raise HttpRefusal(429, "There are too many client secrets.", "rate_limit_exceeded", kind="rate_limit_error")
        value = EPHEMERAL + secrets.token_hex(16)
        secret = ClientSecret(
            value=value, expires_at=int(now) + lasts_s, kind=kind, model=model, settings=dict(settings)
        )
        self._secrets[value] = secret
        return secret

    def _check(self, given: str | None) -> None:
        if self.api_key is None:
            return
        if given is None:
            message = "You didn't provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'."
            raise HttpRefusal(401, message)
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            raise HttpRefusal(401, "Incorrect API key provided.", "invalid_api_key")


def key_of(connection: HTTPConnection) -> str | None:
    """The key that a client shows: as a bearer token, as Azure's header, or as browsers do among the subprotocols."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if "api-key" in connection.headers:
        return connection.headers["api-key"]
    offered = connection.scope.get("subprotocols") or ()
    return next((each.removeprefix(KEY_SUBPROTOCOL) for each in offered if each.startswith(KEY_SUBPROTOCOL)), None)
