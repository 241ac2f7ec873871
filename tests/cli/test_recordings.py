"""`inspect` and `replay`, on a call that `talk` has recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Cli


@pytest.fixture
def recorded(cli: Cli) -> Path:
    done = cli.run("talk", "--local", "--record", "call.jsonl", input="Hello.\nWhat time is it?\n")
    assert done.returncode == 0, done.stderr
    return cli.folder / "call.jsonl"


def test_a_call_is_recorded_shown_and_replayed(cli: Cli, recorded: Path) -> None:
    shown = cli.run("inspect", "call.jsonl", "--html", "page.html")
    assert shown.returncode == 0, shown.stderr
    assert "you: Hello." in shown.stdout
    assert "current_time" in shown.stdout
    assert "answers: " in shown.stdout
    page = (cli.folder / "page.html").read_text(encoding="utf-8")
    assert "What time is it?" in page
    assert "<svg" in page

    told = json.loads(cli.run("inspect", "call.jsonl", "--json").stdout)
    assert [moment["kind"] for moment in told["moments"]][:2] == ["session", "user"]

    replayed = cli.run("replay", "call.jsonl")
    assert replayed.returncode == 0, replayed.stdout
    assert "all as recorded" in replayed.stdout


def test_a_recording_that_says_otherwise_fails(cli: Cli, recorded: Path) -> None:
    recorded.write_bytes(recorded.read_bytes().replace(b'"response.create"', b'"response.invent"'))
    replayed = cli.run("replay", "call.jsonl")
    assert replayed.returncode == 1
    assert "turned out otherwise" in replayed.stdout
    assert json.loads(cli.run("replay", "call.jsonl", "--json").stdout)["differences"]


@pytest.mark.parametrize("command", ["inspect", "replay"])
def test_what_is_no_recording_is_said(cli: Cli, command: str) -> None:
    done = cli.run(command, "nothing.jsonl")
    assert done.returncode == 1
    assert "nothing.jsonl cannot be read" in done.stderr
