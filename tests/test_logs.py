"""What the library logs: nothing unless asked, then a line for each change of state, and never what was said or a key."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trio_codex
from trio_codex import Agent, Handoff, tool
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import ResponseCreate
from trio_codex.testing import Call, answer, scripted_session

KEY = "sk-nobody-may-see-this-0123456789"


def test_it_is_silent_by_default() -> None:
    code = "from trio_codex.logs import get_logger; get_logger('session').error('hello')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


def test_all_loggers_are_below_one() -> None:
    """Only `logs` (and the command line, which shows them) may make loggers: so the tree is silent from the first line on."""
    root = Path(trio_codex.__file__).parent
    asking = {path for path in root.rglob("*.py") if "logging.getLogger" in path.read_text(encoding="utf-8")}
    assert {path.relative_to(root).as_posix() for path in asking} == {"logs.py", "cli/__init__.py"}


@tool
async def look_up(secret_word: str) -> str:
    """Look something up."""
    return "the very private output"


async def test_a_line_for_each_change_of_state(caplog: pytest.LogCaptureFixture, autojump_clock: Any) -> None:
    caplog.set_level(logging.INFO, "trio_codex")
    support = Agent(name="Support")
    agent = Agent(name="Greeter", tools=[look_up], handoffs=[Handoff(support)])

    async def script(line: Any) -> None:
        for words, calls in (
            ("", [Call("call_1", "look_up", '{"secret_word": "swordfish"}')]),
            ("", [Call("call_2", "transfer_to_support")]),
            ("the very private answer", []),
        ):
            await line.expect("conversation.item.create")
            await answer(line, await line.expect(ResponseCreate), words, calls=calls)

    async with scripted_session(agent, script, api_key=KEY) as (session, _):
        await session.ask("the very private question")
    lines = [re.sub(r"(call|item|resp)_\w+", r"\1_N", record.getMessage()) for record in caplog.records]
    # A tool may end before or after the response that called it.
    assert sorted(line for line in lines if "connection ended" not in line) == sorted(
        [
            "session sess_scripted is open: agent 'Greeter', api.openai.com",
            "agent 'Greeter' begins to answer",
            "tool 'look_up' begins (call call_N)",
            "response resp_N is completed",
            "agent 'Greeter' has answered",
            "tool 'look_up' has ended (call call_N)",
            "agent 'Greeter' begins to answer",
            "tool 'transfer_to_support' begins (call call_N)",
            "response resp_N is completed",
            "agent 'Greeter' has answered",
            "agent 'Greeter' has handed over to 'Support'",
            "tool 'transfer_to_support' has ended (call call_N)",
            "agent 'Support' begins to answer",
            "response resp_N is completed",
            "agent 'Support' has answered",
            "session sess_scripted is left",
        ]
    )
    for hidden in ("private", "swordfish", KEY):
        assert hidden not in caplog.text


async def test_frames_are_heard_without_audio_and_secrets(
    caplog: pytest.LogCaptureFixture, autojump_clock: Any
) -> None:
    caplog.set_level(logging.DEBUG, "trio_codex.frames")
    hosted = HostedMcp(
        server_label="docs", server_url="https://docs.test/mcp?token=hunter2", authorization="hunter3-token"
    )

    async def script(line: Any) -> None:
        await line.expect("input_audio_buffer.append")
        await answer(line, None, "spoken words", audio=b"\1\2" * 2400)
        await line.say_frame("this is no event")

    async with scripted_session(Agent(tools=[hosted]), script, api_key=KEY) as (session, _):
        await session.send_audio(b"\3\4" * 1200)
        async for event in session:
            if event.type == "error":
                break
    frames = [record.getMessage() for record in caplog.records if record.name == "trio_codex.frames"]
    assert any(frame.startswith('sent {"type":"session.update"') for frame in frames)
    assert any(frame.startswith("received") and "spoken words" in frame for frame in frames)
    assert any('"audio":{"$audio":2400}' in frame for frame in frames)
    assert any('"delta":{"$audio":4800}' in frame for frame in frames)
    assert any("are no event" in frame for frame in frames)
    for hidden in ("hunter2", "hunter3", KEY, "AwQDBAME", "AQIBAgEC"):
        assert hidden not in caplog.text
