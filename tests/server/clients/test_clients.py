"""Programs that others wrote against the API, or would write, run on the local server as they are.

Their clients live on other event loops, so each program is a process of its own.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

HERE = Path(__file__).parent


async def run(program: str, package: str, **engines: Any) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    with trio.fail_after(100):
        async with open_local_server(api_key="sk-right", **engines) as server:
            done = await trio.run_process(
                [sys.executable, "-W", "ignore", str(HERE / f"{program}.py"), server.http_url],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env={"PATH": "", "OPENAI_AGENTS_DISABLE_TRACING": "1"},
            )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.endswith(b"good\n")


async def test_the_openai_package_over_http() -> None:
    await run("openai_http", "openai", stt=ScriptedSTT(["hello from afar"] * 7), tts=ToneTTS())


async def test_the_openai_package_in_realtime() -> None:
    stt = ScriptedSTT(["what is the weather in london", "good morning everybody"])
    await run("openai_realtime", "openai", stt=stt, tts=ToneTTS())


async def test_a_realtime_session_of_openai_agents() -> None:
    await run("agents_realtime", "agents", stt=ScriptedSTT(["repeat after me"]), tts=ToneTTS())


async def test_voice_pipelines_of_openai_agents() -> None:
    transcripts = [
        "good morning",
        "good evening",
        "what is the weather in london",
        "i have a technical problem with my software",
    ]
    await run("agents_voice", "agents", stt=ScriptedSTT(transcripts), tts=ToneTTS())
