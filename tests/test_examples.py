"""Every example runs as it is, against the local server, without a key; and ends as it should when a service does not want to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio_websocket

from tests.test_http import serving

EXAMPLES = Path(__file__).parent.parent / "examples"

SAYS = {
    "realtime_basic.py": ["agent start: VoiceAssistant", "Hello from text input", "s of speech"],
    "realtime_tools.py": ["tool call: get_weather", "Paris", "tool call: roll_dice", "tool output: 11"],
    "realtime_guardrails.py": [
        "agent (completed, ",
        "agent (cancelled, 0.0 s heard)",
        "stopped, because it gives the secret away",
    ],
    "gated_input.py": [
        "you: good evening",
        "agent: You said: good",
        "you (blocked): what is the weather",
        "agent: I cannot talk about that",
    ],
    "realtime_handoffs.py": ["in charge: Greeter", "TechSupport: ", "handoff: Greeter -> TechSupport"],
}

SAYS_BY_VOICE = {
    "voice_with_agent.py": ["tool call: get_weather", "agent: The weather in Boston is sunny", "s of speech in "],
    "voice_pipeline.py": [
        "[turn_started]",
        "agent: You said: what is the weather",
        "s of speech in ",
        "[session_ended]",
    ],
    "voice_multi_turn.py": [
        "agent: Hello!",
        "you: good evening",
        "what is the weather",
        "technical problem",
        "3 turns",
    ],
}

LIVE = "live_realtime_voice.py"
"""It speaks and listens until Ctrl-C; tests/cli/test_mic.py has a conversation with it, through a virtual sound device."""


def test_all_examples_are_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} - {"support.py"} == {*SAYS, *SAYS_BY_VOICE, LIVE}


@pytest.mark.parametrize("missing", ["raise ImportError('no sounddevice')", "raise OSError('no PortAudio')"])
def test_without_sound_the_live_example_is_skipped(missing: str, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text(missing, encoding="utf-8")
    done = run(EXAMPLES / LIVE, tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SKIPPED: no sound device (sounddevice ")
    assert done.stderr == ""


@pytest.mark.parametrize("name", sorted(SAYS | SAYS_BY_VOICE))
def test_example(name: str, tmp_path: Path) -> None:
    done = run(EXAMPLES / name, tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for words in (SAYS | SAYS_BY_VOICE)[name]:
        assert words in done.stdout


def test_without_a_key_openai_is_refused(tmp_path: Path) -> None:
    done = run(EXAMPLES / "realtime_basic.py", tmp_path, "--openai")
    assert done.returncode == 1
    assert "no API key found (CODEX_API_KEY, auth.json OPENAI_API_KEY, or OPENAI_API_KEY)" in done.stderr


def test_the_twenty_lines_of_the_readme(tmp_path: Path) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 26
    code = code.replace(
        "open_realtime_session(greeter)",
        "open_local_server() as server, open_realtime_session(greeter, endpoint=server.endpoint)",
    )
    program = tmp_path / "readme.py"
    program.write_text("from trio_codex.server import open_local_server\n" + code, encoding="utf-8")
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sunny in Boston" in done.stdout


# --- a service that does not want to ---------------------------------------------------------------------------------------

QUOTA = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "You exceeded your current quota."}
NO_MODEL = {"type": "invalid_request_error", "code": "model_not_found", "message": "The model does not exist."}
UNKNOWN = {"type": "invalid_request_error", "code": "unknown_parameter", "message": "No.", "param": "session.audio"}
BAD_VOICE = {"type": "invalid_request_error", "code": "invalid_value", "message": "There is no voice 'alloy'."}
OUTAGE = {"type": "server_error", "code": "internal_error", "message": "The server had an error, sorry about that!"}


@attrs.frozen
class Service:
    """How a scripted service answers: an HTTP refusal, an error for each update, how responses and probes fail; None: it is well."""

    handshake: Mapping[str, Any] | None = None
    update: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    probe: Mapping[str, Any] | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on a port of the system's choice; gives the base URL."""
        sessions = count(1)

        async def accept(request: trio_websocket.WebSocketRequest) -> None:
            if self.handshake is not None:
                body = json.dumps({"error": self.handshake}).encode()
                await request.reject(403, extra_headers=[(b"Content-Type", b"application/json")], body=body)
                return
            websocket = await request.accept()
            with suppress(trio_websocket.ConnectionClosed):
                await self._talk(websocket, {"type": "realtime", "id": f"sess_{next(sessions)}A"})

        async with trio.open_nursery() as nursery:
            server = await nursery.start(trio_websocket.serve_websocket, accept, "127.0.0.1", 0, None)
            yield f"http://127.0.0.1:{server.port}/v1"
            nursery.cancel_scope.cancel()

    async def _talk(self, websocket: trio_websocket.WebSocketConnection, session: Mapping[str, Any]) -> None:
        async def say(kind: str, **fields: Any) -> None:
            await websocket.send_message(json.dumps({"type": kind, "event_id": "event_1", **fields}))

        await say("session.created", session=session)
        while True:
            event = json.loads(await websocket.get_message())
            if event["type"] == "session.update":
                if self.update is None:
                    await say("session.updated", session={**session, **event["session"]})
                else:
                    await say("error", error={"param": None, **self.update, "event_id": event.get("event_id")})
            if event["type"] == "input_audio_buffer.append" and len(event["audio"]) > 100_000:  # the pause after it
                heard = {
                    "item_id": "item_1",
                    "content_index": 0,
                    "transcript": "hello",
                    "usage": {"type": "duration", "seconds": 1},
                }
                await say("conversation.item.input_audio_transcription.completed", **heard)
            if event["type"] == "response.create":
                asked = event.get("response", {})
                error = self.probe if asked.get("conversation") == "none" else self.response
                response = {"id": "resp_1", "object": "realtime.response", "output": []}
                response["metadata"] = asked.get("metadata")
                await say("response.created", response={**response, "status": "in_progress", "status_details": None})
                details = {"type": "failed", "error": error} if error else None
                status = "failed" if error else "completed"
                await say("response.done", response={**response, "status": status, "status_details": details})


