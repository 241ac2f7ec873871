"""Speech to text by the endpoint: the form, four formats of answers, the streamed ones, failures."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st

from trio_codex.audio import read_wav
from trio_codex.errors import RemoteProtocolError, VoiceError
from trio_codex.voice import Segment, STTSettings, Transcript, TranscriptDelta, Word
from trio_codex.voice.openai import OpenAISTT
from trio_codex.voice.openai.transcription import form
from trio_codex.voice.openai.transcripts import Reading, read_transcript

KEY = "sk-test-of-nobody"
PCM = bytes(range(200)) * 4
TOKENS = {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["transcript.text.delta", "transcript.text.segment", "transcript.text.done", "error", ""]
FIELDS = ["text", "delta", "error", "duration", "language", "languages", "segments", "words", "logprobs", "usage"]
STRANGE = st.text() | st.builds(
    lambda kind, rest: json.dumps({"type": kind, **rest}),
    st.sampled_from(NAMES) | JSON,
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.text() | st.lists(st.fixed_dictionaries({"text": st.text()}))),
)


def stt(service: Any, **changes: Any) -> OpenAISTT:
    return OpenAISTT(endpoint=service.endpoint, api_key=KEY, **changes)


def parts_of(settings: STTSettings) -> list[tuple[str, Any]]:
    """The form, with its lists written out."""
    return [(k, each) for k, v in form(settings).items() for each in (v if isinstance(v, list) else [v])]


async def test_the_form(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(200, {"text": "hello"})

    settings = STTSettings(
        model="m",
        languages=["en", "de"],
        prompt="Names: Ada.",
        temperature=0,
        keywords=["Trio", "Ada"],
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        logprobs=True,
        known_speakers={"Ada": "data:audio/wav;base64,QQ=="},
    )
    async with serving(script) as service:
        assert await stt(service).transcribe(PCM, settings) == Transcript("hello")
    (request,) = service.asked
    assert request.path == "/v1/audio/transcriptions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    *fields, (name, wav) = request.parts
    assert [(field, value.decode()) for field, value in fields] == [
        ("model", "m"),
        ("response_format", "verbose_json"),
        ("languages[]", "en"),
        ("languages[]", "de"),
        ("prompt", "Names: Ada."),
        ("keywords[]", "Trio"),
        ("keywords[]", "Ada"),
        ("temperature", "0"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("include[]", "logprobs"),
        ("known_speaker_names[]", "Ada"),
        ("known_speaker_references[]", "data:audio/wav;base64,QQ=="),
    ]
    assert name == "file"
    assert b'filename="audio.wav"' in request.body
    sound = read_wav(wav)
    assert (sound.samples, sound.rate, sound.channels) == (PCM, 24000, 1)


def test_nothing_is_sent_that_was_not_set() -> None:
    assert parts_of(STTSettings()) == [("model", "gpt-transcribe"), ("response_format", "json")]
    assert ("language", "de") in parts_of(STTSettings(language="de"))
    assert ("chunking_strategy", "auto") in parts_of(STTSettings(response_format="diarized_json"))


# --- answers -------------------------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Any, Transcript]] = [
    ("json", {"text": "hi"}, Transcript("hi")),
    (
        "json",
        {"text": "hallo", "languages": [{"code": "de"}, {"code": "en"}], "logprobs": [{"token": "h"}], "usage": TOKENS},
        Transcript("hallo", language="de", logprobs=[{"token": "h"}], usage=TOKENS),
    ),
    (
        "verbose_json",
        {
            "text": "hi there",
            "language": "english",
            "duration": 2,
            "task": "transcribe",
            "segments": [{"id": 0, "start": 0, "end": 1.5, "text": "hi there", "tokens": [1], "seek": 0}],
            "words": [{"word": "hi", "start": 0.0, "end": 0.5}, {"word": "there", "start": 0.5, "end": 1}],
            "usage": {"type": "duration", "seconds": 2},
        },
        Transcript(
            "hi there",
            language="english",
            duration_s=2,
            segments=[Segment("hi there", 0, 1.5, None, "0")],
            words=[Word("hi", 0, 0.5), Word("there", 0.5, 1)],
            usage={"type": "duration", "seconds": 2},
        ),
    ),
    (
        "diarized_json",
        {
            "text": "hi you",
            "task": "transcribe",
            "duration": 1.5,
            "segments": [
                {"type": "transcript.text.segment", "id": "s1", "start": 0, "end": 1, "text": "hi", "speaker": "Ada"},
                {"type": "transcript.text.segment", "id": "s2", "start": 1, "end": 1.5, "text": "you", "speaker": "B"},
            ],
        },
        Transcript(
            "hi you", duration_s=1.5, segments=[Segment("hi", 0, 1, "Ada", "s1"), Segment("you", 1, 1.5, "B", "s2")]
        ),
    ),
    ("text", b"hello you\n", Transcript("hello you")),
]


@pytest.mark.parametrize(("response_format", "body", "expected"), ANSWERS)
def test_answers(response_format: str, body: Any, expected: Transcript) -> None:
    text = body.decode() if isinstance(body, bytes) else json.dumps(body)
    assert read_transcript(text, response_format) == expected


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{", "$"),
        ("[]", "$"),
        ("{}", "$.text"),
        ('{"text": 7}', "$.text"),
        ('{"text": "a", "segments": [{"text": "a", "start": 0}]}', "$.segments[0].end"),
    ],
)
def test_answers_that_are_none(body: str, path: str) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        read_transcript(body, "json")
    assert raised.value.path == path


@given(STRANGE)
def test_no_answer_is_a_crash(body: str) -> None:
    with suppress(RemoteProtocolError):
        assert isinstance(read_transcript(body, "json"), Transcript)


async def test_an_answer_that_is_none_is_told_so(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(200, b"<html>", "content-type: text/html")

    async with serving(script) as service:
        with pytest.raises(VoiceError, match="speech to text failed: what the server answered is not the protocol"):
            await stt(service).transcribe(PCM, STTSettings())


@pytest.mark.parametrize(
    ("status", "code", "times"), [(401, "invalid_api_key", 1), (429, "insufficient_quota", 1), (503, "overloaded", 3)]
)
async def test_refusals(serving: Any, status: int, code: str, times: int) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(status, {"error": {"message": "No.", "code": code}}, "retry-after-ms: 1")

    async with serving(script) as service:
        with pytest.raises(VoiceError, match=r"speech to text failed: No\.") as raised:
            await stt(service).transcribe(PCM, STTSettings())
    assert (raised.value.status, raised.value.code, len(service.asked)) == (status, code, times)


async def test_cancelling_ends_the_request(serving: Any) -> None:
    asked, hung_up = trio.Event(), trio.Event()

    async def script(request: Any, said: Any) -> None:
        asked.set()
        await said.hung_up.wait()
        hung_up.set()

    async with serving(script) as service, trio.open_nursery() as nursery:
        nursery.start_soon(stt(service).transcribe, PCM, STTSettings())
        await asked.wait()
        nursery.cancel_scope.cancel()
    assert hung_up.is_set() or service.connections == 0


# --- streamed answers ----------------------------------------------------------------------------------------------------

SEGMENT = {"type": "transcript.text.segment", "id": "s", "start": 0, "end": 1, "speaker": "A", "text": "hi"}


async def parts(stt: OpenAISTT, settings: STTSettings) -> list[TranscriptDelta | Transcript]:
    async with stt.transcribe_in_parts(PCM, settings) as found:
        return [part async for part in found]


async def test_parts(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.events(
            {"type": "transcript.text.delta", "delta": "Hel"},
            {"type": "transcript.text.younger", "what": 1},
            {"type": "transcript.text.delta", "delta": "lo."},
            SEGMENT,
            {"type": "transcript.text.done", "text": "Hello.", "usage": TOKENS},
            "[DONE]",
        )

    async with serving(script) as service:
        assert await parts(stt(service), STTSettings()) == [
            TranscriptDelta("Hel"),
            TranscriptDelta("lo."),
            Transcript("Hello.", segments=[Segment("hi", 0, 1, "A", "s")], usage=TOKENS),
        ]
    assert ("stream", b"true") in service.asked[0].parts


async def test_a_model_that_does_not_stream(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(200, {"text": "Hello."}, "content-type: application/json")

    async with serving(script) as service:
        assert await parts(stt(service), STTSettings(model="whisper-1")) == [Transcript("Hello.")]


async def test_half_an_answer(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.events({"type": "transcript.text.delta", "delta": "Hel"}, "[DONE]")

    async with serving(script) as service:
        with pytest.raises(VoiceError, match="ended before the transcript was whole"):
            await parts(stt(service), STTSettings())


async def test_a_server_that_breaks_off(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.events({"error": {"message": "Out of order.", "code": "server_error"}})

    async with serving(script) as service:
        with pytest.raises(VoiceError, match=r"the server broke off: Out of order\.") as raised:
            await parts(stt(service), STTSettings())
    assert raised.value.code == "server_error"


async def test_a_connection_that_breaks_off(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.begin("text/event-stream")
        await said.event({"type": "transcript.text.delta", "delta": "Hel"})
        await said.die()

    async with serving(script) as service:
        found = []
        with pytest.raises(VoiceError, match="no whole answer came"):
            async with stt(service).transcribe_in_parts(PCM, STTSettings()) as coming:
                async for part in coming:
                    found.append(part)
    assert found == [TranscriptDelta("Hel")]


@given(STRANGE)
def test_no_event_is_a_crash(data: str) -> None:
    with suppress(RemoteProtocolError, VoiceError):
        Reading().take(data)
