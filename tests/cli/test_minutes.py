"""When a turn is over: not before the last thing that was said is answered."""

from __future__ import annotations

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
    minutes.begin_turn("hello")
    for event in events:
        minutes._note(event)
    assert minutes.turn_over.is_set() is over
