"""`talk --mic` and the example that speaks, as a user runs them: through a virtual sound device, and without any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from trio_codex import audio

from .conftest import LIMIT_S, Cli, finish
from .virtual_sound import VirtualSound, virtual_sound

WEATHER = str(files("trio_codex.cli") / "recordings" / "02-weather.wav")
EXAMPLE = str(Path(__file__).parents[2] / "examples" / "live_realtime_voice.py")

TALK = ["-m", "trio_codex", "talk", "--mic", "--local"]
PROGRAMS = pytest.mark.parametrize("program", [TALK, [EXAMPLE, "--local"]], ids=["talk --mic", "example"])


@pytest.fixture(scope="module")
def sound() -> Iterator[VirtualSound]:
    with tempfile.TemporaryDirectory(prefix="sound") as folder, virtual_sound(Path(folder)) as found:
        yield found


@contextmanager
def speaking(cli: Cli, sound: VirtualSound, *program: str) -> Iterator[subprocess.Popen[str]]:
    """A program that listens to the microphone; killed if it is there after the limit."""
    with subprocess.Popen(
        [sys.executable, *program],
        cwd=cli.folder,
        env=cli.environment | sound.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background shell ignores it
    ) as process:
        limit = threading.Timer(LIMIT_S, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()


def wait_line(process: subprocess.Popen[str], beginning: str) -> str:
    """Read lines until one begins so."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        if line.startswith(beginning):
            return line
        seen.append(line)
    pytest.fail(f"no line began with {beginning!r} but {seen}")


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Ctrl-C; gives what else was written."""
    process.send_signal(signal.SIGINT)
    return finish(process)


@PROGRAMS
def test_a_spoken_conversation(cli: Cli, sound: VirtualSound, program: list[str]) -> None:
    agent = "Assistant: " if program is TALK else "VoiceAssistant: "
    with sound.listening(cli.folder / "sounding.pcm"), speaking(cli, sound, *program) as process:
        wait_line(process, "Speak; Ctrl-C ends.")
        sound.speak(WEATHER)
        assert "weather" in wait_line(process, "you: ")
        assert "weather" in wait_line(process, agent)
        sound.speak(WEATHER)  # while the agent speaks
        assert "weather" in wait_line(process, "you: ")
        assert "weather" in wait_line(process, agent)
        _, err = interrupt(process)
    assert process.returncode == (130 if program is TALK else 0)
    assert "Traceback" not in err
    assert sound.users() == []
    assert audio.rms((cli.folder / "sounding.pcm").read_bytes()) > 0.01


def test_what_was_heard_is_kept_when_ctrl_c_ends_it(cli: Cli, sound: VirtualSound) -> None:
    with speaking(cli, sound, *TALK, "--output", "heard.wav", "--json") as process:
        for _ in range(2):  # nothing says when it begins to listen, but it does by the second time
            sound.speak(WEATHER)
            sound.run("sleep", "2")
        out, _ = interrupt(process)
    told = json.loads(out)
    assert process.returncode == 130
    assert "weather" in told["turns"][-1]["user"]
    assert 0 < told["turns"][-1]["first_audio_ms"] < 10_000
    heard = audio.read_wav(cli.folder / "heard.wav")
    assert heard.duration_ms / 1000 == pytest.approx(told["audio_out_s"], abs=0.01)
    assert audio.rms(heard.samples) > 0.01


@PROGRAMS
def test_a_device_that_goes_away_is_an_error(cli: Cli, program: list[str], tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="sound") as folder,
        virtual_sound(Path(folder)) as sound,
        speaking(cli, sound, *program) as process,
    ):
        wait_line(process, "Speak; Ctrl-C ends.")
        sound.pulse.kill()
        _, err = finish(process)
    assert process.returncode == 1
    assert "the sound device has stopped" in err
    assert "Traceback" not in err


LEFT = """
import os, trio
from trio_codex.device import open_sound_device

def here():
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

async def main():
    await trio.to_thread.run_sync(__import__, "sounddevice")  # Trio keeps this thread for a while
    before = here()
    for _ in range(3):
        with trio.move_on_after(0.5):
            async with open_sound_device():
                assert here() > before
                await trio.sleep_forever()
        assert here() == before, (before, here())

trio.run(main)
"""


def test_no_thread_and_no_file_is_left_of_a_device(sound: VirtualSound) -> None:
    environment = os.environ | sound.environment
    subprocess.run([sys.executable, "-c", LEFT], env=environment, timeout=LIMIT_S, check=True)


# --- without a device ------------------------------------------------------------------------------------------------------


def without_portaudio(folder: Path) -> dict[str, str]:
    (folder / "sounddevice.py").write_text("raise OSError('PortAudio library not found')", encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def test_without_portaudio_talk_fails_and_says_what_to_install(cli: Cli) -> None:
    done = cli.run("talk", "--mic", "--local", **without_portaudio(cli.folder))
    assert done.returncode == 1
    assert done.stderr.startswith("trio-codex talk: sounddevice cannot load PortAudio (PortAudio library not found)")
    assert "libportaudio2" in done.stderr
    assert done.stdout == ""


@PROGRAMS
def test_without_a_device(cli: Cli, program: list[str]) -> None:
    nowhere = {"PULSE_SERVER": "none"}
    query = [sys.executable, "-c", "import sounddevice as sd; print(len(sd.query_devices()))"]
    found = subprocess.run(query, env=os.environ | nowhere, capture_output=True, text=True, timeout=30, check=False)
    if found.stdout.strip() != "0":
        pytest.skip("sounddevice does not load here, or there are real devices")
    done = subprocess.run(
        [sys.executable, *program],
        cwd=cli.folder,
        env=cli.environment | nowhere,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    reason = "there is no microphone (Error querying device -1); `python -m sounddevice` lists the devices"
    if program is TALK:
        assert (done.returncode, done.stderr) == (1, f"trio-codex talk: {reason}\n")
    else:
        assert (done.returncode, done.stdout) == (0, f"SKIPPED: no sound device ({reason})\n")


def test_a_microphone_and_a_recording_are_two_ways_to_speak(cli: Cli) -> None:
    assert cli.run("talk", "--mic", "--input", WEATHER).returncode == 2
