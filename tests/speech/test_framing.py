"""Frames between the processes: any chunking of the pipe gives the same frames."""

from __future__ import annotations

from hypothesis import given, strategies as st

from trio_codex.speech.framing import ROOM, Frame, FrameReader, Kind, encode, pieces

FRAMES = st.builds(Frame, kind=st.sampled_from(Kind), job=st.integers(0, 2**32 - 1), payload=st.binary(max_size=40))


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 30), max_size=20))
def test_frames_come_out_as_they_went_in(frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(encode(frame.kind, frame.job, frame.payload) for frame in frames)
    reader = FrameReader()
    out: list[Frame] = []
    for size in [*sizes, len(data)]:
        out += reader.feed(data[:size])
        data = data[size:]
    assert out == frames


@given(st.integers(0, 3 * ROOM + 7))
def test_pieces_are_whole_samples_and_fit_an_atomic_write(length: int) -> None:
    payload = bytes(length)
    cut = list(pieces(payload))
    assert b"".join(cut) == payload
    assert all(len(encode(Kind.DATA, 1, piece)) <= 4096 for piece in cut)
    assert all(len(piece) % 2 == 0 for piece in cut[:-1])
