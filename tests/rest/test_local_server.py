"""The client against the local server: a secret that it mints opens a session there, and nothing else."""

from __future__ import annotations

import pytest

from trio_codex import Agent, Endpoint, SessionSettings, open_realtime_session
from trio_codex.errors import ConnectionFailed, ServerRefused
from trio_codex.rest import open_client
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

KEY = "sk-proj-of-the-server-0123456789"


async def test_a_session_with_an_ephemeral_key() -> None:
    async with open_local_server(api_key=KEY, stt=ScriptedSTT(), tts=ToneTTS()) as server:
        endpoint = Endpoint.custom(server.http_url)
        async with open_client(endpoint, KEY) as client:
            key = client.client_secrets.as_key(SessionSettings(output_modalities=["text"]), expires_after=60)
            async with open_realtime_session(Agent(), endpoint=endpoint, api_key=key) as session:
                assert (await session.ask("Are you there?")).status == "completed"
            minted = await key()
            assert minted.reveal().startswith("ek_")
            async with open_client(endpoint, minted) as other:
                with pytest.raises(ServerRefused):
                    await other.calls.hangup("rtc_1")


async def test_a_wrong_key() -> None:
    async with open_local_server(api_key=KEY, stt=ScriptedSTT(), tts=ToneTTS()) as server:
        endpoint = Endpoint.custom(server.http_url)
        async with open_client(endpoint, "sk-proj-of-somebody-else-0123") as client:
            with pytest.raises(ServerRefused) as caught:
                await client.client_secrets.create()
        assert (caught.value.status, caught.value.code, caught.value.fault) == (401, "invalid_api_key", "account")
        with pytest.raises(ConnectionFailed, match=r"401 \(invalid_api_key\); "):
            async with open_realtime_session(Agent(), endpoint=endpoint, api_key="ek_never_minted_0123"):
                raise AssertionError
