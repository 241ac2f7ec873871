"""A stream of speech into text, by a realtime transcription session with the server's own turn detection.

One task owns the connection, and the next one when it is lost: the ledger says what of the audio is to be heard again, so a lost socket
costs time but no words. Attempts are bounded as long as nothing comes to an end in between; what another attempt cannot mend (a key, a
quota, a model that does not exist) is not tried again. The reader never waits for the writer; only the writer sends.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import trio

from trio_codex.body import open_services
from trio_codex.errors import ConnectionFailed, ConnectionLost, RemoteProtocolError, TrioCodexError, VoiceError
from trio_codex.logs import get_logger
from trio_codex.protocol import (
    Error,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ServerEvent,
    ServerVAD,
    SessionSettings,
    SessionUpdate,
    SessionUpdated,
    decode_server_event,
    encode_client_event,
    structure,
)
from trio_codex.transport import Connector, Target, Transport
from trio_codex.voice.models import Heard, STTSettings, Transcript, TranscriptDelta
from trio_codex.voice.openai.ledger import Ledger, Setback

__all__ = ["Stream", "open_stream"]

_log: Final = get_logger("voice")

ROOM: Final = 30 * 48_000
"""Bytes that may wait to be sent: half a minute of microphone while a connection comes back."""

UNHEARD: Final = 1024
"""Pieces of news that wait for their listener; then the connection waits as well."""

ATTEMPTS: Final = 5
ATTEMPTS_AT_FIRST: Final = 2
"""As https://github.com/openai/openai-python does; a service that never answered gets fewer."""

STEADY_S: Final = 60.0
"""A connection that lived for so long was no failed attempt."""

JUDGED_IN_S: Final = 2.0
"""At the end of the audio, a server that says nothing for so long is told that the turn is over."""

AGREED_IN_S: Final = 10.0
SENT_IN_S: Final = 30.0
TRANSCRIBED_IN_S: Final = 30.0
GOODBYE_S: Final = 1.0

_SETTINGS_ID: Final = "event_settings"


@asynccontextmanager
async def open_stream(
    dial: Callable[[], Awaitable[Target]], connect: Connector, settings: STTSettings
) -> AsyncIterator[Stream]:
    """Open a stream; leaving the block ends it at once. `dial` says where to connect, at each connect.

    Connecting goes on in the background, and audio may be sent meanwhile. Raises what the first `dial` raises.
    """
    target = await dial()
    stream = Stream(dial, connect, settings)
    async with open_services("the stream is left") as nursery:
        nursery.start_soon(stream.run, target, name="transcription stream")
        yield stream


