"""The `openai` package's blocking and asyncio clients over everything that the server offers by HTTP. Argument: the base URL."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import wave
from typing import Any

from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    OpenAI,
)

TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
SAID = "hello from afar"


def recording() -> tuple[str, bytes]:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(24_000)
        out.writeframes(bytes(24_000))
    return "speech.wav", file.getvalue()


def blocking(url: str) -> None:
    client = OpenAI(base_url=url, api_key="sk-right", max_retries=0)
    assert "gpt-realtime-2.1" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-realtime").object == "model"

    transcriptions = client.audio.transcriptions
    plain = transcriptions.create(model="gpt-4o-transcribe", file=recording())
    assert plain.text == SAID
    assert plain.usage is not None
    assert plain.usage.type == "tokens"
    verbose = transcriptions.create(model="whisper-1", file=recording(), response_format="verbose_json")
    assert verbose.segments is not None
    assert (verbose.duration, verbose.segments[0].text, verbose.segments[0].start) == (0.5, SAID, 0.0)
    assert str(transcriptions.create(model="whisper-1", file=recording(), response_format="text")).strip() == SAID
    assert "-->" in str(transcriptions.create(model="whisper-1", file=recording(), response_format="srt"))
    events = list(transcriptions.create(model="gpt-4o-transcribe", file=recording(), stream=True))
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == SAID
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == SAID

    order: Any = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": "Hi. There."}
    whole = client.audio.speech.create(**order, response_format="pcm").read()
    assert len(whole) == 48 * 20 * len("Hi.There.")
    with client.audio.speech.with_streaming_response.create(**order, response_format="wav") as answer:
        head, *rest = answer.iter_bytes(1024)
        assert head.startswith(b"RIFF")
        assert sum(map(len, [head, *rest])) == 44 + len(whole)

    made = client.responses.create(model="gpt-5", input="What is the weather in London?", tools=[TOOL])
    call = made.output[0]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "London"}
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "It rains in London."}
    made = client.responses.create(model="gpt-5", input=[output], previous_response_id=made.id, tools=[TOOL])
    assert made.output_text == "It rains in London."
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    with client.responses.stream(model="gpt-5", input="Say one two three") as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_text == "one two three"
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"

    secret = client.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Be brief."})
    assert secret.value.startswith("ek_")
    assert secret.session.type == "realtime"
    heard: Any = {"input": {"transcription": {"model": "gpt-transcribe"}}}
    writing = client.realtime.client_secrets.create(session={"type": "transcription", "audio": heard})
    assert writing.session.type == "transcription"
    client.realtime.calls.accept("rtc_1", type="realtime", instructions="Be brief.")
    client.realtime.calls.refer("rtc_1", target_uri="tel:+15550100")
    for refused, wrong in (
        (BadRequestError, lambda: client.audio.speech.create(**order, response_format="mp3")),
        (NotFoundError, lambda: client.realtime.calls.hangup("rtc_1")),
        (AuthenticationError, lambda: client.with_options(api_key="sk-wrong").models.list()),
    ):
        try:
            wrong()
        except refused as error:
            assert error.request_id
            assert error.body
        else:
            raise AssertionError(f"{refused.__name__} was to be raised")


async def with_asyncio(url: str) -> None:
    async with AsyncOpenAI(base_url=url, api_key="sk-right", max_retries=0) as client:
        assert (await client.models.list()).data
        plain = await client.audio.transcriptions.create(model="gpt-transcribe", file=recording())
        assert plain.text == SAID
        stream = await client.audio.transcriptions.create(model="gpt-transcribe", file=recording(), stream=True)
        assert [event async for event in stream][-1].type == "transcript.text.done"
        speech = client.audio.speech.with_streaming_response
        order: Any = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": "Hi."}
        async with speech.create(**order, response_format="pcm", speed=2) as answer:
            assert len(b"".join([piece async for piece in answer.iter_bytes()])) == 48 * 10 * 3
        async with speech.create(**order, response_format="pcm", stream_format="sse") as answer:
            events = [json.loads(line[6:]) async for line in answer.iter_lines() if line.startswith("data: ")]
        sound = b"".join(base64.b64decode(event["audio"]) for event in events if "audio" in event)
        assert len(sound) == 48 * 20 * 3
        made = await client.responses.create(
            model="gpt-5", input="What is the weather in Rome?", tools=[TOOL], stream=True
        )
        events = [event async for event in made]
        arguments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
        assert json.loads(arguments) == {"city": "Rome"}
        assert events[-1].type == "response.completed"
        assert events[-1].response.output[0].name == "get_weather"
        # Many at once, as servers' clients do.
        answers = await asyncio.gather(*(client.responses.create(model="m", input=f"Say {n}") for n in range(20)))
        assert [answer.output_text for answer in answers] == [str(n) for n in range(20)]


if __name__ == "__main__":
    blocking(sys.argv[1])
    asyncio.run(with_asyncio(sys.argv[1]))
    print("good")
