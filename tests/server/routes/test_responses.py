"""Turns of a text agent over HTTP: what is said and called, whole and as events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from trio_codex.server import Answer, AnswerRequest, open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
ASK = {"model": "gpt-5", "input": "What is the weather in London?", "tools": [WEATHER]}


@asynccontextmanager
async def asking(responder: Any = None) -> AsyncIterator[Callable[..., Any]]:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT(), tts=ToneTTS(), responder=responder) as server,
            httpx.AsyncClient(timeout=60) as http,
        ):

            async def ask(**body: Any) -> httpx.Response:
                return await http.post(f"{server.http_url}/responses", json=body)

            yield ask


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    events = []
    for frame in answer.text.split("\n\n"):
        if frame:
            name, data = frame.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {events[-1]['type']}"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


async def test_a_text() -> None:
    async with asking() as ask:
        made = (await ask(model="gpt-5", input="Say hello world", metadata={"a": "b"})).json()
        assert (made["object"], made["status"], made["metadata"]) == ("response", "completed", {"a": "b"})
        (message,) = made["output"]
        assert (message["role"], message["content"][0]["text"]) == ("assistant", "hello world")
        usage = made["usage"]
        assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]


async def test_the_events_of_a_text() -> None:
    async with asking() as ask:
        events = events_of(await ask(model="gpt-5", input="Say hello world", stream=True))
        assert [event["type"].removeprefix("response.") for event in events] == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
        assert "".join(event["delta"] for event in events if event["type"].endswith("delta")) == "hello world"
        assert events[6]["text"] == events[7]["part"]["text"] == "hello world"
        assert events[-1]["response"]["output"] == [events[8]["item"]]
        assert events[0]["response"]["usage"] is None


async def test_a_function_is_called_and_its_output_told() -> None:
    async with asking() as ask:
        events = events_of(await ask(**ASK, stream=True))
        added = next(event for event in events if event["type"] == "response.output_item.added")
        assert (added["item"]["type"], added["item"]["arguments"]) == ("function_call", "")
        deltas = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
        call = events[-1]["response"]["output"][0]
        assert "".join(deltas) == call["arguments"]
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "London"})
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "It rains in London."}
        question = {"role": "user", "content": ASK["input"]}
        made = (await ask(**{**ASK, "input": [question, call, output]})).json()
        assert made["output"][0]["content"][0]["text"] == "It rains in London."


async def test_a_conversation_goes_on_from_a_response() -> None:
    async with asking() as ask:
        first = (await ask(**ASK)).json()
        call = first["output"][0]
        output = {
            "type": "function_call_output",
            "call_id": call["call_id"],
            "output": [{"type": "input_text", "text": "It rains in London."}],
        }
        second = (await ask(input=[output], previous_response_id=first["id"])).json()
        assert second["output"][0]["content"][0]["text"] == "It rains in London."
        third = (await ask(input="Say bye", previous_response_id=second["id"])).json()
        assert third["output"][0]["content"][0]["text"] == "bye"
        reference = {"type": "item_reference", "id": second["output"][0]["id"]}
        assert (await ask(input=[reference, {"role": "user", "content": "Say x"}])).status_code == 200


async def test_what_is_not_stored_cannot_be_gone_on_from() -> None:
    async with asking() as ask:
        first = (await ask(input="hello", store=False)).json()
        refused = await ask(input="more", previous_response_id=first["id"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "previous_response_not_found")


async def test_tokens_run_out() -> None:
    async with asking() as ask:
        made = (await ask(input="Say " + "word " * 100, max_output_tokens=16)).json()
        assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert made["output"][0]["status"] == "incomplete"
        assert 16 <= made["usage"]["output_tokens"] < 20


async def test_a_forced_function_and_a_forbidden_one() -> None:
    async with asking() as ask:
        forced = (
            await ask(input="hello", tools=[WEATHER], tool_choice={"type": "function", "name": "get_weather"})
        ).json()
        assert forced["output"][0]["type"] == "function_call"
        forbidden = (await ask(**ASK, tool_choice="none")).json()
        assert forbidden["output"][0]["type"] == "message"
        allowed = {"type": "allowed_tools", "mode": "auto", "tools": []}
        assert (await ask(**ASK, tool_choice=allowed)).json()["output"][0]["type"] == "message"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 7}, "input"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "x", "tools": [{"type": "function", "name": "not a name"}]}, "tools[0].name"),
        (
            {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": {"properties": [1]}}]},
            "tools[0].parameters",
        ),
        ({"input": "x", "tool_choice": {"type": "function", "name": "none"}}, "tool_choice"),
        ({"input": "x", "max_output_tokens": 3}, "max_output_tokens"),
        ({"input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.type"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "msg_9"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": 3, "arguments": "{}"}]}, "input[0].name"),
    ],
)
async def test_what_cannot_be_answered_is_refused(body: dict[str, Any], param: str) -> None:
    async with asking() as ask:
        answer = await ask(**body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


class Broken:
    """A responder that fails in the middle."""

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        await answer.say("I am about to")
        raise ValueError("a secret")


async def test_a_responder_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async with asking(Broken()) as ask:
        refused = await ask(input="x")
        assert refused.status_code == 500
        assert "secret" not in refused.text
        events = events_of(await ask(input="x", stream=True))
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["error"]["code"] == "server_error"
        assert events[-2]["item"]["status"] == "incomplete"
    assert "the responder failed" in caplog.text


async def test_several_sayings_are_one_message() -> None:
    class Parrot:
        async def respond(self, request: AnswerRequest, answer: Answer) -> None:
            await answer.say("Polly.")
            await answer.say("Cracker.")
            await answer.call("feed", {"nuts": 3})
            await answer.say("Thanks.")

    async with asking(Parrot()) as ask:
        output = (await ask(input="x")).json()["output"]
        assert [item["type"] for item in output] == ["message", "function_call", "message"]
        assert output[0]["content"][0]["text"] == "Polly. Cracker."
        assert len({item["id"] for item in output}) == 3
