"""The watch that `secrecy.py` keeps over all tests: it notices what it should."""

from __future__ import annotations

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
from trio_codex.secret import Secret
KEY = "sk-proj-seen-by-nobody-0123456789"

def test_prints():
    Secret(KEY)
    print("oh, it is", KEY)

def test_records(tmp_path):
    Secret(KEY)
    (tmp_path / "call.jsonl").write_text(KEY)

def test_is_silent():
    Secret(KEY)
    print("nothing")
"""


def test_a_test_that_shows_a_key_fails(pytester: pytest.Pytester) -> None:
    secrecy = Path(__file__).with_name("secrecy.py").read_text(encoding="utf-8")
    pytester.makepyfile(secrecy=secrecy, test_shows=SHOWS)
    result = pytester.runpytest_subprocess("-p", "secrecy", "-p", "no:trio_codex", "-q")
    result.stdout.fnmatch_lines(["*oh, it is <KEY>*", "*recorded in call.jsonl*", "*2 errors*"])
    assert KEY not in result.stdout.str().partition("short test summary")[0].replace(SHOWS, "").partition("Captured")[0]
