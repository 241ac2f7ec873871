"""What the server does not let itself be talked into: too many, too large, too slow, and a stop that waits for nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed

from trio_codex.credentials import Endpoint
from trio_codex.grammar import Refusal
from trio_codex.protocol import InputAudioBufferAppend
from trio_codex.server import LocalServer, StandIn, open_local_server
from trio_codex.server.app import Service, application
from trio_codex.server.connection import Engines
from trio_codex.server.web import LARGEST_FRAME, WebServer, listen
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "Sec-WebSocket-Version": "13",
}
SPEECH = {"model": "m", "voice": "v", "input": "x" * 4000, "response_format": "pcm"}


@asynccontextmanager
async def limited(**limits: Any) -> AsyncIterator[LocalServer]:
    service = Service(Engines(stt=ScriptedSTT(), tts=ToneTTS(), responder=StandIn()), **limits)
    web = WebServer(application(service))
    with listen("127.0.0.1", 0) as sock:
        place = f"127.0.0.1:{sock.getsockname()[1]}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(web.serve, sock)
            url = f"http://{place}/v1"
            yield LocalServer(url, f"ws://{place}/v1", Endpoint.custom(url))
            await service.stop()
            web.stop()


async def test_one_session_too_many(connect: Any) -> None:
    with trio.fail_after(60):
        async with limited(max_sessions=1) as server, httpx.AsyncClient(headers=UPGRADE) as http:
            async with connect(server):
                refused = await http.get(f"{server.http_url}/realtime?model=m")
                assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
                assert refused.headers["retry-after"] == "1"
            async with connect(server):
                pass


async def test_sessions_that_come_all_at_once_are_counted_too() -> None:
    with trio.fail_after(60):
        async with limited(max_sessions=3) as server:
            statuses: list[int] = []

            async def come(stream: trio.SocketStream) -> None:
                head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
                await stream.send_all(f"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
                statuses.append(int((await stream.receive_some()).split()[1]))

            port = httpx.URL(server.http_url).port
            assert port is not None
            streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(12)]
            async with trio.open_nursery() as callers:
                for stream in streams:
                    callers.start_soon(come, stream)
            assert sorted(statuses) == [101] * 3 + [429] * 9
            for stream in streams:
                await trio.aclose_forcefully(stream)


async def test_no_session_begins_while_the_server_stops() -> None:
    service = Service(Engines(stt=ScriptedSTT(), tts=ToneTTS(), responder=StandIn()))
    line = _ClosedLine()
    with trio.fail_after(60):
        await service.stop()
        with pytest.raises(Refusal, match="shutting down"), service.conversing():
            pass
        await service.converse(service.peer("realtime", "m"), line)
    assert line.closed_with == 1001


class _ClosedLine:
    """A line on which nobody says anything."""

    closed_with: int | None = None

    async def receive(self) -> str:
        await trio.sleep_forever()
        raise AssertionError

    async def send(self, frame: str) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self, code: int, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.closed_with = code


async def test_a_frame_that_is_too_large_ends_its_session_alone(connect: Any) -> None:
    with trio.fail_after(60):
        async with limited() as server, connect(server) as other:
            async with connect(server) as client:
                with pytest.raises(ConnectionClosed) as closed:
                    await client.send(InputAudioBufferAppend(audio=bytes(LARGEST_FRAME)))
                    await client.receive()
                assert closed.value.reason.code == 1009
            await other.update()


async def test_a_body_that_nobody_reads_does_not_stand_in_the_way_of_the_next_request() -> None:
    with trio.fail_after(60):
        async with limited(api_key="sk") as server, httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as http:
            for _ in range(3):
                for path, status in (("responses", 401), ("nowhere", 404), ("models", 405)):
                    refused = await http.post(f"{server.http_url}/{path}", content=bytes(3 << 20))
                    assert refused.status_code == status
                answer = await http.get(f"{server.http_url}/models", headers={"Authorization": "Bearer sk"})
                assert answer.status_code == 200


async def test_who_never_ends_its_body_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_codex.server.incoming.WITHIN_S", 0.2)
    with trio.fail_after(60):
        async with limited(api_key="sk") as server:
            head = b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
            async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port) as stream:
                await stream.send_all(head)
                answer = b"".join([piece async for piece in stream])
            assert answer.startswith(b"HTTP/1.1 401")
            assert b"connection: close" in answer.lower()


def asked_for_speech(url: str) -> bytes:
    body = json.dumps(SPEECH).encode()
    head = f"POST {httpx.URL(url).path}/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Counting(ToneTTS):
    """A voice that counts what was taken from it; its whole text takes more than any socket holds."""

    def __init__(self) -> None:
        super().__init__(ms_per_character=1000)
        self.taken = 0

    @asynccontextmanager
    async def speak(self, text: str, **options: Any) -> AsyncIterator[Any]:
        async with super().speak(text, **options) as speech:

            async def counted() -> AsyncIterator[bytes]:
                async for piece in speech:
                    self.taken += len(piece)
                    yield piece

            pieces = counted()
            try:
                yield pieces
            finally:
                await pieces.aclose()


async def test_a_listener_that_does_not_read_holds_up_its_own_speech_and_nothing_else() -> None:
    tts = Counting()
    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(), tts=tts) as server:
            stream = await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port)
            await stream.send_all(asked_for_speech(server.http_url))
            taken = -1
            while taken != tts.taken or not taken:
                taken = tts.taken
                await trio.sleep(0.5)
            assert 0 < taken < 48_000 * 4000 // 8  # an eighth of all of it
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{server.http_url}/models")).status_code == 200
            began = trio.current_time()
        assert trio.current_time() - began < 20
        await stream.aclose()


async def test_the_end_does_not_wait_for_speech_that_is_being_taken() -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            async with open_local_server(stt=ScriptedSTT(), tts=ToneTTS(ms_per_character=1000, delay_s=0.01)) as server:
                stream = await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port)
                await stream.send_all(asked_for_speech(server.http_url))
                assert await stream.receive_some()

                @nursery.start_soon
                async def take() -> None:
                    async for _ in stream:
                        pass

                began = trio.current_time()
            assert trio.current_time() - began < 20
        await stream.aclose()
