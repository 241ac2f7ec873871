"""What opens a server is seen by the server alone: not by those who listen to the loggers of the libraries that carry it there."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from trio_codex import Agent, Endpoint, open_realtime_session
from trio_codex.errors import ConnectionFailed, ServerRefused, TrioCodexError
from trio_codex.http import open_api
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

KEY = "sk-seen-by-the-server-alone"
TOKEN = "t0ken/of+nobody"
SENT = b"token=t0ken%2Fof%2Bnobody"


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that any logger says."""
    caplog.set_level(logging.DEBUG)
    return caplog


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that refuses everything and says what it was asked, as it came and as it is meant; gives its base and what came."""
    asked: list[bytes] = []

    async def refuse(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        asked.append(request)
        head = request.partition(b"\r\n\r\n")[0].replace(b"\r\n", b" ").replace(b'"', b"'")
        body = b'{"error":{"message":"%b, %b","code":"%b","type":"x","param":"%b"}}' % ((head, TOKEN.encode()) * 2)
        # httpcore would show it, in all that servers say in their headers.
        request_id = TOKEN.encode() if b"pgrade: websocket" in request else b"req_1"
        answer = b"HTTP/1.1 400 No\r\ncontent-length: %d\r\nx-request-id: %b\r\n\r\n%b"
        await stream.send_all(answer % (len(body), request_id, body))

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1", asked
        nursery.cancel_scope.cancel()


def is_discreet(text: str) -> bool:
    return not any(hidden in text for hidden in (KEY, TOKEN, SENT.decode(), "hunter2"))


def told_by(error: TrioCodexError) -> str:
    return f"{error} {error!r} {vars(error)!r}"


async def test_a_token_in_the_query_over_http(heard: pytest.LogCaptureFixture) -> None:
    async with echo() as (url, asked):
        endpoint = Endpoint.custom(f"{url}?a=1&token={TOKEN.replace('+', '%2B')}", query={"api-version": "2026-01-01"})
        async with open_api(endpoint, KEY) as api:
            with pytest.raises(ServerRefused) as refused:
                await api.request("GET", "models", params={"limit": "3"})
    assert asked[0].startswith(b"GET /v1/models?limit=3&a=1&" + SENT + b"&api-version=2026-01-01 HTTP/1.1\r\n")
    assert f"{url}/models?limit=3" in heard.text  # httpx's own line
    assert "2026-01-01" in str(refused.value)
    assert is_discreet(told_by(refused.value))
    assert is_discreet(heard.text)


@pytest.mark.parametrize("transport", ["trio-websocket", "lean"])
async def test_a_token_in_the_query_over_a_websocket(transport: str, heard: pytest.LogCaptureFixture) -> None:
    async with echo() as (url, asked):
        with pytest.raises(ConnectionFailed) as refused:
            endpoint = Endpoint.custom(url, query={"token": TOKEN})
            async with open_realtime_session(Agent(), endpoint=endpoint, api_key=KEY, transport=transport):
                pass
    assert asked[0].startswith(b"GET /v1/realtime?" + SENT)
    assert "model=gpt-realtime" in (refused.value.body or "")
    assert is_discreet(told_by(refused.value))
    async with open_local_server(stt=ScriptedSTT(), tts=ToneTTS()) as server:
        endpoint = Endpoint.custom(server.http_url, query={"token": TOKEN})
        async with open_realtime_session(Agent(), endpoint=endpoint, api_key=KEY, transport=transport) as session:
            await session.send_message("hello", respond=False)
    assert is_discreet(heard.text)
