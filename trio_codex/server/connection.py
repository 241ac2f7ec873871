"""One realtime session at the server: the peer, and everything that performs its effects, over a seam of text frames.

Knows nothing of websockets or HTTP: the line may be a socket or a pair of memory channels under a virtual clock. A
session is a nursery with a reader, a writer, one task per turn that is being recognised and one per response. The
reader performs effects synchronously and never waits for an answer; it waits only for a client that does not take what
it asked for.

Invariants: only the writer sends; what the peer decided is performed before the next thing is decided; nothing runs
when `serve` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs
import trio

from trio_codex.errors import VoiceError
from trio_codex.logs import get_logger
from trio_codex.protocol import (
    AnswerRequest,
    AwaitSpeech,
    DropTranscribing,
    FinishTranscribing,
    Generate,
    Hear,
    Peer,
    PeerEffect,
    ResetDetector,
    Say,
    SetDetector,
    StartTranscribing,
    StopGenerating,
    encode_server_event,
)
from trio_codex.server.answering import SpokenAnswer
from trio_codex.server.engines import SpeechToText, TextToSpeech, turn_detector
from trio_codex.server.faults import EventFaults
from trio_codex.server.listening import DetectorFactory, Ears
from trio_codex.server.outbox import FULL, Outbox
from trio_codex.server.responder import Responder

logger: Final = get_logger("server")

GOODBYE_S = 1.0
"""How long a session that is stopped may take to write what waits."""


class Line(Protocol):
    """Frames of text to and from one client."""

    async def receive(self) -> str | bytes:
        """Wait for a frame; raises trio.EndOfChannel when the client is gone. Cancel-safe."""

    async def send(self, frame: str) -> None:
        """Send a frame; raises trio.BrokenResourceError when the client is gone."""

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye. Never raises."""


@attrs.frozen(kw_only=True)
class Engines:
    """What hears, what speaks, and what decides what is said; shared by all sessions of a server.

    `patience`: how many recognisers may be taken at once by turns that only their clients can end.
    """

    stt: SpeechToText
    tts: TextToSpeech
    responder: Responder
    make_detector: DetectorFactory = turn_detector
    patience: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(1))


