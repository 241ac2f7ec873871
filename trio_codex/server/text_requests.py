"""What a `POST /v1/responses` asks for, as a request to a responder. Pure.

Its items become those of the realtime protocol, so that one responder serves both: text of the user and the assistant, images, function
calls and their outputs. System and developer messages are system messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from trio_codex.grammar import (
    Refusal,
    a_function_s_schema,
    an_object,
    each,
    either,
    fields,
    flag,
    nullable,
    number,
    one_of,
    tagged,
    text,
    wrong_value,
)
from trio_codex.protocol import (
    AnswerRequest,
    AssistantMessage,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    Item,
    SystemMessage,
    UserMessage,
)


def _input(value: Any, path: str) -> None:
    (each(an_object) if isinstance(value, list) else text())(value, path)


_TOOL: Final = tagged(
    function=fields(
        "name",
        others_pass=True,
        name=text(at_most=128, pattern="[a-zA-Z0-9_-]+"),
        description=nullable(text()),
        parameters=nullable(a_function_s_schema),
        strict=nullable(flag),
    )
)
REQUEST: Final = fields(
    "input",
    others_pass=True,
    input=_input,
    model=text(),
    instructions=nullable(text()),
    tools=nullable(each(_TOOL)),
    tool_choice=nullable(
        either(
            one_of("none", "auto", "required"),
            tagged(function=fields("name", type=text(), name=text()), allowed_tools=an_object),
        )
    ),
    stream=nullable(flag),
    store=nullable(flag),
    previous_response_id=nullable(text()),
    max_output_tokens=nullable(number(16, whole=True)),
    metadata=nullable(an_object),
    parallel_tool_calls=nullable(flag),
    temperature=nullable(number(0, 2)),
    top_p=nullable(number(0, 1)),
    text=nullable(
        fields(others_pass=True, format=nullable(tagged(text=an_object))),
    ),
)
"""The body. Fields that say nothing to this server are passed over."""

Finder: TypeAlias = Callable[[str], Item | None]


def request_of(body: Mapping[str, Any], response_id: str, items: Sequence[Item]) -> AnswerRequest:
    """What a responder is asked."""
    tools = body.get("tools") or ()
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, Mapping) and choice["type"] == "allowed_tools":
        allowed = {tool.get("name") for tool in choice.get("tools") or ()}
        tools, choice = [tool for tool in tools if tool["name"] in allowed], choice.get("mode", "auto")
    if isinstance(choice, Mapping) and choice["name"] not in {tool["name"] for tool in tools}:
        raise wrong_value("tool_choice", f"there is no tool with the name '{choice['name']}'.")
    return AnswerRequest(
        response_id=response_id,
        instructions=body.get("instructions") or "",
        items=tuple(items),
        tools=tuple(tools),
        tool_choice=choice,
        modality="text",
        metadata=body.get("metadata"),
    )


def items_of(given: str | Sequence[Mapping[str, Any]], before: Sequence[Item], find: Finder) -> list[Item]:
    """The items of an `input`, which follow on `before`; `find` resolves references. Raises Refusal."""
    if isinstance(given, str):
        return [UserMessage(content=(ContentPart(type="input_text", text=given),))]
    items = [item for at, entry in enumerate(given) if (item := _item(entry, f"input[{at}]", find)) is not None]
    _check_calls([*before, *items])
    return items


def _item(entry: Mapping[str, Any], path: str, find: Finder) -> Item | None:
    match entry.get("type", "message"):
        case "message":
            return _message(entry, path)
        case "function_call":
            _needs(entry, path, "call_id", "name", "arguments")
            return FunctionCall(
                id=entry.get("id"),
                status="completed",
                call_id=entry["call_id"],
                name=entry["name"],
                arguments=entry["arguments"],
            )
        case "function_call_output":
            _needs(entry, path, "call_id")
            output = _written(entry.get("output"), f"{path}.output")
            return FunctionCallOutput(id=entry.get("id"), call_id=entry["call_id"], output=output)
        case "item_reference":
            _needs(entry, path, "id")
            found = find(entry["id"])
            if found is None:
                raise Refusal("invalid_value", f"Item with id '{entry['id']}' not found.", path)
            return found
        case "reasoning":
            return None  # another model's thoughts
        case other:
            supported = "'message', 'function_call', 'function_call_output', 'item_reference'"
            raise Refusal(
                "invalid_value", f"Invalid value: '{other}'. Supported values are: {supported}.", f"{path}.type"
            )


_ROLES: Final[Mapping[str, type[UserMessage | AssistantMessage | SystemMessage]]] = {
    "user": UserMessage,
    "assistant": AssistantMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}


def _message(entry: Mapping[str, Any], path: str) -> Item:
    _needs(entry, path, "role", "content")
    one_of(*_ROLES)(entry["role"], f"{path}.role")
    given = entry["content"]
    writes = "output_text" if entry["role"] == "assistant" else "input_text"
    if isinstance(given, str):
        given = [{"type": writes, "text": given}]
    each(an_object)(given, f"{path}.content")
    parts = tuple(_part(part, f"{path}.content[{at}]") for at, part in enumerate(given))
    return _ROLES[entry["role"]](id=entry.get("id"), status="completed", content=parts)


def _part(part: Mapping[str, Any], path: str) -> ContentPart:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            text()(part.get("text"), f"{path}.text")
            return ContentPart(type=part["type"], text=part["text"])
        case "refusal":
            return ContentPart(type="output_text", text=str(part.get("refusal", "")))
        case "input_image":
            return ContentPart(type="input_image", image_url=part.get("image_url"), detail=part.get("detail"))
        case other:
            supported = "'input_text', 'input_image', 'output_text', 'refusal'"
            raise Refusal(
                "invalid_value", f"Invalid value: {other!r}. Supported values are: {supported}.", f"{path}.type"
            )


def _written(output: Any, path: str) -> str:
    if isinstance(output, list):
        return " ".join(str(part["text"]) for part in output if isinstance(part, Mapping) and part.get("text"))
    text()(output, path)
    return str(output)


def _needs(entry: Mapping[str, Any], path: str, *names: str) -> None:
    for name in names:
        if entry.get(name) is None:
            raise Refusal(
                "missing_required_parameter", f"Missing required parameter: '{path}.{name}'.", f"{path}.{name}"
            )
        if name != "content":
            text()(entry[name], f"{path}.{name}")


def _check_calls(items: Sequence[Item]) -> None:
    """Every output has its call, and every call its output."""
    calls = {item.call_id for item in items if isinstance(item, FunctionCall)}
    outputs = {item.call_id for item in items if isinstance(item, FunctionCallOutput)}
    for stray in outputs - calls:
        raise Refusal(None, f"No tool call found for function call output with call_id {stray}.", "input")
    for unanswered in calls - outputs:
        raise Refusal(None, f"No tool output found for function call {unanswered}.", "input")
