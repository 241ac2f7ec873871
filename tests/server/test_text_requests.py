"""Bodies of `POST /v1/responses`, pure: whatever is in them, they are understood or refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_codex.grammar import Refusal
from trio_codex.protocol import AnswerRequest, AssistantMessage, FunctionCall, Item, SystemMessage, UserMessage
from trio_codex.server.text_requests import REQUEST, items_of, request_of
from trio_codex.server.text_responses import MOST_STORED, ResponseStore, TextResponse

WORDS = st.sampled_from(["x", "user", "assistant", "developer", "input_text", "output_text", "input_image", "c1", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PART = st.fixed_dictionaries(
    {}, optional={"type": WORDS | JSON, "text": WORDS | JSON, "image_url": JSON, "refusal": JSON}
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "function_call_output", "item_reference", "reasoning"])
        | JSON,
        "role": WORDS | JSON,
        "content": WORDS | st.lists(PART, max_size=3) | JSON,
        "id": WORDS | JSON,
        "call_id": WORDS | JSON,
        "name": WORDS | JSON,
        "arguments": WORDS | JSON,
        "output": WORDS | st.lists(PART, max_size=2) | JSON,
    },
)
TOOL = st.fixed_dictionaries(
    {}, optional={"type": st.just("function") | JSON, "name": WORDS | JSON, "parameters": JSON}
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "input": WORDS | st.lists(ENTRY, max_size=4) | JSON,
        "tools": st.lists(TOOL, max_size=2) | JSON,
        "tool_choice": st.sampled_from(["none", "auto", {"type": "function", "name": "x"}])
        | st.fixed_dictionaries({"type": st.just("allowed_tools")}, optional={"tools": JSON, "mode": JSON})
        | JSON,
        "instructions": JSON,
        "metadata": JSON,
        "max_output_tokens": JSON,
        "text": JSON | st.fixed_dictionaries({"format": JSON}),
        "unheard_of": JSON,
    },
)


def nothing(_: str) -> Item | None:
    return None


@given(BODY)
def test_any_body_is_understood_or_refused(body: Any) -> None:
    try:
        REQUEST(body, "")
        asked = request_of(body, "resp_1", items_of(body["input"], (), nothing))
    except Refusal as refusal:
        assert refusal.message
        return
    response = TextResponse(asked, body, 0)
    events = [*response.open(), *response.text("Hello."), *response.call("x", "{}"), *response.close()]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert response.items()


@given(JSON)
def test_anything_at_all_is_understood_or_refused(body: Any) -> None:
    try:
        REQUEST(body, "")
    except Refusal:
        return
    assert isinstance(body, dict)


def test_items_are_those_of_the_realtime_protocol() -> None:
    given_items: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image"}]},
        {"type": "reasoning", "id": "rs_1"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    system, user, call, output, assistant = items_of(given_items, (), nothing)
    assert isinstance(system, SystemMessage)
    assert isinstance(user, UserMessage)
    assert [part.type for part in user.content] == ["input_text", "input_image"]
    assert isinstance(call, FunctionCall)
    assert output.output == "done"  # type: ignore[union-attr]
    assert isinstance(assistant, AssistantMessage)
    assert assistant.content[0].text == "No."


def test_outputs_may_answer_calls_of_before() -> None:
    before = items_of("x", (), nothing)
    before.append(FunctionCall(call_id="c", name="f", arguments="{}"))
    answered: list[Any] = [{"type": "function_call_output", "call_id": "c", "output": "1"}]
    assert len(items_of(answered, before, nothing)) == 1
    with pytest.raises(Refusal, match="No tool output found for function call c"):
        items_of([{"role": "user", "content": "x"}], before, nothing)


def test_the_store_forgets_the_oldest() -> None:
    store = ResponseStore()
    for number in range(MOST_STORED + 1):
        store.keep(f"resp_{number}", [UserMessage(id=f"msg_{number}", content=())], 10)
    assert store.conversation("resp_0") is None
    assert store.conversation("resp_1") is not None
    assert store.find("msg_1") is not None
    assert store.find("msg_0") is None
    store.keep("large", [], 1 << 30)
    assert store.conversation("large") == ()
    assert store.conversation(f"resp_{MOST_STORED}") is None


def test_a_call_s_output_may_be_followed_by_a_question() -> None:
    asked = request_of({"input": "x", "tools": [], "tool_choice": None}, "resp_1", items_of("x", (), nothing))
    assert isinstance(asked, AnswerRequest)
    assert (asked.tool_choice, asked.modality) == ("auto", "text")
