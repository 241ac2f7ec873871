"""Audio as bytes: what must hold for any input."""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import warnings
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_codex.audio import (
    AudioFormat,
    Resampler,
    Transcoder,
    Wav,
    WholeSamples,
    alaw_decode,
    alaw_encode,
    read_wav,
    require,
    resample,
    rms,
    stereo,
    ulaw_decode,
    ulaw_encode,
    voiced_end_ms,
    write_wav,
)
from trio_codex.errors import ConfigurationError

ALL_SAMPLES = array("H", range(65536)).tobytes()
ALL_CODES = bytes(range(256))


def tone(ms: int, *, rate: int = 24_000, peak: int = 8000, hz: float = 440.0) -> bytes:
    return array("h", (round(peak * math.sin(2 * math.pi * hz * n / rate)) for n in range(ms * rate // 1000))).tobytes()


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    return [*chunks, data[at:]]


# Formats


@pytest.mark.parametrize("audio_format", AudioFormat)
def test_a_format_survives_the_wire(audio_format: AudioFormat) -> None:
    assert AudioFormat.from_wire(audio_format.to_wire()) is audio_format


def test_the_wire_objects_are_those_of_the_api() -> None:
    assert AudioFormat.PCM16.to_wire() == {"type": "audio/pcm", "rate": 24000}
    assert AudioFormat.PCMU.to_wire() == {"type": "audio/pcmu"}
    assert AudioFormat.PCMA.to_wire() == {"type": "audio/pcma"}
    assert AudioFormat.from_wire({"type": "audio/pcm"}) is AudioFormat.PCM16


@pytest.mark.parametrize(
    "value", [{}, {"type": "audio/mp3"}, {"type": None}, {"type": []}, {"type": "audio/pcm", "rate": 16000}]
)
def test_other_formats_are_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AudioFormat.from_wire(value)


@given(st.sampled_from(AudioFormat), st.integers(0, 10**9))
def test_ms_and_bytes_agree(audio_format: AudioFormat, ms: int) -> None:
    nbytes = audio_format.nbytes(ms)
    assert audio_format.duration_ms(nbytes) == ms
    assert nbytes == ms * audio_format.bytes_per_ms
    assert nbytes == 0 or audio_format.duration_ms(nbytes - 1) == ms - 1


@given(st.binary(max_size=64), st.lists(st.integers(0, 9), max_size=12), st.sampled_from([1, 2, 4, 6]))
def test_whole_samples_lose_nothing(data: bytes, sizes: list[int], width: int) -> None:
    samples = WholeSamples(width)
    whole = [samples.feed(chunk) for chunk in cut(data, sizes)]
    assert all(len(chunk) % width == 0 for chunk in whole)
    assert b"".join(whole) + samples.rest == data
    assert len(samples.rest) < width


# G.711


def test_g711_is_exact_for_every_code_and_sample() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="gone in 3.13; the tables do not depend on the version")
    assert ulaw_encode(ALL_SAMPLES) == audioop.lin2ulaw(ALL_SAMPLES, 2)
    assert alaw_encode(ALL_SAMPLES) == audioop.lin2alaw(ALL_SAMPLES, 2)
    assert ulaw_decode(ALL_CODES) == audioop.ulaw2lin(ALL_CODES, 2)
    assert alaw_decode(ALL_CODES) == audioop.alaw2lin(ALL_CODES, 2)


@pytest.mark.parametrize(("encode", "decode"), [(ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)])
def test_g711_codes_come_back(encode: Any, decode: Any) -> None:
    again = encode(decode(ALL_CODES))
    # µ-law has two zeros, and the negative one is not used for encoding.
    assert sum(code != other for code, other in zip(ALL_CODES, again, strict=True)) <= 1


# Resampling


@given(
    st.binary(max_size=4000),
    st.lists(st.integers(0, 700), max_size=12),
    st.sampled_from(
        [(24_000, 16_000), (16_000, 24_000), (22_050, 24_000), (24_000, 8_000), (8_000, 24_000), (1000, 1000)]
    ),
)
def test_resampling_does_not_depend_on_the_chunking(data: bytes, sizes: list[int], rates: tuple[int, int]) -> None:
    resampler = Resampler(*rates)
    chunks = cut(data, sizes)
    out = [resampler.feed(chunk, last=index == len(chunks) - 1) for index, chunk in enumerate(chunks)]
    assert b"".join(out) == resample(data, *rates)
    assert abs(len(b"".join(out)) // 2 - len(data) // 2 * rates[1] / rates[0]) <= 1


def test_resampling_keeps_a_tone() -> None:
    there = resample(tone(500), 24_000, 16_000)
    assert len(there) == 500 * 32
    assert rms(there) == pytest.approx(rms(tone(500)), rel=0.01)


@pytest.mark.parametrize("law", [AudioFormat.PCMU, AudioFormat.PCMA])
def test_transcoding_there_and_back_keeps_a_tone(law: AudioFormat) -> None:
    there, back = Transcoder(AudioFormat.PCM16, law), Transcoder(law, AudioFormat.PCM16)
    coded = there.feed(tone(400)[:9001]) + there.feed(tone(400)[9001:], last=True)
    assert law.duration_ms(len(coded)) == 400
    decoded = back.feed(coded[:1001]) + back.feed(coded[1001:], last=True)
    assert AudioFormat.PCM16.duration_ms(len(decoded)) == 400
    assert rms(decoded) == pytest.approx(rms(tone(400)), rel=0.03)


def test_transcoding_to_the_same_format_changes_nothing() -> None:
    assert Transcoder(AudioFormat.PCMU, AudioFormat.PCMU).feed(ALL_CODES) == ALL_CODES
    same = Transcoder(AudioFormat.PCM16, AudioFormat.PCM16)
    assert same.feed(b"abc") + same.feed(b"d") == b"abcd"


# Levels


def test_levels() -> None:
    assert rms(b"") == rms(bytes(100)) == 0.0
    assert rms(tone(100, peak=32767)) == pytest.approx(math.sqrt(0.5), rel=0.01)


def test_the_end_of_the_voice() -> None:
    assert voiced_end_ms(b"") == voiced_end_ms(bytes(48_000)) == 0
    assert voiced_end_ms(bytes(4800) + tone(300) + bytes(48 * 250)) == 400
    assert voiced_end_ms(tone(300, rate=16_000), rate=16_000) == 300


def test_two_tracks_side_by_side() -> None:
    assert stereo(b"\1\0\2\0", b"\3\0") == b"\1\0\3\0\2\0\0\0"
    assert stereo(b"", b"") == b""


# WAV


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)


def wav(
    samples: bytes, *, tag: int = 1, bits: int = 16, rate: int = 24_000, channels: int = 1,
    data_size: int | None = None, riff_size: int | None = None, frame: int | None = None, extensible: bool = False,
) -> bytes:  # fmt: skip
    frame = bits // 8 * channels if frame is None else frame
    body = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * frame, frame, bits)
    if extensible:
        body += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    rest = b"WAVE" + chunk(b"LIST", b"odd") + chunk(b"fmt ", body) + chunk(b"data", samples, data_size)
    return b"RIFF" + struct.pack("<I", len(rest) if riff_size is None else riff_size) + rest


def test_a_written_wav_is_read_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "mono.wav", tone(50))
    assert read_wav(tmp_path / "mono.wav") == Wav(tone(50), 24_000, 1)
    write_wav(str(tmp_path / "stereo.wav"), stereo(tone(50), b""), rate=8_000, channels=2)
    there = read_wav(str(tmp_path / "stereo.wav"))
    assert (there.rate, there.channels, there.duration_ms) == (8_000, 2, 150)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mono.wav", "stereo.wav"]


