"""`talk`, `serve` and the exit statuses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from trio_codex import audio

from .conftest import Cli, finish

WEATHER = str(files("trio_codex.cli") / "recordings" / "02-weather.wav")


def serving(process: subprocess.Popen[str]) -> dict[str, str]:
    """What `serve --json` says once it listens."""
    assert process.stdout is not None
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


def test_talk_in_lines_of_text(cli: Cli) -> None:
    done = cli.run("talk", input="What time is it?\n\nhello there\n")
    assert done.returncode == 0, done.stderr
    assert "[current_time {}]" in done.stdout
    assert "Assistant: It is " in done.stdout
    assert "hello there" in done.stdout
    assert "local server" in done.stderr


def test_talk_with_a_recording(cli: Cli) -> None:
    done = cli.run("talk", "--local", "--input", WEATHER, "--output", "reply.wav", "--fast", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "weather" in told["turns"][0]["user"]
    reply = audio.read_wav(cli.folder / "reply.wav")
    assert (reply.rate, reply.channels) == (24_000, 1)
    assert reply.duration_ms / 1000 == pytest.approx(told["audio_out_s"], abs=0.01)
    assert audio.rms(reply.samples) > 0.01


@pytest.mark.parametrize("case", ["not a WAV", "truncated", "missing", "empty"])
def test_a_bad_recording_is_named(cli: Cli, case: str) -> None:
    path = cli.folder / "bad.wav"
    whole = Path(WEATHER).read_bytes()
    if case != "missing":
        path.write_bytes({"not a WAV": b"hello, world", "truncated": whole[:3000], "empty": b""}[case])
    done = cli.run("talk", "--local", "--input", "bad.wav", "--output", "reply.wav")
    assert done.returncode == 1
    assert "bad.wav" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (cli.folder / "reply.wav").exists()


def test_without_a_key_openai_is_refused_with_the_places_looked_at(cli: Cli) -> None:
    done = cli.run("demo", "--openai")
    assert done.returncode == 1
    assert "no API key found (CODEX_API_KEY, auth.json OPENAI_API_KEY, or OPENAI_API_KEY)" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["sing"], ["demo", "--local", "--openai"], ["serve", "--port", "many"], ["serve", "--fault", "none"]],
)
def test_usage(cli: Cli, arguments: list[str]) -> None:
    assert cli.run(*arguments).returncode == 2


def test_lines_of_text_cannot_be_hurried(cli: Cli) -> None:
    for arguments in (["talk", "--local", "--fast"], ["talk", "--local", "--fast", "--mic"]):
        done = cli.run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "trio-codex talk: error: argument --fast: there is nothing to hurry without --input\n"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_a_signal(cli: Cli, how: signal.Signals) -> None:
    with cli.start("serve", "--port", "0", "--json") as process:
        urls = serving(process)
        assert urls["ws_url"] == urls["http_url"].replace("http", "ws", 1)
        assert httpx.get(f"{urls['http_url']}/models", timeout=10).status_code == 200
        process.send_signal(how)
        finish(process)
    assert process.returncode == 0


def test_serve_says_that_its_port_is_in_use(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = cli.run("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "0 lets the system choose" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_on_another_host_needs_a_key(cli: Cli) -> None:
    done = cli.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "key" in done.stderr


def test_talk_to_a_server_that_dies_in_the_middle(cli: Cli) -> None:
    with cli.start("serve", "--port", "0", "--json") as server:
        url = serving(server)["http_url"]
        with cli.start("talk", "--input", WEATHER, "--output", "reply.wav", OPENAI_BASE_URL=url) as talk:
            assert talk.stdout is not None
            assert talk.stdout.readline().startswith("you: ")  # the answer is about to begin
            server.send_signal(signal.SIGKILL)
            _, err = finish(talk)
        finish(server)
    assert talk.returncode == 1
    assert "connection lost" in err
    assert "Traceback" not in err
    assert not (cli.folder / "reply.wav").exists()


def test_talk_notices_that_its_server_has_died_between_two_lines(cli: Cli) -> None:
    with cli.start("serve", "--port", "0", "--json") as server:
        url = serving(server)["http_url"]
        with cli.start("talk", OPENAI_BASE_URL=url) as talk:
            assert talk.stdin is not None
            assert talk.stdout is not None
            talk.stdin.write("hello there\n")
            talk.stdin.flush()
            assert talk.stdout.readline().startswith("Assistant: ")
            server.send_signal(signal.SIGKILL)
            assert talk.wait(timeout=30) == 1, "it waits for the next line"
            assert "error: connection lost" in talk.stdout.read()
            assert talk.stderr is not None
            assert "Traceback" not in talk.stderr.read()
        finish(server)
