"""The snippets of the page about trouble, run as they stand against the local server."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import inspect
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trio_codex import Agent, errors, open_realtime_session
from trio_codex.rest import CallIncoming, ClientSecret
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

KEY = "sk-of-the-troubled-0123456789"
PAGE = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def snippet(about: str) -> str:
    [found] = [each for each in SNIPPETS if about in each]
    return str(found)


async def run(code: str, **given: Any) -> dict[str, Any]:
    """Run it as in an interactive session, where `await` is allowed; gives its names."""
    names = {**vars(errors), **given}
    done = eval(compile(code, "troubleshooting.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(done):
        await done
    return names


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    async with open_local_server(api_key=KEY, stt=ScriptedSTT(), tts=ToneTTS()) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.http_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running


def test_all_of_them_are_run() -> None:
    told = ("client_secrets", "Endpoint.", "verify_webhook", "except")
    assert len(SNIPPETS) == len({snippet(about) for about in told})


async def test_client_secrets(server: Any) -> None:
    names = await run(snippet("client_secrets"), agent=Agent())
    assert isinstance(names["secret"], ClientSecret)
    assert names["session"].session_id


async def test_endpoints() -> None:
    await run(snippet("Endpoint."))


async def test_a_call(server: Any) -> None:
    stated = {"id": "evt_1", "object": "event", "type": "realtime.call.incoming", "created_at": 1}
    body = json.dumps({**stated, "data": {"call_id": "rtc_1", "sip_headers": []}}).encode()
    secret, stamp = "a-secret-of-webhooks", str(int(time.time()))
    signed = hmac.digest(secret.encode(), b".".join((b"wh_1", stamp.encode(), body)), hashlib.sha256)
    headers = {
        "webhook-id": "wh_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    names = await run(snippet("verify_webhook"), agent=Agent(), body=body, headers=headers, secret=secret)
    assert isinstance(names["event"], CallIncoming)
    assert names["session"].session_id


async def test_an_error(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import trio

    async with (
        open_local_server(
            stt=ScriptedSTT(), tts=ToneTTS(), faults=["failed-response:code=insufficient_quota"]
        ) as broke,
        open_realtime_session(Agent(), endpoint=broke.endpoint) as session,
    ):
        await run(snippet("except"), session=session, trio=trio)
    assert "the account has no quota left" in capsys.readouterr().out
