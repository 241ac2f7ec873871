"""One session in memory, under a virtual clock: no socket, no engine, no waiting."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pybase64
import trio
from trio.testing import MockClock

from trio_codex.protocol import Peer
from trio_codex.server import Answer, AnswerRequest, StandIn
from trio_codex.server.connection import Engines, RealtimeConnection
from trio_codex.server.outbox import ROOM
from trio_codex.speech import SpeechStarted, SpeechStopped
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

PIECE = pybase64.b64encode(bytes(4800)).decode()


class MemoryLine:
    """A line of memory channels, and the client's end of it."""

    def __init__(self, buffer: float = 100_000) -> None:
        self.up_send, self.up_receive = trio.open_memory_channel[str](0)
        self.down_send, self.down_receive = trio.open_memory_channel[str](buffer)
        self.closed_with: tuple[int, str] | None = None

    async def receive(self) -> str:
        return await self.up_receive.receive()

    async def send(self, frame: str) -> None:
        await self.down_send.send(frame)

    async def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)

    # the client's end

    async def say(self, kind: str, **fields: Any) -> None:
        await self.up_send.send(json.dumps({"type": kind, **fields}))

    async def append(self, pieces: int) -> None:
        for _ in range(pieces):
            await self.say("input_audio_buffer.append", audio=PIECE)

    async def until(self, kind: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        with trio.fail_after(10_000):
            while not events or events[-1]["type"] != kind:
                events.append(json.loads(await self.down_receive.receive()))
        return events

    def close_all(self) -> None:
        for channel in (self.up_send, self.up_receive, self.down_send, self.down_receive):
            channel.close()


class ScriptedDetector:
    """Hears speech where it was told to: pairs of positions in ms."""

    def __init__(self, *turns: tuple[int, int]) -> None:
        self._events: list[SpeechStarted | SpeechStopped] = []
        for start, stop in turns:
            self._events += [SpeechStarted(start), SpeechStopped(stop, stop - 500)]
        self.position_ms = 0
        self.resets = 0

    def feed(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        self.position_ms += len(pcm) // 48
        due: list[SpeechStarted | SpeechStopped] = []
        while self._events and self.position_ms >= self._when(self._events[0]):
            due.append(self._events.pop(0))
        return due

    def reset(self) -> None:
        self.resets += 1

    @staticmethod
    def _when(event: SpeechStarted | SpeechStopped) -> int:
        return event.audio_start_ms + 300 if isinstance(event, SpeechStarted) else event.audio_end_ms


@asynccontextmanager
async def session(
    *turns: tuple[int, int],
    stt: Any = None,
    tts: Any = None,
    responder: Any = None,
    buffer: float = 100_000,
    lifetime_s: float = 3600,
) -> AsyncIterator[tuple[MemoryLine, RealtimeConnection]]:
    detector = ScriptedDetector(*turns)

    def make_detector(_: Mapping[str, Any], origin_ms: int) -> ScriptedDetector:
        detector.position_ms = origin_ms
        return detector

    engines = Engines(
        stt=stt or ScriptedSTT(["hello"] * 9),
        tts=tts or ToneTTS(),
        responder=responder or StandIn(),
        make_detector=make_detector,
    )
    line = MemoryLine(buffer)
    connection = RealtimeConnection(Peer(model="m"), line, engines, lifetime_s=lifetime_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.serve)
        yield line, connection
        line.up_send.close()
    line.close_all()


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def test_a_detected_turn_is_heard_while_it_lasts(autojump_clock: MockClock) -> None:
    stt = ScriptedSTT(["good morning"])
    async with session((200, 1500), stt=stt) as (line, _):
        await line.append(30)
        events = await line.until("response.done")
        assert events[-1]["response"]["output"][0]["content"][0]["transcript"] == "You said: good morning."
        assert stt.heard == [48 * 1300]


async def test_barge_in_while_the_answer_is_spoken(autojump_clock: MockClock) -> None:
    tts = ToneTTS(ms_per_character=1000, delay_s=0.1)
    async with session((0, 1000), (2000, 3000), tts=tts) as (line, _):
        await line.append(10)
        await line.until("response.output_audio.delta")
        await line.append(20)
        events = await line.until("response.done")
        assert events[-1]["response"]["status_details"]["reason"] == "turn_detected"
        events = await line.until("response.output_audio.delta")
        assert kinds(events)[:2] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]


async def test_two_turns_in_one_append_are_two_turns(autojump_clock: MockClock) -> None:
    stt = ScriptedSTT(["one", "two"], delay_s=1)
    async with session((0, 1000), (1500, 2500), stt=stt) as (line, _):
        await line.say("input_audio_buffer.append", audio=pybase64.b64encode(bytes(48 * 4000)).decode())
        done = [(await line.until("response.done"))[-1]["response"] for _ in range(2)]
        assert [response["status"] for response in done] == ["cancelled", "completed"]
        assert done[1]["output"][0]["content"][0]["transcript"] == "You said: one two."
        assert stt.heard == [48_000, 48_000]


async def test_the_answer_waits_for_slow_ears_and_comes_at_once_after_them(autojump_clock: MockClock) -> None:
    async with session(stt=ScriptedSTT(["hello"], delay_s=5)) as (line, _):
        update = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await line.say("session.update", session=update)
        await line.append(5)
        await line.say("input_audio_buffer.commit")
        await line.say("response.create")
        await line.until("response.created")
        began = trio.current_time()
        await line.until("response.output_audio.delta")
        assert trio.current_time() - began == 5


async def test_a_slow_client_holds_up_only_its_own_answers(autojump_clock: MockClock) -> None:
    tts = ToneTTS(ms_per_character=1_000_000)
    async with session(tts=tts, buffer=0) as (line, connection):
        await line.say("response.create")
        await trio.sleep(100)
        assert connection._outbox._size < ROOM + 10_000
        await line.say("response.cancel")
        await line.until("response.done")


async def test_stop_writes_what_waits_and_says_goodbye(autojump_clock: MockClock) -> None:
    async with session() as (line, connection):
        await line.say("conversation.item.create", item={"type": "message", "role": "user", "content": []})
        await line.until("conversation.item.done")
        connection.stop(1001, "bye")
        connection.stop(1000, "again")
        await trio.testing.wait_all_tasks_blocked()
        assert line.closed_with == (1001, "bye")


async def test_stop_does_not_wait_for_a_client_that_does_not_read(autojump_clock: MockClock) -> None:
    async with session(buffer=0) as (line, connection):
        began = trio.current_time()
        connection.stop(1001, "bye")
        await trio.sleep(5)
        assert line.closed_with == (1001, "bye")
        assert trio.current_time() - began == 5


async def test_a_session_expires(autojump_clock: MockClock) -> None:
    async with session(lifetime_s=60) as (line, _):
        events = await line.until("error")
        assert events[-1]["error"]["code"] == "session_expired"
        assert trio.current_time() > 59
        await trio.testing.wait_all_tasks_blocked()
        assert line.closed_with is not None
        assert line.closed_with[0] == 1001


async def test_a_client_that_leaves_ends_everything(autojump_clock: MockClock) -> None:
    async with session(tts=ToneTTS(ms_per_character=1000, delay_s=1)) as (line, _):
        await line.say("response.create")
        await line.until("response.output_audio.delta")
        line.up_send.close()
    assert line.closed_with is None


async def test_an_answer_is_cancelled_before_its_first_word(autojump_clock: MockClock) -> None:
    class Thinker:
        async def respond(self, request: AnswerRequest, answer: Answer) -> None:
            await trio.sleep(10)
            await answer.say("too late")

    async with session(responder=Thinker()) as (line, _):
        await line.say("response.create")
        await line.until("response.created")
        await line.say("response.cancel")
        done = (await line.until("response.done"))[-1]["response"]
        assert (done["status"], done["output"]) == ("cancelled", [])


async def test_tokens_run_out_in_mid_speech(autojump_clock: MockClock) -> None:
    async with session(tts=ToneTTS(ms_per_character=1000)) as (line, _):
        await line.say("response.create", response={"max_output_tokens": 20})
        done = (await line.until("response.done"))[-1]["response"]
        assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert done["usage"]["output_tokens"] >= 20
        await line.say("response.create", response={"output_modalities": ["text"]})
        assert (await line.until("response.done"))[-1]["response"]["status"] == "completed"


async def test_open_microphones_do_not_occupy_all_recognisers(autojump_clock: MockClock) -> None:
    class Single(ScriptedSTT):
        """One recogniser for everybody."""

        limit = trio.CapacityLimiter(1)

        @asynccontextmanager
        async def stream(self) -> AsyncIterator[Any]:
            async with self.limit, super().stream() as stream:
                yield stream

    stt = Single(["nobody hears this", "hello"])
    engines = Engines(stt=stt, tts=ToneTTS(), responder=StandIn(), patience=trio.Semaphore(0))
    lines = [MemoryLine(), MemoryLine()]
    async with trio.open_nursery() as nursery:
        for line in lines:
            nursery.start_soon(RealtimeConnection(Peer(model="m"), line, engines).serve)
            await line.say("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
            await line.append(5)
        await trio.testing.wait_all_tasks_blocked()
        assert stt.limit.borrowed_tokens == 0
        await lines[1].say("input_audio_buffer.commit")
        await lines[1].say("response.create")
        await lines[1].until("response.done")
        nursery.cancel_scope.cancel()
    for line in lines:
        line.close_all()


async def test_clearing_the_buffer_drops_what_was_being_heard(autojump_clock: MockClock) -> None:
    stt = ScriptedSTT(["hello"])
    async with session((0, 60_000), stt=stt) as (line, _):
        await line.append(10)
        await line.say("input_audio_buffer.clear")
        assert kinds(await line.until("input_audio_buffer.cleared"))[-2:] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.cleared",
        ]
        await line.say("input_audio_buffer.commit")
        assert (await line.until("error"))[-1]["error"]["code"] == "input_audio_buffer_commit_empty"
        assert stt.heard == []


async def test_a_silent_user_is_asked_again(autojump_clock: MockClock) -> None:
    async with session(tts=ToneTTS(ms_per_character=100), stt=ScriptedSTT([""])) as (line, _):
        detection = {"type": "server_vad", "idle_timeout_ms": 6000}
        await line.say(
            "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        )
        await line.say("response.create")
        events = await line.until("response.done")
        spoken_s = (
            sum(len(pybase64.b64decode(event["delta"])) for event in events if "audio.delta" in event["type"]) / 48_000
        )
        began = trio.current_time()
        await line.until("input_audio_buffer.timeout_triggered")
        assert trio.current_time() - began == 6 + spoken_s > 6
        again = (await line.until("response.done"))[-1]["response"]
        assert again["output"][0]["content"][0]["transcript"] == "I did not catch that. Could you say it again?"
