from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing

from trio_codex import Agent, Handoff, SemanticVAD, SessionSettings, tool
from trio_codex.errors import ConfigurationError, LocalProtocolError, ServerRefused
from trio_codex.events import (
    AgentStartEvent,
    ErrorEvent,
    HandoffEvent,
    HistoryAddedEvent,
    HistoryUpdatedEvent,
    ResponseDoneEvent,
    ToolEndEvent,
    ToolStartEvent,
    UsageEvent,
)
from trio_codex.protocol import (
    ContentPart,
    ConversationItemCreate,
    ConversationItemTruncate,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    UnknownEvent,
)
from trio_codex.testing import Call, Line, answer, scripted_session

CLOCK = "virtual"

MANUAL = SessionSettings(turn_detection=None)
TENTH = b"\x01\x02" * 2400  # of a second


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def begin(line: Line, create: ResponseCreate | None = None, response_id: str = "resp") -> None:
    """A response runs, and says nothing yet."""
    metadata = create.response.metadata if create and create.response else None
    response = {"id": response_id, "status": "in_progress", "conversation_id": "conv", "metadata": metadata}
    await line.say("response.created", response=response)
    await settle()


async def done(line: Line, response_id: str = "resp", status: str = "completed", **fields: Any) -> None:
    await line.say("response.done", response={"id": response_id, "status": status, "output": [], **fields})
    await settle()


async def refuse(line: Line, event: Any, code: str, message: str = "no", **fields: Any) -> None:
    error = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event.event_id, **fields}
    await line.say("error", error=error)
    await settle()


# --- send_message --------------------------------------------------------------------------------------------------------


async def test_a_message_asks_for_an_answer() -> None:
    async with scripted_session() as (session, line):
        item_id = await session.send_message("Hello")
        created = await line.expect(ConversationItemCreate)
        assert created.item.id == item_id
        assert created.item.role == "user"
        assert created.item.content == (ContentPart(type="input_text", text="Hello"),)
        await line.expect(ResponseCreate)


async def test_a_message_may_ask_for_nothing() -> None:
    async with scripted_session() as (session, line):
        await session.send_message("By the way", respond=False)
        await line.expect(ConversationItemCreate)
        await line.expect_nothing(20)


async def test_messages_during_an_answer_are_answered_by_one_more() -> None:
    async with scripted_session() as (session, line):
        await session.send_message("one")
        await line.expect(ConversationItemCreate)
        await begin(line, await line.expect(ResponseCreate))
        await session.send_message("two")
        await session.send_message("three")
        await line.expect(ConversationItemCreate)
        await line.expect(ConversationItemCreate)
        await line.expect_nothing(20)
        await done(line)
        await answer(line, await line.expect(ResponseCreate))
        await line.expect_nothing(20)


async def test_parts() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    async with scripted_session() as (session, line):
        await session.send_message(["Look:", image, ContentPart(type="input_text", text="What is it?")])
        content = (await line.expect(ConversationItemCreate)).item.content
        assert [part.type for part in content] == ["input_text", "input_image", "input_text"]
        assert content[1].image_url == image["image_url"]


@pytest.mark.parametrize("content", [[{"type": "input_text", "text": 5}], [5], [{"text": b"\xff"}]])
async def test_what_is_no_part(content: Any) -> None:
    async with scripted_session() as (session, line):
        with pytest.raises(ConfigurationError):
            await session.send_message(content)
        await session.send_message("still fine", respond=False)
        await line.expect(ConversationItemCreate)


async def test_odd_characters_arrive() -> None:
    """Half of a surrogate pair, which UTF-8 cannot say, does not cost the message."""
    async with scripted_session() as (session, line):
        await session.send_message("a\ud800b\x00\U0001f3a4", respond=False)
        assert (await line.expect(ConversationItemCreate)).item.content[0].text == "a?b\x00\U0001f3a4"


# --- send_audio ----------------------------------------------------------------------------------------------------------


