from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from trio_codex import Agent, Endpoint, ServerVAD, SessionSettings, open_realtime_session
from trio_codex.errors import ConfigurationError, ConnectionFailed, ConnectionLost, ServerRefused
from trio_codex.events import ErrorEvent, HistoryAddedEvent
from trio_codex.protocol import ConversationItemCreate, SessionUpdate
from trio_codex.testing import scripted, scripted_session
from trio_codex.transport import Target, Transport

CLOCK = "virtual"


async def refused(line: Any, update: SessionUpdate, **error: Any) -> None:
    await line.say("error", error={"type": "invalid_request_error", "event_id": update.event_id, **error})


# --- what stands when the block is entered -------------------------------------------------------------------------------


async def test_the_settings_are_acknowledged() -> None:
    async def script(line: Any) -> None:
        await line.say("session.created", session={"type": "realtime", "id": "sess_1"})
        update = await line.expect(SessionUpdate)
        assert update.session.instructions == "Be brief."
        assert update.session.audio.output.voice == "alloy"
        await trio.sleep(3)
        await line.acknowledge(update)

    started = trio.current_time()
    agent, settings = Agent(instructions="Be brief."), SessionSettings(voice="alloy")
    async with scripted_session(agent, script, acknowledge=False, settings=settings) as (session, _):
        assert trio.current_time() - started == 3
        assert session.session_id == "sess_scripted"
        assert session.current_agent is agent
        assert session.history == ()


async def test_the_settings_do_not_wait_for_session_created() -> None:
    async def script(line: Any) -> None:
        await line.acknowledge(await line.expect(SessionUpdate))
        await line.say("session.created", session={"type": "realtime", "id": "sess_late"})

    async with scripted_session(None, script, acknowledge=False) as (session, _):
        await trio.testing.wait_all_tasks_blocked()
        assert session.session_id == "sess_late"


async def test_the_sessions_own_stream_begins_before_the_first_frame() -> None:
    async def script(line: Any) -> None:
        await line.say("error", error={"type": "server_error", "message": "the very first frame"})
        await line.acknowledge(await line.expect(SessionUpdate))

    async with scripted_session(None, script, acknowledge=False) as (session, _):
        event = await anext(session.__aiter__())
    assert isinstance(event, ErrorEvent)
    assert event.error.message == "the very first frame"


async def test_while_nobody_says_anything_only_the_reader_runs() -> None:
    async with scripted_session() as (session, line):
        await trio.testing.wait_all_tasks_blocked()
        assert tasks_of_the_session() == ["session reader"]
        await session.send_message("Hello")
        await line.expect(ConversationItemCreate)
        await trio.testing.wait_all_tasks_blocked()
        assert tasks_of_the_session() == ["session reader"]


def tasks_of_the_session() -> list[str]:
    tasks, found = [trio.lowlevel.current_root_task()], []
    while tasks:
        if task := tasks.pop():
            found.append(task.name)
            tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return [name for name in found if name.startswith(("session ", "tool ", "timer"))]


async def test_instructions_may_be_callables_of_the_context() -> None:
    async def instructions(context: dict[str, str]) -> str:
        await trio.sleep(1)
        return f"Speak to {context['name']}."

    async with scripted_session(Agent(instructions=instructions), context={"name": "Ada"}) as (_, line):
        assert line.settings["instructions"] == "Speak to Ada."


async def test_history_is_created_before_anything_else_is_said() -> None:
    history = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello Ada."},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    ]
    async with scripted_session(history=history) as (session, line):
        await session.send_message("Who am I?", respond=False)
        items = [(await line.expect(ConversationItemCreate)).item for _ in range(4)]
    assert [item.type for item in items] == ["message", "message", "function_call", "message"]
    assert [part.type for item in items[:2] for part in item.content] == ["input_text", "output_text"]
    assert items[3].content[0].text == "Who am I?"


async def test_the_history_of_one_session_begins_another() -> None:
    async with scripted_session() as (session, line):
        await session.send_message("My name is Ada.", respond=False)
        created = await line.expect(ConversationItemCreate)
        await line.say("conversation.item.added", item=created.item)
        assert isinstance(await anext(session.__aiter__()), HistoryAddedEvent)
        history = session.history
    async with scripted_session(history=history) as (_, line):
        again = await line.expect(ConversationItemCreate)
        assert again.item.content == created.item.content


# --- where it connects ---------------------------------------------------------------------------------------------------


async def test_the_target() -> None:
    async with scripted() as peer, open_realtime_session(Agent(), transport=peer, api_key="sk-test", connect_timeout=3):
        assert peer.target is not None
        assert peer.target.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
        assert dict(peer.target.headers)["Authorization"] == "Bearer sk-test"
        assert peer.target.timeout == 3
        assert "sk-test" not in repr(peer.target)


async def test_the_target_of_a_call() -> None:
    async with scripted() as peer, open_realtime_session(Agent(), transport=peer, api_key="sk-test", call_id="rtc_1"):
        assert peer.target is not None
        assert peer.target.url == "wss://api.openai.com/v1/realtime?call_id=rtc_1"
    with pytest.raises(ConfigurationError, match="call_id"):
        async with scripted_session(call_id="rtc_1", model="gpt-realtime"):
            raise AssertionError


