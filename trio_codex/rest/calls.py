"""Calls: making them (WebRTC), taking them (telephone), turning them away, passing on, ending. A session joins a call by its `call_id`."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

import attrs

from trio_codex.agent import Agent
from trio_codex.errors import ConfigurationError, RemoteProtocolError
from trio_codex.http import Api
from trio_codex.protocol import SessionSettings
from trio_codex.rest.sessions import Wanted, session_of

__all__ = ["Call", "Calls"]

_SDP: Final = "application/sdp"


@attrs.frozen
class Call:
    """A call that was made: the service's answer to the offer, and the id by which a session joins it."""

    call_id: str
    sdp: str = attrs.field(repr=False)


class Calls:
    """`client.calls`. Every method raises ServerRefused, ConnectionFailed, and ConfigurationError for an empty call id."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(
        self,
        sdp: str,
        session: Wanted | None = None,
        *,
        agent: Agent | None = None,
        model: str | None = None,
        context: Any = None,
    ) -> Call:
        """Make a WebRTC call from the offer of a browser or a device, with this session as in `accept`; give the answer back to it.

        With neither a session nor an agent or model, the key says which session it is: a client secret has one. Then
        `open_realtime_session(agent, call_id=call.call_id)` joins it. Raises RemoteProtocolError for an answer without a call.
        """
        if not sdp.strip():
            raise ConfigurationError("create: sdp must be the offer of whoever calls")
        headers = {"Accept": _SDP}
        if session is None and agent is None and model is None:
            headers["Content-Type"] = _SDP
            answer = await self._api.request("POST", "realtime/calls", content=sdp.encode(), headers=headers)
        else:
            if isinstance(session, SessionSettings):
                session = session.for_call()
            body = json.dumps(await session_of(session, agent=agent, model=model, context=context)).encode()
            parts = {"sdp": (None, sdp.encode(), _SDP), "session": (None, body, "application/json")}
            answer = await self._api.request("POST", "realtime/calls", files=parts, headers=headers)
        call_id = answer.headers.get("location", "").partition("?")[0].rpartition("/")[2]
        if not call_id or not answer.text.strip():
            raise RemoteProtocolError("the answer holds no call: no Location or no SDP came")
        return Call(call_id, answer.text)

    async def accept(
        self,
        call_id: str,
        session: Wanted | None = None,
        *,
        agent: Agent | None = None,
        model: str | None = None,
        context: Any = None,
    ) -> None:
        """Take a call with this session: settings, or as the API writes it; with `agent`, its instructions, voice and tools are part of it.

        Settings that calls do not allow (audio formats, the tuning of turn detection by silence) are left out. Then
        `open_realtime_session(agent, call_id=call_id)` joins it.
        """
        if isinstance(session, SessionSettings):
            session = session.for_call()
        body = await session_of(session, agent=agent, model=model, context=context)
        await self._post(call_id, "accept", body)

    async def reject(self, call_id: str, *, status_code: int | None = None) -> None:
        """Turn a call away, with a SIP status (the service's default is 603, declined)."""
        await self._post(call_id, "reject", {} if status_code is None else {"status_code": status_code})

    async def refer(self, call_id: str, target_uri: str) -> None:
        """Pass a call on to a `tel:` or `sip:` URI."""
        if not target_uri.strip():
            raise ConfigurationError("refer: target_uri must be a tel: or sip: URI")
        await self._post(call_id, "refer", {"target_uri": target_uri})

    async def hangup(self, call_id: str) -> None:
        """End a call."""
        await self._post(call_id, "hangup", None)

    async def _post(self, call_id: str, verb: str, body: dict[str, Any] | None) -> None:
        if not call_id.strip():
            raise ConfigurationError(f"{verb}: call_id must not be empty; the webhook realtime.call.incoming gives it")
        await self._api.request("POST", f"realtime/calls/{quote(call_id, safe='')}/{verb}", json=body)
