"""A stream of speech into text over connections that break, in virtual time; the session itself over a real socket is the server's test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.voice.openai.hearing import BLOCK, USAGE, HearingServer, block, speech
from trio_codex import Endpoint, SemanticVAD, ServerVAD
from trio_codex.errors import ConfigurationError, ConnectionFailed, ConnectionLost, VoiceError
from trio_codex.protocol import (
    ClientEvent,
    Error,
    ErrorDetails,
    InputAudioBufferAppend,
    SessionUpdate,
    decode_client_event,
    encode_client_event,
    encode_server_event,
)
from trio_codex.testing.steps import Steps
from trio_codex.transport import Target, Transport
from trio_codex.transport.memory import MemoryTransport, memory_pair
from trio_codex.voice import SpeechStarted, SpeechStopped, STTSettings, Transcript, TranscriptDelta
from trio_codex.voice.models import Heard
from trio_codex.voice.openai import OpenAISTT
from trio_codex.voice.openai.ledger import LONGEST
from trio_codex.voice.openai.streaming import ROOM, TRANSCRIBED_IN_S, settings_event

ENDPOINT = Endpoint.custom("http://127.0.0.1:1/v1")
Script = Callable[[MemoryTransport], Awaitable[None]]


class Service:
    """Connections in memory; each is served by the next script, the last one again and again. A script that raises refuses to connect."""

    def __init__(self, *scripts: Script | Exception) -> None:
        self.scripts = scripts
        self.targets: list[Target] = []
        self.open = 0
        self.updates: list[SessionUpdate] = []

    @asynccontextmanager
    async def connect(self, target: Target, /) -> AsyncIterator[Transport]:
        self.targets.append(target)
        script = self.scripts[min(len(self.targets), len(self.scripts)) - 1]
        if isinstance(script, Exception):
            raise script
        ours, theirs = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, script, theirs)
            self.open += 1
            try:
                yield ours
            finally:
                self.open -= 1
                ours.drop()
                nursery.cancel_scope.cancel()

    async def _serve(self, script: Script, transport: MemoryTransport) -> None:
        try:
            await script(transport)
        except ConnectionLost:
            pass
        finally:
            transport.drop()

    async def agree(self, transport: MemoryTransport) -> None:
        event = decode_client_event(await transport.receive())
        assert isinstance(event, SessionUpdate)
        self.updates.append(event)
        await transport.send('{"type":"session.created","event_id":"e","session":{"type":"transcription"}}')
        await transport.send('{"type":"session.updated","event_id":"e","session":{"type":"transcription"}}')

    async def hear(
        self, transport: MemoryTransport, *, until: Callable[[ClientEvent], bool] = lambda event: False
    ) -> None:
        """Listen and answer, until an event after which the connection is lost."""
        await self.agree(transport)
        server = HearingServer(name=f"c{len(self.targets)}_")
        while True:
            event = decode_client_event(await transport.receive())
            if until(event):
                return
            for each in server.receive(event):
                await transport.send(encode_server_event(each))


def stt(service: Service) -> OpenAISTT:
    return OpenAISTT(endpoint=ENDPOINT, api_key="sk-test", transport=service.connect)


async def listen(service: Service, pcm: bytes, *, size: int = 1000) -> list[Heard]:
    """Send everything, and give all that is heard."""
    heard: list[Heard] = []
    failure: VoiceError | None = None
    async with stt(service).open_stream(STTSettings()) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            for start in range(0, len(pcm), size):
                await stream.send(pcm[start : start + size])
            await stream.end()

        nursery.start_soon(send)
        try:
            heard += [each async for each in stream]
        except VoiceError as error:
            failure = error
    if failure is not None:
        raise failure
    return heard


def texts(heard: list[Heard]) -> list[str]:
    return [each.text for each in heard if isinstance(each, Transcript) and each.text]


def after(seconds: float) -> Callable[[ClientEvent], bool]:
    """Lost once so much audio was heard."""
    heard = 0

    def lost(event: ClientEvent) -> bool:
        nonlocal heard
        heard += len(event.audio) if isinstance(event, InputAudioBufferAppend) else 0
        return heard >= seconds * 48_000

    return lost


async def test_as_many_turns_as_people_speak(autojump_clock: MockClock) -> None:
    service = Service()
    service.scripts = (service.hear,)
    heard = await listen(service, block(0) * 3 + speech((4, 5), (2, 5), (6, 0)))
    assert texts(heard) == ["u1", "u2", "u3"]
    assert heard[:4] == [
        SpeechStarted(100),
        SpeechStopped(1000),
        TranscriptDelta("u"),
        Transcript("u1", duration_s=0.9, usage=USAGE),
    ]
    assert service.open == 0
    (target,) = service.targets
    assert target.url == "ws://127.0.0.1:1/v1/realtime?intent=transcription"
    assert ("Authorization", "Bearer sk-test") in target.headers


@pytest.mark.parametrize("seconds", [0, 0.3, 0.75, 1.2, 2.1])
async def test_a_lost_socket_costs_no_words(autojump_clock: MockClock, seconds: float) -> None:
    service = Service()

    async def broken(transport: MemoryTransport) -> None:
        await service.hear(transport, until=after(seconds))

    service.scripts = (broken, service.hear)
    heard = await listen(service, block(0) * 3 + speech((4, 5), (2, 5), (6, 0)))
    assert texts(heard) == ["u1", "u2", "u3"]
    assert len(service.targets) == 2
    assert len([each for each in heard if isinstance(each, SpeechStarted)]) == 3


async def test_it_goes_on_as_long_as_it_gets_on(autojump_clock: MockClock) -> None:
    service = Service()

    async def broken(transport: MemoryTransport) -> None:
        await service.hear(transport, until=after(1.5))

    service.scripts = (broken,) * 20 + (service.hear,)
    assert texts(await listen(service, speech(*[(3, 5)] * 12))) == [f"u{number}" for number in range(1, 13)]
    assert len(service.targets) > 7


async def test_audio_that_comes_while_nobody_is_connected(autojump_clock: MockClock) -> None:
    service = Service(ConnectionFailed("nobody there"), ConnectionFailed("nobody there"))
    service.scripts += (service.hear,)
    assert texts(await listen(service, speech((3, 4), (3, 4)))) == ["u1", "u2"]


async def test_sending_waits_for_room(autojump_clock: MockClock) -> None:
    async def mute(transport: MemoryTransport) -> None:
        await trio.sleep_forever()

    service = Service(mute)
    async with stt(service).open_stream(STTSettings()) as stream:
        sent = 0
        with trio.move_on_after(5):
            while True:
                await stream.send(bytes(48_000))
                sent += 48_000
        assert sent == ROOM


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ConnectionFailed("refused", status=401, body='{"error":{"code":"invalid_api_key"}}'), 1),
        (ConnectionFailed("refused", status=429, body='{"error":{"code":"insufficient_quota"}}'), 1),
        (ConnectionFailed("refused", status=429), 3),
        (ConnectionFailed("refused", status=503), 3),
        (ConnectionFailed("no such host"), 3),
    ],
)
async def test_who_is_refused(autojump_clock: MockClock, error: ConnectionFailed, tries: int) -> None:
    service = Service(error)
    with pytest.raises(VoiceError, match="speech to text failed: ") as raised:
        await listen(service, bytes(100))
    assert raised.value.status == error.status
    assert len(service.targets) == tries


def refusing(service: Service, code: str, *, at_once: bool = False) -> Script:
    async def script(transport: MemoryTransport) -> None:
        if at_once:
            await transport.receive()
        else:
            await service.agree(transport)
        details = ErrorDetails(type="invalid_request_error", code=code, message="No.")
        await transport.send(encode_server_event(Error(event_id="e", error=details)))
        await trio.sleep_forever()

    return script


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("code", "passing"), [("insufficient_quota", False), ("server_error", True)])
async def test_errors_of_the_session(autojump_clock: MockClock, code: str, passing: bool, at_once: bool) -> None:
    service = Service()
    service.scripts = (refusing(service, code, at_once=at_once),)
    with pytest.raises(VoiceError, match=r"No\.") as raised:
        await listen(service, block(1))
    assert raised.value.code == code
    assert len(service.targets) == (1 if not passing else 3 if at_once else 6)


async def test_an_expired_session_is_opened_again(autojump_clock: MockClock) -> None:
    service = Service()
    service.scripts = (refusing(service, "session_expired"), service.hear)
    assert texts(await listen(service, speech((3, 4)))) == ["u1"]


async def test_a_server_that_never_answers(autojump_clock: MockClock) -> None:
    async def mute(transport: MemoryTransport) -> None:
        while True:
            await transport.receive()

    service = Service(mute)
    with pytest.raises(VoiceError, match="did not agree to the settings in 10 s"):
        await listen(service, bytes(100))


async def test_a_transcript_that_never_comes_while_people_go_on_speaking(autojump_clock: MockClock) -> None:
    service = Service()

    async def forgetful(transport: MemoryTransport) -> None:
        await service.agree(transport)
        for number in range(60):
            for kind, field in (("started", "audio_start_ms"), ("stopped", "audio_end_ms")):
                await transport.send(
                    f'{{"type":"input_audio_buffer.speech_{kind}","event_id":"e","item_id":"i{number}","{field}":{number}}}'
                )
                await trio.sleep(1)

    service.scripts = (forgetful, service.hear)
    begin = trio.current_time()
    assert texts(await listen(service, speech((3, 4)))) == ["u1"]
    assert trio.current_time() - begin < TRANSCRIBED_IN_S + 5


async def test_a_transcript_that_never_comes(autojump_clock: MockClock) -> None:
    service = Service()

    async def forgetful(transport: MemoryTransport) -> None:
        await service.agree(transport)
        await transport.receive()
        await transport.send(
            '{"type":"input_audio_buffer.speech_started","event_id":"e","item_id":"i","audio_start_ms":0}'
        )
        await transport.send(
            '{"type":"input_audio_buffer.speech_stopped","event_id":"e","item_id":"i","audio_end_ms":90}'
        )
        while True:
            await transport.receive()

    service.scripts = (forgetful, service.hear)
    begin = trio.current_time()
    assert texts(await listen(service, speech((3, 4)))) == ["u1"]
    assert TRANSCRIBED_IN_S <= trio.current_time() - begin < TRANSCRIBED_IN_S + 5


async def test_a_server_that_stops_reading(autojump_clock: MockClock) -> None:
    service = Service()

    @asynccontextmanager
    async def connect(target: Target) -> AsyncIterator[Transport]:
        async with service.connect(target) as transport:
            if len(service.targets) == 1:
                transport.send = _stuck_after_the_settings(transport)  # type: ignore[method-assign]
            yield transport

    service.scripts = (service.hear,)
    model = OpenAISTT(endpoint=ENDPOINT, transport=connect)
    async with model.open_stream(STTSettings()) as stream:
        await stream.send(speech((3, 4)))
        await stream.end()
        assert texts([each async for each in stream]) == ["u1"]
    assert len(service.targets) == 2


def _stuck_after_the_settings(transport: Transport) -> Callable[[str], Awaitable[None]]:
    send = transport.send

    async def stuck(frame: str) -> None:
        if "session.update" not in frame:
            await trio.sleep_forever()
        await send(frame)

    return stuck


async def test_frames_that_are_not_the_protocol_do_no_harm(autojump_clock: MockClock) -> None:
    service = Service()

    async def odd(transport: MemoryTransport) -> None:
        for frame in ("{", "[]", '{"type":"younger","event_id":"e"}', '{"type":"input_audio_buffer.speech_started"}'):
            await transport.send(frame)
        await service.hear(transport)

    service.scripts = (odd,)
    assert texts(await listen(service, speech((3, 4)))) == ["u1"]


async def test_nothing_but_silence(autojump_clock: MockClock) -> None:
    service = Service()
    service.scripts = (service.hear,)
    assert await listen(service, bytes(96_000)) == []
    assert await listen(service, b"") == []


# --- lifetime ------------------------------------------------------------------------------------------------------------


async def test_what_the_body_raises_comes_out(autojump_clock: MockClock) -> None:
    service = Service()
    service.scripts = (service.hear,)
    error = LookupError("mine")
    with pytest.raises(LookupError) as raised:
        async with stt(service).open_stream(STTSettings()) as stream:
            await stream.send(bytes(100))
            await trio.sleep(1)
            assert service.open == 1
            raise error
    assert raised.value is error
    assert service.open == 0


async def test_cancelled_at_every_step_nothing_is_left(autojump_clock: MockClock) -> None:
    """Cancel after so many scheduler steps, until the stream is through before that."""
    steps = 0
    through = False
    while not through:
        steps += 1
        service = Service()

        async def broken(transport: MemoryTransport, service: Service = service) -> None:
            await service.hear(transport, until=after(0.6))

        service.scripts = (broken, service.hear)
        with trio.CancelScope() as scope:
            trio.lowlevel.add_instrument(counting := Steps(steps, lambda task: scope.cancel()))
            try:
                heard = await listen(service, speech((3, 4), (2, 0)), size=9600)
                through = True
            finally:
                trio.lowlevel.remove_instrument(counting)
        assert service.open == 0
    assert texts(heard) == ["u1", "u2"]
    assert steps > 30


async def test_no_key_is_found_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no API key"):
        async with OpenAISTT().open_stream(STTSettings()):
            pass


async def test_the_key_is_asked_for_at_each_connection(autojump_clock: MockClock) -> None:
    service = Service()
    keys = iter(["sk-first", "sk-second", "sk-third"])

    async def broken(transport: MemoryTransport) -> None:
        await service.hear(transport, until=after(0.2))

    service.scripts = (broken, service.hear)
    model = OpenAISTT(endpoint=ENDPOINT, api_key=lambda: next(keys), transport=service.connect)
    async with model.open_stream(STTSettings()) as stream:
        await stream.send(speech((3, 4)))
        await stream.end()
        assert texts([each async for each in stream]) == ["u1"]
    assert [dict(target.headers)["Authorization"] for target in service.targets] == [
        "Bearer sk-first",
        "Bearer sk-second",
    ]


# --- the settings --------------------------------------------------------------------------------------------------------


def test_the_settings() -> None:
    import json

    settings = STTSettings(
        model="m",
        languages=["en", "de"],
        prompt="Names.",
        keywords=["Trio"],
        logprobs=True,
        turn_detection=ServerVAD(silence_duration_ms=300),
    )
    event = json.loads(encode_client_event(settings_event(settings)))
    assert event["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "m", "languages": ["en", "de"], "prompt": "Names.", "keywords": ["Trio"]},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            }
        },
        "include": ["item.input_audio_transcription.logprobs"],
    }
    event = json.loads(encode_client_event(settings_event(STTSettings(turn_detection=SemanticVAD(eagerness="high")))))
    assert event["session"]["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "high"}


def test_what_is_kept_is_more_than_what_may_wait() -> None:
    assert ROOM + 5 * BLOCK < LONGEST
