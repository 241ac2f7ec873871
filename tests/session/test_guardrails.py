"""Guardrails in a live session: checks are tasks beside the reader, and a trip stops one answer."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.session.test_audio import cut_in, deltas, end, settle, waiting
from trio_codex import Agent, Guardrail, Session
from trio_codex.events import AudioEvent, ErrorEvent, GuardrailTrippedEvent, TranscriptDeltaEvent
from trio_codex.protocol import (
    ConversationItemCreate,
    ConversationItemTruncate,
    ResponseCancel,
    ResponseCreate,
    SystemMessage,
)
from trio_codex.testing import Line, answer, scripted_session

CLOCK = "virtual"


class Judge:
    """A check whose verdicts take their time; `judged` is what it was given."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.judged: list[str] = []
        self.cancelled = 0
        self.context: Any = None

    async def __call__(self, text: str, context: Any, agent: Agent) -> str | None:
        self.judged.append(text)
        self.context = context, agent.name
        try:
            await trio.sleep(self.seconds)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return "found it" if "bad" in text else None


def careful(judge: Any, **settings: Any) -> Agent:
    return Agent(name="Careful", guardrails=[Guardrail(judge, **settings)])


async def begin(line: Line, response_id: str = "resp", create: ResponseCreate | None = None) -> None:
    metadata = create.response.metadata if create is not None and create.response is not None else None
    response = {"id": response_id, "status": "in_progress", "conversation_id": "conv", "metadata": metadata}
    await line.say("response.created", response=response)


async def words(line: Line, delta: str, response_id: str = "resp", item_id: str = "item") -> None:
    where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
    await line.say("response.output_audio_transcript.delta", **where, delta=delta)
    await settle()


async def told(line: Line) -> SystemMessage:
    """The model is told of a trip."""
    item = (await line.expect(ConversationItemCreate)).item
    assert isinstance(item, SystemMessage)
    return item


async def test_a_trip_stops_the_answer_and_asks_again() -> None:
    judge = Judge(0.1)
    async with scripted_session(careful(judge, every=5), context="me") as (session, line):
        with session.subscribe([GuardrailTrippedEvent]) as trips:
            await begin(line)
            await words(line, "a bad thing")
            await deltas(line, b"\1\1", b"\2\2")
            assert await anext(session.audio) == b"\1\1"
            event = await anext(trips)
            assert event == GuardrailTrippedEvent(("found it",), "a bad thing")
            assert judge.context == ("me", "Careful")
            assert (await line.expect(ResponseCancel)).response_id == "resp"
            assert (await line.expect(ConversationItemTruncate)).audio_end_ms == 0
            await told(line)
            assert await waiting(session.audio) == []
            await end(line, status="cancelled")
            create = await line.expect(ResponseCreate)
            await answer(line, create, words="Sorry.", audio=b"\3\3")
            await settle()
            assert await waiting(session.audio) == [b"\3\3"]


async def test_a_check_does_not_keep_the_connection_waiting() -> None:
    judge = Judge(3600)
    async with scripted_session(careful(judge, every=1)) as (session, line):
        with session.subscribe([TranscriptDeltaEvent]) as stream:
            await begin(line)
            await words(line, "one")
            await words(line, "two")
            assert [(await anext(stream)).delta, (await anext(stream)).delta] == ["one", "two"]
            assert trio.current_time() < 1000 + 1
        assert judge.judged == ["one"], "the second text waits for the first verdict"
        await session.aclose()
    assert judge.cancelled == 1


async def test_held_audio_is_heard_when_its_words_have_passed() -> None:
    judge = Judge(0.5)
    async with scripted_session(careful(judge, hold="sentence")) as (session, line):
        with session.subscribe([AudioEvent]) as heard:
            await begin(line)
            await words(line, "All is well.")
            await deltas(line, b"\1\1")
            await words(line, " And so on")
            await deltas(line, b"\2\2")
            assert await waiting(session.audio) == []
            await trio.sleep(0.6)
            assert await waiting(session.audio) == [b"\1\1"]
            assert (await anext(heard)).data == b"\1\1"
            await end(line)
            await trio.sleep(0.6)
            assert await waiting(session.audio) == [b"\2\2"]
            assert judge.judged == ["All is well.", "All is well. And so on"]


