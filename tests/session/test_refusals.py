"""Offline validation in a session: what is refused is never sent, a bad target is a failed handoff, a warning is said once."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from trio_codex.agent import Agent
from trio_codex.credentials import Endpoint
from trio_codex.errors import ConfigurationError, ConnectionLost
from trio_codex.protocol import SessionSettings, Transcription
from trio_codex.session import Session, open_realtime_session
from trio_codex.tools import Tool, tool
from trio_codex.transport import Target, Transport
from trio_codex.transport.memory import MemoryTransport, memory_connector, memory_pair


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return city


class Server:
    """The far end of a memory connection: agrees to every update, keeps what it got, and says what the test tells it."""

    def __init__(self) -> None:
        self.near, self.far = memory_pair()
        self.connected = False
        self.got: list[dict[str, Any]] = []
        self.news = trio.Event()
        self._ids = 0

    @asynccontextmanager
    async def connect(self, target: Target, /) -> AsyncIterator[Transport]:
        self.connected = True
        async with memory_connector(self.near)(target) as transport:
            yield transport

    async def say(self, kind: str, **fields: Any) -> None:
        self._ids += 1
        await self.far.send(json.dumps({"type": kind, "event_id": f"server_{self._ids}", **fields}))

    async def serve(self, transport: MemoryTransport) -> None:
        with suppress(ConnectionLost):
            while True:
                frame = json.loads(await transport.receive())
                self.got.append(frame)
                self.news.set()
                self.news = trio.Event()
                if frame["type"] == "session.update":
                    await self.say("session.updated", session=frame["session"])

    async def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        while True:
            news = self.news
            for frame in self.got:
                if frame["type"] == kind and frame.items() >= fields.items():
                    return frame
            await news.wait()

    @property
    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.got]

    @asynccontextmanager
    async def session(self, agent: Agent, **options: Any) -> AsyncIterator[Session]:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.serve, self.far)
                endpoint = options.pop("endpoint", Endpoint.custom("http://127.0.0.1:1/v1"))
                async with open_realtime_session(
                    agent, transport=self.connect, endpoint=endpoint, **options
                ) as session:
                    yield session


@pytest.mark.parametrize(
    ("agent", "options"),
    [
        (Agent(), {"settings": SessionSettings(speed=3)}),
        (Agent(), {"settings": SessionSettings(reasoning={"effort": "low"}), "model": "gpt-realtime"}),
        (Agent(voice="nova"), {}),
        (Agent(tools=[Tool(name="t", parameters={"type": "string"}, function=print)]), {}),
        (Agent(), {"settings": SessionSettings(tool_choice={"type": "function", "name": "none_such"})}),
        (Agent(), {"settings": SessionSettings(speed=3), "call_id": "call_1"}),
        (Agent(), {"settings": SessionSettings(input_format="mp3")}),
    ],
    ids=str,
)
async def test_nothing_is_sent_when_a_setting_is_refused_at_opening(agent: Agent, options: dict[str, Any]) -> None:
    server = Server()
    endpoint = Endpoint.custom("http://127.0.0.1:1/v1")
    with trio.fail_after(60), pytest.raises(ConfigurationError):
        async with open_realtime_session(agent, transport=server.connect, endpoint=endpoint, **options):
            pytest.fail("it opened")
    assert not server.connected
    assert server.got == []


async def test_of_a_call_the_model_is_not_known() -> None:
    server = Server()
    settings = SessionSettings(reasoning={"effort": "low"}, transcription=Transcription(model="gpt-realtime-whisper"))
    async with server.session(Agent(), call_id="call_1", settings=settings):
        pass
    assert "model" not in server.got[0]["session"]


async def test_of_a_deployment_the_model_is_not_known() -> None:
    server = Server()
    endpoint = Endpoint.azure(resource="r", deployment="gpt-realtime", api_key="sk-of-azure")
    async with server.session(Agent(), endpoint=endpoint, settings=SessionSettings(parallel_tool_calls=True)):
        pass


async def test_verbs_refuse_and_send_nothing() -> None:
    server = Server()
    async with server.session(Agent(name="Greeter", tools=[get_weather])) as session:
        with pytest.raises(ConfigurationError, match=r"SessionSettings\.speed"):
            await session.update_session(SessionSettings(speed=2))
        with pytest.raises(ConfigurationError, match=r"response\.metadata"):
            await session.respond(metadata={"k": "v" * 600})
        with pytest.raises(ConfigurationError, match=r"response\.max_output_tokens"):
            await session.ask("Hi", max_output_tokens=0)
        with pytest.raises(ConfigurationError, match=r"response\.tool_choice\.name"):
            await session.ask("Hi", tool_choice={"type": "function", "name": "nope"})
        with pytest.raises(ConfigurationError, match="voice of agent 'Bad'"):
            await session.update_agent(Agent(name="Bad", voice="onyx"))
        with pytest.raises(ConfigurationError, match=r"event\.event_id"):
            await session.send_raw_event({"type": "input_audio_buffer.clear", "event_id": "e" * 513})
        assert session.current_agent.name == "Greeter"
        assert server.kinds == ["session.update"]
        await session.update_session(SessionSettings(speed=1.2))
        await session.respond(metadata={"k": "v"}, tool_choice={"type": "function", "name": "get_weather"})
        await server.wait_for("response.create")
    assert server.kinds == ["session.update", "session.update", "response.create"]


async def test_a_bad_target_is_a_failed_handoff_and_the_model_is_told() -> None:
    server = Server()
    bad = Agent(name="Bad", tools=[Tool(name="t", parameters={"type": "string"}, function=print)])
    async with server.session(Agent(name="Greeter", handoffs=[bad])) as session:
        response = {"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []}
        call = {
            "id": "item_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "c",
            "name": "transfer_to_bad",
        }
        await server.say("response.created", response=response)
        await server.say(
            "response.output_item.done", response_id="resp_1", output_index=0, item={**call, "arguments": "{}"}
        )
        await server.say("response.done", response={**response, "status": "completed"})
        told = (await server.wait_for("conversation.item.create"))["item"]
        assert told["output"].startswith(
            "Error: Handoff failed - parameters.type of tool 't' of agent 'Bad' must be 'object'"
        )
        assert session.current_agent.name == "Greeter"
        await server.wait_for("response.create")
    assert server.kinds.count("session.update") == 1


async def test_a_warning_is_logged_once_per_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="trio_codex.session")
    server = Server()
    async with server.session(Agent(), model="gpt-4o-realtime-preview") as session:
        await session.update_session(SessionSettings(speed=1.1))
        await session.update_session(SessionSettings(speed=1.2))
    warnings = [record.getMessage() for record in caplog.records if "shut down" in record.getMessage()]
    assert len(warnings) == 1
    assert "2026-05-07" in warnings[0]
