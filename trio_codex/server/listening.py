"""The ears of one session: audio in, turns and words out.

What the client appends is heard in small pieces, in order: the recogniser that listens to the open turn gets it, and the turn
detector, whose events go to the peer at once. Recognition runs while the user speaks, in one task per turn; a turn whose
recogniser died is heard once more, whole. Every turn that the peer wants finished is answered exactly once. Recognisers are few
and shared by all sessions, so turns that only the client can end may not occupy them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, TypeAlias

import attrs
import trio

from trio_codex.audio import AudioFormat, Transcoder
from trio_codex.errors import VoiceError
from trio_codex.logs import get_logger
from trio_codex.protocol import FinishTranscribing, SetDetector, StartTranscribing
from trio_codex.server.engines import Detector, SpeechToText
from trio_codex.speech import SpeechStarted

logger: Final = get_logger("server")

PIECE_MS = 100
"""Audio is heard in pieces of this length."""

DetectorFactory: TypeAlias = Callable[[Mapping[str, Any], int], Detector]


class Hearing(Protocol):
    """Who wants to know; the peer, through the session that performs its effects."""

    def speech_started(self, audio_start_ms: int, heard_ms: int) -> None:
        """Speech is heard."""

    def speech_stopped(self, audio_end_ms: int) -> None:
        """Silence has been heard for long enough."""

    def transcribed(self, item_id: str, transcript: str) -> None:
        """A turn is understood."""

    def transcription_failed(self, item_id: str, message: str) -> None:
        """A turn could not be understood."""


@attrs.define
class _Turn:
    """The recognition of one turn. `whole` is all its audio, once it is over; `open_ended`: only the client can end it."""

    item_id: str
    open_ended: bool
    pieces: trio.MemorySendChannel[bytes]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)
    whole: bytes = b""


class Ears:
    """Hears for one session. All methods but `listen` are synchronous; tasks run in the nursery."""

    def __init__(
        self,
        hearing: Hearing,
        stt: SpeechToText,
        make_detector: DetectorFactory,
        patience: trio.Semaphore,
        nursery: trio.Nursery,
    ) -> None:
        self._hearing = hearing
        self._stt = stt
        self._patience = patience
        self._make_detector = make_detector
        self._nursery = nursery
        self._format = AudioFormat.PCM16
        self._decoder = Transcoder(AudioFormat.PCM16, AudioFormat.PCM16)
        self._detector: Detector | None = None
        self._unheard: deque[bytes] = deque()
        self._turns: dict[str, _Turn] = {}
        self._listening: _Turn | None = None

    def set_detector(self, order: SetDetector) -> None:
        """Detect turns in this way and in this format from now on."""
        self._format = order.format
        self._decoder = Transcoder(order.format, AudioFormat.PCM16)
        self._detector = None if order.config is None else self._make_detector(order.config, order.position_ms)

    def reset_detector(self) -> None:
        """Forget a turn in progress."""
        if self._detector is not None:
            self._detector.reset()

    def append(self, audio: bytes) -> None:
        """Audio that `listen` is to hear."""
        self._unheard.append(audio)

    async def listen(self) -> None:
        """Hear what was appended, with a checkpoint after every second of it. Cancel-safe at these points."""
        size = self._format.nbytes(PIECE_MS)
        while self._unheard:
            audio = self._unheard.popleft()
            for count, start in enumerate(range(0, len(audio), size), 1):
                self._hear(audio[start : start + size])
                if count % 10 == 0:
                    await trio.lowlevel.checkpoint()

    def _hear(self, piece: bytes) -> None:
        pcm = self._decoder.feed(piece)
        if self._listening is not None:
            self._listening.pieces.send_nowait(pcm)
        if self._detector is None:
            return
        for event in self._detector.feed(pcm):
            if isinstance(event, SpeechStarted):
                self._hearing.speech_started(event.audio_start_ms, self._detector.position_ms)
            else:
                self._hearing.speech_stopped(event.audio_end_ms)

    # --- turns -----------------------------------------------------------------------------------------------------

    def start(self, order: StartTranscribing) -> None:
        """A turn begins."""
        self._listening = self._open(order.item_id)
        self._listening.pieces.send_nowait(self._decoded(order.audio, self._format))

    def finish(self, order: FinishTranscribing) -> None:
        """A turn is over, and its words are wanted."""
        turn = self._turns.get(order.item_id)
        pcm = self._decoded(order.audio, order.format)
        if turn is None:
            turn = self._open(order.item_id)
            turn.pieces.send_nowait(pcm)
        if self._listening is turn:
            self._listening = None
        turn.whole = pcm
        turn.over.set()
        turn.pieces.close()

    def drop(self, item_id: str) -> None:
        """A turn was thrown away."""
        turn = self._turns.pop(item_id)
        if self._listening is turn:
            self._listening = None
        turn.pieces.close()
        turn.scope.cancel()

    def _open(self, item_id: str) -> _Turn:
        # Unbounded, and yet bounded: the peer refuses to let a turn grow for ever.
        send, receive = trio.open_memory_channel[bytes](float("inf"))
        turn = self._turns[item_id] = _Turn(item_id, self._detector is None, send)
        self._nursery.start_soon(self._understand, turn, receive)
        return turn

    async def _understand(self, turn: _Turn, pieces: trio.MemoryReceiveChannel[bytes]) -> None:
        with turn.scope:
            try:
                words = await self._recognise_twice(turn, pieces)
            except VoiceError as error:
                logger.warning("a turn could not be recognised: %s", error)
                self._hearing.transcription_failed(turn.item_id, "The audio could not be recognised.")
            else:
                self._hearing.transcribed(turn.item_id, words)
            self._turns.pop(turn.item_id, None)

    async def _recognise_twice(self, turn: _Turn, pieces: trio.MemoryReceiveChannel[bytes]) -> str:
        try:
            async with self._admission(turn), self._stt.stream() as stream:
                async for pcm in pieces:
                    await stream.feed(pcm)
                return await stream.finish()
        except VoiceError as error:
            logger.info("a recogniser failed (%s); its turn is heard again", error)
        await turn.over.wait()
        async with self._stt.stream() as stream:
            await stream.feed(turn.whole)
            return await stream.finish()

    @asynccontextmanager
    async def _admission(self, turn: _Turn) -> AsyncIterator[None]:
        """Let a turn have a recogniser at once, or, when too many that nobody may ever end have one, when it is over."""
        if not turn.open_ended:
            yield
            return
        try:
            self._patience.acquire_nowait()
        except trio.WouldBlock:
            await turn.over.wait()
            yield
            return
        try:
            yield
        finally:
            self._patience.release()

    @staticmethod
    def _decoded(audio: bytes, form: AudioFormat) -> bytes:
        return Transcoder(form, AudioFormat.PCM16).feed(audio, last=True)
