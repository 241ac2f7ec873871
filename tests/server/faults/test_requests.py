"""What the library's HTTP client does about the faults of requests, and what others see of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
import trio

from trio_codex.errors import ConnectionFailed, ServerRefused
from trio_codex.http import open_api
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

LIMIT_S = 60.0


def serving(*faults: str) -> Any:
    return open_local_server(stt=ScriptedSTT(), tts=ToneTTS(), faults=faults)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("unauthorized:content-length", 401, "invalid_api_key"),
        ("unauthorized:chunked", 401, "invalid_api_key"),
        ("unauthorized:close", 401, "invalid_api_key"),
        ("expired-key", 401, "token_expired"),
        ("model-not-found", 404, "model_not_found"),
        ("server-error:status=501", 501, None),
    ],
)
async def test_a_refusal_is_typed(fault: str, status: int, code: str | None) -> None:
    with trio.fail_after(LIMIT_S):
        async with serving(fault) as server, open_api(server.endpoint) as api:
            with pytest.raises(ServerRefused) as caught:
                await api.request("GET", "models")
    assert (caught.value.status, caught.value.code) == (status, code)


async def test_no_quota_is_not_asked_for_again() -> None:
    with trio.fail_after(LIMIT_S):
        async with serving("insufficient-quota:times=1") as server, open_api(server.endpoint) as api:
            with pytest.raises(ServerRefused) as caught:
                await api.request("GET", "models")
    assert caught.value.code == "insufficient_quota"


@pytest.mark.parametrize(
    "fault", ["rate-limited:times=2,retry_after=0.05", "server-error:times=2", "drop-before-upgrade:times=2"]
)
async def test_two_refusals_are_recovered_from(fault: str) -> None:
    with trio.fail_after(LIMIT_S):
        async with serving(fault) as server, open_api(server.endpoint) as api:
            assert (await api.request("GET", "models")).json()["object"] == "list"


async def test_no_answer_at_all() -> None:
    with trio.fail_after(LIMIT_S):
        async with serving("drop-before-upgrade") as server, open_api(server.endpoint) as api:
            with pytest.raises(ConnectionFailed):
                await api.request("GET", "models")


async def test_half_an_answer() -> None:
    with trio.fail_after(LIMIT_S):
        async with serving("cut-answer:after=20") as server, open_api(server.endpoint) as api:
            with pytest.raises(ConnectionFailed, match="no whole answer"):
                await api.request("GET", "models")
            read = b""
            with pytest.raises(ConnectionFailed):
                async with api.stream(
                    "POST", "audio/speech", json={"model": "tts-1", "input": "Hi.", "voice": "ash"}
                ) as answer:
                    async for chunk in answer:
                        read += chunk
            assert len(read) <= 20


async def test_bodies_are_read_before_they_are_refused() -> None:
    """A refusal is read even by a client that is still writing: the connection is not closed under it."""
    with trio.fail_after(LIMIT_S):
        async with serving("rate-limited:on=rest,retry_after=0") as server, open_api(server.endpoint) as api:
            with pytest.raises(ServerRefused) as caught:
                files = {"file": ("a.wav", bytes(3_000_000), "audio/wav")}
                await api.request("POST", "audio/transcriptions", data={"model": "gpt-transcribe"}, files=files)
    assert caught.value.status == 429


async def test_only_where_it_is_wanted() -> None:
    with trio.fail_after(LIMIT_S):
        async with serving("unauthorized:on=realtime") as server, open_api(server.endpoint) as api:
            await api.request("GET", "models")


def test_the_command_line() -> None:
    command = [sys.executable, "-m", "trio_codex", "serve", "--port", "0", "--json", "--fault", "insufficient-quota"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["http_url"]
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{url}/models", timeout=10)
        assert caught.value.code == 429
        assert json.load(caught.value)["error"]["code"] == "insufficient_quota"
        caught.value.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
