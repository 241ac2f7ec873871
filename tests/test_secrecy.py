"""The watch that `secrecy.py` keeps over all tests: it notices what it should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trio_codex.endpoints import Endpoint
from trio_codex.errors import ConfigurationError, ConnectionFailed, VoiceError
from trio_codex.logs import get_logger
from trio_codex.secret import Secret

KEY = "sk-proj-seen-by-nobody-0123456789"


def print_in_a_process() -> None:
    code = "import os; print('here it is:', os.environ['OPENAI_API_KEY'])"
    subprocess.run(
        [sys.executable, "-c", code], env={"OPENAI_API_KEY": KEY}, capture_output=True, text=True, check=True
    )


@pytest.mark.shows_keys
@pytest.mark.parametrize(
    ("learn", "show", "where"),
    [
        (lambda: Secret(KEY), lambda: get_logger("session").debug("with %s", KEY), "logged by trio_codex.session"),
        (lambda: Secret(KEY), lambda: ConfigurationError(f"not {KEY}!"), "raised, ConfigurationError"),
        (lambda: Secret(KEY), lambda: ConnectionFailed("no", body=f"not {KEY}!"), "raised, ConnectionFailed"),
        (lambda: Secret(KEY), lambda: VoiceError(KEY), "raised, VoiceError"),
        (lambda: Endpoint.openai().headers(KEY), lambda: get_logger("http").info(KEY), "logged by trio_codex.http"),
        (lambda: None, print_in_a_process, "said by a process"),
    ],
)
def test_what_is_noticed(learn: Any, show: Any, where: str, no_key_is_seen: Any) -> None:
    watch = no_key_is_seen
    learn()
    assert watch.leaks() == []
    show()
    [leak, *_] = watch.leaks()
    assert leak.startswith(where)
    assert "<KEY>" in leak
    assert KEY not in leak
    watch.shown.clear()


SHOWS = """
import logging, subprocess, sys
import pytest, trio
from trio_codex import Agent
from trio_codex.errors import ConnectionFailed, ServerRefused
from trio_codex.logs import get_logger
from trio_codex.recording import open_recorder
from trio_codex.secret import Secret
from trio_codex.testing import scripted_session
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

KEY = "sk-proj-seen-by-" + "nobody-0123456789"
COMMAND = [sys.executable, "-c", "import sys; print(sys.argv[1])", KEY]

@pytest.fixture(autouse=True)
def used():
    Secret(KEY)

def test_silent(capsys, tmp_path):
    print("nothing")
    assert subprocess.run([*COMMAND[:-1], "nothing"], capture_output=True).stdout == b"nothing\\n"

def test_printed():
    print("oh, it is", KEY)

def test_printed_to_stderr():
    print("oh, it is", KEY, file=sys.stderr)

def test_printed_and_captured(capsys):
    print("oh, it is", KEY)
    assert capsys.readouterr().out

def test_printed_by_a_process():
    subprocess.run(COMMAND)

def test_printed_by_a_process_that_is_captured():
    subprocess.run(COMMAND, capture_output=True)

def test_printed_by_a_process_that_is_read():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()

def test_printed_by_a_process_of_trio():
    trio.run(lambda: trio.run_process(COMMAND, capture_stdout=True))

def test_logged():
    get_logger("session").debug("it is %s", KEY)

def test_logged_by_others():
    logging.getLogger("httpx").info("GET https://x.test/?token=%s", KEY)

def test_logged_with_a_traceback():
    try:
        raise ValueError(KEY)
    except ValueError:
        get_logger("session").exception("oh")

def test_logged_as_a_frame():
    async def script(line):
        await line.expect("conversation.item.create")

    async def main():
        async with scripted_session(Agent(), script) as (session, _):
            await session.send_message(KEY, respond=False)

    trio.run(main)

def test_raised():
    with pytest.raises(ServerRefused):
        raise ServerRefused("no", code=KEY)

def test_raised_and_swallowed():
    try:
        raise ConnectionFailed(KEY)
    except ConnectionFailed:
        pass

def test_raised_by_others():
    with pytest.raises(RuntimeError):
        try:
            raise ValueError(KEY)
        except ValueError:
            raise RuntimeError("no") from None

def test_raised_in_a_group():
    with pytest.RaisesGroup(ValueError):
        raise ExceptionGroup("no", [ValueError(KEY)])

def test_raised_with_a_note():
    with pytest.raises(ValueError) as caught:
        error = ValueError("no")
        error.add_note(KEY)
        raise error

def test_recorded(tmp_path):
    async def main():
        async with open_recorder(tmp_path / "call.of-somebody") as recorder:
            recorder.put(said=KEY)

    trio.run(main)

def test_recorded_by_hand(tmp_path):
    (tmp_path / "call.jsonl").write_text(KEY)

def test_traced():
    with TracerProvider().get_tracer("x").start_as_current_span("session") as span:
        span.set_attribute("said", KEY)

def test_traced_as_an_event():
    with TracerProvider().get_tracer("x").start_as_current_span("session") as span:
        span.add_event(KEY)

def test_measured():
    MeterProvider().get_meter("x").create_counter("calls").add(1, {"of": KEY})

@pytest.mark.parametrize("key", [KEY])
def test_named(key):
    pass

def test_of_a_short_key():
    Secret("sk-1")
"""


def test_a_test_that_shows_a_key_fails(pytester: pytest.Pytester) -> None:
    secrecy = Path(__file__).with_name("secrecy.py").read_text(encoding="utf-8")
    pytester.makepyfile(secrecy=secrecy, test_shows=SHOWS)
    result = pytester.runpytest_subprocess("-p", "secrecy", "-p", "no:trio_codex", "-q", "-rA")
    kept = set(re.findall(r"^ERROR test_shows\.py::(\w+)", result.stdout.str(), re.MULTILINE))
    names = set(re.findall(r"^(?:def )?(test_\w+)", SHOWS, re.MULTILINE))
    assert names - kept == {"test_silent"}
    result.stdout.fnmatch_lines(
        ["*oh, it is <KEY>*", "*said by a process: *<KEY>*", "*raised, ServerRefused: *<KEY>*", "*recorded: *<KEY>*"]
    )
    judged = "\n".join(line for line in result.outlines if "<KEY>" in line)
    assert KEY not in judged