async def test_audio_without_turn_detection() -> None:
    async with scripted_session(settings=MANUAL) as (session, line):
        await session.send_audio(TENTH)
        session.send_audio_nowait(TENTH)
        await session.send_audio(b"", commit=True)
        assert (await line.expect(InputAudioBufferAppend)).audio == TENTH
        assert (await line.expect(InputAudioBufferAppend)).audio == TENTH
        await line.expect(InputAudioBufferCommit)
        await line.expect(ResponseCreate)


async def test_a_commit_may_ask_for_nothing() -> None:
    async with scripted_session(settings=MANUAL) as (session, line):
        await session.send_audio(TENTH, commit=True, respond=False)
        await line.expect(InputAudioBufferAppend)
        await line.expect(InputAudioBufferCommit)
        await line.expect_nothing(20)


async def test_a_commit_with_turn_detection_waits_for_what_the_server_made_of_it() -> None:
    async with scripted_session() as (session, line):
        await session.send_audio(TENTH, commit=True)
        await line.expect(InputAudioBufferAppend)
        await line.expect(InputAudioBufferCommit)
        await line.expect_nothing(1)
        await line.say("input_audio_buffer.committed", item_id="item_u")
        await line.expect(ResponseCreate)


async def test_a_commit_after_the_server_noticed_first_asks_for_nothing() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([ErrorEvent]) as errors:
            await line.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
            await line.say("input_audio_buffer.speech_stopped", item_id="item_u", audio_end_ms=90)
            await line.say("input_audio_buffer.committed", item_id="item_u")
            await session.send_audio(TENTH, commit=True)
            await line.expect(InputAudioBufferAppend)
            commit = await line.expect(InputAudioBufferCommit)
            await refuse(line, commit, "input_audio_buffer_commit_empty")
            await answer(line)
            await line.expect_nothing(20)
            await session.aclose()
            assert [event async for event in errors] == []


async def test_too_little_to_commit() -> None:
    async with scripted_session(settings=MANUAL) as (session, line):
        with pytest.raises(LocalProtocolError, match="100 ms"):
            await session.send_audio(TENTH[:-2], commit=True)
        await line.expect_nothing(1)
        await session.send_audio(TENTH, commit=True)
        await line.expect(InputAudioBufferAppend)


async def test_half_a_sample_waits_for_its_other_half() -> None:
    async with scripted_session() as (session, line):
        await session.send_audio(b"\x01\x02\x03")
        await session.send_audio(b"\x04")
        await session.send_audio(memoryview(b"\x05\x06"))  # type: ignore[arg-type] # whatever is bytes will do
        assert [(await line.expect(InputAudioBufferAppend)).audio for _ in range(3)] == [b"\1\2", b"\3\4", b"\5\6"]


async def test_long_audio_is_cut_into_frames_that_the_api_takes() -> None:
    async with scripted_session() as (session, line):
        pcm = bytes(range(256)) * (10 << 12)  # 10 MiB
        await session.send_audio(pcm)
        await session.send_message("after", respond=False)
        pieces = []
        async for event in line:
            if not isinstance(event, InputAudioBufferAppend):
                break
            pieces.append(event.audio)
        assert b"".join(pieces) == pcm
        assert all(len(piece) < 15 << 20 for piece in pieces)


# --- respond -------------------------------------------------------------------------------------------------------------


async def test_respond_tells_what_is_different_this_time() -> None:
    async with scripted_session() as (session, line):
        await session.respond(instructions="Shout.", tool_choice="none", metadata={"mine": "1"})
        params = (await line.expect(ResponseCreate)).response
        assert params is not None
        assert (params.instructions, params.tool_choice) == ("Shout.", "none")
        assert params.metadata is not None
        assert params.metadata["mine"] == "1"


async def test_each_respond_gets_its_own_answer_in_order() -> None:
    async with scripted_session() as (session, line):
        for number in range(3):
            await session.respond(instructions=str(number))
        for number in range(3):
            create = await line.expect(ResponseCreate)
            assert create.response is not None
            assert create.response.instructions == str(number)
            await line.expect_nothing(1)
            await answer(line, create)
        await line.expect_nothing(20)


async def test_respond_with_what_a_response_cannot_be_told() -> None:
    async with scripted_session() as (session, line):
        with pytest.raises(ConfigurationError):
            await session.respond(metadata=5)
        await line.expect_nothing(1)


