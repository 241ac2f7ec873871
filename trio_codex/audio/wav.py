"""WAV: reading whatever people have, writing 16 bit, whole or not at all.

Files come from telephones, browsers and pipes, so the header is not trusted: sizes are checked against what is there,
and what does not fit is a ConfigurationError which names the file and the flaw. The sizes 0 and "endless", which
streaming writers leave in the header, mean: to the end. 16-bit files need only the standard library, the other
encodings numpy (extra `audio`).
"""

from __future__ import annotations

import os
import secrets
import stat
import struct
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from trio_codex.audio.extras import require
from trio_codex.audio.formats import RATE
from trio_codex.audio.g711 import alaw_decode, ulaw_decode
from trio_codex.audio.resampling import resample
from trio_codex.errors import ConfigurationError

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_ENDLESS = 0x7FFF0000  # from here on a size is what a writer left that could not seek back
_WIDEST = 0xFFFFFFFF


@attrs.frozen
class Wav:
    """What a WAV file says: `samples` are s16le, interleaved if there is more than one channel."""

    samples: bytes = attrs.field(repr=lambda samples: f"<{len(samples)} bytes>")
    rate: int
    channels: int = 1

    @property
    def duration_ms(self) -> int:
        """The length in whole ms."""
        return len(self.samples) // (2 * self.channels) * 1000 // self.rate

    def pcm24k(self) -> bytes:
        """Return the sound as mono at 24 kHz, channels averaged; needs the extra `audio` unless it is that already."""
        samples = self.samples
        if self.channels > 1:
            np = require("numpy", extra="audio")
            frames = np.frombuffer(samples, "<i2").reshape(-1, self.channels)
            samples = np.rint(frames.mean(axis=1)).astype("<i2").tobytes()
        return resample(samples, self.rate, RATE)


@attrs.frozen
class _Encoding:
    tag: int
    bits: int
    rate: int
    channels: int

    @property
    def frame(self) -> int:
        return self.bits // 8 * self.channels


def read_wav(source: str | PathLike[str] | bytes | BinaryIO) -> Wav:
    """Read a WAV: PCM of 8, 16, 24 or 32 bits, floats, G.711; plain or extensible header, any rate and channels.

    `source` is a path, the bytes of a file, or a binary file object. Raises ConfigurationError, with the name of the
    file, for what cannot be opened, is not a WAV, is truncated, contradicts its own header, or holds no sound. Blocks
    while it reads a file.
    """
    name, data = _load(source)
    try:
        encoding, samples = _parse(data)
        return Wav(_CONVERT[encoding.tag, encoding.bits](samples), encoding.rate, encoding.channels)
    except _Flaw as flaw:
        raise ConfigurationError(f"{name}: {flaw}") from None


def write_wav(target: str | PathLike[str], samples: bytes, *, rate: int = RATE, channels: int = 1) -> None:
    """Write s16le samples (interleaved) as a 16-bit WAV. Blocks.

    It is written beside the target under a temporary name and then renamed, so that the target is whole, or as it was
    before; links are followed and the mode of an existing file is kept. What is not a file (a pipe, a device) is
    written straight to. Raises ConfigurationError when the place cannot be written or the sound is more than a WAV can
    hold (4 GiB).
    """
    path = Path(target)
    header, samples = _header_and_samples(str(path), samples, rate, channels)
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(path)), mode, header, samples)
        else:
            with path.open("wb") as file:  # a folder says itself that it is one
                file.writelines((header, samples))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


def encode_wav(samples: bytes, *, rate: int = RATE, channels: int = 1) -> bytes:
    """Give s16le samples (interleaved) as a 16-bit WAV. Raises ConfigurationError for more than a WAV can hold (4 GiB)."""
    return b"".join(_header_and_samples("a WAV in memory", samples, rate, channels))


def _header_and_samples(name: str, samples: bytes, rate: int, channels: int) -> tuple[bytes, bytes]:
    samples = samples[: len(samples) - len(samples) % (2 * channels)]
    if len(samples) + 36 > _WIDEST:
        raise ConfigurationError(f"{name}: {len(samples)} bytes are more than a WAV file can hold")
    riff = struct.pack("<4sI4s", b"RIFF", 36 + len(samples), b"WAVE")
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, channels, rate, rate * channels * 2, channels * 2, 16)
    return riff + fmt + struct.pack("<4sI", b"data", len(samples)), samples


def _replace(path: Path, mode: int | None, *parts: bytes) -> None:
    whole = path.with_name(f".{secrets.token_hex(8)}.part")  # short: beside a name of any length it must be possible
    try:
        with whole.open("xb") as file:
            if mode is not None:
                whole.chmod(stat.S_IMODE(mode))
            file.writelines(parts)
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


