"""What a session does about each fault of the local server: a typed error or recovery, nothing lost silently, nothing left running."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_codex import Agent, Session, SessionSettings, Transcription, events, open_realtime_session, tool
from trio_codex.diagnostics import skip_reason_for_error
from trio_codex.errors import ConnectionFailed, ConnectionLost, ServerRefused
from trio_codex.protocol import AnswerRequest
from trio_codex.server import Answer, LocalServer, open_local_server
from trio_codex.server.faults import FAULTS
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

CONNECTORS = ["trio-websocket", "lean"]
LIMIT_S = 60.0
TURN = b"\x40\x1f" * 2400  # 100 ms that are not silence
SECOND = 48_000

tried: set[str] = set()


@pytest.fixture(params=CONNECTORS)
def connector(request: pytest.FixtureRequest) -> Any:
    return request.param


class Echo:
    """Says what was said last; calls the tool that is named in it."""

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        last: Any = [item for item in request.items if getattr(item, "role", None) != "assistant"][-1]
        if last.type == "function_call_output":
            await answer.say(f"The tool says {last.output}.")
            return
        text = "".join(part.text or part.transcript or "" for part in last.content)
        for name in [each["name"] for each in request.tools]:
            if name in text:
                await answer.call(name, {"city": "Oslo", "units": "Celsius degrees"})
                return
        await answer.say(f"You said {text}.")


def open_sockets() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that the listing itself used
            found.add(str(descriptor.readlink()))
    return {target for target in found if target.startswith("socket:")}


@asynccontextmanager
async def serving(*faults: str, seed: int = 1, **options: Any) -> AsyncIterator[LocalServer]:
    tried.update(fault.partition(":")[0] for fault in faults)
    options = {"responder": Echo(), "stt": ScriptedSTT(["good morning"] * 9), "tts": ToneTTS(), **options}
    tasks, sockets = trio.lowlevel.current_statistics().tasks_living, open_sockets()
    with trio.fail_after(LIMIT_S):
        async with open_local_server(faults=faults, seed=seed, **options) as server:
            yield server
    assert trio.lowlevel.current_statistics().tasks_living <= tasks, "tasks are left"
    assert open_sockets() <= sockets


@asynccontextmanager
async def session_with(
    connector: Any, *faults: str, agent: Agent | None = None, patience: float = 0.3, **options: Any
) -> AsyncIterator[Session]:
    async with (
        serving(*faults) as server,
        open_realtime_session(
            agent or Agent(), endpoint=server.endpoint, transport=connector, patience=patience, **options
        ) as session,
    ):
        yield session


async def collect(session: Session, *kinds: type, task_status: Any = trio.TASK_STATUS_IGNORED) -> list[Any]:
    """Everything of these kinds until the session ends; the list grows as they come."""
    found: list[Any] = []
    with session.subscribe(list(kinds)) as stream:
        task_status.started(found)
        with suppress(ConnectionLost):
            async for event in stream:
                found.append(event)
    return found


@asynccontextmanager
async def watching(session: Session, *kinds: type) -> AsyncIterator[list[Any]]:
    async with trio.open_nursery() as nursery:
        found = await nursery.start(lambda **given: collect(session, *kinds, **given))
        yield found
        nursery.cancel_scope.cancel()


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    while not true():  # noqa: ASYNC110 - what it is about has no event
        await trio.sleep(0.005)


async def how_it_ends(session: Session) -> tuple[int, str]:
    """How the iteration over the session ends."""
    try:
        async for _ in session:
            pass
    except ConnectionLost as lost:
        return lost.code, lost.reason
    return 1000, ""


# --- before the session ----------------------------------------------------------------------------------------------


async def opening_fails(connector: Any, *faults: str) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        async with session_with(connector, *faults, connect_timeout=2):
            raise AssertionError("it must not open")
    return caught.value


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("unauthorized:content-length", 401, "invalid_api_key"),
        ("unauthorized:chunked", 401, "invalid_api_key"),
        ("unauthorized:close", 401, "invalid_api_key"),
        ("invalid-api-key", 401, "invalid_api_key"),
        ("expired-key", 401, "token_expired"),
        ("model-not-found", 404, "model_not_found"),
        ("rate-limited:retry_after=7", 429, "rate_limit_exceeded"),
        ("insufficient-quota", 429, "insufficient_quota"),
        ("server-error:status=503", 503, "server_error"),
    ],
)
async def test_a_refused_handshake_says_why(connector: Any, fault: str, status: int, code: str) -> None:
    failed = await opening_fails(connector, fault)
    assert failed.status == status
    assert code in (failed.body or "")


async def test_a_dropped_handshake_is_said_at_once(connector: Any) -> None:
    failed = await opening_fails(connector, "drop-before-upgrade")
    assert failed.status is None
    assert "hung up" in str(failed)


async def test_the_third_attempt_succeeds(connector: Any) -> None:
    async with serving("rate-limited:times=2") as server:
        for _ in range(2):
            with pytest.raises(ConnectionFailed):
                async with open_realtime_session(Agent(), endpoint=server.endpoint, transport=connector):
                    raise AssertionError
        async with open_realtime_session(Agent(), endpoint=server.endpoint, transport=connector) as session:
            assert (await session.ask("hello")).status == "completed"


async def test_a_session_that_is_refused_after_the_upgrade(connector: Any) -> None:
    with pytest.raises(ConnectionLost) as caught:
        async with session_with(connector, "refused-session:code=model_not_found"):
            raise AssertionError
    assert (caught.value.code, caught.value.reason) == (4000, "invalid_request_error.model_not_found")
    assert skip_reason_for_error(caught.value) == "realtime_model_unavailable"


async def test_rejected_settings_at_opening(connector: Any) -> None:
    with pytest.raises(ServerRefused) as caught:
        async with session_with(connector, "reject-update:nth=1,code=invalid_value"):
            raise AssertionError
    assert caught.value.code == "invalid_value"
    assert caught.value.event_id


# --- under the session -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["no-close-reply", "close-without-tcp-close"])
async def test_a_goodbye_that_is_not_finished_costs_at_most_the_patience(connector: Any, fault: str) -> None:
    async with serving(fault) as server:
        async with open_realtime_session(
            Agent(), endpoint=server.endpoint, transport=connector, patience=0.3
        ) as session:
            assert (await session.ask("hello")).status == "completed"
            began = trio.current_time()
        assert trio.current_time() - began < 20  # and not until somebody ends the test


async def test_pings_at_the_goodbye_do_no_harm(connector: Any) -> None:
    async with serving("ping-storm:count=200") as server:
        async with open_realtime_session(
            Agent(), endpoint=server.endpoint, transport=connector, patience=40
        ) as session:
            assert (await session.ask("hello")).status == "completed"
            began = trio.current_time()
        assert trio.current_time() - began < 20


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_dropped_connection_is_told_to_everyone(connector: Any, how: str) -> None:
    async with session_with(connector, f"drop:after=12,how={how}") as session:
        async with trio.open_nursery() as nursery:
            ends: list[tuple[int, str]] = []

            async def listen() -> None:
                ends.append(await how_it_ends(session))

            nursery.start_soon(listen)
            with pytest.raises(ConnectionLost) as caught:
                await session.ask("hello")
        assert caught.value.code == 1006
        assert ends == [(1006, caught.value.reason)]
        with pytest.raises(ConnectionLost):
            await session.send_message("anybody there?")


async def test_a_half_open_connection_never_keeps_the_session(connector: Any) -> None:
    """Nobody answers any more. Whoever waits may stop to wait, and leaving costs the patience."""
    async with serving("half-open:after=8") as server:
        async with open_realtime_session(
            Agent(), endpoint=server.endpoint, transport=connector, patience=0.3
        ) as session:
            with trio.move_on_after(0.3) as waited:
                await session.ask("hello")
            assert waited.cancelled_caught
            await session.send_message("still here", respond=False)
            began = trio.current_time()
        assert trio.current_time() - began < 20  # and not until somebody ends the test


async def test_late_answers_are_whole(connector: Any) -> None:
    async with session_with(connector, "latency:ms=60,jitter=60") as session:
        began = trio.current_time()
        reply = await session.ask("hello there")
        assert trio.current_time() - began >= 0.06
        assert reply.transcript == "You said hello there."
        assert len(reply.audio) == SECOND * len(reply.transcript) * 20 // 1000


async def test_a_slow_reader_holds_up_whoever_sends(connector: Any) -> None:
    """Verbs wait for room, `send_audio_nowait` says that there is none, and nothing is lost."""
    async with session_with(connector, "slow-reading:rate=2000000", patience=2) as session:
        refused = 0
        for _ in range(200):
            try:
                session.send_audio_nowait(bytes(24_000))
            except trio.WouldBlock:
                refused += 1
        assert refused > 100
        await session.send_message("after all that", respond=False)
        reply = await session.ask("hello")
        assert reply.transcript == "You said hello."


# --- around the session ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["yes", "no"])
async def test_the_session_expires(connector: Any, event: str) -> None:
    async with session_with(connector, f"expiry:after=0.3,event={event}") as session:
        async with watching(session, events.ErrorEvent) as errors:
            await session.send_message("hello", respond=False)
            code, reason = await how_it_ends(session)
        assert code == 1001
        assert "maximum duration" in reason
        await until(lambda: errors or event == "no")
        assert [each.error.code for each in errors] == (["session_expired"] if event == "yes" else [])
        with pytest.raises(ConnectionLost) as caught:
            await session.ask("one more thing")
        assert caught.value.code == 1001


# --- in the session --------------------------------------------------------------------------------------------------


async def test_a_rejected_update_leaves_the_old_settings(connector: Any) -> None:
    async with session_with(connector, "reject-update:nth=2") as session:
        with pytest.raises(ServerRefused):
            await session.update_session(SessionSettings(instructions="Be brief."))
        await session.update_session(SessionSettings(instructions="Be very brief."))
        assert (await session.ask("hello")).status == "completed"


async def test_a_handoff_that_is_rejected_leaves_the_old_agent(connector: Any) -> None:
    support = Agent(name="Support")
    greeter = Agent(name="Greeter", handoffs=[support])
    async with session_with(connector, "reject-update:nth=2", agent=greeter) as session:
        reply = await session.ask("please transfer_to_support now")
        assert session.current_agent is greeter
        assert "The tool says" in reply.transcript


async def test_a_race_with_turn_detection_is_no_error(connector: Any) -> None:
    async with session_with(connector, "vad-race") as session, watching(session, events.ErrorEvent) as errors:
        reply = await session.ask("hello")
        assert reply.transcript == "You said hello."
        reply = await session.ask("again")
        assert reply.transcript == "You said again."
        assert errors == []


@pytest.mark.parametrize("details", ["object", "string"])
async def test_a_failed_response_is_raised_and_told(connector: Any, details: str) -> None:
    async with (
        session_with(connector, f"failed-response:details={details}") as session,
        watching(session, events.ErrorEvent, events.ResponseDoneEvent) as told,
    ):
        with pytest.raises(ServerRefused, match="had an error"):
            await session.ask("hello")
        await until(lambda: len(told) == 2)
        assert [type(event).__name__ for event in told] == ["ErrorEvent", "ResponseDoneEvent"]
        assert told[1].status == "failed"
        assert (await session.ask("again")).transcript == "You said again."


async def test_an_error_instead_of_a_response(connector: Any) -> None:
    async with session_with(connector, "error-event") as session:
        with pytest.raises(ServerRefused) as caught:
            await session.ask("hello")
        assert caught.value.code == "server_error"
        assert (await session.ask("again")).transcript == "You said again."


@pytest.mark.parametrize("status", ["incomplete", "cancelled", "completed"])
async def test_cut_arguments_never_reach_the_tool(connector: Any, status: str) -> None:
    calls = []

    @tool
    async def weather(city: str, units: str) -> str:
        """Tell the weather."""
        calls.append((city, units))
        return "rain"

    async with (
        session_with(connector, f"cut-arguments:status={status}", agent=Agent(tools=[weather])) as session,
        watching(session, events.ToolEndEvent) as ended,
    ):
        reply = await session.ask("the weather please")
        assert calls == []
        if status == "completed":  # it looks like a call: the model is told what is wrong with it
            assert reply.status == "completed"
            assert "The tool says" in reply.transcript
            assert len(ended) == 1
        else:
            assert reply.status == status
            assert ended == []
        assert "rain" in (await session.ask("the weather please")).transcript
        assert calls == [("Oslo", "Celsius degrees")]


SPOKEN = SessionSettings(turn_detection=None, transcription=Transcription(model="gpt-transcribe"))


@pytest.mark.parametrize("when", ["before", "after", "never", "failed"])
async def test_answers_do_not_wait_for_transcripts(connector: Any, when: str) -> None:
    kinds = (events.InputTranscriptEvent, events.AgentStartEvent, events.AgentEndEvent)
    async with (
        session_with(connector, f"transcripts:when={when}", settings=SPOKEN) as session,
        watching(session, *kinds) as told,
    ):
        await session.send_audio(TURN * 5, commit=True)
        await until(lambda: any(isinstance(event, events.AgentEndEvent) for event in told))
        await trio.sleep(0.05)
        order = [type(event).__name__ for event in told if getattr(event, "final", True)]
        expected = {
            "before": ["InputTranscriptEvent", "AgentStartEvent", "AgentEndEvent"],
            "after": ["AgentStartEvent", "AgentEndEvent", "InputTranscriptEvent"],
        }
        assert order == expected.get(when, ["AgentStartEvent", "AgentEndEvent"])
        user, assistant = session.history[-2:]
        assert (user.role, assistant.role) == ("user", "assistant")
        assert (user.text or "") == ("good morning" if when in expected else "")
        assert assistant.text == "You said good morning."


@pytest.mark.parametrize("fault", ["duplicate-deltas:chance=0.5", "reorder-deltas:chance=0.5"])
async def test_the_final_text_counts_not_the_deltas(connector: Any, fault: str) -> None:
    async with session_with(connector, fault) as session:
        reply = await session.ask("one two three four five six")
        assert reply.status == "completed"
        assert reply.transcript == "You said one two three four five six."
        assert session.history[-1].text == reply.transcript
        assert len(reply.audio) % 2 == 0


async def test_odd_audio_is_put_together(connector: Any) -> None:
    async with session_with(connector, "odd-bytes") as session, watching(session, events.AudioEvent) as sound:
        heard = b""

        async def listen() -> None:
            nonlocal heard
            async for pcm in session.audio:
                assert len(pcm) % 2 == 0
                heard += pcm

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            reply = await session.ask("hello there")
            size = SECOND * len("You said hello there.") * 20 // 1000
            await until(lambda: len(heard) >= size)
            nursery.cancel_scope.cancel()
        assert len(reply.audio) == size
        assert heard == reply.audio
        assert len(b"".join(event.data for event in sound)) == size


async def test_a_huge_item_is_taken(connector: Any) -> None:
    async with session_with(connector, "huge-item:size=8") as session:
        assert (await session.ask("hello")).transcript == "You said hello."
        assert max(len(item.text or "") for item in session.history) >= 8 * 2**20 - 5


async def test_unknown_events_do_not_matter(connector: Any) -> None:
    async with (
        session_with(connector, "unknown-events:every=1") as session,
        watching(session, events.ErrorEvent) as errors,
        watching(session, events.RawModelEvent) as raw,
    ):
        assert (await session.ask("hello")).transcript == "You said hello."
        assert errors == []
        await until(lambda: any("depth" in event.data for event in raw))


async def test_malformed_events_are_told_and_survived(connector: Any) -> None:
    async with (
        session_with(connector, "malformed-events:every=3") as session,
        watching(session, events.ErrorEvent) as errors,
    ):
        assert (await session.ask("hello")).transcript == "You said hello."
        await until(lambda: errors)
        assert {event.error.type for event in errors} == {"protocol_error"}


@pytest.mark.parametrize("names", ["no", "yes"])
async def test_a_session_in_the_beta_shape(connector: Any, names: str) -> None:
    async with session_with(connector, f"beta-session:names={names}") as session:
        assert session.session_id
        reply = await session.ask("hello")
        assert reply.transcript == "You said hello."
        assert reply.audio


async def test_several_faults_at_once(connector: Any) -> None:
    faults = ("latency:ms=5,jitter=10", "unknown-events:every=2", "odd-bytes", "vad-race", "reorder-deltas:chance=0.2")
    async with session_with(connector, *faults) as session:
        assert (await session.ask("hello")).transcript == "You said hello."


async def test_the_same_seed_gives_the_same_run(connector: Any) -> None:
    async def run(seed: int) -> list[tuple[str, Any]]:
        async with (
            serving("duplicate-deltas:chance=0.4", "reorder-deltas:chance=0.4", "odd-bytes", seed=seed) as server,
            open_realtime_session(Agent(), endpoint=server.endpoint, transport=connector) as session,
            watching(session, events.RawModelEvent) as raw,
        ):
            await session.ask("one two three four")
            await until(lambda: raw and raw[-1].data["type"] == "response.done")
            return [(event.data["type"], event.data.get("delta")) for event in raw]

    assert await run(1) == await run(1)
    assert await run(1) != await run(2)


def test_every_fault_is_tried_here() -> None:
    """It is the last test of the file: what the others asked for is all that there is."""
    assert tried == set(FAULTS) - {"cut-answer"}  # which is none of a session