async def test_a_lost_race_is_run_again() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([ErrorEvent]) as errors:
            await session.send_message("hello")
            await line.expect(ConversationItemCreate)
            await refuse(line, await line.expect(ResponseCreate), "conversation_already_has_active_response")
            await line.expect_nothing(1)
            await answer(line)
            await answer(line, await line.expect(ResponseCreate))
            await line.expect_nothing(20)
            await session.aclose()
            assert [event async for event in errors] == []


# --- ask -----------------------------------------------------------------------------------------------------------------


async def test_ask() -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await answer(line, await line.expect(ResponseCreate), "Half past ten.", audio=[b"\1\2", b"\3\4"])

    async with scripted_session(None, script) as (session, _):
        reply = await session.ask("What time is it?")
        assert (reply.transcript, reply.audio, reply.status) == ("Half past ten.", b"\1\2\3\4", "completed")
        assert [item.type for item in reply.items] == ["message"]


async def test_ask_waits_for_tools() -> None:
    @tool
    async def clock() -> str:
        """Tell the time."""
        await trio.sleep(100)
        return "10:30"

    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await answer(line, await line.expect(ResponseCreate), calls=[Call("c1", "clock")])
        assert (await line.expect(ConversationItemCreate, within=200)).item.output == "10:30"
        await answer(line, await line.expect(ResponseCreate), "Half past ten.")

    async with scripted_session(Agent(tools=[clock]), script) as (session, _):
        reply = await session.ask("What time is it?")
        assert reply.transcript == "Half past ten."
        assert [item.type for item in reply.items] == ["function_call", "message"]


async def test_ask_nothing() -> None:
    async def script(line: Line) -> None:
        await answer(line, await line.expect(ResponseCreate), "Hello!")

    async with scripted_session(None, script) as (session, _):
        assert (await session.ask()).transcript == "Hello!"


async def test_ask_out_of_band_runs_beside_the_conversation() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        await begin(line, await line.expect(ResponseCreate))
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                reply = await session.ask("Summarise.", out_of_band=True)
                assert reply.transcript == "All is well."

            nursery.start_soon(ask)
            create = await line.expect(ResponseCreate)
            assert create.response is not None
            assert create.response.conversation == "none"
            assert create.response.input is not None
            assert create.response.input[0].content[0].text == "Summarise."
            await answer(line, create, "All is well.")
        assert session.history == ()
        await done(line)


@pytest.mark.parametrize(("status", "reason"), [("cancelled", "client_cancelled"), ("incomplete", "max_output_tokens")])
async def test_ask_returns_with_the_status_of_what_was_not_completed(status: str, reason: str) -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        create = await line.expect(ResponseCreate)
        await answer(line, create, "Half", status=status, details={"type": status, "reason": reason})

    async with scripted_session(None, script) as (session, _):
        reply = await session.ask("What time is it?")
        assert (reply.transcript, reply.status) == ("Half", status)


@pytest.mark.parametrize(
    "details",
    [{"type": "failed", "error": {"type": "server_error", "code": "boom", "message": "it broke"}}, "it broke"],
)
async def test_ask_raises_what_failed(details: Any) -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await answer(line, await line.expect(ResponseCreate), status="failed", details=details)

    async with scripted_session(None, script) as (session, _):
        with pytest.raises(ServerRefused, match="it broke"):
            await session.ask("What time is it?")


async def test_ask_raises_when_the_create_is_refused() -> None:
    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await refuse(line, await line.expect(ResponseCreate), "invalid_value", "no such voice", param="response.voice")

    async with scripted_session(None, script) as (session, _):
        with pytest.raises(ServerRefused, match="no such voice") as caught:
            await session.ask("What time is it?")
        assert caught.value.param == "response.voice"


async def test_cancelling_ask_cancels_its_response() -> None:
    async with scripted_session() as (session, line):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.ask, "What time is it?")
            await line.expect(ConversationItemCreate)
            await begin(line, await line.expect(ResponseCreate))
            nursery.cancel_scope.cancel()
        assert (await line.expect(ResponseCancel)).response_id == "resp"
        await done(line, status="cancelled")
        await line.expect_nothing(20)


