"""Server-sent events: the format of the standard, in any chunking."""

from __future__ import annotations

from hypothesis import given, strategies as st

from trio_codex.sse import ServerSentEvent, SseParser

STREAM = (
    '\ufeff: a comment\r\nevent: first\ndata: {"a": 1}\n\n'
    "data:no blank\rdata: second line\r\r"
    "id: 7\nretry: 10\nevent: nothing\n\n"
    "data: line\u2028separator, é\n\n"
    "data: [DONE]\n\ndata: never ended\n"
).encode()
EVENTS = [
    ServerSentEvent('{"a": 1}', "first"),
    ServerSentEvent("no blank\nsecond line"),
    ServerSentEvent("line\u2028separator, é"),
    ServerSentEvent("[DONE]"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_any_chunking_gives_the_same_events(cuts: list[int]) -> None:
    parser = SseParser()
    found = [
        event for at, to in zip([0, *cuts], [*cuts, len(STREAM)], strict=True) for event in parser.feed(STREAM[at:to])
    ]
    assert found == EVENTS


@given(st.lists(st.text(st.characters(exclude_characters="\r\n")), min_size=1))
def test_what_is_written_is_read(lines: list[str]) -> None:
    written = "".join(f"data: {line}\n" for line in lines) + "\n"
    assert SseParser().feed(written.encode(errors="replace")) == [
        ServerSentEvent("\n".join(lines).encode(errors="replace").decode())
    ]
