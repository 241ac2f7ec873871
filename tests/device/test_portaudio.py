"""The callbacks of the audio threads, called as PortAudio calls them; and a machine without PortAudio."""

from __future__ import annotations

import math
import subprocess
import sys
from array import array
from pathlib import Path
from types import SimpleNamespace

import pytest

from trio_codex.audio import RATE, rms
from trio_codex.device import Loudspeaker, Microphone
from trio_codex.device.portaudio import Recording, Sounding

WELL = SimpleNamespace(input_overflow=False)


def tone(seconds: float, rate: int) -> bytes:
    samples = (round(8000 * math.sin(2 * math.pi * 440 * n / rate)) for n in range(round(seconds * rate)))
    return array("h", samples).tobytes()


def sounding(callback: Sounding, rate: int, seconds: float) -> bytes:
    """What the device gets, in blocks of 20 ms."""
    got = bytearray()
    for _ in range(round(seconds * 50)):
        block = bytearray(rate // 50 * 2)
        callback(memoryview(block), rate // 50, None, WELL)
        got += block
    return bytes(got)


async def test_at_24_khz_the_sound_is_not_touched() -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.play(tone(0.5, RATE))
    got = sounding(Sounding(loudspeaker, RATE), RATE, 0.6)
    assert got == tone(0.5, RATE) + bytes(len(got) - RATE)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
async def test_at_any_other_rate_it_is_resampled_to_the_last_sample(rate: int) -> None:
    loudspeaker = Loudspeaker()
    loudspeaker.play(tone(0.5, RATE))
    got = sounding(Sounding(loudspeaker, rate), rate, 0.8)
    assert loudspeaker.heard_s == 0.5
    assert rms(got) * math.sqrt(0.8 / 0.5) == pytest.approx(rms(tone(0.5, rate)), rel=0.02)
    assert rms(got[-rate // 10 :]) == 0  # its tail sounded, nothing is left in the filter


@pytest.mark.parametrize("rate", [RATE, 44_100, 48_000])
async def test_what_is_recorded_comes_at_24_khz(rate: int) -> None:
    microphone = Microphone()
    recorded: list[bytes] = []
    microphone.record = recorded.append  # type: ignore[method-assign]
    callback, spoken, block = Recording(microphone, rate), tone(1, rate), rate // 50 * 2
    for start in range(0, len(spoken), block):
        callback(memoryview(spoken)[start : start + block], block // 2, None, WELL)
    got = b"".join(recorded)
    assert len(got) == pytest.approx(2 * RATE, abs=0.05 * 2 * RATE)
    assert rms(got) == pytest.approx(rms(tone(1, RATE)), rel=0.05)


async def test_what_the_device_lost_is_counted() -> None:
    microphone = Microphone()
    Recording(microphone, RATE)(bytes(960), 480, None, SimpleNamespace(input_overflow=True))
    assert microphone.dropped == 1


OPEN = "import trio\nfrom trio_codex.device import open_sound_device\ntrio.run(open_sound_device().__aenter__)"


@pytest.mark.parametrize(
    ("stand_in", "says"),
    [
        ("raise ImportError('No module named sounddevice')", "pip install 'trio-codex[mic]'"),
        ("raise OSError('PortAudio library not found')", "install the system library, on Debian libportaudio2"),
    ],
    ids=["no sounddevice", "no PortAudio"],
)
def test_what_is_missing_is_named(stand_in: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text(stand_in, encoding="utf-8")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{OPEN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("trio_codex.errors.ConfigurationError: ")
    assert says in last
