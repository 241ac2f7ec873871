"""PortAudio through sounddevice: opening the two streams, the callbacks of its audio threads, and what can be wrong with a machine's sound.

The only module that knows of sounddevice. Streams run at 24 kHz where the device can; else at the device's own rate, and are resampled in
the audio thread. A callback raises nothing and never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from trio_codex.audio import RATE, Resampler, require
from trio_codex.device.loudspeaker import Loudspeaker
from trio_codex.device.microphone import Microphone
from trio_codex.errors import ConfigurationError

BLOCK_MS: Final = 20
_BLOCK_BYTES: Final = BLOCK_MS * RATE * 2 // 1000


def sounddevice() -> Any:
    """Import sounddevice; ConfigurationError names the extra or the system library that is missing."""
    try:
        return require("sounddevice", extra="mic")
    except ConfigurationError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise ConfigurationError(
            f"sounddevice cannot load PortAudio ({error.__cause__}): install the system library, on Debian libportaudio2"
        ) from error.__cause__


def default_devices() -> tuple[str, str]:
    """Name the microphone and the loudspeaker that would be used. Blocks. Raises ConfigurationError when one is missing."""
    sd = sounddevice()
    for kind in ("input", "output"):
        _rate(sd, kind, None)
    found = (sd.query_devices(None, kind=kind)["name"] for kind in ("input", "output"))
    microphone, loudspeaker = map(str, found)
    return microphone, loudspeaker


class Recording:
    """The callback of an input stream: from the device to the microphone."""

    def __init__(self, microphone: Microphone, rate: int) -> None:
        self._microphone = microphone
        self._resampler = Resampler(rate, RATE, quality="MQ")

    def __call__(self, recorded: Any, frames: int, time: Any, status: Any) -> None:
        """Take a block (a buffer of int16)."""
        if status.input_overflow:
            self._microphone.overflowed()
        if pcm := self._resampler.feed(bytes(recorded)):
            self._microphone.record(pcm)


class Sounding:
    """The callback of an output stream: from the loudspeaker to the device, silence when there is nothing.

    The silence is resampled as well, so that no tail of a word stays in the filter.
    """

    def __init__(self, loudspeaker: Loudspeaker, rate: int) -> None:
        self._loudspeaker = loudspeaker
        self._resampler = Resampler(RATE, rate, quality="MQ")
        self._ready = bytearray()

    def __call__(self, sounding: Any, frames: int, time: Any, status: Any) -> None:
        """Fill a block (a buffer of int16)."""
        while len(self._ready) < len(sounding):
            self._ready += self._resampler.feed(self._loudspeaker.take(_BLOCK_BYTES).ljust(_BLOCK_BYTES, b"\0"))
        sounding[:] = bytes(self._ready[: len(sounding)])
        del self._ready[: len(sounding)]


def open_streams(
    microphone: Microphone,
    loudspeaker: Loudspeaker,
    stopped: Callable[[], None],
    *,
    input_device: int | str | None,
    output_device: int | str | None,
    rate: int | None,
) -> ExitStack:
    """Open and start both streams; the stack closes them. `stopped` is called from an audio thread when one ends.

    Blocks; so does closing, which drops what the device has not played. Raises ConfigurationError.
    """
    sd = sounddevice()
    with ExitStack() as streams:
        for kind, device in (("input", input_device), ("output", output_device)):
            at = rate or _rate(sd, kind, device)
            callback = Recording(microphone, at) if kind == "input" else Sounding(loudspeaker, at)
            try:
                stream = _stream(sd, kind, device, at, callback, stopped)
                streams.callback(stream.close)
                stream.start()
            except sd.PortAudioError as error:
                raise ConfigurationError(f"the {_NAMES[kind]} does not open: {_reason(error)}") from error
        return streams.pop_all()


_NAMES: Final = {"input": "microphone", "output": "loudspeaker"}


def _rate(sd: Any, kind: str, device: int | str | None) -> int:
    """24 kHz if the device can, else what it likes best. Raises ConfigurationError when there is no such device."""
    try:
        found = sd.query_devices(device, kind=kind)
    except (sd.PortAudioError, ValueError) as error:
        raise ConfigurationError(
            f"there is no {_NAMES[kind]} ({_reason(error)}); `python -m sounddevice` lists the devices"
        ) from error
    check = sd.check_input_settings if kind == "input" else sd.check_output_settings
    try:
        check(device=device, channels=1, dtype="int16", samplerate=RATE)
    except sd.PortAudioError:
        return int(found["default_samplerate"])
    return RATE


def _stream(sd: Any, kind: str, device: int | str | None, rate: int, callback: Any, stopped: Callable[[], None]) -> Any:
    make = sd.RawInputStream if kind == "input" else sd.RawOutputStream
    return make(
        samplerate=rate,
        blocksize=rate * BLOCK_MS // 1000,
        device=device,
        channels=1,
        dtype="int16",
        latency="low",  # what the device holds sounds on after the user has cut in
        callback=callback,
        finished_callback=stopped,
    )


def _reason(error: Exception) -> str:
    """PortAudio's words without its numbers."""
    return str(error.args[0] if error.args else error)
