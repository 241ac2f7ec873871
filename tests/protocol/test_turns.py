"""Who ends the user's turn and who asks for the answer: our commit, the server's detection, or both at once."""

from __future__ import annotations

import pytest

from trio_codex.protocol.turns import EMPTY, Turns


class Scene:
    """What happens to the user's turns, one word for each step; `asks` counts the answers that became ours to ask for."""

    def __init__(self, *, create: bool = True, detection: bool = True) -> None:
        self.turns = Turns()
        if detection:
            self.turns.configured(create=create, interrupt=True)
        else:
            self.turns.switched_off()
        self.asks = 0
        self.surprises = 0
        self._commits = 0
        self._items = 0

    def play(self, script: str) -> Scene:
        for word in script.split():
            getattr(self, word)()
        return self

    def commit(self, *, respond: bool = True) -> None:
        self._commits += 1
        self.asks += self.turns.commit(f"commit_{self._commits}", respond=respond)

    def silent(self) -> None:
        """A commit that leaves the asking to the user."""
        self.commit(respond=False)

    def started(self) -> None:
        self.turns.speech_started()

    def ended(self, *, busy: bool = False) -> None:
        """The detection ends a turn, which makes an item."""
        self._items += 1
        self.turns.detected(f"item_{self._items}")
        assert not self.turns.committed(f"item_{self._items}", busy=busy)

    def ended_while_answering(self) -> None:
        self.ended(busy=True)

    def taken(self) -> None:
        """Our oldest commit makes an item."""
        self._items += 1
        self.asks += self.turns.committed(f"item_{self._items}", busy=False)

    def empty(self) -> None:
        """Our oldest commit finds nothing in the buffer."""
        oldest = self.turns._commits[0].event_id
        expected, ask = self.turns.refused(oldest, EMPTY)
        self.asks += ask
        self.surprises += not expected

    def answered(self) -> None:
        """The server answers on its own account."""
        self.turns.created(ours=False)

    def ours(self) -> None:
        """The server answers a create of ours."""
        self.turns.created(ours=True)


@pytest.mark.parametrize(
    ("script", "asks"),
    [
        ("commit", 1),
        ("silent", 0),
        ("commit taken", 1),
        ("commit taken commit taken", 2),
    ],
)
def test_without_detection_the_answer_is_asked_for_with_the_commit(script: str, asks: int) -> None:
    assert Scene(detection=False).play(script).asks == asks


@pytest.mark.parametrize(
    ("script", "asks"),
    [
        pytest.param("commit", 0, id="we wait for what the server makes of it"),
        pytest.param("commit taken", 1, id="nobody but us noticed"),
        pytest.param("started commit taken", 1, id="we noticed the end first"),
        pytest.param("silent taken", 0, id="the asking is left to the user"),
        pytest.param("started commit ended answered empty", 0, id="the server noticed first"),
        pytest.param("started commit ended answered taken", 0, id="... and silence was left over"),
        pytest.param("started ended answered commit empty", 0, id="... before we committed"),
        pytest.param("started ended answered commit taken", 0, id="... before we committed the silence after it"),
        pytest.param("started commit ended empty answered", 0, id="... and answers after our refusal"),
        pytest.param("started commit ended answered started taken", 1, id="the user went on speaking"),
        pytest.param("started ended answered started commit taken", 1, id="the next turn is another turn"),
        pytest.param("started commit ended_while_answering empty", 1, id="the server could not answer: somebody spoke"),
        pytest.param("started commit taken commit taken", 2, id="two turns"),
        pytest.param("commit answered taken", 0, id="somebody answered since we committed"),
        pytest.param("started ended answered commit taken commit taken", 1, id="the silence after a turn counts once"),
        pytest.param("taken", 0, id="what somebody else has committed"),
        pytest.param("commit ours taken", 1, id="a create of ours that was sent before is no answer to it"),
    ],
)
def test_with_detection_there_is_one_answer_whoever_noticed_first(script: str, asks: int) -> None:
    scene = Scene().play(script)
    assert scene.asks == asks
    assert scene.surprises == 0


@pytest.mark.parametrize(
    ("script", "asks"),
    [
        ("started commit taken", 1),
        ("started commit ended empty", 1),
        ("started commit ended taken", 1),
        ("started ended commit empty", 1),
        ("started ended commit empty commit empty", 1),
        ("started ended ours commit empty", 0),
        ("started silent ended empty", 0),
        ("started ended", 0),
    ],
)
def test_with_detection_that_creates_no_response_the_asking_is_ours(script: str, asks: int) -> None:
    scene = Scene(create=False).play(script)
    assert (scene.asks, scene.surprises) == (asks, 0)


def test_an_empty_commit_that_no_detection_explains_is_an_error() -> None:
    scene = Scene().play("commit empty")
    assert (scene.asks, scene.surprises) == (0, 1)


def test_another_refusal_of_a_commit_is_an_error() -> None:
    scene = Scene().play("started commit ended")
    assert scene.turns.refused("commit_1", "input_audio_buffer_full") == (False, False)


def test_a_refusal_answers_the_commit_that_it_names() -> None:
    scene = Scene().play("started ended commit commit")
    assert scene.turns.refused("commit_2", EMPTY) == (True, False)
    assert scene.turns.refused("commit_2", EMPTY) == (False, False)
    assert scene.turns.refused("commit_1", EMPTY) == (True, False)


def test_refusals_of_other_frames_are_none_of_its_business() -> None:
    assert Scene().play("commit").turns.refused("other", EMPTY) == (False, False)


def test_detection_is_on_unless_the_server_says_otherwise() -> None:
    turns = Turns()
    assert turns.theirs is False
    turns.commit("c", respond=True)
    assert turns.committed("", busy=False)
    assert turns.detection
    assert turns.interrupts
    turns.detected("u")
    assert not turns.committed("u", busy=False)
    assert turns.theirs
    turns.configured(create=None, interrupt=None)
    assert turns.interrupts
    turns.configured(create=False, interrupt=False)
    assert not turns.interrupts
    turns.switched_off()
    assert turns.detection is turns.interrupts is False


def test_an_answer_to_what_the_server_ended_is_none_to_a_second_commit() -> None:
    """Both commits were on their way when the server answered; the second one holds audio that came after the first."""
    assert Scene().play("started ended silent commit answered taken taken").asks == 1
    assert Scene().play("started ended commit commit answered taken taken").asks == 1
    assert Scene().play("started ended commit commit answered empty taken").asks == 0


def test_an_item_id_that_is_used_again_is_another_item() -> None:
    scene = Scene().play("started ended answered started commit commit")
    assert scene.turns.committed("item_1", busy=False)
    assert scene.turns.committed("", busy=False)


def test_the_server_owes_an_answer_until_it_is_given() -> None:
    scene = Scene().play("started ended")
    assert scene.turns.theirs
    assert not scene.play("answered").turns.theirs
    assert not Scene(create=False).play("started ended").turns.theirs
    assert not Scene().play("started ended_while_answering").turns.theirs


def test_commits_under_way_survive_a_change_of_detection() -> None:
    scene = Scene().play("started commit")
    scene.turns.switched_off()
    assert scene.play("taken").asks == 1
