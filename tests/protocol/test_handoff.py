"""The handoff, explored to its last state, and its promises one by one."""

from __future__ import annotations

import pytest

from tests.protocol.machines import (
    HANDOFF_INPUTS,
    SOURCE,
    TARGET,
    Edge,
    call,
    handoff_edges,
    handoff_table,
    leads_to,
    states,
    table_in,
)
from trio_codex.protocol import handoff
from trio_codex.protocol.handoff import (
    INTERRUPTED,
    UNDER_WAY,
    Apply,
    Applying,
    Arrived,
    Failed,
    Interrupted,
    Prepare,
    Prepared,
    PrepareFailed,
    Preparing,
    Redirected,
    Refused,
    Requested,
    ResponseEnded,
    Settled,
    Updated,
    in_charge,
    step,
)

Edges = list[Edge[handoff.State]]


@pytest.fixture
def edges() -> Edges:
    """The whole graph."""
    return handoff_edges()


def run(*given: handoff.Given) -> tuple[handoff.State, list[handoff.Outcome]]:
    state: handoff.State = Settled(SOURCE)
    outcomes: list[handoff.Outcome] = []
    for each in given:
        state, following = step(state, each)
        outcomes += following
    return state, outcomes


def _is_settled(state: handoff.State) -> bool:
    return isinstance(state, Settled)


def test_the_table_in_the_docstring_is_what_the_code_does() -> None:
    assert table_in(handoff) == handoff_table()


def test_every_state_takes_every_input(edges: Edges) -> None:
    assert len(edges) == len(states(edges)) * len(HANDOFF_INPUTS)


def test_every_handoff_ends_exactly_once(edges: Edges) -> None:
    """What was asked for is under way, arrives or fails; and the machine settles when, and only when, it ended one."""
    for edge in edges:
        ends = [outcome for outcome in edge.outcomes if isinstance(outcome, Arrived | Failed)]
        turned_away = isinstance(edge.given, Requested | Redirected) and not isinstance(edge.before, Settled)
        settled = isinstance(edge.after, Settled) and not isinstance(edge.before, Settled)
        assert len(ends) == int(turned_away or settled), edge
        if turned_away:
            assert edge.after == edge.before
            assert ends == [Failed(getattr(edge.given, "call", None), UNDER_WAY)]


def test_only_an_acknowledgement_puts_the_target_in_charge(edges: Edges) -> None:
    for edge in edges:
        if in_charge(edge.after) != in_charge(edge.before):
            assert isinstance(edge.given, Updated)
            assert [type(outcome) for outcome in edge.outcomes] == [Arrived]


def test_settings_go_out_once_per_handoff(edges: Edges) -> None:
    for edge in edges:
        applies = any(isinstance(outcome, Apply) for outcome in edge.outcomes)
        assert applies == (isinstance(edge.after, Applying) and not isinstance(edge.before, Applying))


def test_nothing_is_ever_stuck(edges: Edges) -> None:
    settles: set[handoff.State] = leads_to(edges, _is_settled)
    assert states(edges) == settles


@pytest.mark.parametrize(
    "given",
    [(Prepared(TARGET), ResponseEnded(completed=True)), (ResponseEnded(completed=True), Prepared(TARGET))],
    ids=["prepared first", "response ended first"],
)
def test_the_callables_and_the_response_end_in_either_order(given: tuple[handoff.Given, ...]) -> None:
    asked = call("h1")
    state, outcomes = run(Requested(asked), *given)
    assert outcomes == [Prepare(asked), Apply(TARGET)]
    assert step(state, Updated()) == (Settled(TARGET), (Arrived(asked, SOURCE, TARGET),))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([PrepareFailed("no")], "no"),
        ([Prepared(TARGET), ResponseEnded(completed=False, reason="cut")], "cut"),
        ([ResponseEnded(completed=False, reason="cut")], "cut"),
        ([ResponseEnded(completed=True), PrepareFailed("no")], "no"),
        ([ResponseEnded(completed=True), Interrupted()], INTERRUPTED),
        ([Prepared(TARGET), ResponseEnded(completed=True), Refused("the server said no")], "the server said no"),
    ],
)
def test_whatever_fails_leaves_the_source_in_charge(given: list[handoff.Given], reason: str) -> None:
    asked = call("h1")
    state, outcomes = run(Requested(asked), *given)
    assert state == Settled(SOURCE)
    assert outcomes[-1] == Failed(asked, reason)


def test_an_interruption_is_known_by_the_end_of_the_response_as_long_as_it_runs() -> None:
    asked = call("h1")
    state, outcomes = run(Requested(asked), Interrupted(), Prepared(TARGET), Interrupted())
    assert state == Preparing(source=SOURCE, call=asked, target=TARGET)
    assert outcomes == [Prepare(asked)]


def test_settings_on_their_way_are_not_called_back() -> None:
    state, _ = run(Requested(call("h1")), ResponseEnded(completed=True), Prepared(TARGET))
    assert step(state, Interrupted()) == (state, ())


def test_a_second_handoff_is_answered_not_queued() -> None:
    first, second = call("h1"), call("h2")
    state, outcomes = run(Requested(first), Requested(second))
    assert state == Preparing(source=SOURCE, call=first)
    assert outcomes[-1] == Failed(second, UNDER_WAY)


def test_a_program_needs_only_the_acknowledgement() -> None:
    state, outcomes = run(Redirected(TARGET), Updated())
    assert state == Settled(TARGET)
    assert outcomes == [Apply(TARGET), Arrived(None, SOURCE, TARGET)]