async def test_cancelling_ask_before_its_response_has_begun() -> None:
    async with scripted_session() as (session, line):
        with trio.move_on_after(1):
            await session.ask("What time is it?")
        await line.expect(ConversationItemCreate)
        await begin(line, await line.expect(ResponseCreate))
        assert (await line.expect(ResponseCancel)).response_id == "resp"


async def test_cancelling_ask_that_waits_its_turn_withdraws_it() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        await begin(line, await line.expect(ResponseCreate))
        with trio.move_on_after(1):
            await session.ask("What time is it?")
        await line.expect(ConversationItemCreate)
        await done(line)
        await line.expect_nothing(20)


# --- interrupt -----------------------------------------------------------------------------------------------------------


async def test_interrupt_cancels_and_cuts_to_what_was_heard() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        await begin(line, await line.expect(ResponseCreate))
        where = {"response_id": "resp", "item_id": "item", "output_index": 0, "content_index": 0}
        await line.say("response.output_audio.delta", **where, delta=bytes(48_000))
        await settle()
        await trio.sleep(0.25)
        await session.interrupt()
        assert (await line.expect(ResponseCancel)).response_id == "resp"
        cut = await line.expect(ConversationItemTruncate)
        assert (cut.item_id, cut.content_index, cut.audio_end_ms) == ("item", 0, 250)


async def test_interrupt_when_nobody_speaks() -> None:
    async with scripted_session() as (session, line):
        await session.interrupt()
        await line.expect_nothing(1)


async def test_a_cancel_that_came_too_late_is_no_error() -> None:
    async with scripted_session() as (session, line):
        with session.subscribe([ErrorEvent]) as errors:
            await session.respond()
            await begin(line, await line.expect(ResponseCreate))
            await session.interrupt()
            await refuse(line, await line.expect(ResponseCancel), "response_cancel_not_active")
            await session.aclose()
            assert [event async for event in errors] == []


# --- raw events ----------------------------------------------------------------------------------------------------------


async def test_raw_events() -> None:
    async with scripted_session() as (session, line):
        event_id = await session.send_raw_event({"type": "input_audio_buffer.clear"})
        assert (await line.expect(InputAudioBufferClear)).event_id == event_id
        assert await session.send_raw_event({"type": "input_audio_buffer.clear", "event_id": "mine"}) == "mine"
        assert (await line.expect(InputAudioBufferClear)).event_id == "mine"
        event_id = await session.send_raw_event({"type": "brand.new", "news": [1]})
        new = await line.expect(UnknownEvent)
        assert new.body == {"type": "brand.new", "news": [1], "event_id": event_id}


async def test_a_raw_create_takes_part_in_the_sequencing() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        await begin(line, await line.expect(ResponseCreate))
        await session.send_raw_event({"type": "response.create", "event_id": "mine"})
        await line.expect_nothing(1)
        await done(line)
        assert (await line.expect(ResponseCreate)).event_id == "mine"


async def test_a_raw_update_takes_part_in_the_sequencing() -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_session, SessionSettings(speed=1.1))
            first = await line.expect(SessionUpdate)
            raw = {"type": "session.update", "event_id": "mine", "session": {"type": "realtime", "instructions": "!"}}
            await session.send_raw_event(raw)
            await line.expect_nothing(1)
            await line.acknowledge(first)
            assert (await line.expect(SessionUpdate)).event_id == "mine"


@pytest.mark.parametrize(
    "event", [{}, {"type": 5}, {"type": "response.create", "response": 5}, {"type": {1, 2}}, {1: 2}]
)
async def test_what_is_no_client_event(event: Any) -> None:
    async with scripted_session() as (session, line):
        with pytest.raises(LocalProtocolError, match="not a client event"):
            await session.send_raw_event(event)
        await line.expect_nothing(1)


# --- update_session ------------------------------------------------------------------------------------------------------


async def test_update_session_returns_once_acknowledged() -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        async with trio.open_nursery() as nursery:

            async def agree() -> None:
                update = await line.expect(SessionUpdate)
                assert update.session.audio.input.turn_detection.eagerness == "low"
                await trio.sleep(3)
                await line.acknowledge(update)

            nursery.start_soon(agree)
            started = trio.current_time()
            await session.update_session(SessionSettings(turn_detection=SemanticVAD(eagerness="low")))
            assert trio.current_time() - started == 3


