"""The guardrails of one answer: the machine explored to its last state, and what is held under random schedules."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.protocol.machines import (
    FREE,
    HOLDING,
    Edge,
    guardrail_edges,
    guardrail_table,
    leads_to,
    pages,
    states,
    table_in,
)
from trio_codex.agent import Guardrail
from trio_codex.protocol import guardrails
from trio_codex.protocol.guarded import Guarded
from trio_codex.protocol.guardrails import (
    Check,
    Ended,
    Passed,
    Release,
    Said,
    Through,
    Trip,
    Tripped,
    Watching,
    sentence_end,
    step,
)

Edges = list[Edge[guardrails.State]]


@pytest.fixture(scope="module")
def edges() -> Edges:
    """The whole graphs of some answers."""
    return [*guardrail_edges(HOLDING, FREE), *guardrail_edges(HOLDING, HOLDING), *guardrail_edges(FREE)]


# --- the machine ---------------------------------------------------------------------------------------------------------


def test_the_table_in_the_docstring_is_what_the_code_does() -> None:
    assert table_in(guardrails) == guardrail_table()


def test_the_pages_are_what_the_code_does() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is stale: python -m tests.protocol.machines"


def test_an_answer_trips_once(edges: Edges) -> None:
    for edge in edges:
        trips = [outcome for outcome in edge.outcomes if isinstance(outcome, Trip)]
        assert len(trips) == int(edge.after == Through(tripped=True) != edge.before), edge
        assert edge.before != Through(tripped=True) or (edge.after == edge.before and not edge.outcomes)


def test_a_guardrail_checks_one_text_at_a_time_and_nothing_twice(edges: Edges) -> None:
    for edge in edges:
        for outcome in edge.outcomes:
            if isinstance(outcome, Check):
                assert isinstance(edge.before, Watching)
                watch = edge.before.watches[outcome.index]
                assert not watch.checking or edge.given == Passed(outcome.index)
                assert outcome.length > watch.checked


def test_only_what_all_that_hold_have_passed_is_released_and_all_of_it_at_the_end(edges: Edges) -> None:
    for edge in edges:
        for outcome in edge.outcomes:
            if isinstance(outcome, Release):
                assert isinstance(edge.before, Watching)
                passed = [
                    watch.checked if edge.given == Passed(index) else watch.passed
                    for index, watch in enumerate(edge.before.watches)
                    if watch.holds
                ]
                assert passed
                assert min(passed) == (edge.before.length if outcome.length is None else outcome.length), edge


def test_an_answer_is_through_only_when_everything_has_passed_or_somebody_stopped_it(edges: Edges) -> None:
    for edge in edges:
        if isinstance(edge.before, Watching) and edge.after == Through():
            if isinstance(edge.given, guardrails.CutOff):
                assert not any(watch.checking for watch in edge.before.watches)
            else:
                checked = [watch.checked for watch in edge.before.watches]
                assert set(checked) == {edge.before.length}
                assert edge.before.ended or edge.given == Ended()


def test_nothing_is_ever_stuck(edges: Edges) -> None:
    assert states(edges) == leads_to(edges, lambda state: isinstance(state, Through))


def test_without_guardrails_there_is_nothing_to_do() -> None:
    assert guardrails.watching([]) == Through()


def test_a_check_every_so_many_characters_and_at_the_end() -> None:
    state = guardrails.watching([Guardrail(lambda text: False, every=10)])
    lengths = []
    for given in (Said(9), Said(12), Passed(0), Said(21), Said(25), Passed(0), Said(26), Ended(), Passed(0)):
        state, outcomes = step(state, given)
        lengths += [outcome.length for outcome in outcomes if isinstance(outcome, Check)]
    assert lengths == [12, 25, 26]
    assert state == Through()


def test_a_late_verdict_of_a_stopped_answer_trips_late() -> None:
    state = guardrails.watching([Guardrail(lambda text: False, every=1)])
    for given in (Said(5), guardrails.CutOff()):
        state, _ = step(state, given)
    assert step(state, Tripped(0)) == (Through(tripped=True), (Trip(0, late=True),))


def test_a_check_is_due_when_just_so_many_characters_have_come() -> None:
    state = guardrails.watching([Guardrail(len, every=10)])
    state, outcomes = step(state, Said(9))
    assert outcomes == ()
    assert step(state, Said(10))[1] == (Check(0, 10),)


def test_a_trip_says_whose_it_is() -> None:
    state, _ = step(guardrails.watching([Guardrail(len, every=1), Guardrail(len, every=1)]), Said(5))
    assert step(state, Tripped(1)) == (Through(tripped=True), (Trip(1),))


def test_a_stopped_answer_waits_for_every_check_that_is_under_way() -> None:
    state, _ = step(guardrails.watching([Guardrail(len, every=1)] * 2 + [Guardrail(len, every=9)]), Said(5))
    state, _ = step(state, guardrails.CutOff())
    assert step(state, Passed(2)) == (state, ())
    state, outcomes = step(state, Passed(0))
    assert (state, outcomes) == (guardrails.Stopped(frozenset({1})), ())
    assert step(state, Passed(1)) == (Through(), ())
    assert step(state, Tripped(0)) == (state, ())
    assert step(state, Tripped(1)) == (Through(tripped=True), (Trip(1, late=True),))


# --- sentences -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Hello there", None),
        ("Hello there.", 12),
        ("Hello there. How", 13),
        ("3.5 apples", None),
        ('He said "no." Then', 14),
        ("Really?! Yes", 9),
        ("\u597d\u3002\u518d", 2),
        ("\u0905\u092c\u0964 \u0905\u092c", 4),
        ("a list\n- of", 7),
        ("One. Two. Thr", 10),
    ],
)
def test_where_sentences_end(text: str, end: int | None) -> None:
    assert sentence_end(text) == end


# --- what is held --------------------------------------------------------------------------------------------------------


@attrs.frozen
class Piece:
    """A piece of sound: its number, the length of the text when it came, and whether it came before the words of its part."""

    number: int
    mark: int
    beyond: bool


def guarded(*every: int, hold: bool = True) -> Guarded[str]:
    return Guarded([Guardrail(len, every=each, hold="sentence" if hold else None) for each in every or (100,)])


def test_sound_waits_for_its_sentence() -> None:
    answer = guarded()
    assert answer.said("p", "One two") == ()
    answer.hold("p", "a")
    assert answer.said("p", " three. Fo") == (Check(0, 17),)
    answer.hold("p", "b")
    assert answer.text(0) == "One two three. Fo"
    assert answer.take() == []
    answer.said("p", "ur.")
    assert answer.text(0) == "One two three. Fo"
    answer.passed(0)
    assert answer.take() == ["a"]
    answer.passed(0)
    assert answer.take() == ["b"]


def test_a_sentence_ends_after_its_quotes_though_they_come_later() -> None:
    answer = guarded()
    answer.said("p", 'He said "no')
    assert answer.said("p", ".") == (Check(0, 12),)
    answer.passed(0)
    assert answer.said("p", '" Then') == (Check(0, 18),)


def test_words_that_are_none_do_not_run_ahead_of_the_sound() -> None:
    answer = guarded()
    answer.said("o", "One.")
    answer.said("p", "")
    answer.hold("p", "a")
    answer.passed(0)
    assert answer.take() == []


def test_sound_that_comes_before_its_words_waits_for_the_next_sentence() -> None:
    answer = guarded()
    answer.hold("p", "a")
    answer.said("p", "One.")
    answer.passed(0)
    assert answer.take() == ["a"]
    answer.hold("p", "b")
    assert answer.take() == []
    answer.said("p", " Two.")
    assert answer.take() == []
    answer.passed(0)
    assert answer.take() == ["b"]


def test_the_last_words_need_no_full_stop() -> None:
    answer = guarded()
    answer.said("p", "well")
    answer.hold("p", "a")
    assert answer.ended() == (Check(0, 4),)
    assert answer.take() == []
    answer.passed(0)
    assert answer.take() == ["a"]
    assert not answer.pending


def test_sound_without_words_is_heard_when_the_answer_is_over() -> None:
    answer = guarded()
    answer.hold("p", "a")
    assert answer.take() == []
    answer.ended()
    assert answer.take() == ["a"]


def test_parts_are_told_apart_and_words_that_only_the_end_tells_are_checked() -> None:
    answer = guarded()
    answer.said("p", "one")
    answer.whole("p", "one")
    answer.passed(0)
    assert answer.whole("q", "two") == (Check(0, 7),)
    assert answer.text(0) == "one\ntwo"
    assert answer.whole("q", "two") == ()


def test_words_that_differ_from_what_was_told_are_checked() -> None:
    answer = guarded()
    answer.said("p", "good")
    answer.whole("p", "bad")
    assert answer.text(0) == "good\nbad"


@pytest.mark.parametrize(
    ("whole", "text"),
    [("one two", "one two"), ("one two three", "one two three"), ("two", "one two\ntwo"), ("", "one two")],
)
def test_what_the_end_of_a_part_tells_is_added_once(whole: str, text: str) -> None:
    answer = guarded()
    answer.said("p", "one")
    answer.said("p", " two")
    answer.whole("p", whole)
    assert answer.text(0) == text
    answer.passed(0)
    assert answer.said("p", " and more") == ()
    assert answer.whole("p", "something else") == ()
    assert answer.ended() == ()
    assert not answer.pending


def test_the_end_of_one_part_does_not_break_another() -> None:
    answer = guarded()
    answer.said("p", "one")
    answer.said("q", "two")
    answer.whole("p", "one")
    answer.passed(0)
    answer.said("q", " three")
    assert answer.ended() == (Check(0, 13),)
    assert answer.text(0) == "one\ntwo three"


def test_who_does_not_hold_keeps_nothing_waiting() -> None:
    answer: Guarded[str] = Guarded([Guardrail(len, every=100, hold="sentence"), Guardrail(len, every=1)])
    assert answer.said("p", "well") == (Check(1, 4),)
    answer.hold("p", "a")
    assert answer.ended() == (Check(0, 4),)
    answer.passed(0)
    assert answer.take() == ["a"]
    assert answer.pending


def test_everybody_who_holds_must_pass() -> None:
    answer = guarded(100, 100)
    answer.said("p", "One.")
    answer.hold("p", "a")
    answer.passed(1)
    assert answer.take() == []
    answer.passed(0)
    assert answer.take() == ["a"]


def test_every_guardrail_goes_on_whoever_passes_first() -> None:
    answer = guarded(100, 100, 100)
    answer.said("p", "One.")
    for index in range(3):
        answer.passed(index)
    assert answer.said("p", " Two.") == (Check(0, 9), Check(1, 9), Check(2, 9))


def test_nothing_is_held_by_guardrails_that_do_not_hold() -> None:
    answer = guarded(hold=False)
    answer.said("p", "One.")
    answer.hold("p", "a")
    assert answer.take() == ["a"]


class Guarding(RuleBasedStateMachine):
    """What is held is neither lost nor reordered nor heard before its verdict, whatever comes when."""

    @initialize(rules=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=3))
    def begin(self, rules: list[tuple[int, bool]]) -> None:
        self.holders = [index for index, (_, holds) in enumerate(rules) if holds]
        self.answer: Guarded[Piece] = Guarded(
            [Guardrail(len, every=every, hold="sentence" if holds else None) for every, holds in rules]
        )
        self.in_flight: dict[int, int] = {}
        self.passed = dict.fromkeys(range(len(rules)), 0)
        self.text, self.part, self.words_came = "", 0, False
        self.held: list[Piece] = []
        self.heard: list[Piece] = []
        self.trips = 0
        self.stopped = False

    def follow(self, outcomes: tuple[Check | Trip, ...]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Check):
                assert outcome.index not in self.in_flight, "two checks at a time"
                self.in_flight[outcome.index] = outcome.length
                assert self.answer.text(outcome.index) == self.text[: outcome.length]
            else:
                self.trips += 1

    @rule(words=st.sampled_from(["ab ", "c. ", "d", "e!", "\n"]))
    def speak(self, words: str) -> None:
        self.text += "\n" * (bool(self.text) and not self.words_came) + words
        self.words_came = True
        self.follow(self.answer.said(self.part, words))

    @rule()
    def next_part(self) -> None:
        self.follow(self.answer.whole(self.part, ""))
        self.part, self.words_came = self.part + 1, False

    @precondition(lambda self: not self.stopped)
    @rule()
    def sound(self) -> None:
        piece = Piece(len(self.held), len(self.text), beyond=not self.words_came)
        self.held.append(piece)
        self.answer.hold(self.part, piece)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def passes(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.in_flight)))
        self.passed[index] = self.in_flight.pop(index)
        self.follow(self.answer.passed(index))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def trips_(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.in_flight)))
        del self.in_flight[index]
        self.stopped = True
        self.follow(self.answer.tripped(index))
        assert self.trips == 1

    @rule()
    def cut(self) -> None:
        self.stopped = True
        self.answer.cut_off()

    @invariant()
    def listen(self) -> None:
        for piece in self.answer.take():
            assert not self.stopped, "heard after it was stopped"
            self.heard.append(piece)
            assert self.held[: len(self.heard)] == self.heard, "reordered or invented"
            least = min((self.passed[index] for index in self.holders), default=len(self.text))
            assert least >= piece.mark + piece.beyond or least == len(self.text), "heard before its words had passed"

    def teardown(self) -> None:
        self.follow(self.answer.ended())
        self.listen()
        while self.in_flight and not self.stopped:
            index = min(self.in_flight)
            self.passed[index] = self.in_flight.pop(index)
            self.follow(self.answer.passed(index))
            self.listen()
        if not self.stopped:
            assert self.heard == self.held, "lost"
            assert not self.answer.pending
            assert set(self.passed.values()) == {len(self.text)}, "something was never checked"


TestGuarding = Guarding.TestCase