class RealtimeConnection:
    """Serves one client until it is gone, the session expires or `stop` is called."""

    def __init__(
        self, peer: Peer, line: Line, engines: Engines, *, lifetime_s: float = 3600, faults: EventFaults | None = None
    ) -> None:
        self._peer = peer
        self._faults = faults
        self._line = line
        self._engines = engines
        self._lifetime_s = lifetime_s
        self._outbox = Outbox()
        self._answers: dict[str, trio.CancelScope] = {}
        self._reading = trio.CancelScope()
        self._waiting = trio.CancelScope()  # for the user to speak
        self._written = trio.Event()
        self._goodbye: tuple[int, str] | None = None
        self._nursery: trio.Nursery
        self._ears: Ears

    def stop(self, code: int, reason: str) -> None:
        """End the session in order: what waits is written, then the line is closed with this code."""
        if self._goodbye is None:
            self._goodbye = (code, reason)
            self._reading.cancel()

    async def serve(self) -> None:
        """Run the session. Cancelled, it ends at once and without a goodbye."""
        async with trio.open_nursery() as writing:
            writing.start_soon(self._write)
            await self._work()
            if self._goodbye is not None:
                self._outbox.close()
                with trio.move_on_after(GOODBYE_S):
                    await self._written.wait()
            writing.cancel_scope.cancel()
        if self._goodbye is not None:
            with trio.move_on_after(GOODBYE_S):
                await self._line.close(*self._goodbye)

    async def _work(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            engines = self._engines
            self._ears = Ears(self, engines.stt, engines.make_detector, engines.patience, nursery)
            with self._reading, trio.move_on_after(self._lifetime_s) as life:
                self._perform(self._peer.open())
                await self._read()
            if life.cancelled_caught:
                self._perform(self._peer.expire())
                self._goodbye = (1001, "Your session hit the maximum duration.")
            nursery.cancel_scope.cancel()

    async def _read(self) -> None:
        while True:
            await self._outbox.room(FULL)
            try:
                frame = await self._line.receive()
            except trio.EndOfChannel:
                return
            self._perform(self._received(frame))
            await self._ears.listen()

    def _received(self, frame: str | bytes) -> list[PeerEffect]:
        return (
            self._peer.receive_frame(frame) if self._faults is None else self._faults.receive_frame(self._peer, frame)
        )

    async def _write(self) -> None:
        try:
            while True:
                await self._line.send(await self._outbox.take())
        except trio.EndOfChannel:
            pass
        except trio.BrokenResourceError:
            self._reading.cancel()
        finally:
            self._written.set()

    # --- effects ---------------------------------------------------------------------------------------------------

    def _perform(self, effects: Sequence[PeerEffect]) -> None:
        for effect in effects:
            match effect:
                case Say(event):
                    for said in (event,) if self._faults is None else self._faults.say(event):
                        self._outbox.put(encode_server_event(said))
                case Generate(request):
                    scope = self._answers[request.response_id] = trio.CancelScope()
                    self._nursery.start_soon(self._answer, request, scope)
                case StopGenerating(response_id):
                    self._answers[response_id].cancel()
                case AwaitSpeech(ms):
                    self._waiting.cancel()
                    self._waiting = trio.CancelScope()
                    self._nursery.start_soon(self._await_speech, ms / 1000, self._waiting)
                case _:
                    self._listen_to(effect)

    def _listen_to(self, effect: PeerEffect) -> None:
        match effect:
            case Hear(audio):
                self._ears.append(audio)
            case StartTranscribing():
                self._ears.start(effect)
            case FinishTranscribing():
                self._ears.finish(effect)
            case DropTranscribing(item_id):
                self._ears.drop(item_id)
            case SetDetector():
                self._ears.set_detector(effect)
            case ResetDetector():
                self._ears.reset_detector()

    async def _await_speech(self, seconds: float, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep(seconds)
            self._perform(self._peer.nobody_spoke())

    async def _answer(self, request: AnswerRequest, scope: trio.CancelScope) -> None:
        answer = SpokenAnswer(request, self, self._engines.tts, self._outbox.room)
        with scope:
            try:
                await self._engines.responder.respond(request, answer)
            except VoiceError as error:
                self._fail(request.response_id, "speech_failed", f"The answer could not be spoken: {error}")
            except Exception as error:
                logger.exception("the responder failed")
                self._fail(request.response_id, "server_error", f"The responder failed ({type(error).__name__}).")
            else:
                self._perform(self._peer.finish(request.response_id))
        del self._answers[request.response_id]

    def _fail(self, response_id: str, code: str, message: str) -> None:
        self._perform(self._peer.fail(response_id, code, message))

    # --- what the ears and the answers report ----------------------------------------------------------------------

    def speech_started(self, audio_start_ms: int, heard_ms: int) -> None:
        """Speech is heard."""
        self._perform(self._peer.speech_started(audio_start_ms, heard_ms))

    def speech_stopped(self, audio_end_ms: int) -> None:
        """Silence has been heard for long enough."""
        self._perform(self._peer.speech_stopped(audio_end_ms))

    def transcribed(self, item_id: str, transcript: str) -> None:
        """A turn is understood."""
        self._perform(self._peer.transcribed(item_id, transcript))

    def transcription_failed(self, item_id: str, message: str) -> None:
        """A turn could not be understood."""
        self._perform(self._peer.transcription_failed(item_id, message))

    def answer_text(self, response_id: str, delta: str) -> None:
        """More text or transcript."""
        self._perform(self._peer.answer_text(response_id, delta))

    def answer_audio(self, response_id: str, data: bytes) -> None:
        """More audio."""
        self._perform(self._peer.answer_audio(response_id, data))

    def answer_call(self, response_id: str, name: str, arguments: str) -> None:
        """A function call."""
        self._perform(self._peer.answer_call(response_id, name, arguments))
