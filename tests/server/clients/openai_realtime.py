"""The `openai` package's realtime client, blocking and under asyncio. Argument: the base URL."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

from openai import AsyncOpenAI, OpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SILENCE = base64.b64encode(bytes(48 * 500)).decode()
MANUAL: Any = {"input": {"turn_detection": None, "transcription": {"model": "gpt-transcribe"}}}
MODEL = "gpt-realtime-2.1"


EVENT: Any = TypeAdapter(RealtimeServerEvent)


def until(connection: Any, kind: str) -> list[Any]:
    """All events up to one of this type. The client takes any shape; the types of its own package do not."""
    events: list[Any] = []
    while not events or events[-1].type != kind:
        events.append(EVENT.validate_json(connection.recv_bytes()))
    return events


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def blocking(client: OpenAI) -> None:
    with client.realtime.connect(model=MODEL) as connection:
        created = until(connection, "conversation.created")[0]
        assert (created.type, created.session.type, created.session.model) == ("session.created", "realtime", MODEL)
        connection.session.update(session={"type": "realtime", "audio": MANUAL, "tools": [TOOL]})
        updated = until(connection, "session.updated")[-1].session
        assert updated.tools[0].name == "get_weather"
        assert updated.audio.input.turn_detection is None

        connection.input_audio_buffer.append(audio=SILENCE)
        connection.input_audio_buffer.commit()
        connection.response.create()
        events = until(connection, "response.done")
        transcript = next(event for event in events if event.type.endswith("transcription.completed"))
        assert transcript.transcript == "what is the weather in london"
        call = events[-1].response.output[0]
        assert (call.type, json.loads(call.arguments)) == ("function_call", {"city": "London"})
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "It rains in London."}
        connection.conversation.item.create(item=output)
        connection.response.create()
        events = until(connection, "response.done")
        deltas = [event.delta for event in events if event.type == "response.output_audio_transcript.delta"]
        assert "".join(deltas) == "It rains in London."
        sound = b"".join(
            base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta"
        )
        assert len(sound) == 48 * 20 * len("It rains in London.")
        message = events[-1].response.output[0]
        connection.conversation.item.truncate(item_id=message.id, content_index=0, audio_end_ms=100)
        assert until(connection, "conversation.item.truncated")[-1].audio_end_ms == 100
        connection.conversation.item.retrieve(item_id=message.id)
        kept = until(connection, "conversation.item.retrieved")[-1].item.content[0]
        assert len(base64.b64decode(kept.audio)) == 4800
        connection.conversation.item.delete(item_id=message.id)
        until(connection, "conversation.item.deleted")
        connection.response.cancel(event_id="mine")
        error = until(connection, "error")[-1].error
        assert (error.code, error.event_id) == ("response_cancel_not_active", "mine")


def with_a_client_secret(client: OpenAI) -> None:
    secret = client.realtime.client_secrets.create(session={"type": "realtime", "instructions": "Say hi there"})
    guest = client.with_options(api_key=secret.value)
    with guest.realtime.connect(model=MODEL) as connection:
        assert until(connection, "session.created")[-1].session.instructions == "Say hi there"
        connection.response.create(response={"output_modalities": ["text"]})
        done = until(connection, "response.done")[-1].response
        assert done.output[0].content[0].text == "hi there"


async def with_asyncio(url: str) -> None:
    async with (
        AsyncOpenAI(base_url=url, api_key="sk-right") as client,
        client.realtime.connect(model=MODEL) as connection,
    ):
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(item=user("Say one two three"))
        await connection.response.create()
        said = ""
        async for event in connection:
            if event.type == "response.output_text.delta":
                said += event.delta
            elif event.type == "response.done":
                assert event.response.usage is not None
                break
        assert said == "one two three"

        # Beside the conversation, from another context.
        await connection.response.create(
            response={"conversation": "none", "metadata": {"for": "me"}, "input": [user("Say aside")]}
        )
        async for event in connection:
            if event.type == "response.done":
                assert event.response.conversation_id is None
                assert event.response.metadata == {"for": "me"}
                assert event.response.output[0].content[0].text == "aside"
                break


async def transcription(url: str) -> None:
    async with (
        AsyncOpenAI(base_url=url, api_key="sk-right") as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        assert (await connection.recv()).session.type == "transcription"
        await connection.session.update(session={"type": "transcription", "audio": MANUAL})
        await connection.input_audio_buffer.append(audio=SILENCE)
        await connection.input_audio_buffer.commit()
        written = ""
        async for event in connection:
            if event.type == "conversation.item.input_audio_transcription.delta":
                written += event.delta
            elif event.type == "conversation.item.input_audio_transcription.completed":
                assert written == event.transcript == "good morning everybody"
                break


if __name__ == "__main__":
    with OpenAI(base_url=sys.argv[1], api_key="sk-right") as client:
        blocking(client)
        with_a_client_secret(client)
    asyncio.run(with_asyncio(sys.argv[1]))
    asyncio.run(transcription(sys.argv[1]))
    print("good")
