from __future__ import annotations

from hypothesis import given, strategies as st

from trio_codex.server.faults.streams import Frames


def frame(payload: bytes, *, masked: bool) -> bytes:
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([0x81, mask_bit | size])
    elif size < 65536:
        head = bytes([0x81, mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x81, mask_bit | 127]) + size.to_bytes(8, "big")
    return head + (b"mask" if masked else b"") + payload


@given(
    frames=st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 300, 70_000]), st.booleans()), max_size=5),
    cuts=st.lists(st.integers(1, 40_000), max_size=20),
)
def test_frames_come_out_whole_however_they_are_cut(frames: list[tuple[int, bool]], cuts: list[int]) -> None:
    whole = [frame(bytes(size), masked=masked) for size, masked in frames]
    data, splitter, found = b"".join(whole), Frames(), []
    for cut in [*cuts, len(data)]:
        found += splitter.feed(data[:cut])
        data = data[cut:]
    assert found == whole
