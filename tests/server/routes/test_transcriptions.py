"""Recordings into words over HTTP, with scripted ears."""

from __future__ import annotations

import io
import json
import wave
from array import array
from random import Random
from typing import Any

import httpx
import pytest
import trio

from trio_codex.errors import VoiceError
from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS


def wav(pcm: bytes = bytes(48 * 500), rate: int = 24_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return file.getvalue()


def babble(ms: int) -> bytes:
    """Something that a turn detector takes for speech: syllables of harmonics."""
    random = Random(1)
    samples = array("h")
    for at in range(24 * ms):
        loud = 0.3 + 0.7 * ((at // 2400) % 2)
        phase = (at % 160) / 160
        samples.append(int(loud * (9000 * (1 - 2 * phase) + random.uniform(-800, 800))))
    return samples.tobytes()


async def transcribe(*transcripts: str | VoiceError, sound: bytes | None = None, **fields: Any) -> httpx.Response:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT(transcripts), tts=ToneTTS()) as server,
            httpx.AsyncClient() as http,
        ):
            return await http.post(
                f"{server.http_url}/audio/transcriptions",
                files={"file": ("speech.wav", wav() if sound is None else sound, "audio/wav")},
                data={"model": "gpt-4o-transcribe", **fields},
            )


async def test_json() -> None:
    answer = await transcribe("good morning")
    assert answer.status_code == 200
    body = answer.json()
    assert body["text"] == "good morning"
    usage = body["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]
    assert usage["input_token_details"]["audio_tokens"] == 5
    assert answer.headers["x-request-id"].startswith("req_")


async def test_usage_of_whisper_is_by_duration() -> None:
    answer = await transcribe("good morning", model="whisper-1")
    assert answer.json()["usage"] == {"type": "duration", "seconds": 0.5}


async def test_text() -> None:
    assert (await transcribe("good morning", response_format="text")).text == "good morning\n"


SILENCE = bytes(48 * 1500)


async def test_each_stretch_of_speech_is_a_segment_with_its_times() -> None:
    sound = wav(SILENCE + babble(1000) + SILENCE + babble(1000) + SILENCE)
    answer = await transcribe("one", "two", "three", sound=sound, response_format="verbose_json")
    body = answer.json()
    assert body["text"] == "one two"
    assert body["duration"] == 6.5
    first, second = body["segments"]
    assert 1.0 < first["start"] < 1.6 < 2.4 < first["end"] < 3.6 < second["start"] < 4.1 < second["end"] <= 6.5
    assert [first["id"], second["id"]] == [0, 1]


async def test_who_says_what() -> None:
    sound = wav(SILENCE + babble(1000) + SILENCE + babble(1000) + SILENCE)
    asked = {"sound": sound, "response_format": "diarized_json", "model": "gpt-4o-transcribe-diarize"}
    whole = (await transcribe("one two", "three", **asked)).json()
    assert [(each["text"], each["speaker"]) for each in whole["segments"]] == [("one two", "A"), ("three", "A")]
    assert whole["text"] == "one two three"
    streamed = await transcribe("one two", "three", **asked, stream="true")
    lines = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    events = [json.loads(line) for line in lines[:-1]]
    assert [each["type"].removeprefix("transcript.text.") for each in events] == [
        *("delta", "delta", "segment"),
        *("delta", "segment", "done"),
    ]
    assert [each for each in events if each["type"].endswith("segment")] == whole["segments"]


async def test_subtitles() -> None:
    srt = (await transcribe("one", response_format="srt")).text
    assert srt == "1\n00:00:00,000 --> 00:00:00,500\none\n"
    vtt = (await transcribe("one", response_format="vtt")).text
    assert vtt == "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\none\n"


async def test_streamed() -> None:
    sound = wav(SILENCE + babble(1000) + SILENCE + babble(1000) + SILENCE)
    answer = await transcribe("one two", "three", sound=sound, stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, last = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert last == "[DONE]"
    *deltas, done = map(json.loads, lines)
    assert [delta["delta"] for delta in deltas] == ["one", " two", " three"]
    assert (done["type"], done["text"]) == ("transcript.text.done", "one two three")


async def test_another_rate_and_nothing_said() -> None:
    answer = await transcribe("", sound=wav(bytes(16_000), rate=8000))
    assert answer.json()["text"] == ""


async def test_a_recogniser_that_dies_is_asked_once_more() -> None:
    assert (await transcribe(VoiceError("dead"), "hello")).json()["text"] == "hello"
    answer = await transcribe(VoiceError("dead"), VoiceError("dead"))
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "lrc"}, "response_format"),
        ({"stream": "perhaps"}, "stream"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"chunking_strategy[threshold]": "2"}, "chunking_strategy.threshold"),
        ({"chunking_strategy[silence_duration_ms]": "long"}, "chunking_strategy.silence_duration_ms"),
        ({"sound": b"ID3 something else"}, "file"),
    ],
)
async def test_what_cannot_be_had_is_refused(fields: dict[str, Any], param: str) -> None:
    answer = await transcribe("hello", **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_forms_that_are_none() -> None:
    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(), tts=ToneTTS()) as server, httpx.AsyncClient() as http:
            url = f"{server.http_url}/audio/transcriptions"
            for request in (
                {"json": {"model": "m"}},
                {"data": {"model": "m"}},
                {"files": {"file": ("a.wav", wav())}},
                {"files": {"file": ("a.wav", wav())}, "data": {"model": "m", "prompt": "x" * 100_000}},
                {"content": b"rubbish", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            ):
                answer = await http.post(url, **request)  # type: ignore[arg-type]
                assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


class Thinking(ScriptedSTT):
    """Never comes to an end."""

    def __init__(self) -> None:
        super().__init__(delay_s=float("inf"))
        self.begun = trio.Event()

    def stream(self) -> Any:
        self.begun.set()
        return super().stream()


async def is_listened_to(stream: trio.SocketStream, stt: Thinking) -> bool:
    """Whether the engine has begun to listen; if not, the request is refused."""
    stt.begun = trio.Event()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def hear_of_refusal() -> None:
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 429 ")
            nursery.cancel_scope.cancel()

        await stt.begun.wait()
        nursery.cancel_scope.cancel()
    return stt.begun.is_set()


async def test_nobody_is_listened_to_for_who_has_gone() -> None:
    stt = Thinking()
    fields: Any = {"files": {"file": ("a.wav", wav())}, "data": {"model": "whisper-1"}}
    with trio.fail_after(60):
        async with open_local_server(stt=stt, tts=ToneTTS()) as server:
            url = httpx.URL(f"{server.http_url}/audio/transcriptions")
            request = httpx.Request("POST", url, **fields)
            head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            whole = f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.read()
            left = 40  # more than may be at work at once; it is refused until the server has seen the others go
            while left:
                async with await trio.open_tcp_stream(url.host, url.port or 0) as stream:
                    await stream.send_all(whole)
                    left -= await is_listened_to(stream, stt)


async def test_a_recording_that_is_too_long_is_refused() -> None:
    answer = await transcribe("hello", sound=wav(bytes(2 * 1000 * 1501), rate=1000))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    assert "1501 seconds" in answer.json()["error"]["message"]


async def test_a_file_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_codex.server.routes.exchange.READ_WITHIN_S", 0.2)
    monkeypatch.setattr("trio_codex.server.incoming.WITHIN_S", 0.2)
    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(["hello"]), tts=ToneTTS()) as server:
            for kind in ("multipart/form-data; boundary=x", "application/json"):
                path = "audio/transcriptions" if "form" in kind else "responses"
                head = f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 999\r\n\r\n--x"
                async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port) as stream:
                    await stream.send_all(head.encode())
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")


async def test_a_file_that_is_too_large_is_refused_and_the_connection_lives() -> None:
    with trio.fail_after(60):
        async with open_local_server(stt=ScriptedSTT(["hello"]), tts=ToneTTS()) as server, httpx.AsyncClient() as http:
            url = f"{server.http_url}/audio/transcriptions"
            files = {"file": ("speech.wav", bytes(27 << 20), "audio/wav")}
            answer = await http.post(url, files=files, data={"model": "whisper-1"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
            answer = await http.post(url, files={"file": ("a.wav", wav())}, data={"model": "whisper-1"})
            assert answer.json()["text"] == "hello"