class Stream:
    """Speech on its way into text, a TranscriptionStream: `send` from one task, iterate in another."""

    def __init__(self, dial: Callable[[], Awaitable[Target]], connect: Connector, settings: STTSettings) -> None:
        self._dial = dial
        self._connect = connect
        self._settings = settings
        self._ledger = Ledger()
        self._news, self._heard = trio.open_memory_channel[Heard](UNHEARD)
        self._failure: TrioCodexError | None = None
        self._events = 0
        self._over = False
        self._agreed = False  # the service is there and takes the settings
        self._audio_came = trio.lowlevel.ParkingLot()
        self._audio_went = trio.lowlevel.ParkingLot()

    # --- the user's side -----------------------------------------------------------------------------------------------

    async def send(self, pcm: bytes, /) -> None:
        """Hear more (s16le mono 24 kHz, in any chunking); waits for room. Cancelled, nothing was taken. Does nothing after the end."""
        await trio.lowlevel.checkpoint()
        while self._ledger.unsent >= ROOM and not self._over:
            await self._audio_went.park()
        if not self._over:
            self._ledger.hear(pcm)
            self._audio_came.unpark_all()

    async def end(self) -> None:
        """Say that no more audio comes; what is being said is transcribed, then iteration ends."""
        await trio.lowlevel.checkpoint()
        self._ledger.end(_silence_ms(self._settings))
        self._audio_came.unpark_all()

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Heard:
        try:
            return await self._heard.receive()
        except trio.EndOfChannel:
            failure, self._failure = self._failure, None
            raise failure or StopAsyncIteration from None

    # --- connections ---------------------------------------------------------------------------------------------------

    async def run(self, target: Target) -> None:
        """Keep a connection until everything is heard; what fails for good is kept for the iteration."""
        with self._news:
            try:
                await self._persist(target)
            except TrioCodexError as error:
                self._failure = error
            finally:
                self._over = True
                self._audio_went.unpark_all()

    async def _persist(self, target: Target) -> None:
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await self._connected(target)
            except (Setback, ConnectionLost, ConnectionFailed) as error:
                steady = trio.current_time() - began >= STEADY_S or self._ledger.progress
                self._ledger.progress = False
                failures = 1 if steady else failures + 1
                if failures > (ATTEMPTS if self._agreed else ATTEMPTS_AT_FIRST) or _is_lasting(error):
                    raise _told(error) from error
                _log.warning("transcription: %s; connecting again", error)
            else:
                return
            if failures > 1:
                await trio.sleep(min(0.5 * 2.0 ** (failures - 2), 8.0))
            target = await self._dial()

    async def _connected(self, target: Target) -> None:
        """One connection, until everything is heard. Raises what ended it, without a group around it, whatever tasks there are."""
        failure: Exception | None = None
        async with self._connect(target) as transport, trio.open_nursery() as nursery:
            try:
                await self._agree(transport)
                await self._converse(transport, nursery)
                with trio.move_on_after(GOODBYE_S):
                    await transport.close()
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel(reason="the connection is over")
        if failure is not None:
            raise failure

    async def _agree(self, transport: Transport) -> None:
        """Send the settings and wait until the server has agreed to them."""
        with trio.move_on_after(AGREED_IN_S):
            with suppress(ConnectionLost):  # what the server said before it hung up is still to be read
                await transport.send(encode_client_event(settings_event(self._settings)))
            while True:
                match _decode(await transport.receive()):
                    case SessionUpdated():
                        self._agreed = True
                        return
                    case Error() as error:
                        self._ledger.receive(error)  # which raises
        raise Setback(f"the server did not agree to the settings in {AGREED_IN_S:g} s", "timeout")

    async def _converse(self, transport: Transport, nursery: trio.Nursery) -> None:
        again = self._ledger.reconnected()
        if again:
            _log.info("transcription: %d ms of audio are heard again", again // 48)
        stalled = trio.Event()
        with trio.CancelScope() as reading:
            nursery.start_soon(self._write, transport, reading, stalled, name="transcription writer")
            await self._read(transport)
        if stalled.is_set():
            raise Setback(f"the server took no audio for {SENT_IN_S:g} s", "timeout")

    async def _write(self, transport: Transport, reading: trio.CancelScope, stalled: trio.Event) -> None:
        """Send what is heard; the reader comes to the end of a broken connection by itself."""
        ledger = self._ledger
        with suppress(ConnectionLost), trio.CancelScope() as limit:
            while True:
                piece = ledger.piece(trio.current_time())
                if piece is not None:
                    limit.deadline = trio.current_time() + SENT_IN_S
                    await transport.send(encode_client_event(InputAudioBufferAppend(audio=piece)))
                    self._audio_went.unpark_all()
                    continue
                limit.deadline = math.inf
                if ledger.ended:
                    break
                await self._audio_came.park()
            await self._settle(transport)
        if limit.cancelled_caught:
            stalled.set()
        if limit.cancelled_caught or ledger.over:
            reading.cancel(reason="nothing more will come")

    async def _settle(self, transport: Transport) -> None:
        """Everything was sent: commit what the server's detection does not end by itself."""
        while self._ledger.unjudged:
            news = self._events
            await trio.sleep(JUDGED_IN_S)
            if news == self._events and self._ledger.unjudged:
                self._ledger.committed()
                await transport.send(encode_client_event(InputAudioBufferCommit()))
                return

    async def _read(self, transport: Transport) -> None:
        ledger = self._ledger
        deadline = math.inf
        while not ledger.over:
            with trio.move_on_at(deadline) as limit:
                event = _decode(await transport.receive())
                self._events += 1
            if limit.cancelled_caught:
                raise Setback(f"no transcript came in {TRANSCRIBED_IN_S:g} s", "timeout")
            heard = ledger.receive(event) if event is not None else []
            if not ledger.waits:
                deadline = math.inf
            elif deadline == math.inf or any(isinstance(each, Transcript | TranscriptDelta) for each in heard):
                deadline = trio.current_time() + TRANSCRIBED_IN_S
            for each in heard:
                await self._news.send(each)


def settings_event(settings: STTSettings) -> SessionUpdate:
    """The `session.update` that makes a session write down what it hears."""
    given = {
        "model": settings.model,
        "language": settings.language,
        "languages": settings.languages,
        "prompt": settings.prompt,
        "keywords": settings.keywords,
    }
    detection = SessionSettings(turn_detection=settings.turn_detection).to_wire()["audio"]["input"]["turn_detection"]
    session: dict[str, Any] = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {
                    name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value
                },
                "turn_detection": detection,
            }
        },
    }
    if settings.logprobs:
        session["include"] = ["item.input_audio_transcription.logprobs"]
    event: SessionUpdate = structure(
        {"type": "session.update", "event_id": _SETTINGS_ID, "session": session}, SessionUpdate
    )
    return event


def _silence_ms(settings: STTSettings) -> int:
    """How much silence the server's detection wants to hear after a turn, and a little more."""
    detection = settings.turn_detection
    if isinstance(detection, ServerVAD):
        given = detection.silence_duration_ms
        return (given if isinstance(given, int) else 500) + 300  # 500 is the API's default
    return 1000


def _decode(frame: str | bytes) -> ServerEvent | None:
    try:
        return decode_server_event(frame)
    except RemoteProtocolError as error:
        _log.warning("transcription: a frame of the server is not the protocol: %s", error)
        return None


# --- failures ----------------------------------------------------------------------------------------------------------


def _is_lasting(error: Setback | ConnectionLost | ConnectionFailed) -> bool:
    """Whether another attempt would end alike."""
    return not isinstance(error, Setback) and not error.retryable


def _told(error: Setback | ConnectionLost | ConnectionFailed) -> VoiceError:
    match error:
        case ConnectionFailed():
            message = f"speech to text failed: {error.what}"
            return VoiceError(message, status=error.status, code=error.code, request_id=error.request_id)
        case Setback():
            return VoiceError(f"speech to text failed: {error}", code=error.code)
        case ConnectionLost():
            return VoiceError(f"speech to text failed: {error}")
