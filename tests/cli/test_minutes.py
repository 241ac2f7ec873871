"""When a turn is over: not before the last thing that was said is answered."""

from __future__ import annotations

import io
from typing import Any

import pytest

from trio_codex import Agent
from trio_codex.cli.console import Console
from trio_codex.cli.minutes import Minutes
from trio_codex.events import (
    AgentStartEvent,
    ResponseDoneEvent,
    SessionEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
)

STARTED, STOPPED = SpeechStartedEvent("item", 0), SpeechStoppedEvent("item", 0)
ANSWERING = AgentStartEvent(Agent(name="Assistant"))
ANSWERED = ResponseDoneEvent("response", "completed", None, None)
CANCELLED = ResponseDoneEvent("response", "cancelled", None, None)
FAILED = ResponseDoneEvent("response", "failed", None, None)


@pytest.mark.parametrize(
    ("events", "over"),
    [
        ([STARTED, STOPPED, ANSWERING, ANSWERED], True),
        ([STARTED, STOPPED, ANSWERING, FAILED], True),
        ([STARTED, STOPPED, ANSWERING, CANCELLED], False),
        ([STARTED, STOPPED, ANSWERING, STARTED, CANCELLED, STOPPED, ANSWERING, ANSWERED], True),
        ([STARTED, STOPPED, ANSWERING, ANSWERED, STARTED], False),
        ([STARTED, STOPPED, ANSWERING, ANSWERED, STARTED, STOPPED, ANSWERING, ANSWERED], True),
        ([STARTED, STOPPED, ANSWERING, STARTED, ANSWERED], False),
        ([STARTED, STOPPED, STARTED, ANSWERING, ANSWERED, STOPPED], False),
        ([ANSWERING, ANSWERED], True),
    ],
)
def test_a_turn_is_over_when_everything_is_answered(events: list[SessionEvent], over: bool) -> None:
    minutes = Minutes(Console(quiet=True))
    minutes.begin_turn()
    for event in events:
        minutes._note(event)
    assert minutes.turn_over.is_set() is over


def test_a_written_turn_is_over_when_its_answer_is_cancelled_for_nobody_cuts_in() -> None:
    shown = io.StringIO()
    minutes = Minutes(Console(shown))
    minutes.begin_turn("hello")
    minutes._note(ANSWERING)
    minutes._note(ResponseDoneEvent("response", "cancelled", {"reason": "turn_detected"}, None))
    assert minutes.turn_over.is_set()
    assert shown.getvalue() == "the answer was cut short (turn_detected)\n"


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ({"type": "incomplete", "reason": "max_output_tokens"}, "max_output_tokens"),
        ("no more", "no more"),
        (None, "the server does not say why"),
    ],
)
def test_an_answer_that_is_cut_short_is_said_to_be(details: Any, why: str) -> None:
    shown = io.StringIO()
    minutes = Minutes(Console(shown))
    for event in (ANSWERING, ResponseDoneEvent("response", "incomplete", details, None), ANSWERING, ANSWERED):
        minutes._note(event)
    assert shown.getvalue() == f"the answer was cut short ({why})\n"


def test_the_figures_count_in_words_and_leave_out_what_nobody_measured() -> None:
    minutes = Minutes(Console(quiet=True))
    minutes.begin_turn("hello")
    assert minutes.figures(0, 2) == "1 turn, 0 tool calls, 0 handoffs, 0.0 s of audio in, 2.0 s out"
    minutes.begin_turn("and now aloud")
    minutes.turns[-1].first_audio_ms = 300
    assert minutes.figures(1, 2).endswith(
        "2 turns, 0 tool calls, 0 handoffs, 1.0 s of audio in, 2.0 s out, time to first audio: -, 300 ms"
    )
