"""Client secrets that open sessions, calls that are accepted and end, and keys for both."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed

from trio_codex.server import LocalServer, open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

KEY = {"Authorization": "Bearer sk-main"}


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[LocalServer, httpx.AsyncClient]]:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT(), tts=ToneTTS(), api_key="sk-main") as server,
            httpx.AsyncClient(base_url=server.http_url, headers=KEY) as http,
        ):
            yield server, http


def bearer(secret: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {secret}")]


async def status(http: httpx.AsyncClient, query: str, secret: str) -> int:
    """What an attempt to open a websocket that has to fail is answered with."""
    headers = {
        "Authorization": f"Bearer {secret}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Version": "13",
    }
    return (await http.get(f"/realtime?{query}", headers=headers)).status_code


async def test_a_client_secret_opens_its_session_and_nothing_else(connect: Any) -> None:
    async with guarded() as (server, http):
        session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
        made = (await http.post("/realtime/client_secrets", json={"session": session})).json()
        assert made["value"].startswith("ek_")
        assert 590 <= made["expires_at"] - time.time() <= 600
        assert (made["session"]["instructions"], made["session"]["model"]) == ("Be brief.", "gpt-realtime")
        for _ in range(2):
            async with connect(server, "", extra_headers=bearer(made["value"])) as client:
                created = client.events[0].session
                assert (created.instructions, created.model) == ("Be brief.", "gpt-realtime")
        offered = ["realtime", f"openai-insecure-api-key.{made['value']}"]
        async with connect(server, "model=other", subprotocols=offered) as client:
            assert client.events[0].session.model == "other"
        refused = await http.get("/models", headers={"Authorization": f"Bearer {made['value']}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_a_client_secret_for_transcription(connect: Any) -> None:
    async with guarded() as (server, http):
        audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": None}}
        order = {"session": {"type": "transcription", "audio": audio}, "expires_after": {"seconds": 10}}
        made = (await http.post("/realtime/client_secrets", json=order)).json()
        assert made["session"]["object"] == "realtime.transcription_session"
        async with connect(server, "", first="session.created", extra_headers=bearer(made["value"])) as client:
            assert client.events[0].session.audio.input.transcription.model == "gpt-4o-transcribe"
        assert await status(http, "intent=realtime", made["value"]) == 400


async def test_secrets_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    async with guarded() as (_, http):
        order = {"expires_after": {"anchor": "created_at", "seconds": 10}}
        made = (await http.post("/realtime/client_secrets", json=order)).json()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 11)
        for secret in (made["value"], "ek_never"):
            assert await status(http, "", secret) == 401


@pytest.mark.parametrize(
    ("order", "param"),
    [
        ({"expires_after": {"seconds": 9}}, "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "expires_after.seconds"),
        ({"session": {}}, "session.type"),
        ({"session": {"type": "translation"}}, "session.type"),
        ({"session": {"type": "realtime", "voice": "alloy"}}, "session.voice"),
        ({"session": {"type": "realtime", "model": 4}}, "session.model"),
        ({"session": {"type": "transcription", "model": "m"}}, "session.model"),
        ({"seconds": 3}, "seconds"),
    ],
)
async def test_secrets_that_cannot_be(order: dict[str, Any], param: str) -> None:
    async with guarded() as (_, http):
        answer = await http.post("/realtime/client_secrets", json=order)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_call_is_accepted_joined_and_hung_up(connect: Any) -> None:
    async with guarded() as (server, http):
        assert await status(http, "call_id=rtc_1", "sk-main") == 404
        session = {"type": "realtime", "instructions": "Be kind."}
        accepted = await http.post("/realtime/calls/rtc_1/accept", json=session)
        assert (accepted.status_code, accepted.content) == (200, b"")
        async with connect(server, "call_id=rtc_1", extra_headers=bearer("sk-main")) as client:
            assert client.events[0].session.instructions == "Be kind."
            assert (await http.post("/realtime/calls/rtc_1/hangup")).status_code == 200
            with pytest.raises(ConnectionClosed) as closed:
                await client.receive()
            assert closed.value.reason.code == 1000
        over = await http.post("/realtime/calls/rtc_1/hangup")
        assert (over.status_code, over.json()["error"]["code"]) == (404, "call_id_not_found")


async def test_calls_are_rejected_and_referred() -> None:
    async with guarded() as (_, http):
        assert (await http.post("/realtime/calls/rtc_2/reject", json={"status_code": 486})).status_code == 200
        assert (await http.post("/realtime/calls/rtc_3/reject")).status_code == 200
        assert (await http.post("/realtime/calls/rtc_4/refer", json={"target_uri": "tel:+1555"})).status_code == 200
        assert (await http.post("/realtime/calls/rtc_4/accept", json={"type": "realtime"})).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("accept", {}, "type"),
        ("accept", {"type": "transcription"}, "type"),
        ("accept", {"type": "realtime", "voice": "x"}, "session.voice"),
        ("reject", {"status_code": 7}, "status_code"),
        ("refer", {}, "target_uri"),
        ("refer", {"target_uri": "http://x"}, "target_uri"),
    ],
)
async def test_orders_about_calls_that_are_wrong(path: str, body: dict[str, Any], param: str) -> None:
    async with guarded() as (_, http):
        answer = await http.post(f"/realtime/calls/rtc_1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_webrtc_is_refused() -> None:
    async with guarded() as (_, http):
        answer = await http.post("/realtime/calls", content="v=0", headers={"content-type": "application/sdp"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_transport")


async def test_everything_asks_for_the_key() -> None:
    async with guarded() as (_, http):
        for path in (
            "audio/speech",
            "audio/transcriptions",
            "responses",
            "realtime/client_secrets",
            "realtime/calls/x/accept",
        ):
            for headers in ({"Authorization": ""}, {"Authorization": "Bearer sk-wrong"}):
                answer = await http.post(f"/{path}", headers=headers, json={})
                assert answer.status_code == 401
                assert answer.headers["x-request-id"]
