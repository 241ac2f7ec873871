"""What users and servers may get wrong: a typed error at once, and nothing is lost or told that should not be."""

from __future__ import annotations

from typing import Any

import pytest

from trio_codex import Agent, tool
from trio_codex.errors import ConfigurationError, ServerRefused
from trio_codex.events import AudioEvent, HistoryItem, HistoryPart, RawModelEvent
from trio_codex.protocol import ConversationItemCreate, FunctionCallOutput, ResponseCreate, SessionUpdate
from trio_codex.testing import Call, answer, scripted_session

CLOCK = "virtual"


@pytest.mark.parametrize("kinds", ["audio", ["audio"], [Agent], [AudioEvent, int]])
async def test_kinds_are_event_classes(kinds: Any) -> None:
    async with scripted_session() as (session, _):
        with pytest.raises((ConfigurationError, TypeError), match="not an event class"):
            session.subscribe(kinds)
        with session.subscribe(AudioEvent) as stream:  # type: ignore[arg-type] # one is as good as a list of one
            assert stream.kinds == (AudioEvent,)


async def test_an_agent_and_an_endpoint_are_none_of_their_parts() -> None:
    with pytest.raises(ConfigurationError, match="an Agent is expected, not 'Helper'"):
        async with scripted_session("Helper"):  # type: ignore[arg-type]
            raise AssertionError("this is no agent")
    with pytest.raises(ConfigurationError, match=r"Endpoint\.custom\(url\), not str"):
        async with scripted_session(endpoint="http://127.0.0.1:8765/v1"):
            raise AssertionError("this is no endpoint")
    async with scripted_session() as (session, _):
        with pytest.raises(ConfigurationError, match="an Agent is expected"):
            await session.update_agent(Agent)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [None, 5])
async def test_content_is_a_text_or_parts(content: Any) -> None:
    async with scripted_session() as (session, _):
        with pytest.raises(ConfigurationError, match="content parts"):
            await session.send_message(content)


async def test_one_part_may_stand_alone() -> None:
    async with scripted_session() as (session, line):
        await session.send_message({"type": "input_text", "text": "hello"}, respond=False)  # type: ignore[arg-type]
        created = await line.expect(ConversationItemCreate)
    assert [part.text for part in created.item.content] == ["hello"]


async def test_audio_is_bytes() -> None:
    async with scripted_session() as (session, _):
        with pytest.raises(TypeError):
            await session.send_audio(5)  # type: ignore[arg-type]
        await session.send_audio(memoryview(b"\0\0"))  # type: ignore[arg-type]


@pytest.mark.parametrize("history", [None, "hi", ["hi"], [42], {"role": "user", "content": "x"}])
async def test_history_is_checked_before_anything_is_sent(history: Any) -> None:
    with pytest.raises(ConfigurationError, match="history"):
        async with scripted_session(history=history):
            raise AssertionError("this history cannot be")


async def test_a_history_is_replayed_as_far_as_a_client_can() -> None:
    history = [
        HistoryItem(
            "a", "message", role="user", content=(HistoryPart("input_image", image_url="data:image/png;base64,AA=="),)
        ),
        HistoryItem("b", "message", role="user", content=(HistoryPart("input_audio"),)),
        HistoryItem("c", "mcp_call", name="search"),
        {"role": "user", "content": [{"type": "input_text", "text": "and this"}]},
    ]
    async with scripted_session(history=history) as (_, line):
        image, text = [(await line.expect(ConversationItemCreate)).item for _ in range(2)]
    assert image.content[0].image_url == "data:image/png;base64,AA=="
    assert text.content[0].text == "and this"


async def test_update_agent_tells_why_it_was_refused() -> None:
    async with scripted_session(acknowledge=False, script=refusing_updates) as (session, _):
        with pytest.raises(ServerRefused, match="the agent stays Agent: no way") as caught:
            await session.update_agent(Agent(name="Other"))
    assert (caught.value.code, caught.value.param) == ("bad", "session.tools")


async def refusing_updates(line: Any) -> None:
    opening = await line.expect(SessionUpdate)
    await line.say("session.updated", session=opening.session)
    update = await line.expect(SessionUpdate)
    error = {"type": "invalid_request_error", "code": "bad", "param": "session.tools", "message": "no way"}
    await line.say("error", error={**error, "event_id": update.event_id})


async def test_a_result_that_is_too_long_is_an_error_for_the_model() -> None:
    @tool
    async def dump() -> str:
        """Give far too much."""
        return "x" * (1 << 21)

    async with scripted_session(Agent(tools=[dump])) as (session, line):
        await session.respond()
        await answer(line, await line.expect(ResponseCreate), calls=[Call("c1", "dump")])
        output = (await line.expect(ConversationItemCreate)).item
    assert isinstance(output, FunctionCallOutput)
    assert output.output.startswith("Error: The result is too long: 2097152 characters")


async def test_an_exception_that_cannot_say_what_it_is() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    @tool
    async def fail() -> str:
        """Fail without words."""
        raise Mute

    async with scripted_session(Agent(tools=[fail])) as (session, line):
        await session.respond()
        await answer(line, await line.expect(ResponseCreate), calls=[Call("c1", "fail")])
        output = (await line.expect(ConversationItemCreate)).item
    assert isinstance(output, FunctionCallOutput)
    assert output.output == "Error: Mute"


async def test_a_frame_may_be_nested_as_deeply_as_it_likes() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([RawModelEvent]) as stream:
            for depth in (600, 900, 5000):
                await line.say_frame('{"type":"novelty","deep":' + "[" * depth + "]" * depth + "}")
                assert isinstance(await anext(stream), RawModelEvent)
            await line.say("novelty")
            assert (await anext(stream)).data["type"] == "novelty"  # type: ignore[union-attr] # a RawModelEvent
