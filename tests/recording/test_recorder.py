"""Recording a session and running the core over it again: nothing secret, nothing lost, the same decisions."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from trio_codex import Agent, Handoff, ServerVAD, Session, SessionSettings, errors, open_realtime_session, tool
from trio_codex.events import InputTranscriptEvent, RawModelEvent
from trio_codex.hosted import HostedMcp
from trio_codex.protocol import ConversationItemCreate, InputAudioBufferCommit, ResponseCreate
from trio_codex.recording import Recorder, Recording, page, read_recording, replay, timeline
from trio_codex.testing import Line, recorded_script, run_inline, scripted, scripted_session

TALK = bytes(range(200)) * 48


@tool
async def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    await trio.sleep(0.2)
    return f"It is sunny in {city}."


support = Agent(name="TechSupport", instructions="Solve.", handoff_description="Solves.")
greeter = Agent(name="Greeter", tools=[get_weather], handoffs=[Handoff(support)])


async def answer(line: Line, response_id: str, *, words: str = "Hello there.", bytes_: int = 9600) -> None:
    item = f"item_{response_id}"
    await line.say(
        "response.created", response={"id": response_id, "object": "realtime.response", "status": "in_progress"}
    )
    await line.say(
        "response.output_item.added", response_id=response_id, output_index=0, item=message(item, "in_progress")
    )
    place: dict[str, Any] = {"response_id": response_id, "item_id": item, "output_index": 0, "content_index": 0}
    await line.say("response.output_audio_transcript.delta", delta=words, **place)
    await line.say("response.output_audio.delta", delta=bytes(bytes_), **place)
    await line.say("response.output_audio.done", **place)
    done = {
        "id": response_id,
        "object": "realtime.response",
        "status": "completed",
        "output": [],
        "usage": {"total_tokens": 7},
    }
    await line.say("response.done", response=done)


def message(item_id: str, status: str) -> dict[str, Any]:
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": []}


async def call(line: Line, response_id: str, name: str, arguments: str) -> None:
    item = {"id": f"call_{response_id}", "type": "function_call", "call_id": f"c_{response_id}", "name": name}
    item |= {"arguments": arguments, "status": "completed"}
    response = {"id": response_id, "object": "realtime.response", "status": "in_progress"}
    await line.say("response.created", response=response)
    await line.say("response.output_item.done", response_id=response_id, output_index=0, item=item)
    await line.say("response.done", response={**response, "status": "completed", "output": [item]})


async def script(line: Line) -> None:
    await line.expect(ConversationItemCreate)
    await line.expect(ResponseCreate)
    await call(line, "r1", "get_weather", '{"city": "Rome"}')
    await line.expect(ConversationItemCreate)
    await line.expect(ResponseCreate)
    await answer(line, "r2")


async def recorded_call(path: Path | Recording) -> None:
    settings = SessionSettings(voice="alloy", turn_detection=ServerVAD(threshold=0.4, create_response=False))
    async with scripted_session(greeter, script, settings=settings, record=path) as (session, line):
        reply = await session.ask("How is the weather in Rome?")
        assert reply.transcript == "Hello there."
        await trio.sleep(0.05)
        await line.say("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
        assert (await line.expect("conversation.item.truncate")).audio_end_ms >= 50
        await session.send_audio(TALK, commit=True, respond=False)
        await line.expect("input_audio_buffer.append")
        await line.expect(InputAudioBufferCommit)
        await line.say("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=900)
        await line.say_frame('{"type": "response.done", "response": 7}')
        await line.say("a.newer.event", anything=[1, None])
        await trio.sleep(1)
        await session.interrupt()
        session.playback.played("item_r2", 0, 480)


async def test_the_core_decides_the_same_again(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    path = tmp_path / "call.jsonl"
    await recorded_call(path)
    found = replay(read_recording(path))
    assert found.differences == ()
    assert found.same
    assert found.steps > 15


async def test_in_another_process_as_well(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    await recorded_call(path)
    code = f"from trio_codex.recording import *; print(replay(read_recording({str(path)!r})).same)"
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = await trio.run_process([sys.executable, "-c", code], env=environ, capture_stdout=True)
        assert done.stdout.strip() == b"True"


async def test_a_core_that_decides_otherwise_is_found_out(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "call.jsonl"
    await recorded_call(path)
    monkeypatch.setattr("trio_codex.protocol.calls.Calls.interrupted", lambda self: None)
    monkeypatch.setattr("trio_codex.protocol.answers.Answers.interrupt", lambda self, now: None)
    monkeypatch.setattr("trio_codex.protocol.answers.Answers.silence", lambda self, now: None)
    found = replay(read_recording(path))
    assert not found.same
    first = found.differences[0]
    assert first.line.form["step"] == "receive"
    assert "conversation.item.truncate" in json.dumps(first.recorded)
    assert "conversation.item.truncate" not in json.dumps(first.now)


async def test_audio_is_its_length_unless_asked_for(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    without, having = tmp_path / "without.jsonl", tmp_path / "with.jsonl"
    await recorded_call(without)
    await recorded_call(Recording(having, audio=True))
    assert "$audio" in without.read_text()
    assert replay(read_recording(having)).same
    assert having.stat().st_size - without.stat().st_size > (len(TALK) + 9600) * 1.3
    hear = [line.form for line in read_recording(without).lines if line.form.get("step") == "hear"]
    assert hear[0]["args"]["audio"] == {"$audio": len(TALK)}


async def test_what_looks_like_our_own_marks_is_taken_for_what_it_is(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "call.jsonl"
    odd = {"$audio": 10**15, "$$audio": {"$audio": [None]}, "headers": {"$audio": "loud"}, "$audio ": 1}
    parameters = {"type": "object", "properties": {"$audio": {"default": odd}}}
    listener = Agent(tools=[attrs.evolve(get_weather, parameters=parameters)])

    async def listen(session: Session) -> Any:
        with session.subscribe([RawModelEvent]) as frames:
            await session.respond(metadata={"$audio": "this"})
            return [(await anext(frames)).data for _ in range(3)][2]

    async def script(line: Line) -> None:
        assert (await line.expect(ResponseCreate)).response.metadata["$audio"] == "this"
        await line.say("conversation.item.added", item={**message("i1", "completed"), "also": odd})
        await line.say("response.output_audio.delta", audio=odd)  # without what it must have
        await line.say("a.newer.event", audio="AAAA", delta=odd)

    async with scripted_session(listener, script, record=path) as (session, _):
        assert (await listen(session))["delta"] == odd
    assert replay(read_recording(path)).same
    async with (
        scripted(recorded_script(path), acknowledge=False) as peer,
        open_realtime_session(listener, transport=peer, api_key="sk-test") as session,
    ):
        assert (await listen(session))["delta"] == {**odd, "headers": {"$audio": "…"}}


async def test_no_secret_is_recorded(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    path = tmp_path / "call.jsonl"
    docs = HostedMcp(
        server_label="docs",
        server_url="https://example.org/mcp/SECRET-path?token=SECRET-query",
        authorization="SECRET-bearer",
        headers={"X-Key": "SECRET-header"},
    )
    async with scripted_session(Agent(tools=[docs]), record=path, api_key="sk-SECRET-key") as (session, _):
        await session.update_session(SessionSettings(voice="ash"))
    text = path.read_text()
    assert "SECRET" not in text
    assert "https://example.org/…" in text
    assert path.stat().st_mode & 0o777 == 0o600
    assert replay(read_recording(path)).same


async def test_the_time_line(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    path = tmp_path / "call.jsonl"
    await recorded_call(path)
    told = timeline(read_recording(path))
    kinds = [moment.kind for moment in told.moments]
    assert kinds == ["session", "user", "tool", "agent", "user", "error", "user", "end"]
    weather, answered = told.moments[2], told.moments[3]
    assert (weather.who, weather.text, weather.detail) == ("get_weather", "It is sunny in Rome.", '{"city": "Rome"}')
    assert weather.end is not None
    assert weather.end - weather.begin == pytest.approx(0.2)
    assert (answered.who, answered.text, answered.audio_s, answered.heard_s) == ("Greeter", "Hello there.", 0.2, 0.05)
    assert told.tokens == 7


async def test_words_that_are_still_being_recognised_stand_there_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "call.jsonl"
    async with scripted_session(greeter, record=path) as (session, line):
        with session.subscribe([InputTranscriptEvent]) as heard:
            for words in ("how is", " the weather"):
                await line.say(
                    "conversation.item.input_audio_transcription.delta", item_id="u1", content_index=0, delta=words
                )
                await anext(heard)
    [user] = [moment for moment in timeline(read_recording(path)).moments if moment.kind == "user"]
    assert user.text == "how is the weather"


async def test_a_file_cut_off_in_the_middle_is_read_up_to_there(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "call.jsonl"
    await recorded_call(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    found = read_recording(path)
    assert found.cut_off
    assert replay(found).same


@pytest.mark.parametrize("content", ["", "{}\n", "nonsense\n", '{"format": 99}\n'])
def test_what_is_no_recording(tmp_path: Path, content: str) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(content)
    with pytest.raises(errors.ConfigurationError, match=r"call\.jsonl"):
        read_recording(path)


async def test_a_file_that_cannot_be_made_is_named_before_any_network_use(tmp_path: Path) -> None:
    async with scripted() as peer:
        with pytest.raises(errors.ConfigurationError, match="nowhere"):
            async with scripted_session(record=tmp_path / "nowhere" / "call.jsonl"):
                pass
        assert peer.target is None


async def test_a_recording_is_a_scripted_peer(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    await recorded_call(first)
    settings = SessionSettings(voice="alloy", turn_detection=ServerVAD(threshold=0.4, create_response=False))
    script = recorded_script(first)
    async with scripted_session(greeter, script, acknowledge=False, settings=settings, record=second) as (session, _):
        assert (await session.ask("How is the weather in Rome?")).transcript == "Hello there."
        await trio.sleep(0.06)
        await session.send_audio(TALK, commit=True, respond=False)
        await trio.sleep(2)
    assert [moment.kind for moment in timeline(read_recording(second)).moments][:5] == [
        "session",
        "user",
        "tool",
        "agent",
        "user",
    ]


class Disk(io.BytesIO):
    """A disk that is slow, or full."""

    def __init__(self, *, room: int = 10**9) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


async def test_a_slow_disk_costs_lines_which_are_counted_and_nobody_waits(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_codex.recording.recorder.KEPT_BYTES", 2000)
    disk = Disk()
    recorder = Recorder(disk, audio=False)

    async def slowly(write: Callable[[], Any]) -> Any:
        await trio.sleep(10)
        return write()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.write, slowly)
        for number in range(1000):
            recorder.put(number=number)
        await trio.sleep(30)
        recorder.put(number=1000)
        await trio.sleep(30)
        recorder.close()
    lines = [json.loads(line) for line in disk.getvalue().splitlines()]
    numbers = [line["number"] for line in lines if "number" in line]
    lost = [line["lost"] for line in lines if "lost" in line]
    assert len(numbers) + sum(lost) == 1001
    assert numbers[-1] == 1000
    assert 10 < len(numbers) < 100


async def test_a_full_disk_ends_the_recording_and_not_the_session(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(Disk(room=300), audio=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.write, run_inline)
        for number in range(20):
            recorder.put(number=number)
            await trio.sleep(1)
        recorder.close()
    assert "the recording ends here: [Errno 28] No space left on device" in caplog.text


async def test_a_disk_that_is_full_to_the_end_costs_the_session_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "call.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        async with scripted_session(record=path) as (session, _):
            await trio.testing.wait_all_tasks_blocked()
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, before[1]))
            await session.send_message("Hello. " * 100, respond=False)
            await trio.sleep(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the recording ends here" in caplog.text


@pytest.mark.parametrize("address", ["http://[bad", "http://host:99999/x", "http://host:port/x"])
async def test_an_address_that_is_none_is_hidden_as_well(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, address: str
) -> None:
    path = tmp_path / "call.jsonl"
    async with scripted_session(record=path) as (_, line):
        await line.say("novelty", server_url=address)
        await trio.testing.wait_all_tasks_blocked()
    assert address not in path.read_text()
    assert replay(read_recording(path)).same


@pytest.mark.parametrize("how", ["raises", "cancelled"])
async def test_however_the_block_ends_its_end_is_in_the_file(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, how: str
) -> None:
    path = tmp_path / "call.jsonl"
    failure = KeyError("of the user")
    with trio.CancelScope() as scope:
        try:
            async with scripted_session(record=path) as (session, _):
                await session.send_message("Hello.", respond=False)
                if how == "raises":
                    raise failure
                scope.cancel()
                await trio.sleep_forever()
        except KeyError as error:
            assert error is failure
    assert read_recording(path).lines[-1].form["end"] is None
    assert replay(read_recording(path)).same


async def test_the_page_shows_everything_and_runs_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = tmp_path / "call.jsonl"
    async with scripted_session(record=path) as (session, _):
        await session.send_message("<script>alert('x')</script> & more", respond=False)
    recording = read_recording(path)
    shown = page(recording, timeline(recording))
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; more" in shown
    assert "<script" not in shown
    assert "default-src 'none'" in shown
