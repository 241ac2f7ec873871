from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trio_codex.errors import ConfigurationError
from trio_codex.server.faults import FAULTS, FaultPlan, describe_faults, parse_fault
from trio_codex.server.faults.answers import answer_to
from trio_codex.server.faults.events import EVENT_FAULTS
from trio_codex.server.faults.streams import STREAM_FAULTS

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"


def test_defaults_and_values() -> None:
    assert parse_fault("latency").values == {"ms": 100.0, "jitter": 0.0}
    assert parse_fault("latency:250").values == {"ms": 250.0, "jitter": 0.0}
    assert parse_fault("latency: jitter=5 , ms=1.5").values == {"ms": 1.5, "jitter": 5.0}
    assert parse_fault("unauthorized:chunked,times=2").values["times"] == 2
    assert parse_fault("no-close-reply").values == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("earthquake", "there is no fault 'earthquake'; there are drop-before-upgrade, "),
        ("latency:minutes=3", "'minutes' is no parameter of it; it takes ms, jitter"),
        ("latency:ms=soon", "fault latency: ms is a number, not 'soon'"),
        ("latency:ms=-1", "at least 0"),
        ("latency:ms=nan", "at least 0"),
        ("vad-race:nth=0", "fault vad-race: nth is a number of at least 1, not '0'"),
        ("drop:after=1.5", "after is a number"),
        ("unauthorized:framing=pigeon", "framing is one of content-length, chunked, close, not 'pigeon'"),
        ("no-close-reply:ms=1", "it takes no parameters"),
        ("latency:1,2", "'2' is no parameter"),
    ],
)
def test_mistakes_are_explained(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FaultPlan([text])
    assert says in str(caught.value)


def test_each_kind_is_implemented_once_in_its_place() -> None:
    for kind in FAULTS.values():
        is_answer = kind.place == "http" and (
            kind.name == "drop-before-upgrade" or answer_to(parse_fault(kind.name)).startswith(b"HTTP/1.1 ")
        )
        found = [is_answer, kind.name in STREAM_FAULTS or kind.name == "latency", kind.name in EVENT_FAULTS]
        if kind.place == "line":
            assert kind.name in ("expiry", "refused-session")
        else:
            assert found == [kind.place == "http", kind.place == "tcp", kind.place == "events"], kind.name


def test_the_page_tells_all_faults() -> None:
    assert describe_faults() in PAGE.read_text(encoding="utf-8")


def test_the_command_line_lists_them() -> None:
    command = [sys.executable, "-m", "trio_codex", "serve", "--list-faults"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    for kind in FAULTS.values():
        assert f"{kind.name}\n    {kind.about}\n" in listed
        assert all(f"    {parameter}\n" in listed for parameter in kind.parameters)


def test_the_command_line_refuses_what_there_is_not() -> None:
    command = [sys.executable, "-m", "trio_codex", "serve", "--port", "0", "--fault", "earthquake"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "there is no fault 'earthquake'" in done.stderr