async def test_no_timer_outlives_what_it_was_for() -> None:
    async with scripted_session() as (session, _):
        await trio.testing.wait_all_tasks_blocked()
        tasks = trio.lowlevel.current_statistics().tasks_living
        for speed in (0.9, 1.1):
            await session.update_session(SessionSettings(speed=speed))
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_update_session_refused() -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        async with trio.open_nursery() as nursery:

            async def disagree() -> None:
                await refuse(line, await line.expect(SessionUpdate), "invalid_value", "too fast", param="speed")

            nursery.start_soon(disagree)
            with pytest.raises(ServerRefused, match="too fast") as caught:
                await session.update_session(SessionSettings(speed=1.5))
            assert (caught.value.code, caught.value.param) == ("invalid_value", "speed")


async def test_update_session_that_nobody_answers() -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        started = trio.current_time()
        with pytest.raises(ServerRefused) as caught:
            await session.update_session(SessionSettings(speed=1.5))
        assert caught.value.code == "timeout"
        assert trio.current_time() - started == 10


async def test_cancelling_update_session_stops_the_waiting_only() -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        with trio.move_on_after(1):
            await session.update_session(SessionSettings(speed=1.5))
        await line.acknowledge(await line.expect(SessionUpdate))
        line.acknowledges = True
        await session.update_session(SessionSettings(speed=1.1))


# --- update_agent --------------------------------------------------------------------------------------------------------


async def test_update_agent() -> None:
    other = Agent(name="Other", instructions="Be other.")
    async with scripted_session() as (session, line):
        before = session.current_agent
        with session.subscribe([HandoffEvent, AgentStartEvent]) as events:
            await session.update_agent(other)
            assert session.current_agent is other
            assert line.settings["instructions"] == "Be other."
            await answer(line, words="Hello")
            assert await anext(events) == HandoffEvent(before, other)
            assert await anext(events) == AgentStartEvent(other)


async def test_update_agent_waits_for_the_running_answer() -> None:
    async with scripted_session() as (session, line):
        await session.respond()
        await begin(line, await line.expect(ResponseCreate))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_agent, Agent(name="Other"))
            await trio.sleep(5)
            assert session.current_agent.name == "Agent"
            with pytest.raises(LocalProtocolError, match="under way"):
                await session.update_agent(Agent(name="Third"))
            await done(line)
        assert session.current_agent.name == "Other"


async def test_update_agent_whose_callables_raise() -> None:
    error = ZeroDivisionError("mine")

    def instructions(context: Any) -> str:
        raise error

    async with scripted_session() as (session, line):
        with pytest.raises(ZeroDivisionError) as caught:
            await session.update_agent(Agent(instructions=instructions))
        assert caught.value is error
        assert session.current_agent.name == "Agent"
        await line.expect_nothing(1)


async def test_update_agent_refused() -> None:
    async with scripted_session() as (session, line):
        line.acknowledges = False
        async with trio.open_nursery() as nursery:

            async def disagree() -> None:
                await refuse(line, await line.expect(SessionUpdate), "invalid_value", "no such tool")

            nursery.start_soon(disagree)
            with pytest.raises(ServerRefused, match="no such tool"):
                await session.update_agent(Agent(name="Other"))
        assert session.current_agent.name == "Agent"


# --- handoffs by the model -----------------------------------------------------------------------------------------------