async def test_held_audio_of_a_bad_answer_is_never_heard() -> None:
    async with scripted_session(careful(Judge(0.5), hold="sentence")) as (session, line):
        with session.subscribe([AudioEvent]) as heard:
            await begin(line)
            await words(line, "A bad thing.")
            await deltas(line, b"\1\1")
            await end(line)
            assert (await line.expect(ConversationItemTruncate)).audio_end_ms == 0
            await told(line)
            await line.expect(ResponseCreate)
            assert await waiting(session.audio) == []
        await session.aclose()
        assert [event async for event in heard] == []


async def test_a_late_verdict_leaves_the_next_answer_alone() -> None:
    judge = Judge(1.0)
    async with scripted_session(careful(judge, every=5)) as (session, line):
        await session.respond()
        create = await line.expect(ResponseCreate)
        await answer(line, create, words="bad thing", audio=b"\1\1" * 48_000)
        await session.respond()
        await begin(line, "resp_2", await line.expect(ResponseCreate))
        await deltas(line, b"\2\2", response_id="resp_2", item_id="item_2")
        truncate = await line.expect(ConversationItemTruncate)
        assert truncate.item_id != "item_2"
        await told(line)
        await line.expect_nothing(1.0)
        assert await waiting(session.audio) == [b"\2\2"]
        await end(line, "resp_2", "item_2")
        await line.expect(ResponseCreate)


async def test_speech_drops_what_is_held() -> None:
    async with scripted_session(careful(Judge(0.5), hold="sentence")) as (session, line):
        await begin(line)
        await words(line, "All is well.")
        await deltas(line, b"\1\1")
        await cut_in(line)
        assert (await line.expect(ConversationItemTruncate)).audio_end_ms == 0
        await trio.sleep(1.0)
        assert await waiting(session.audio) == []


async def test_written_answers_are_stopped_too() -> None:
    async with scripted_session(careful(Judge(0.1), every=5)) as (session, line):
        await session.send_message("hello")
        await line.expect(ConversationItemCreate)
        create = await line.expect(ResponseCreate)
        await answer(line, create, words="a bad thing")
        await told(line)
        await line.expect(ResponseCreate)


async def asked(session: Session, line: Line, words: str) -> Any:
    reply = None

    async def ask() -> None:
        nonlocal reply
        reply = await session.ask("Well?")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await line.expect(ConversationItemCreate)
        create = await line.expect(ResponseCreate)
        await answer(line, create, words=words, audio=[b"\1\1", b"\2\2"])
    return reply


async def test_ask_waits_for_the_verdict() -> None:
    for text, status, audio in (("All good.", "completed", b"\1\1\2\2"), ("All bad.", "cancelled", b"")):
        async with scripted_session(careful(Judge(0.5), hold="sentence")) as (session, line):
            reply = await asked(session, line, text)
            assert (reply.status, reply.transcript, reply.audio) == (status, text, audio)


@pytest.mark.parametrize("on_error", ["open", "closed"])
async def test_a_guardrail_that_raises(on_error: str) -> None:
    agent = careful(Judge(error=ValueError("no network")), hold="sentence", on_error=on_error)
    async with scripted_session(agent) as (session, line):
        with session.subscribe([ErrorEvent]) as errors:
            await begin(line)
            await words(line, "All is well.")
            await deltas(line, b"\1\1")
            error = (await anext(errors)).error
            assert error.type == "guardrail_error"
            assert error.message.endswith("raised no network")
            assert await waiting(session.audio) == ([b"\1\1"] if on_error == "open" else [])


async def test_a_guardrail_with_a_nursery_of_its_own_is_cancelled_in_peace() -> None:
    async def check(text: str) -> bool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while it was cancelled")

    async with scripted_session(careful(check, every=1)) as (_, line):
        await begin(line)
        await words(line, "one")


async def test_leaving_cancels_checks() -> None:
    judge = Judge(3600)
    async with scripted_session(careful(judge, every=1)) as (_, line):
        await begin(line)
        await words(line, "one")
    assert judge.cancelled == 1
