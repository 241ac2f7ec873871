"""A sound card of our own: PulseAudio in the foreground with two null sinks, and a configuration that makes PortAudio use it.

What is played to the sink `spoken` is what the microphone hears; what the loudspeaker plays is the monitor of the sink `sounding`.
Nothing of the machine's own sound is touched. Where it cannot be had, a test that wants it is skipped, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

PROGRAMS = ("pulseaudio", "pactl", "paplay", "parec")

ALSA = """\
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
"""

QUERY = "import sounddevice as sd; sd.check_input_settings(channels=1, dtype='int16', samplerate=24000)"


@attrs.frozen
class VirtualSound:
    """A microphone and a loudspeaker; programs with this `environment` find no other."""

    environment: dict[str, str]
    pulse: subprocess.Popen[bytes]

    def speak(self, recording: str) -> None:
        """Play a WAV file into the microphone; returns when it is over."""
        self.run("paplay", "--device=spoken", recording)

    @contextmanager
    def listening(self, file: Path) -> Iterator[None]:
        """Write down what the loudspeaker plays meanwhile: PCM16, 24 kHz, mono."""
        options = ["--device=sounding.monitor", "--rate=24000", "--channels=1", "--format=s16le", "--raw", str(file)]
        with subprocess.Popen(["parec", *options], env=os.environ | self.environment) as recorder:
            yield
            recorder.terminate()

    def users(self) -> list[str]:
        """The streams that programs have open."""
        streams = self.run("pactl", "list", "short", "sink-inputs") + self.run(
            "pactl", "list", "short", "source-outputs"
        )
        return [stream for stream in streams.splitlines() if "module-remap-source" not in stream]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout


@contextmanager
def virtual_sound(folder: Path) -> Iterator[VirtualSound]:
    """Start it; skips the test where it cannot be had."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"no virtual sound device: {', '.join(missing)} not installed")
    (folder / "asound.conf").write_text(ALSA, encoding="utf-8")
    environment = {
        "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        "PULSE_SERVER": f"unix:{folder / 'native'}",
        "PULSE_SOURCE": "microphone",
        "PULSE_SINK": "sounding",
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "PULSE_RUNTIME_PATH": str(folder),
        "PULSE_STATE_PATH": str(folder),
    }
    modules = [
        f"module-native-protocol-unix socket={folder / 'native'} auth-anonymous=1",
        "module-null-sink sink_name=spoken",
        "module-null-sink sink_name=sounding",
        "module-remap-source source_name=microphone master=spoken.monitor",
    ]
    options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
    loaded = [part for module in modules for part in ("-L", module)]
    with (
        (folder / "pulse.log").open("wb") as log,
        subprocess.Popen(["pulseaudio", *options, *loaded], env=os.environ | environment, stderr=log) as pulse,
    ):
        try:
            sound = VirtualSound(environment, pulse)
            _wait(sound, folder / "pulse.log")
            yield sound
        finally:
            pulse.kill()


def _wait(sound: VirtualSound, log: Path) -> None:
    """Wait until it runs, and make sure that sounddevice finds it."""
    for _ in range(100):
        if sound.pulse.poll() is not None:
            pytest.skip(f"no virtual sound device: pulseaudio ended: {log.read_text(errors='replace')[-300:]}")
        done = subprocess.run(
            ["pactl", "info"], env=os.environ | sound.environment, capture_output=True, timeout=10, check=False
        )
        if done.returncode == 0:
            break
        time.sleep(0.05)
    query = [sys.executable, "-c", QUERY]
    found = subprocess.run(
        query, env=os.environ | sound.environment, capture_output=True, text=True, timeout=30, check=False
    )
    if found.returncode != 0:
        pytest.skip(f"no virtual sound device: sounddevice does not find it: {found.stderr.strip().splitlines()[-1]}")
