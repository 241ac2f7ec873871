"""The floor, explored to its last state, and the rules of the queue one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import attrs
import pytest

from tests.protocol.machines import (
    Edge,
    Table,
    floor_edges,
    floor_table,
    leads_to,
    pages,
    request,
    states,
    table_in,
)
from trio_codex.protocol import floor as floors
from trio_codex.protocol.floor import (
    Answering,
    Blocked,
    Cause,
    Contested,
    Create,
    Created,
    Done,
    Ended,
    Floor,
    Hold,
    Idle,
    Refused,
    Request,
    Requested,
    Unwanted,
    Want,
    Withdraw,
    in_flight,
    requests,
    step,
)

Edges = list[Edge[Table]]


@pytest.fixture(scope="module")
def lawful() -> Edges:
    """The whole graph, with a lawful server."""
    return floor_edges()


@pytest.fixture(scope="module")
def wild() -> Edges:
    """The whole graph, with a server that says anything at any time."""
    return floor_edges(lawful=False)


@pytest.fixture(params=["lawful", "wild"])
def edges(request: pytest.FixtureRequest) -> Edges:
    """Either of them."""
    found: Edges = request.getfixturevalue(request.param)
    return found


def run(*given: floors.Given, start: Floor | None = None) -> tuple[Floor, list[floors.Outcome]]:
    """Where some inputs lead from an empty floor, and everything that follows."""
    floor = start or Floor()
    outcomes: list[floors.Outcome] = []
    for each in given:
        floor, following = step(floor, each)
        outcomes += following
    return floor, outcomes


def created(outcomes: Iterable[floors.Outcome]) -> list[str]:
    return [outcome.request.event_id for outcome in outcomes if isinstance(outcome, Create)]


def ended(outcomes: Iterable[floors.Outcome]) -> list[str]:
    return [outcome.request.event_id for outcome in outcomes if isinstance(outcome, Ended)]


T, M, A, B = request("t"), request("m"), request("a"), request("b")
N = attrs.evolve(M, event_id="n", askers=frozenset({"n"}))


# --- every state, every input ------------------------------------------------------------------------------------------


def test_the_table_in_the_docstring_is_what_the_code_does() -> None:
    assert table_in(floors) == floor_table()


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_pictures_in_the_documentation_are_what_the_code_does(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path], "run python -m tests.protocol.machines"


def test_at_most_one_create_is_in_flight(lawful: Edges) -> None:
    for edge in lawful:
        creates = created(edge.outcomes)
        assert len(creates) <= 1
        if creates:
            before = in_flight(edge.before.floor)
            settled = isinstance(edge.given, Refused) and before is not None and edge.given.event_id == before.event_id
            assert before is None or settled


def test_no_create_is_sent_while_a_response_is_known_to_run(edges: Edges) -> None:
    for edge in edges:
        if created(edge.outcomes):
            over = isinstance(edge.given, Done)
            assert over or isinstance(edge.before.floor.holder, Idle | Requested), edge


def test_what_is_in_flight_is_what_was_created_last(edges: Edges) -> None:
    for edge in edges:
        before, after = in_flight(edge.before.floor), in_flight(edge.after.floor)
        if after is not None and (before is None or before.event_id != after.event_id):
            assert created(edge.outcomes) == [after.event_id]


def test_nothing_is_created_while_the_floor_is_held(edges: Edges) -> None:
    for edge in edges:
        if created(edge.outcomes):
            assert not edge.after.floor.held


def tokens(asked: Iterable[Request]) -> Counter[str]:
    """Who waits for these requests; every request of the exploration came with an asker of its own."""
    return Counter(asker for each in asked for asker in each.askers)


def answered(edge: Edge[Table]) -> tuple[Request, ...]:
    """The request that counts as answered after this step, having been the answering one before."""
    match edge.before.floor.holder, edge.after.floor.holder:
        case Answering(_, Request() as served), after if getattr(after, "request", None) is None or isinstance(
            after, Requested
        ):
            gone = {known.event_id for known in requests(edge.after.floor)}
            return () if served.event_id in gone or served.event_id in ended(edge.outcomes) else (served,)
    return ()


def test_every_request_ends_exactly_once(edges: Edges) -> None:
    for edge in edges:
        before = tokens(requests(edge.before.floor))
        if isinstance(edge.given, Want):
            before += tokens([edge.given.request])
        over = tokens(outcome.request for outcome in edge.outcomes if isinstance(outcome, Ended))
        after = tokens(requests(edge.after.floor)) + over + tokens(answered(edge))
        assert before == after, edge
        assert max(after.values(), default=1) == 1


def test_nothing_is_ever_stuck(lawful: Edges) -> None:
    """From everywhere the floor can become quiet again, with nobody waiting."""
    quiet = leads_to(lawful, lambda table: table.floor == Floor())
    assert states(lawful) - quiet == set()


def test_nothing_is_ever_stuck_with_a_server_that_only_answers(lawful: Edges) -> None:
    """Not by luck: whatever has happened, a server that answers each create and ends each response leads to quiet."""
    for start in states(lawful):
        floor, _ = step(start.floor, Hold(False))
        for turn in range(20):
            match floor.holder:
                case Idle():
                    assert floor.waiting == ()
                    break
                case Requested():
                    floor, _ = step(floor, Created(f"fresh {turn}", ours=True))
                case Contested(sent, _):
                    floor, _ = step(floor, Refused(sent.event_id, race=True))
                case Answering(response_id, _):
                    floor, _ = step(floor, Done(response_id))
                case Blocked():
                    floor, _ = step(floor, Created(f"fresh {turn}", ours=False))
        else:
            pytest.fail(f"never quiet: {start}")


def test_a_race_never_ends_what_others_than_the_turn_have_caused(lawful: Edges) -> None:
    for edge in lawful:
        if isinstance(edge.given, Refused) and edge.given.race:
            for outcome in edge.outcomes:
                if isinstance(outcome, Ended):
                    assert outcome.request.withdrawn


# --- the queue ---------------------------------------------------------------------------------------------------------


def test_automatic_requests_coalesce_into_one() -> None:
    floor, outcomes = run(Created("R", ours=False), Want(M), Want(N), Want(T), Done("R"))
    assert created(outcomes) == ["m"]
    assert in_flight(floor) == Request(
        event_id="m", causes=frozenset({Cause.MESSAGE, Cause.TURN}), askers=frozenset({"m", "n", "t"})
    )


def test_manual_requests_each_get_their_own_in_order() -> None:
    _, outcomes = run(
        Created("R", ours=False), Want(A), Want(M), Want(B), Want(N), Done("R"),
        Created("1", ours=True), Done("1"), Created("2", ours=True), Done("2"), Created("3", ours=True), Done("3"),
    )  # fmt: skip
    assert created(outcomes) == ["a", "m", "b"]


def test_a_request_that_lost_a_race_goes_first_and_takes_what_was_wanted_meanwhile_along() -> None:
    floor, outcomes = run(Want(M), Want(A), Want(N), Created("V", ours=False), Refused("m", race=True), Done("V"))
    assert created(outcomes) == ["m", "m"]
    again = in_flight(floor)
    assert again is not None
    assert again.askers == {"m", "n"}
    assert floor.waiting == (A,)


def test_a_manual_request_that_lost_a_race_is_asked_again_alone() -> None:
    floor, outcomes = run(Want(A), Want(M), Created("V", ours=False), Refused("a", race=True), Done("V"))
    assert created(outcomes) == ["a", "a"]
    assert in_flight(floor) == A
    assert floor.waiting == (M,)


def test_a_turn_that_somebody_else_has_answered_is_not_asked_for_again() -> None:
    _, outcomes = run(Want(T), Created("V", ours=False), Refused("t", race=True), Done("V"))
    assert created(outcomes) == ["t"]
    assert ended(outcomes) == ["t"]


def test_a_turn_that_waits_is_void_when_somebody_else_answers() -> None:
    floor, outcomes = run(Hold(True), Want(T), Created("V", ours=False))
    assert ended(outcomes) == ["t"]
    assert floor.waiting == ()


def test_only_the_turn_is_void_of_a_request_with_more_causes() -> None:
    floor, outcomes = run(Want(T), Want(M), Created("V", ours=False), Refused("t", race=True), Done("V"))
    assert created(outcomes) == ["t", "m"]
    assert ended(outcomes) == ["t"]
    assert in_flight(floor) == M
    floor, outcomes = run(Hold(True), Want(M), Want(T), Created("V", ours=False))
    assert (floor.waiting, outcomes) == ((attrs.evolve(M, askers=frozenset({"m", "t"})),), [])


def test_a_response_for_a_turn_that_was_answered_meanwhile_is_unwanted() -> None:
    """Theirs was over before the server took our create: without this the turn would have two answers."""
    _, outcomes = run(Want(T), Created("V", ours=False), Done("V"), Created("R", ours=True))
    assert outcomes[-1] == Unwanted("R")


def test_a_turn_that_came_before_the_create_in_flight_needs_none_of_its_own() -> None:
    floor, _ = run(Want(M), Want(T, said_before=True))
    both = Request(event_id="m", causes=frozenset({Cause.MESSAGE, Cause.TURN}), askers=frozenset({"m", "t"}))
    assert in_flight(floor) == both
    _, outcomes = run(Created("R", ours=True), Done("R"), start=floor)
    assert created(outcomes) == []


def test_a_turn_that_came_after_the_create_in_flight_gets_its_own() -> None:
    _, outcomes = run(Want(M), Want(T), Created("R", ours=True), Done("R"))
    assert created(outcomes) == ["m", "t"]


def test_a_manual_create_in_flight_is_nobody_elses_answer() -> None:
    _, outcomes = run(Want(A), Want(T, said_before=True), Created("R", ours=True), Done("R"))
    assert created(outcomes) == ["a", "t"]


# --- races and refusals ------------------------------------------------------------------------------------------------


def test_a_response_taken_for_ours_is_found_out_by_the_refusal() -> None:
    floor, _ = run(Want(M), Created("V", ours=True))
    assert floor.holder == Answering("V", M)
    floor, outcomes = run(Refused("m", race=True), start=floor)
    assert floor == Floor(Answering("V"), (M,))
    assert outcomes == []


def test_a_turn_is_answered_by_what_was_taken_for_its_response() -> None:
    floor, outcomes = run(Want(T), Created("V", ours=True), Refused("t", race=True))
    assert floor == Floor(Answering("V"))
    assert ended(outcomes) == ["t"]


@pytest.mark.parametrize("ours", [True, False])
def test_what_runs_still_runs_after_a_refusal(ours: bool) -> None:
    floor, outcomes = run(Want(M), Created("V", ours=ours), Refused("m", race=False))
    assert floor == Floor(Answering("V"))
    assert ended(outcomes) == ["m"]


def test_a_race_against_a_response_that_was_not_announced_waits_for_its_end() -> None:
    floor, outcomes = run(Want(M), Refused("m", race=True))
    assert floor == Floor(Blocked(), (M,))
    assert created(outcomes) == ["m"]
    assert created(run(Done("anything"), start=floor)[1]) == ["m"]


def test_a_refusal_for_another_reason_ends_the_request_and_lets_the_next_go() -> None:
    floor, outcomes = run(Want(A), Want(B), Refused("a", race=False))
    assert ended(outcomes) == ["a"]
    assert floor.holder == Requested(B)


def test_refusals_and_ends_of_what_is_not_known_change_nothing() -> None:
    floor, _ = run(Want(M))
    assert run(Refused("other", race=True), Refused("other", race=False), Done("other"), start=floor) == (floor, [])


def test_when_theirs_is_over_ours_is_still_on_its_way() -> None:
    floor, _ = run(Want(M), Created("V", ours=False), Done("other"))
    assert floor.holder == Contested(M, "V")
    floor, outcomes = run(Done("V"), start=floor)
    assert (floor.holder, outcomes) == (Requested(M), [])


def test_who_is_known_to_wait() -> None:
    given = [Want(A), Want(B), Created("V", ours=False), Done("V"), Created("R", ours=True), Done("R")]
    waiting = [requests(run(*given[: at + 1])[0]) for at in range(len(given))]
    assert waiting == [(A,), (A, B), (A, B), (A, B), (A, B), (B,)]
    assert requests(run(Hold(True), Want(M))[0]) == (M,)


# --- withdrawing and holding -------------------------------------------------------------------------------------------


def test_a_waiting_request_can_be_withdrawn() -> None:
    floor, outcomes = run(Want(M), Want(A), Withdraw("a"))
    assert ended(outcomes) == ["a"]
    assert floor.waiting == ()


def test_a_response_to_a_request_withdrawn_in_flight_is_unwanted() -> None:
    floor, outcomes = run(Want(A), Withdraw("a"), Created("R", ours=True))
    assert outcomes[-1] == Unwanted("R")
    assert isinstance(floor.holder, Answering)


def test_a_request_withdrawn_in_flight_is_not_asked_for_again_after_a_race() -> None:
    _, outcomes = run(Want(A), Withdraw("a"), Created("V", ours=False), Refused("a", race=True), Done("V"))
    assert created(outcomes) == ["a"]
    assert ended(outcomes) == ["a"]


def test_nothing_joins_a_request_that_was_withdrawn() -> None:
    _, outcomes = run(
        Want(M),
        Withdraw("m"),
        Want(N),
        Created("V", ours=False),
        Refused("m", race=True),
        Done("V"),
        Created("R", ours=True),
    )
    assert created(outcomes) == ["m", "n"]
    assert ended(outcomes) == ["m"]
    assert Unwanted("R") not in outcomes


def test_a_held_floor_asks_for_nothing_until_it_is_let_go() -> None:
    floor, outcomes = run(Hold(True), Want(M))
    assert outcomes == []
    assert created(run(Hold(False), start=floor)[1]) == ["m"]
