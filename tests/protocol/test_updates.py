"""Updates of the session: one in flight, each answered once, by the server or by the clock."""

from __future__ import annotations

from tests.protocol.driver import Step
from trio_codex.errors import ServerRefused
from trio_codex.protocol import RealtimeSession, SessionUpdate, Settle, StartTimer
from trio_codex.protocol.effects import Effects
from trio_codex.protocol.settings import SessionSettings
from trio_codex.protocol.updates import TIME_LIMIT_S, Purpose, Updates


class Scene:
    def __init__(self) -> None:
        self.effects = Effects()
        self.updates = Updates(self.effects)

    def submit(self, instructions: str, purpose: Purpose = Purpose.USER) -> str:
        settings = SessionSettings(instructions=instructions)
        return self.updates.submit(settings.to_wire(), purpose, settings)

    def take(self) -> Step:
        return Step(self.effects.take())


def test_one_update_is_in_flight_and_the_others_wait_their_turn() -> None:
    scene = Scene()
    first, second = scene.submit("one"), scene.submit("two")
    assert [frame["event_id"] for frame in scene.take().sent] == [first]
    answered = scene.updates.acknowledged()
    assert answered is not None
    assert answered.event_id == first
    assert first.startswith("event_")
    assert answered.settings == SessionSettings(instructions="one")
    assert [frame["event_id"] for frame in scene.take().sent] == [second]
    assert scene.updates.acknowledged() is not None
    assert scene.updates.acknowledged() is None


def test_an_error_answers_the_update_in_flight_and_no_other() -> None:
    scene = Scene()
    first, second = scene.submit("one"), scene.submit("two")
    assert scene.updates.refused(second) is None
    assert scene.updates.refused(None) is None
    refused = scene.updates.refused(first)
    assert refused is not None
    assert refused.event_id == first
    assert scene.updates.refused(first) is None
    assert scene.take().sent[-1]["event_id"] == second


def test_every_update_that_is_sent_has_a_time_limit() -> None:
    scene = Scene()
    first, second = scene.submit("one"), scene.submit("two")
    assert scene.take().all(StartTimer) == [StartTimer(first, TIME_LIMIT_S)]
    scene.updates.refused(first)
    assert scene.take().all(StartTimer) == [StartTimer(second, TIME_LIMIT_S)]


def test_raw_updates_keep_their_id_and_take_part() -> None:
    scene = Scene()
    scene.submit("one")
    scene.updates.submit_event(SessionUpdate(session=RealtimeSession(), event_id="mine"), Purpose.RAW)
    assert scene.updates.acknowledged() is not None
    assert scene.take().sent[-1]["event_id"] == "mine"


def test_only_who_waits_is_told() -> None:
    scene = Scene()
    for purpose, waits in [
        (Purpose.OPENING, True),
        (Purpose.USER, True),
        (Purpose.HANDOFF, False),
        (Purpose.RAW, False),
    ]:
        ticket = scene.submit("x", purpose)
        update = scene.updates.acknowledged()
        assert update is not None
        scene.take()
        scene.updates.settle(update)
        assert scene.take() == ([Settle(ticket)] if waits else [])
        error = ServerRefused("no")
        scene.updates.settle(update, error)
        assert scene.take() == ([Settle(ticket, error=error)] if waits else [])