def test_a_wav_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken.wav").mkdir()
    for target in (tmp_path / "taken.wav", tmp_path / "nowhere" / "out.wav"):
        with pytest.raises(ConfigurationError, match=str(target)):
            write_wav(target, tone(10))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.wav"]


def test_the_standard_library_reads_what_we_write(tmp_path: Path) -> None:
    import wave

    write_wav(tmp_path / "out.wav", tone(20), rate=16_000)
    with wave.open(str(tmp_path / "out.wav")) as there:
        assert there.getparams()[:4] == (1, 2, 16_000, 480)
        assert there.readframes(480) == tone(20)


SAMPLES = [0, 1000, -1000, 32767, -32768]


def test_what_is_not_a_file_is_written_straight_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_wav(fifo, tone(10))
        assert read_wav(os.read(reader, 1 << 16)).samples == tone(10)
    finally:
        os.close(reader)
    assert fifo.is_fifo()


def test_links_modes_and_long_names_are_kept(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 251 + ".wav")
    target.touch(0o600)
    link = tmp_path / "link.wav"
    link.symlink_to(target)
    write_wav(link, tone(10))
    assert link.is_symlink()
    assert read_wav(target).samples == tone(10)
    assert target.stat().st_mode & 0o777 == 0o600
    assert set(tmp_path.iterdir()) == {link, target}


