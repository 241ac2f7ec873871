"""A microphone and a loudspeaker, for as long as a block lasts, and a session that speaks and listens through them.

The device is opened before the session, so that a machine without sound says so before anybody is called. Streams are opened and
closed in a worker thread, because a sound server may take its time. When the block is left, they are closed and their threads gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from trio_codex.body import Body
from trio_codex.device import portaudio
from trio_codex.device.bell import Bell
from trio_codex.device.loudspeaker import Loudspeaker
from trio_codex.device.microphone import Microphone
from trio_codex.errors import ConnectionLost, TrioCodexError
from trio_codex.events import AudioEvent, AudioInterruptedEvent

if TYPE_CHECKING:
    from trio_codex.session import EventStream, Session

CLOSING_LIMIT_S: Final = 2.0

_BACKLOG: Final = 1 << 16


class SoundDevice:
    """A microphone and a loudspeaker; `open_sound_device` makes it. PCM16 at 24 kHz, mono, whatever the device's own rate is."""

    def __init__(self) -> None:
        self.microphone: Microphone = Microphone()
        self.loudspeaker: Loudspeaker = Loudspeaker()
        self.stopped: Bell = Bell()  # rung when the device ends by itself

    @asynccontextmanager
    async def attach(self, session: Session) -> AsyncIterator[None]:
        """Speak and listen through this device while the block runs: attach before the first word, follow the session in the block.

        The microphone goes to `session.send_audio_nowait`, `session.audio` to the loudspeaker, `session.playback` is told what was
        heard, and when the user cuts in, the loudspeaker is silent at once. The session's formats must be PCM16, its default. Raises
        TrioCodexError when the device stops, as one does that is unplugged; the session's own end is told by the session. What the
        body raises comes out as it is.
        """
        body = Body()
        ended: BaseException | None = None
        session.playback.played("", 0, 0)  # from now on only what is reported was heard, not what was taken
        with session.subscribe({AudioEvent, AudioInterruptedEvent}, buffer=_BACKLOG) as told:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen, session)
                    nursery.start_soon(self._speak, session)
                    nursery.start_soon(self._follow, told)
                    nursery.start_soon(self.loudspeaker.report, session.playback.played)
                    nursery.start_soon(self._watch)
                    with body:
                        yield
                    nursery.cancel_scope.cancel(reason="the session is detached from the sound device")
            except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
                ended = error
            finally:
                self.loudspeaker.flush()
        if (outcome := body.outcome(ended, _first)) is not None:
            raise outcome

    async def _listen(self, session: Session) -> None:
        with suppress(ConnectionLost, trio.ClosedResourceError):
            await self.microphone.stream(session.send_audio_nowait)

    async def _speak(self, session: Session) -> None:
        with suppress(ConnectionLost):
            async for pcm in session.audio:
                self.loudspeaker.play(pcm)

    async def _follow(self, told: EventStream) -> None:
        """Note which item the audio belongs to, and stop it when the user cuts in or a guardrail trips."""
        with suppress(ConnectionLost):
            async for event in told:
                match event:
                    case AudioEvent(audio=audio):
                        self.loudspeaker.cues.note(audio.item_id, audio.content_index, len(audio.data))
                    case AudioInterruptedEvent(item_id=item_id, content_index=content_index):
                        self.loudspeaker.cut(item_id, content_index)

    async def _watch(self) -> None:
        await self.stopped.wait()
        raise TrioCodexError("the sound device has stopped: unplugged, or its sound server has ended")


@asynccontextmanager
async def open_sound_device(
    *, input_device: int | str | None = None, output_device: int | str | None = None, rate: int | None = None
) -> AsyncIterator[SoundDevice]:
    """Open a microphone and a loudspeaker; the block is their lifetime.

    `input_device` and `output_device` are numbers or names as `python -m sounddevice` lists them (None: the system's default); `rate` is
    what to run them at (None: 24 kHz where the device can, else its own); anything but 24 kHz is resampled. Raises
    ConfigurationError when sounddevice, PortAudio or a device is missing or does not open, and says which.
    """
    device = SoundDevice()
    open_streams = partial(
        portaudio.open_streams,
        device.microphone,
        device.loudspeaker,
        device.stopped.ring,
        input_device=input_device,
        output_device=output_device,
        rate=rate,
    )
    streams = await trio.to_thread.run_sync(open_streams)
    try:
        yield device
    finally:
        with trio.move_on_after(CLOSING_LIMIT_S, shield=True):
            await trio.to_thread.run_sync(streams.close, abandon_on_cancel=True)


def _first(failures: Sequence[BaseException]) -> BaseException:
    return failures[0]