class _Flaw(Exception):  # noqa: N818 - never leaves this module
    """What is wrong with a file, before it has a name."""


def _load(source: str | PathLike[str] | bytes | BinaryIO) -> tuple[str, bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        return "WAV data", bytes(source)
    if isinstance(source, str | os.PathLike):
        try:
            return str(source), Path(source).read_bytes()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{source}: cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
    return str(getattr(source, "name", "WAV data")), source.read()


def _parse(data: bytes) -> tuple[_Encoding, bytes]:
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        kind = "it is empty" if not data else "it does not begin with RIFF … WAVE"
        raise _Flaw(f"not a WAV file: {kind}")
    encoding = None
    for chunk, size, start in _chunks(data):
        if chunk == b"fmt ":
            encoding = _read_format(data[start : start + size], size)
        elif chunk == b"data":
            if encoding is None:
                raise _Flaw("the data come before their format (no 'fmt ' chunk)")
            return encoding, _read_samples(data, start, size, encoding.frame)
    raise _Flaw("truncated: no 'data' chunk" if encoding else "truncated: no 'fmt ' chunk")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = 12
    while position + 8 <= len(data):
        chunk, size = struct.unpack_from("<4sI", data, position)
        yield chunk, size, position + 8
        position += 8 + size + size % 2


def _read_format(body: bytes, size: int) -> _Encoding:
    if len(body) < 16:
        raise _Flaw(f"the format chunk has {min(size, len(body))} bytes instead of 16 or more")
    tag, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE:
        if len(body) < 40 or body[26:40] != _GUID_TAIL:
            raise _Flaw("an extensible format that is neither PCM nor float")
        (tag,) = struct.unpack_from("<H", body, 24)
    if (tag, bits) not in _CONVERT:
        raise _Flaw(f"{bits}-bit samples of format {tag} are not supported (PCM, float and G.711 are)")
    if not 1 <= channels <= 64 or not 1_000 <= rate <= 768_000:
        raise _Flaw(f"the header says {channels} channels at {rate} Hz")
    encoding = _Encoding(tag, bits, rate, channels)
    if frame != encoding.frame:
        raise _Flaw(f"the header contradicts itself: {channels} channels of {bits} bits in frames of {frame} bytes")
    return encoding


def _read_samples(data: bytes, start: int, size: int, frame: int) -> bytes:
    there = len(data) - start
    (riff,) = struct.unpack_from("<I", data, 4)
    # A size of 0 is the truth in a file which is closed properly, and unknown in one whose writer never came back to
    # its header.
    streamed = (size >= _ENDLESS and size > there) or (size == 0 and riff + 8 != len(data))
    if size > there and not streamed:
        raise _Flaw(f"truncated: the header promises {size} bytes of sound, {there} are there")
    samples = data[start:] if streamed else data[start : start + size]
    if len(samples) < frame:
        raise _Flaw("it holds no sound")
    if len(samples) % frame and not streamed:
        raise _Flaw(f"truncated: {len(samples)} bytes of sound are not whole frames of {frame} bytes")
    return samples[: len(samples) - len(samples) % frame]


def _from_unsigned8(samples: bytes) -> Any:
    np = require("numpy", extra="audio")
    return ((np.frombuffer(samples, "u1").astype("<i2") - 128) << 8).astype("<i2").tobytes()


def _from_high_bytes(width: int) -> Callable[[bytes], Any]:
    def convert(samples: bytes) -> Any:
        np = require("numpy", extra="audio")
        return np.frombuffer(samples, "u1").reshape(-1, width)[:, -2:].tobytes()

    return convert


def _from_floats(dtype: str) -> Callable[[bytes], Any]:
    def convert(samples: bytes) -> Any:
        np = require("numpy", extra="audio")
        level = np.nan_to_num(np.frombuffer(samples, dtype).astype("f8"), posinf=1.0, neginf=-1.0)
        return np.clip(np.rint(level * 32768), -32768, 32767).astype("<i2").tobytes()

    return convert


_CONVERT: dict[tuple[int, int], Callable[[bytes], bytes]] = {
    (_PCM, 8): _from_unsigned8,
    (_PCM, 16): bytes,
    (_PCM, 24): _from_high_bytes(3),
    (_PCM, 32): _from_high_bytes(4),
    (_FLOAT, 32): _from_floats("<f4"),
    (_FLOAT, 64): _from_floats("<f8"),
    (_ALAW, 8): alaw_decode,
    (_ULAW, 8): ulaw_decode,
}
