"""`voice`: a WAV file in, an answer out."""

from __future__ import annotations

import json
import signal
from importlib.resources import files
from pathlib import Path

import pytest

from trio_codex import audio

from .conftest import Cli, finish

WEATHER = str(files("trio_codex.cli") / "recordings" / "02-weather.wav")


def test_a_recording_is_answered(cli: Cli) -> None:
    done = cli.run("voice", WEATHER, "--local", "--output", "reply.wav", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "weather" in told["transcript"]
    assert told["text"]
    assert told["errors"] == []
    assert 0 < told["first_audio_s"] < 30
    reply = audio.read_wav(cli.folder / "reply.wav")
    assert (reply.rate, reply.channels) == (24_000, 1)
    assert reply.duration_ms / 1000 == pytest.approx(told["audio_out_s"], abs=0.01)
    assert audio.rms(reply.samples) > 0.01


def test_for_people(cli: Cli) -> None:
    done = cli.run("voice", WEATHER)
    assert done.returncode == 0, done.stderr
    assert "local server" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("you: ")
    assert "weather" in lines[0]
    assert lines[1].startswith("Assistant: ")
    assert "s spoken, first sound after" in lines[2]


@pytest.mark.parametrize("case", ["not a WAV", "truncated", "missing", "empty"])
def test_a_bad_recording_is_named(cli: Cli, case: str) -> None:
    path = cli.folder / "bad.wav"
    if case != "missing":
        whole = Path(WEATHER).read_bytes()
        path.write_bytes({"not a WAV": b"hello, world", "truncated": whole[:3000], "empty": b""}[case])
    done = cli.run("voice", "bad.wav", "--local", "--output", "reply.wav")
    assert done.returncode == 1
    assert "bad.wav" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.folder / "reply.wav").exists()


def test_without_a_key_openai_is_refused(cli: Cli) -> None:
    done = cli.run("voice", WEATHER, "--openai")
    assert done.returncode == 1
    assert "no API key found" in done.stderr


def test_nobody_there(cli: Cli) -> None:
    done = cli.run("voice", WEATHER, "--json", OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    assert done.returncode == 1
    [error] = json.loads(done.stdout)["errors"]
    assert "127.0.0.1:1" in error
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_usage(cli: Cli) -> None:
    assert cli.run("voice").returncode == 2


def test_ctrl_c(cli: Cli) -> None:
    with cli.start("voice", WEATHER, "--local") as process:
        try:
            process.wait(1.5)
        except Exception:
            process.send_signal(signal.SIGINT)
        finish(process)
    assert process.returncode in (130, 0)
