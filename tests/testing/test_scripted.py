from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_codex import Agent, open_realtime_session
from trio_codex.errors import ConfigurationError, ConnectionFailed, ConnectionLost, ServerRefused
from trio_codex.events import TranscriptDeltaEvent
from trio_codex.protocol import (
    ConversationItemCreate,
    InputAudioBufferAppend,
    ResponseCreate,
    ServerEvent,
    SessionUpdate,
    decode_server_event,
)
from trio_codex.testing import Line, ScriptFailed, Steps, answer, scripted, scripted_server, scripted_session

pytestmark = pytest.mark.deadline(24 * 3600)

PIECE = bytes(4800)


async def test_the_example(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await line.expect(ResponseCreate)
        await line.say("response.created", response={"id": "resp_1", "status": "in_progress"})
        await line.say("response.done", response={"id": "resp_1", "status": "completed", "output": []})

    async with scripted(script) as peer, open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
        reply = await session.ask("What is the weather?")
    assert reply.status == "completed"


async def test_the_test_may_be_the_script(autojump_clock: MockClock) -> None:
    async with scripted_session() as (session, line):
        await session.send_message("hello", respond=False)
        created = await line.expect("conversation.item.create")
        assert created.item.content[0].text == "hello"
        await line.expect_nothing(3600)


# --- what does not go as the script wants --------------------------------------------------------------------------------


async def test_another_event_came(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        await line.say("error", error={"type": "server_error", "message": "boo"})
        await line.expect(ResponseCreate)

    with pytest.raises(ScriptFailed) as caught:
        async with scripted_session(None, script) as (session, _):
            await session.send_message("hello")
            await trio.sleep_forever()
    message = str(caught.value)
    assert message.startswith("expected ResponseCreate, but ConversationItemCreate came: ConversationItemCreate(")
    frames = message.splitlines()[1:]
    assert frames[0] == "the last frames (> from the session, < from the script):"
    assert [frame[:3].strip() for frame in frames[1:]].count(">") >= 2
    assert any('< {"event_id":"event_s' in frame and '"boo"' in frame for frame in frames)
    assert any('> {"type":"conversation.item.create"' in frame for frame in frames)
    assert all(len(frame) < 180 for frame in frames)


@pytest.mark.parametrize("kind", [ResponseCreate, "response.create"])
async def test_nothing_came(kind: Any, autojump_clock: MockClock) -> None:
    async with scripted_session() as (_, line):
        started = trio.current_time()
        with pytest.raises(ScriptFailed, match=r"^expected \S+, but nothing came for 60 s"):
            await line.expect(kind)
        with pytest.raises(ScriptFailed, match="but nothing came for 3600 s"):
            await line.expect(kind, within=3600)
        assert trio.current_time() - started == 3660


async def test_the_session_hung_up(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        await line.expect(ResponseCreate)

    with pytest.raises(ScriptFailed, match=r"expected ResponseCreate, but the session hung up \(.*1000\)"):
        async with scripted_session(None, script):
            pass


async def test_the_session_hung_up_before_all_was_said(autojump_clock: MockClock) -> None:
    async with scripted_session() as (session, line):
        await session.aclose()
        with pytest.raises(ScriptFailed, match=r'wanted to say \{.*"brand.new".*, but the session hung up'):
            await line.say("brand.new")


async def test_no_session_ever_connected(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        await line.expect(SessionUpdate)

    with pytest.raises(ScriptFailed, match="hung up"):
        async with scripted(script):
            pass


async def test_something_came_where_nothing_was_expected(autojump_clock: MockClock) -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        with pytest.raises(ScriptFailed, match="expected nothing, but ResponseCreate came"):
            await line.expect_nothing()
        await session.respond()
        with pytest.raises(ScriptFailed, match="the session is still there after 5 s"):
            await line.expect_end(within=5)
        await session.send_raw_event({"type": "input_audio_buffer.clear"})
        with pytest.raises(ScriptFailed, match="expected the end, but InputAudioBufferClear came"):
            await line.expect_end()


async def test_the_tests_own_failure_comes_first(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        await line.expect(ResponseCreate)

    error = AssertionError("the test's own")
    with pytest.raises(AssertionError) as caught:
        async with scripted_session(None, script):
            raise error
    assert caught.value is error
    assert "what runs beside the test failed as well: ScriptFailed(" in error.__notes__[0]


async def test_what_a_script_raises_ends_the_test(autojump_clock: MockClock) -> None:
    error = ZeroDivisionError("in the script")

    async def script(line: Line) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        async with scripted_session(None, script):
            await trio.sleep_forever()
    assert caught.value is error


async def test_one_connection_each(autojump_clock: MockClock) -> None:
    async with scripted() as peer:
        async with open_realtime_session(Agent(), transport=peer, api_key="sk-test"):
            pass
        with pytest.raises(ConnectionFailed, match="one connection"):
            async with open_realtime_session(Agent(), transport=peer, api_key="sk-test"):
                raise AssertionError


# --- saying --------------------------------------------------------------------------------------------------------------


async def test_three_ways_to_say_an_event(autojump_clock: MockClock) -> None:
    where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    frame = '{"type":"response.output_audio_transcript.delta","event_id":"e","response_id":"r","item_id":"i",'
    event: ServerEvent = decode_server_event(frame + '"output_index":0,"content_index":0,"delta":"two"}')
    async with scripted_session() as (session, line):
        await line.say({"type": "response.output_audio_transcript.delta", **where, "delta": "one"})
        await line.say(event)
        await line.say("response.output_audio_transcript.delta", **where, delta="three")
        words = []
        async for event_ in session:
            assert isinstance(event_, TranscriptDeltaEvent)
            words.append(event_.delta)
            if len(words) == 3:
                break
        assert words == ["one", "two", "three"]


async def test_audio_and_wire_objects_may_stand_in_what_is_said(autojump_clock: MockClock) -> None:
    async with scripted_session() as (session, line):
        await session.send_message("hello", respond=False)
        created = await line.expect(ConversationItemCreate)
        await line.say("conversation.item.added", item=created.item)
        await trio.testing.wait_all_tasks_blocked()
        assert session.history[0].text == "hello"
        with pytest.raises(TypeError):
            await line.say("news", about=object())


async def test_a_whole_answer_is_the_apis(autojump_clock: MockClock) -> None:
    said: list[str] = []

    class Recorder(Line):
        async def say_frame(self, frame: str) -> None:
            said.append(decode_server_event(frame).type)

    await answer(Recorder(), words="Hello", audio=[PIECE, PIECE])
    assert said == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]


# --- hearing -------------------------------------------------------------------------------------------------------------


async def test_updates_are_acknowledged_unless_the_script_wants_to(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        update = await line.expect(SessionUpdate)
        line.acknowledges = True
        await line.acknowledge(update)

    async with scripted_session(Agent(instructions="Be brief."), script, acknowledge=False) as (session, line):
        assert line.settings["instructions"] == "Be brief."
        await session.update_agent(Agent(instructions="Be verbose."))
        assert line.settings["instructions"] == "Be verbose."


async def test_all_events_by_iteration(autojump_clock: MockClock) -> None:
    async with scripted() as peer:
        async with open_realtime_session(Agent(), transport=peer, api_key="sk-test") as session:
            for _ in range(5):
                await session.send_audio(PIECE)
        assert [type(event) async for event in peer.line] == [InputAudioBufferAppend] * 5


async def test_a_deaf_line_makes_the_session_wait(autojump_clock: MockClock) -> None:
    async with scripted_session() as (session, line):
        with line.deaf():
            with pytest.raises(trio.WouldBlock):
                while True:
                    session.send_audio_nowait(PIECE)
            await line.expect_nothing(5)
        await line.expect(InputAudioBufferAppend)


@pytest.mark.parametrize(("code", "reason"), [(1006, ""), (1001, "the hour is over")])
async def test_drop(code: int, reason: str, autojump_clock: MockClock) -> None:
    async with scripted_session() as (session, line):
        await line.drop(code, reason)
        with pytest.raises(ConnectionLost) as caught:
            async for _ in session:
                pass
        assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_the_same_script_over_a_socket() -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await answer(line, await line.expect(ResponseCreate), "Hello")
        assert (await line.expect_end()).code == 1000

    with trio.fail_after(2):
        async with (
            scripted_server(script) as server,
            open_realtime_session(Agent(), endpoint=server.endpoint) as session,
        ):
            assert (await session.ask("Hello?")).transcript == "Hello"


async def test_a_server_that_nobody_calls() -> None:
    with trio.fail_after(2):
        async with scripted_server():
            pass


# --- steps ---------------------------------------------------------------------------------------------------------------


def test_steps_are_counted_and_something_is_done_after_one() -> None:
    async def program(scope: trio.CancelScope, done: list[int]) -> None:
        with scope:
            for number in range(10):
                await trio.lowlevel.checkpoint()
                done.append(number)

    def mine(task: trio.lowlevel.Task) -> bool:
        return "program" in task.name

    steps = Steps(of=mine)
    trio.run(program, trio.CancelScope(), [], instruments=[steps])
    assert steps.count == 11
    for at in range(1, steps.count + 1):
        scope, done = trio.CancelScope(), []
        trio.run(program, scope, done, instruments=[Steps(at, lambda task, scope=scope: scope.cancel(), of=mine)])  # type: ignore[misc]
        assert len(done) == min(at - 1, 10)


# --- faults between script and session -----------------------------------------------------------------------------------


async def test_a_fault_changes_what_the_script_says(autojump_clock: MockClock) -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await answer(line, await line.expect(ResponseCreate), "Hello.", audio=[PIECE] * 3)

    async with scripted_session(None, script, faults=["failed-response:details=string"]) as (session, _):
        with pytest.raises(ServerRefused, match="had an error"):
            await session.ask("hello")


async def test_a_fault_answers_before_the_script(autojump_clock: MockClock) -> None:
    with pytest.raises(ServerRefused):
        async with scripted_session(faults=["reject-update"]):
            raise AssertionError
    async with scripted_session(faults=["error-event"]) as (session, line):
        with pytest.raises(ServerRefused):
            await session.ask("hello")
        await line.expect(ConversationItemCreate)
        await line.expect_nothing()
        await line.say_frame("not the protocol")


async def test_faults_of_sockets_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="the fault drop needs a server with sockets; here there are reject-update"
    ):
        async with scripted(faults=["drop"]):
            raise AssertionError