@pytest.mark.parametrize("name", sorted(SAYS))
@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (Service(handshake=NO_MODEL), "realtime_model_unavailable"),
        (Service(update=UNKNOWN), "realtime_protocol_incompatible"),
        (Service(response=QUOTA), "insufficient_quota"),
        (Service(response=OUTAGE, probe=OUTAGE), "realtime_upstream_server_error (session_id=sess_2A)"),
    ],
    ids=["no access", "another protocol", "no quota", "outage"],
)
async def test_a_reason_to_skip(name: str, service: Service, reason: str, tmp_path: Path) -> None:
    done = await run_with(service, EXAMPLES / name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"SKIPPED: {reason}"
    assert "Traceback" not in done.stderr
    assert ("session_id=sess_2A, events=session.created -> " in done.stderr) is ("upstream" in reason)


@pytest.mark.parametrize("name", sorted(SAYS_BY_VOICE))
async def test_a_reason_to_skip_by_voice(name: str, tmp_path: Path) -> None:
    body = json.dumps({"error": QUOTA}).encode()
    answer = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    with trio.fail_after(60):
        async with serving(*[answer + body] * 10) as server:
            program = partial(run, EXAMPLES / name, tmp_path, OPENAI_BASE_URL=server.url)
            done = await trio.to_thread.run_sync(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "SKIPPED: insufficient_quota"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("service", "says"),
    [
        (Service(update=BAD_VOICE), "[Error] There is no voice 'alloy'."),
        (Service(response=BAD_VOICE), "[Error] There is no voice 'alloy'."),
        (Service(response=OUTAGE), "[Error] The server had an error, sorry about that!"),
        (
            Service(handshake={"code": "invalid_api_key", "message": "Incorrect."}),
            "refused the websocket with HTTP status 403",
        ),
    ],
    ids=["bad setting", "failed response", "outage that the probe does not see", "wrong key"],
)
@pytest.mark.parametrize("name", ["realtime_basic.py", "realtime_tools.py"])
async def test_any_other_failure_is_an_error(name: str, service: Service, says: str, tmp_path: Path) -> None:
    done = await run_with(service, EXAMPLES / name, tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert "SKIPPED" not in done.stdout
    assert "Traceback" not in done.stderr


async def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/v1"
    program = EXAMPLES / "realtime_basic.py"
    done = await trio.to_thread.run_sync(partial(run, program, tmp_path, OPENAI_BASE_URL=url))
    assert done.returncode == 1
    assert done.stderr.startswith("[Error] cannot reach 127.0.0.1:1")


async def run_with(service: Service, program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    with trio.fail_after(30):
        async with service.serve() as url:
            return await trio.to_thread.run_sync(partial(run, program, folder, OPENAI_BASE_URL=url))


def run(program: Path, folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CODEX_"))}
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=folder,
        env=kept | {"CODEX_HOME": str(folder / "no-such-home")} | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
