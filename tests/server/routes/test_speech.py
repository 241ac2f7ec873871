"""Texts into sound over HTTP, with a voice that hums."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from trio_codex.audio import read_wav
from trio_codex.errors import VoiceError
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

ORDER = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": "One two. Three!"}
SPOKEN_BYTES = 48 * 20 * len("One two.Three!")


@asynccontextmanager
async def speaking(tts: Any = None) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT(), tts=tts or ToneTTS()) as server,
            httpx.AsyncClient(timeout=60) as http,
        ):
            yield http, f"{server.http_url}/audio/speech"


async def test_pcm() -> None:
    async with speaking() as (http, url):
        answer = await http.post(url, json={**ORDER, "response_format": "pcm"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/pcm")
        assert len(answer.content) == SPOKEN_BYTES


@pytest.mark.parametrize("chosen", [{}, {"response_format": "wav"}])
async def test_wav_is_what_one_gets_by_default(chosen: dict[str, str]) -> None:
    async with speaking() as (http, url):
        answer = await http.post(url, json={**ORDER, **chosen, "voice": {"id": "voice_1"}, "speed": None})
        assert answer.headers["content-type"] == "audio/wav"
        sound = read_wav(answer.content)
        assert (sound.rate, sound.channels, len(sound.samples)) == (24_000, 1, SPOKEN_BYTES)


async def test_events() -> None:
    async with speaking() as (http, url):
        answer = await http.post(url, json={**ORDER, "response_format": "pcm", "stream_format": "sse"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        *deltas, done = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
        assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
        assert sum(len(base64.b64decode(delta["audio"])) for delta in deltas) == SPOKEN_BYTES
        usage = done["usage"]
        assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"] > 0


async def test_sound_comes_while_it_is_made_and_stops_with_its_listener() -> None:
    tts = ToneTTS(ms_per_character=1000, delay_s=0.02)
    async with speaking(tts) as (_, url):
        order = json.dumps({**ORDER, "response_format": "pcm"}).encode()
        head = f"POST {httpx.URL(url).path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(order)}\r\n\r\n".encode()
        async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(url).port) as stream:
            await stream.send_all(head + order)
            came = b""
            while len(came) < 20_000:  # of 384,000
                came += await stream.receive_some()
            assert came.startswith(b"HTTP/1.1 200")
        await trio.sleep(0.3)
        assert tts.said == ["One two."]


@pytest.mark.parametrize(("form", "length"), [("wav", 44), ("pcm", 0)])
async def test_a_text_that_makes_no_sound(form: str, length: int) -> None:
    async with speaking(ToneTTS(ms_per_character=0)) as (http, url):
        answer = await http.post(url, json={**ORDER, "response_format": form})
        assert (answer.status_code, len(answer.content)) == (200, length)


async def test_speed_is_the_engine_s() -> None:
    async with speaking() as (http, url):
        answer = await http.post(url, json={**ORDER, "response_format": "pcm", "speed": 2, "instructions": None})
        assert len(answer.content) == SPOKEN_BYTES // 2


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": "x" * 4097}, "input"),
        ({"input": " "}, "input"),
        ({"input": None}, "input"),
        ({"speed": 9}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"response_format": "mp3"}, "response_format"),
        ({"response_format": "midi"}, "response_format"),
        ({"stream_format": "sse", "model": "tts-1"}, "stream_format"),
        ({"voice": 7}, "voice"),
        ({"pitch": 3}, "pitch"),
    ],
)
async def test_what_cannot_be_said_is_refused(changes: dict[str, Any], param: str) -> None:
    async with speaking() as (http, url):
        answer = await http.post(url, json={**ORDER, **changes})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_bodies_that_are_none() -> None:
    async with speaking() as (http, url):
        for content in (b"", b"{", b"[]", b"\xff"):
            answer = await http.post(url, content=content)
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        answer = await http.post(url, json={**ORDER, "instructions": "x" * (300 << 10)})
        assert answer.status_code == 413


class Hoarse(ToneTTS):
    """A voice that fails, at once or in mid-sentence."""

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self._after = after

    @asynccontextmanager
    async def speak(self, text: str, **_: Any) -> AsyncIterator[Any]:
        yield self._say()

    async def _say(self) -> AsyncIterator[bytes]:
        for _ in range(self._after):
            yield bytes(4800)
        raise VoiceError("no voice")


async def test_a_voice_that_fails_at_once_is_an_error_of_the_api() -> None:
    async with speaking(Hoarse(after=0)) as (http, url):
        answer = await http.post(url, json={**ORDER, "response_format": "pcm"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "speech_failed")


async def test_a_voice_that_fails_later_cuts_the_body_off() -> None:
    async with speaking(Hoarse(after=2)) as (http, url):
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(url, json={**ORDER, "response_format": "pcm"})


async def test_a_defect_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class Defective(ToneTTS):
        def speak(self, text: str, **_: Any) -> Any:
            raise ValueError("a secret")

    async with speaking(Defective()) as (http, url):
        answer = await http.post(url, json=ORDER)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
        assert "secret" not in answer.text
        assert answer.headers["x-request-id"]
    assert "a request failed" in caplog.text


async def test_one_request_too_many_is_refused() -> None:
    tts = ToneTTS(ms_per_character=1000, delay_s=0.05)
    refused: list[httpx.Response] = []
    answered = trio.Semaphore(0)
    async with speaking(tts) as (http, url):
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(timeout=60, limits=limits) as many, trio.open_nursery() as nursery:

            async def ask() -> None:
                async with many.stream("POST", url, json={**ORDER, "response_format": "pcm"}) as answer:
                    if answer.status_code == 200:
                        answered.release()
                        await trio.sleep_forever()
                    await answer.aread()
                    refused.append(answer)
                    answered.release()

            for _ in range(33):
                nursery.start_soon(ask)
            for _ in range(33):  # httpx leaves a generator standing in a request that is cancelled while it is sent
                await answered.acquire()
            nursery.cancel_scope.cancel()
        assert refused[0].status_code == 429
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].json()["error"]["code"] == "rate_limit_exceeded"
        while (again := await http.post(url, json={**ORDER, "input": "x"})).status_code == 429:  # noqa: ASYNC110
            await trio.sleep(0.1)  # until the server has seen them go
        assert again.status_code == 200