@pytest.mark.parametrize("place", [".", "//", "/", "no such folder/x.wav", "null\0.wav"])
def test_a_place_that_is_no_file_is_refused(place: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_wav(place, tone(10))


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("tag", "bits", "data", "tolerance"),
    [
        (1, 8, bytes((sample >> 8) + 128 for sample in SAMPLES), 255),
        (1, 16, struct.pack("<5h", *SAMPLES), 0),
        (1, 24, b"".join((sample * 256).to_bytes(3, "little", signed=True) for sample in SAMPLES), 0),
        (1, 32, struct.pack("<5i", *(sample * 65536 for sample in SAMPLES)), 0),
        (3, 32, struct.pack("<5f", *(sample / 32768 for sample in SAMPLES)), 0),
        (3, 64, struct.pack("<5d", *(sample / 32768 for sample in SAMPLES)), 0),
        (6, 8, alaw_encode(struct.pack("<5h", *SAMPLES)), 1100),
        (7, 8, ulaw_encode(struct.pack("<5h", *SAMPLES)), 1100),
    ],
)
def test_every_encoding_is_read(tag: int, bits: int, data: bytes, tolerance: int, extensible: bool) -> None:
    there = array("h", read_wav(wav(data, tag=tag, bits=bits, extensible=extensible)).samples)
    assert len(there) == len(SAMPLES)
    assert all(abs(sample - other) <= tolerance for sample, other in zip(SAMPLES, there, strict=True))


def test_odd_floats_do_not_wrap_around() -> None:
    there = read_wav(wav(struct.pack("<4f", math.nan, math.inf, -math.inf, 7.0), tag=3, bits=32))
    assert list(array("h", there.samples)) == [0, 32767, -32768, 32767]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_and_width_becomes_mono_at_24_khz(rate: int) -> None:
    one = tone(200, rate=rate)
    there = read_wav(wav(stereo(one, one), rate=rate, channels=2))
    assert there.duration_ms == 200
    assert len(there.pcm24k()) == pytest.approx(200 * 48, abs=4)
    assert rms(there.pcm24k()) == pytest.approx(rms(one), rel=0.02)


def test_channels_are_averaged() -> None:
    assert Wav(stereo(tone(10), bytes(480)), 24_000, 2).pcm24k() == array("h", (
        round(sample / 2) for sample in array("h", tone(10))
    )).tobytes()  # fmt: skip


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_streaming_header_is_read_to_the_end(size: int) -> None:
    data = wav(tone(30) + b"\1", data_size=size, riff_size=0 if size == 0 else 0xFFFFFFFF)
    assert read_wav(io.BytesIO(data[:-1])).samples == tone(30)


@pytest.mark.parametrize(
    ("data", "flaw"),
    [
        (b"", "empty"),
        (b"ID3\3" + bytes(64), "does not begin with RIFF"),
        (b"RIFF", "does not begin with RIFF"),
        (wav(tone(5))[:30], "no 'fmt ' chunk"),
        (wav(tone(5))[:50], "no 'data' chunk"),
        (wav(tone(5))[:-7], "promises 240 bytes of sound, 233 are there"),
        (wav(tone(5), data_size=10_000), "promises 10000 bytes of sound, 240 are there"),
        (wav(b""), "no sound"),
        (wav(b"", data_size=0xFFFFFFFF), "no sound"),
        (wav(b"abc"), "not whole frames"),
        (wav(tone(5), frame=3), "contradicts itself"),
        (wav(tone(5), channels=0), "0 channels"),
        (wav(tone(5), rate=0), "0 Hz"),
        (wav(tone(5), bits=12), "12-bit"),
        (wav(tone(5), tag=85), "format 85"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", tone(5)), "before their format"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"\1\0"), "2 bytes instead of 16"),
    ],
)
def test_the_error_names_the_file_and_the_flaw(data: bytes, flaw: str, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        read_wav(path)
    assert str(path) in str(caught.value)
    assert flaw in str(caught.value)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.wav", tmp_path):
        with pytest.raises(ConfigurationError, match=str(path)):
            read_wav(path)


@given(st.binary(max_size=120), st.integers(0, 120), st.binary(max_size=8))
def test_no_file_whatever_raises_anything_else(junk: bytes, at: int, change: bytes) -> None:
    good = wav(tone(1))
    for data in (junk, b"RIFF\0\0\0\0WAVE" + junk, good[:at] + change + good[at + len(change) :], good[:at]):
        try:
            there = read_wav(data)
        except ConfigurationError:
            continue
        assert len(there.samples) % (2 * there.channels) == 0


# Extras


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require.cache_clear()
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-codex\[audio\]'"):
        Resampler(24_000, 16_000)
    with pytest.raises(ConfigurationError, match="numpy"):
        read_wav(wav(bytes(4), bits=8)).pcm24k()
    assert read_wav(wav(tone(20))).pcm24k() == tone(20)
    monkeypatch.undo()
    require.cache_clear()