async def test_a_handoff() -> None:
    notified: list[Any] = []

    async def on_handoff(context: Any) -> None:
        await trio.sleep(2)
        notified.append(context)

    support = Agent(name="TechSupport", instructions="Fix it.")
    greeter = Agent(name="Greeter", handoffs=[Handoff(support, on_handoff=on_handoff)])
    kinds = (ToolStartEvent, ToolEndEvent, HandoffEvent, AgentStartEvent)
    async with scripted_session(greeter, context="ctx") as (session, line):
        with session.subscribe(kinds) as events:
            await session.send_message("help")
            await line.expect(ConversationItemCreate)
            create = await line.expect(ResponseCreate)
            line.acknowledges = False
            await answer(line, create, calls=[Call("c1", "transfer_to_techsupport")])
            update = await line.expect(SessionUpdate)
            assert notified == ["ctx"]
            assert update.session.instructions == "Fix it."
            assert session.current_agent is greeter
            await line.expect_nothing(1)
            await line.acknowledge(update)
            output = (await line.expect(ConversationItemCreate)).item
            assert output.output == "Handoff complete. You are now connected to TechSupport."
            assert session.current_agent is support
            await answer(line, await line.expect(ResponseCreate), "Hello")
            seen = [type(await anext(events)).__name__ for _ in range(5)]
            assert seen == ["AgentStartEvent", "ToolStartEvent", "HandoffEvent", "ToolEndEvent", "AgentStartEvent"]


async def test_a_voice_that_cannot_change_any_more_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent(voice="alloy", handoffs=[Agent(name="Deep", voice="ash")])
    async with scripted_session(agent) as (session, line):
        caplog.clear()
        await answer(line, None, "Hello", audio=TENTH)
        await answer(line, calls=[Call("c1", "transfer_to_deep")])
        await line.expect(ConversationItemCreate)
        assert session.current_agent.name == "Deep"
        assert line.settings["audio"]["output"]["voice"] == "alloy"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["Deep keeps the voice of the call: it cannot change once audio was heard"]


async def test_a_handoff_that_is_interrupted_while_its_callable_runs() -> None:
    async def on_handoff(context: Any) -> None:
        await trio.sleep(5)

    agent = Agent(name="Greeter", handoffs=[Handoff(Agent(name="Other"), on_handoff=on_handoff)])
    async with scripted_session(agent) as (session, line):
        with session.subscribe([ToolStartEvent, HandoffEvent]) as events:
            await answer(line, calls=[Call("c1", "transfer_to_other")])
            assert isinstance(await anext(events), ToolStartEvent)
            await trio.sleep(1)  # the answer is over, the callable is not
            await session.interrupt()
            output = (await line.expect(ConversationItemCreate)).item
            assert output.output == "Error: Handoff failed - the response was interrupted"
            await line.expect_nothing(10)
            assert session.current_agent is agent
            await session.send_message("And now?")
            await line.expect(ConversationItemCreate)
            await answer(line, await line.expect(ResponseCreate), "Still me")


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_handoff_whose_callable_raises(grouped: bool) -> None:
    async def on_handoff(context: Any) -> None:
        if grouped:
            async with trio.open_nursery():
                raise ZeroDivisionError("not today")
        raise ZeroDivisionError("not today")

    agent = Agent(name="Greeter", handoffs=[Handoff(Agent(name="Other"), on_handoff=on_handoff)])
    async with scripted_session(agent) as (session, line):
        await answer(line, calls=[Call("c1", "transfer_to_other")])
        output = (await line.expect(ConversationItemCreate)).item
        assert isinstance(output, FunctionCallOutput)
        assert output.output == "Error: Handoff failed - not today"
        await line.expect(ResponseCreate)
        assert session.current_agent is agent


# --- what stands without waiting -----------------------------------------------------------------------------------------


async def test_usage_and_history_are_current() -> None:
    usage = {
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_token_details": {"cached_tokens": 5, "audio_tokens": 7},
        "output_token_details": {"audio_tokens": 3},
    }
    async with scripted_session() as (session, line):
        kinds = (HistoryAddedEvent, HistoryUpdatedEvent, UsageEvent, ResponseDoneEvent)
        with session.subscribe(kinds) as events:
            item = {"id": "item", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
            await line.say("conversation.item.added", item=item)
            event = await anext(events)
            assert isinstance(event, HistoryAddedEvent)
            assert session.history == (event.item,)
            for response_id in ("resp_1", "resp_2"):
                await begin(line, response_id=response_id)
                await done(line, response_id, usage=usage)
            seen = [type(await anext(events)).__name__ for _ in range(3)]
            assert seen == ["HistoryUpdatedEvent", "UsageEvent", "ResponseDoneEvent"]
            assert (session.usage.total_tokens, session.usage.cached_tokens, session.usage.responses) == (60, 10, 2)
