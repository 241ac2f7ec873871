"""The user's audio on its way out: in whole samples and bounded pieces, and what there is to commit."""

from __future__ import annotations

import pytest

from tests.protocol.driver import MS, Step
from trio_codex.errors import LocalProtocolError
from trio_codex.protocol import InputAudioBufferAppend, InputAudioBufferCommit, Send
from trio_codex.protocol.codec import structure
from trio_codex.protocol.effects import Effects
from trio_codex.protocol.hearing import PIECE_BYTES, Hearing
from trio_codex.protocol.sessions import InputAudioConfig


class Scene:
    """A buffer as the server has told: no turn detection, unless it is told otherwise."""

    def __init__(self, **config: object) -> None:
        self.effects = Effects()
        self.hearing = Hearing(self.effects)
        self.configured(**{"turn_detection": None, **config})

    def configured(self, **config: object) -> None:
        self.hearing.configured(structure(config, InputAudioConfig))

    def hear(self, audio: bytes = b"", *, commit: bool = False, respond: bool = True) -> tuple[bool, Step]:
        ask = self.hearing.hear(audio, commit=commit, respond=respond)
        return ask, self.take()

    def take(self) -> Step:
        return Step(self.effects.take())

    def refuses(self, audio: bytes = b"") -> str:
        with pytest.raises(LocalProtocolError) as caught:
            self.hear(audio, commit=True)
        assert self.take() == []
        return str(caught.value)


def appended(step: Step) -> list[bytes]:
    events = [effect.event for effect in step if isinstance(effect, Send)]
    return [event.audio for event in events if isinstance(event, InputAudioBufferAppend)]


def test_half_a_sample_waits_for_its_other_half() -> None:
    scene = Scene()
    assert scene.hear(b"\1") == (False, [])
    assert appended(scene.hear(b"\2\3\4\5")[1]) == [b"\1\2\3\4"]
    assert appended(scene.hear(b"\6")[1]) == [b"\5\6"]


def test_every_append_has_an_id_of_its_own() -> None:
    _, step = Scene().hear(bytes(2 * PIECE_BYTES))
    ids = [frame["event_id"] for frame in step.sent]
    assert len(set(ids)) == 2
    assert all(event_id.startswith("event_") for event_id in ids)


@pytest.mark.parametrize(
    ("nbytes", "pieces"),
    [
        (PIECE_BYTES, [PIECE_BYTES]),
        (PIECE_BYTES + 2, [PIECE_BYTES, 2]),
        (3 * PIECE_BYTES - 2, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES - 2]),
    ],
)
def test_long_audio_goes_in_pieces(nbytes: int, pieces: list[int]) -> None:
    assert [len(piece) for piece in appended(Scene().hear(bytes(nbytes))[1])] == pieces


def test_a_hundred_ms_may_come_bit_by_bit() -> None:
    scene = Scene()
    for _ in range(4):
        scene.hear(bytes(20 * MS))
    assert "only 99 ms of audio are in the buffer; the API commits 100 ms or more" in scene.refuses(bytes(20 * MS - 2))
    ask, step = scene.hear(bytes(20 * MS), commit=True)
    assert ask
    assert step.types == ["input_audio_buffer.append", "input_audio_buffer.commit"]


def test_half_a_sample_that_waits_counts() -> None:
    scene = Scene()
    scene.hear(b"\1")
    assert scene.hear(bytes(100 * MS - 1), commit=True)[0]


def test_after_a_commit_the_buffer_is_empty() -> None:
    scene = Scene()
    scene.hear(bytes(200 * MS + 1), commit=True)
    assert "only 99 ms" in scene.refuses(bytes(100 * MS - 1))
    assert appended(scene.hear(b"\1\2")[1]) == [b"\1\2"]  # the half sample of the other turn has gone with it


def test_a_clear_empties_it_too() -> None:
    scene = Scene()
    scene.hear(bytes(200 * MS + 1))
    scene.hearing.cleared()
    assert "only 99 ms" in scene.refuses(bytes(100 * MS - 1))
    assert "only 0 ms" in scene.refuses()


def test_raw_appends_and_commits_count() -> None:
    scene = Scene()
    for _ in range(2):
        scene.hearing.append(InputAudioBufferAppend(audio=bytes(30 * MS)))
    assert appended(scene.take()) == [bytes(30 * MS)] * 2
    assert "only 99 ms" in scene.refuses(bytes(40 * MS - 2))
    assert not scene.hearing.commit(InputAudioBufferCommit(event_id="mine"), respond=False)
    assert scene.take().sent == [{"type": "input_audio_buffer.commit", "event_id": "mine"}]
    assert "only 0 ms" in scene.refuses()


def test_with_detection_the_server_knows_better_what_there_is() -> None:
    scene = Scene(turn_detection={"type": "server_vad"})
    ask, step = scene.hear(commit=True)
    assert not ask
    (commit,) = step.sent
    assert commit["type"] == "input_audio_buffer.commit"
    assert scene.hearing.turns.refused(commit["event_id"], "some_reason") == (False, False)
    assert not scene.hearing.turns.committed("u", busy=False)  # the commit is answered already


def test_the_asking_may_be_left_to_the_user() -> None:
    assert not Scene().hear(bytes(100 * MS), commit=True, respond=False)[0]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_the_format_is_what_the_server_says(name: str) -> None:
    scene = Scene(format={"type": name})
    assert appended(scene.hear(b"\1")[1]) == [b"\1"]
    assert "only 99 ms" in scene.refuses(bytes(798))
    assert scene.hear(bytes(799), commit=True)[0]


@pytest.mark.parametrize("known", [{"type": "audio/pcm", "rate": 24000}, {"type": "audio/opus"}, {}])
def test_a_format_that_is_none_counts_as_pcm_and_what_is_not_told_stays(known: dict[str, object]) -> None:
    scene = Scene(format={"type": "audio/pcmu"})
    scene.configured(noise_reduction=None)
    assert appended(scene.hear(b"\1")[1]) == [b"\1"]
    scene.configured(format=known)
    assert appended(scene.hear(b"\1")[1]) == []


def test_the_same_format_again_keeps_half_a_sample() -> None:
    scene = Scene()
    scene.hear(b"\1")
    scene.configured(format={"type": "audio/pcm", "rate": 24000})
    assert appended(scene.hear(b"\2")[1]) == [b"\1\2"]


def test_what_the_server_tells_of_its_detection() -> None:
    scene = Scene()
    assert not scene.hearing.turns.detection
    scene.configured(turn_detection={"type": "server_vad", "interrupt_response": False})
    assert (scene.hearing.turns.detection, scene.hearing.turns.interrupts) == (True, False)
    scene.configured(noise_reduction=None)
    assert (scene.hearing.turns.detection, scene.hearing.turns.interrupts) == (True, False)
    scene.configured(turn_detection={"type": "semantic_vad", "create_response": False})
    assert scene.hearing.turns.interrupts
    scene.hearing.turns.detected("u")
    scene.hearing.turns.committed("u", busy=False)
    assert not scene.hearing.turns.theirs
    scene.configured(turn_detection=None)
    assert not scene.hearing.turns.detection
