"""`probe`: what it prints and its exit statuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from .conftest import Cli

UPSTREAM = {"type": "server_error", "code": None, "message": "Oh. Tell us of sess_Ab12."}


@contextmanager
def refusing(status: int, **error: Any) -> Iterator[str]:
    """A service that refuses every websocket so; gives its base URL."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"error": error}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuse) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_the_local_server_answers(cli: Cli) -> None:
    done = cli.run("probe")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok (model=gpt-realtime-2.1, session_id=sess_")
    assert "local server" in done.stderr


def test_the_log_is_shown_when_it_is_asked_for(cli: Cli) -> None:
    done = cli.run("probe", "--local", TRIO_CODEX_LOG="info")
    assert "INFO trio_codex.transport: connected to 127.0.0.1" in done.stderr
    assert "trio_codex" not in cli.run("probe", "--local").stderr


def test_for_machines(cli: Cli) -> None:
    done = cli.run("probe", "--local", "--json", "--model", "gpt-realtime")
    told = json.loads(done.stdout)
    assert (told["ok"], told["kind"], told["model"], told["error"], told["skipped"]) == (
        True,
        "ok",
        "gpt-realtime",
        None,
        None,
    )
    assert (told["events"][0], told["events"][-1]) == ("session.created", "response.done")


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (403, {"code": "model_not_found", "message": "No."}, "realtime_model_unavailable"),
        (429, {"code": "insufficient_quota", "message": "No."}, "insufficient_quota"),
        (500, UPSTREAM, "realtime_upstream_server_error (session_id=sess_Ab12)"),
    ],
)
def test_what_the_service_is_the_reason_of_is_skipped(
    cli: Cli, status: int, error: dict[str, Any], reason: str
) -> None:
    with refusing(status, **error) as url:
        done = cli.run("probe", OPENAI_BASE_URL=url)
        for_machines = cli.run("probe", "--json", OPENAI_BASE_URL=url)
    assert (done.returncode, for_machines.returncode) == (0, 0)
    assert done.stdout == f"SKIPPED: {reason}\n"
    assert "could not be reached for a minimal raw WebSocket probe" in done.stderr
    told = json.loads(for_machines.stdout)
    assert (told["kind"], told["skipped"], told["error"]["status"]) == ("connect_failed", reason, status)


def test_a_wrong_key_is_a_failure_and_is_not_shown(cli: Cli) -> None:
    with refusing(401, code="invalid_api_key", message="Incorrect API key provided: sk-very-secret.") as url:
        done = cli.run("probe", "--json", OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-very-secret")
    assert done.returncode == 1
    assert "401" in done.stderr
    assert "sk-very-secret" not in done.stdout + done.stderr


def test_nobody_there(cli: Cli) -> None:
    done = cli.run("probe", OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    assert done.returncode == 1
    assert "cannot reach 127.0.0.1:1" in done.stderr
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)


def test_without_a_key_openai_is_refused(cli: Cli) -> None:
    done = cli.run("probe", "--openai")
    assert done.returncode == 1
    assert "no API key found" in done.stderr
    assert "What to do: set OPENAI_API_KEY" in done.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_usage(cli: Cli, seconds: str) -> None:
    done = cli.run("probe", f"--timeout={seconds}")
    assert done.returncode == 2
    assert "not a number of seconds above 0" in done.stderr
