"""Where the output goes and the input comes from: devices, pipes that close, places that cannot be written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from trio_codex.audio import write_wav
from trio_codex.cli.beside import beside

from .conftest import LIMIT_S, Cli, finish


def shell(cli: Cli, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which $CLI is the program."""
    environment = cli.environment | {"CLI": f"{sys.executable} -m trio_codex"}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cli.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_version(cli: Cli) -> None:
    done = cli.run("--version")
    assert done.returncode == 0
    assert done.stdout.strip()


@pytest.mark.parametrize("command", ["demo", "talk"])
@pytest.mark.parametrize("place", [".", "//", "nowhere/call.wav"])
def test_a_place_that_cannot_be_written_is_named_before_the_call(cli: Cli, command: str, place: str) -> None:
    done = cli.run(command, "--local", "--output", place, input="hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_that_cannot_be_made_is_named_as_it_was_given(cli: Cli) -> None:
    done = cli.run("talk", "--local", "--record", "nowhere/call.jsonl", input="hello\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "trio-codex talk: record: 'nowhere/call.jsonl' cannot be written: No such file or directory\n"


def test_the_json_is_printed_even_when_the_sound_cannot_be_kept(cli: Cli) -> None:
    done = cli.run("talk", "--local", "--json", "--output", "/dev/full", input="hello\n")
    assert done.returncode == 1
    assert '"turns"' in done.stdout
    assert "/dev/full: cannot be written" in done.stderr


def test_a_reader_that_leaves(cli: Cli) -> None:
    done = shell(cli, "{ $CLI demo --fast; echo $? >status; } | head -1")
    assert done.stdout.startswith("you: ")
    assert done.stderr == ""
    assert (cli.folder / "status").read_text().strip() == "1"


def test_output_that_cannot_be_written_is_one_line(cli: Cli) -> None:
    done = shell(cli, "echo hello | $CLI talk --local >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "trio-codex talk: [Errno 28] No space left on device\n"


def test_input_that_is_closed_or_no_text(cli: Cli) -> None:
    closed = shell(cli, "$CLI talk --local <&-")
    assert (closed.returncode, "Traceback" in closed.stderr) == (1, False)
    assert "standard input is closed" in closed.stderr
    undecodable = shell(cli, r"printf 'hello \377 there\n' | $CLI talk --local")
    assert (undecodable.returncode, undecodable.stderr) == (0, "")


def test_a_port_that_is_none(cli: Cli) -> None:
    done = cli.run("serve", "--port", "70000")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "70000" in done.stderr


@pytest.mark.parametrize("fast", [["--fast"], []])
def test_silence_is_said_to_be_silence(cli: Cli, fast: list[str]) -> None:
    write_wav(cli.folder / "silence.wav", bytes(48_000))
    done = cli.run("talk", "--local", "--input", "silence.wav", *fast)
    assert done.returncode == 1
    assert "no speech was heard in it" in done.stderr


def test_ctrl_c_during_the_imports_is_quiet(cli: Cli, tmp_path: Path) -> None:
    slow = tmp_path / "trio.py"  # stands where the import of trio would take its time
    slow.write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with cli.start("demo", PYTHONPATH=str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = finish(process)
    assert (process.returncode, err) == (130, "")


async def test_the_failure_of_a_task_comes_out_as_it_is() -> None:
    async def fail() -> None:
        raise BrokenPipeError

    with trio.fail_after(5), pytest.raises(BrokenPipeError):
        async with beside(fail, trio.sleep_forever):
            await trio.sleep_forever()