async def test_a_call_is_not_told_what_calls_refuse(caplog: pytest.LogCaptureFixture) -> None:
    async def script(line: Any) -> None:
        update = await line.expect(SessionUpdate)
        turns = update.session.audio.input.turn_detection
        assert (update.session.audio.input.format, update.session.audio.output.format) == (None, None)
        assert (turns.type, turns.create_response, turns.threshold, turns.silence_duration_ms) == (
            "server_vad",
            False,
            None,
            None,
        )
        assert update.session.audio.output.voice == "marin"
        await line.acknowledge(update)

    turns = ServerVAD(threshold=0.7, silence_duration_ms=300, create_response=False)
    settings = SessionSettings(
        voice="marin", input_format="audio/pcmu", output_format="audio/pcmu", turn_detection=turns
    )
    async with scripted_session(None, script, acknowledge=False, settings=settings, call_id="rtc_1"):
        assert "left out" in caplog.text


async def test_a_key_may_be_asked_for() -> None:
    async def ask() -> str:
        await trio.sleep(1)
        return "sk-asked"

    async with scripted() as peer, open_realtime_session(Agent(), transport=peer, api_key=ask):
        assert peer.target is not None
        assert ("Authorization", "Bearer sk-asked") in peer.target.headers


# --- what can be wrong before anything is connected ----------------------------------------------------------------------


async def nobody(target: Target, /) -> AsyncIterator[Transport]:
    raise AssertionError("something was connected")
    yield


NOBODY: Any = asynccontextmanager(nobody)


async def test_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no API key found"):
        async with open_realtime_session(Agent(), transport=NOBODY):
            raise AssertionError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transport": "carrier-pigeon"}, "no transport 'carrier-pigeon'"),
        ({"history": [{"type": "message", "role": "user", "content": 5}]}, "history"),
        ({"endpoint": Endpoint.custom("http://example.com/v1")}, "unencrypted"),
    ],
)
async def test_configuration_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        async with open_realtime_session(Agent(), **{"transport": NOBODY, "api_key": "sk-test", **options}):
            raise AssertionError


async def test_what_a_callable_of_the_agent_raises_comes_out_as_it_is() -> None:
    error = ZeroDivisionError("mine")

    def instructions(context: Any) -> str:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        async with open_realtime_session(Agent(instructions=instructions), transport=NOBODY, api_key="sk-test"):
            raise AssertionError
    assert caught.value is error


# --- what can go wrong on the way ----------------------------------------------------------------------------------------


async def test_refused_settings() -> None:
    async def script(line: Any) -> None:
        update = await line.expect(SessionUpdate)
        await refused(line, update, code="invalid_value", message="no such voice", param="session.audio.output.voice")
        await line.expect_end()

    with pytest.raises(ServerRefused, match="no such voice") as caught:
        async with scripted_session(None, script, acknowledge=False):
            raise AssertionError
    assert (caught.value.code, caught.value.param) == ("invalid_value", "session.audio.output.voice")
    assert caught.value.event_id is not None


async def test_settings_that_nobody_acknowledges() -> None:
    async def script(line: Any) -> None:
        await line.expect(SessionUpdate)
        await line.expect_end()

    started = trio.current_time()
    with pytest.raises(ConnectionFailed, match="did not acknowledge the settings in 10 s"):
        async with scripted_session(None, script, acknowledge=False):
            raise AssertionError
    assert trio.current_time() - started == 10


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (3000, "invalid_api_key"), (1006, "")])
async def test_the_peer_ends_the_connection_instead(code: int, reason: str) -> None:
    async def script(line: Any) -> None:
        await line.expect(SessionUpdate)
        await line.drop(code, reason)

    with pytest.raises(ConnectionLost) as caught:
        async with scripted_session(None, script, acknowledge=False):
            raise AssertionError
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_a_peer_that_does_not_even_read_is_given_up() -> None:
    started = trio.current_time()
    async with scripted(acknowledge=False) as peer:
        with peer.line.deaf(), pytest.raises(ConnectionFailed):
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test"):
                raise AssertionError
    assert trio.current_time() - started == 10


async def test_cancelling_the_opening_takes_no_time_even_when_nobody_reads() -> None:
    started = trio.current_time()
    async with scripted(acknowledge=False) as peer:
        with peer.line.deaf(), trio.move_on_after(1) as scope:
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test"):
                raise AssertionError
    assert scope.cancelled_caught
    assert trio.current_time() - started == 1


async def test_what_a_connector_raises_comes_out_as_it_is() -> None:
    error = ConnectionFailed("nobody at home", status=503, body="busy")

    @asynccontextmanager
    async def connect(target: Target, /) -> AsyncIterator[Transport]:
        await trio.sleep(1)
        raise error
        yield

    with pytest.raises(ConnectionFailed) as caught:
        async with open_realtime_session(Agent(), transport=connect, api_key="sk-test"):
            raise AssertionError
    assert caught.value is error
