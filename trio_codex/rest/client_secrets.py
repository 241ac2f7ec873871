"""Client secrets: keys that live for minutes and open one kind of session, for clients that must not have the real key.

Mint one and hand it over, or let an `EphemeralKey` mint them for sessions of this program: it is an `api_key=`, asked at each connect.
"""

from __future__ import annotations

import email.utils
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs
import trio

from trio_codex.agent import Agent
from trio_codex.credentials import Secret
from trio_codex.errors import ConfigurationError, RemoteProtocolError
from trio_codex.http import Api
from trio_codex.rest.sessions import Wanted, session_of

__all__ = ["ClientSecret", "ClientSecrets", "EphemeralKey"]

LIFETIME_S: Final = 600
SHORTEST_S, LONGEST_S = 10, 7200


@attrs.frozen
class ClientSecret:
    """A minted secret: its `value` (`.reveal()` gives the text), when it expires (Unix seconds), the session it opens as the API sees it.

    `lives_s` is for how long it is good, in seconds, by the service's own clock.
    """

    value: Secret
    expires_at: int
    session: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    lives_s: float = LIFETIME_S


class ClientSecrets:
    """`client.client_secrets`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(
        self,
        session: Wanted | None = None,
        *,
        agent: Agent | None = None,
        model: str | None = None,
        context: Any = None,
        expires_after: int | None = None,
    ) -> ClientSecret:
        """Mint a secret for a session, good for `expires_after` seconds (10 to 7,200; the service's default is 600).

        `session` is settings, or a session (realtime or transcription) as the API writes it; with `agent`, its instructions, voice and
        tools are part of it. Raises ServerRefused, ConnectionFailed, ConfigurationError. Cancelling may leave a secret that nobody has.
        """
        if expires_after is not None and not SHORTEST_S <= expires_after <= LONGEST_S:
            raise ConfigurationError(
                f"expires_after must be {SHORTEST_S} to {LONGEST_S} seconds, not {expires_after!r}"
            )
        wanted = await session_of(session, agent=agent, model=model, context=context)
        body: dict[str, Any] = {"session": wanted}
        if expires_after is not None:
            body["expires_after"] = {"anchor": "created_at", "seconds": expires_after}
        response = await self._api.request("POST", "realtime/client_secrets", json=body)
        return _minted(response.content, response.headers.get("date"), expires_after or LIFETIME_S)

    def as_key(self, session: Wanted | None = None, *, renew_before: float = 30.0, **options: Any) -> EphemeralKey:
        """Give an `api_key=` for sessions that mints secrets as they are needed; the options are those of `create`.

        A secret is used again until it has less than `renew_before` seconds to live. Works as long as this client is open.
        """
        return EphemeralKey(self, renew_before, {"session": session, **options})


class EphemeralKey:
    """Gives a client secret that is still good, and mints one when there is none. One at a time, whoever asks."""

    def __init__(self, secrets: ClientSecrets, renew_before: float, options: Mapping[str, Any]) -> None:
        self._secrets = secrets
        self._renew_before = renew_before
        self._options = options
        self._minting = trio.Lock()
        self._current: ClientSecret | None = None
        self._good_until = -math.inf

    async def __call__(self) -> Secret:
        """Give the secret. Raises what `create` raises. Cancel-safe."""
        async with self._minting:
            if self._current is None or trio.current_time() >= self._good_until:
                begun = trio.current_time()
                self._current = await self._secrets.create(**self._options)
                # One that lives for less than the margin is used for the one connection that it was minted for.
                self._good_until = begun + self._current.lives_s - self._renew_before
            return self._current.value


def _minted(content: bytes, date: str | None, asked_s: float) -> ClientSecret:
    import orjson

    try:
        stated = orjson.loads(content)
        value, expires_at = stated["value"], int(stated["expires_at"])
    except (ValueError, TypeError, KeyError):
        raise RemoteProtocolError("the answer holds no client secret") from None
    if not isinstance(value, str) or not value:
        raise RemoteProtocolError("a client secret must be a text", path="$.value")
    session = stated.get("session")
    lives_s = min(asked_s, expires_at - _unix(date)) if date else asked_s
    return ClientSecret(Secret(value), expires_at, session if isinstance(session, dict) else {}, lives_s)


def _unix(date: str) -> float:
    """The service's own time; ours may be wrong."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return -math.inf
