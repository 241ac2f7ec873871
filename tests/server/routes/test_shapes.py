"""What the endpoints answer fits the types of the API, as the `openai` package has them; its client itself does not check."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio

from trio_codex.server import open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

openai = pytest.importorskip("openai")
from openai.types import Model  # noqa: E402
from openai.types.audio import (  # noqa: E402
    Transcription,
    TranscriptionDiarized,
    TranscriptionStreamEvent,
    TranscriptionVerbose,
)
from openai.types.realtime import ClientSecretCreateResponse  # noqa: E402
from openai.types.responses import Response, ResponseStreamEvent  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

TOOL = {"type": "function", "name": "get_weather", "description": "Weather.", "parameters": {}, "strict": False}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT(["good morning"] * 5), tts=ToneTTS()) as server,
            httpx.AsyncClient(base_url=server.http_url) as client,
        ):
            yield client


def fits(kind: Any, value: Any) -> None:
    TypeAdapter(kind).validate_python(value)


def events_of(answer: httpx.Response) -> list[Any]:
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def recording() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(24_000)
        out.writeframes(bytes(24_000))
    return file.getvalue()


async def test_models(http: httpx.AsyncClient) -> None:
    models = (await http.get("/models")).json()["data"]
    fits(list[Model], models)
    fits(Model, (await http.get(f"/models/{models[0]['id']}")).json())
    assert (await http.get("/models/nobody")).json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("asked", ["Say hello world", "What is the weather in London?"])
async def test_responses(http: httpx.AsyncClient, asked: str) -> None:
    body: dict[str, Any] = {"model": "gpt-5", "input": asked, "tools": [TOOL]}
    fits(Response, (await http.post("/responses", json=body)).json())
    events = events_of(await http.post("/responses", json={**body, "stream": True}))
    assert len(events) > 6
    fits(list[ResponseStreamEvent], events)


async def test_transcriptions(http: httpx.AsyncClient) -> None:
    async def transcribe(**fields: str) -> httpx.Response:
        files = {"file": ("speech.wav", recording())}
        return await http.post("/audio/transcriptions", files=files, data={"model": "gpt-4o-transcribe", **fields})

    fits(Transcription, (await transcribe()).json())
    fits(TranscriptionVerbose, (await transcribe(response_format="verbose_json")).json())
    fits(list[TranscriptionStreamEvent], events_of(await transcribe(stream="true")))
    diarized = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"}
    fits(TranscriptionDiarized, (await transcribe(**diarized)).json())
    fits(list[TranscriptionStreamEvent], events_of(await transcribe(**diarized, stream="true")))


@pytest.mark.parametrize("kind", ["realtime", "transcription"])
async def test_client_secrets(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post("/realtime/client_secrets", json={"session": {"type": kind}})
    fits(ClientSecretCreateResponse, answer.json())
