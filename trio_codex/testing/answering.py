"""What a server says when it answers, in the API's order: `answer` for a script that cares for what, not for how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from trio_codex.protocol import ResponseCreate
from trio_codex.testing.line import Line

__all__ = ["Call", "answer"]


@attrs.frozen
class Call:
    """A function call in an answer; `arguments` is the model's JSON text."""

    call_id: str
    name: str
    arguments: str = "{}"


async def answer(
    line: Line,
    create: ResponseCreate | None = None,
    words: str = "",
    *,
    audio: bytes | Iterable[bytes] = b"",
    calls: Iterable[Call] = (),
    status: str = "completed",
    details: Mapping[str, Any] | None = None,
    response_id: str | None = None,
) -> str:
    """Say a whole response, from `response.created` to `response.done`; gives its id.

    `words` are spoken if there is `audio` (pieces of it, one delta each), else written. Without `create` it is a response that nobody
    asked for, as turn detection makes them.
    """
    response_id = response_id or line.new_id("resp")
    response = {"id": response_id, "object": "realtime.response", "conversation_id": "conv_scripted"}
    if create is not None and create.response is not None:
        response["metadata"] = create.response.metadata
        if create.response.conversation == "none":
            response["conversation_id"] = None
    await line.say("response.created", response={**response, "status": "in_progress", "output": []})
    items = []
    if words or audio:
        items.append(await _message(line, response_id, words, [audio] if isinstance(audio, bytes) else list(audio)))
    for index, call in enumerate(calls, len(items)):
        items.append(await _call(line, response_id, index, call))
    await line.say("response.done", response={**response, "status": status, "status_details": details, "output": items})
    return response_id


async def _message(line: Line, response_id: str, words: str, audio: list[bytes]) -> dict[str, Any]:
    spoken = any(audio)
    item = {"id": line.new_id("item"), "type": "message", "role": "assistant"}
    where = {"response_id": response_id, "output_index": 0}
    part = {**where, "item_id": item["id"], "content_index": 0}
    await line.say("response.output_item.added", **where, item={**item, "status": "in_progress", "content": []})
    await line.say("conversation.item.added", item={**item, "status": "in_progress", "content": []})
    kind = "output_audio_transcript" if spoken else "output_text"
    if words:
        await line.say(f"response.{kind}.delta", **part, delta=words)
    for piece in audio if spoken else ():
        await line.say("response.output_audio.delta", **part, delta=piece)
    if spoken:
        await line.say("response.output_audio.done", **part)
    await line.say(f"response.{kind}.done", **part, **{"transcript" if spoken else "text": words})
    content = {"type": "output_audio", "transcript": words} if spoken else {"type": "output_text", "text": words}
    done = {**item, "status": "completed", "content": [content]}
    await line.say("response.output_item.done", **where, item=done)
    await line.say("conversation.item.done", item=done)
    return done


async def _call(line: Line, response_id: str, index: int, call: Call) -> dict[str, Any]:
    item = {"id": line.new_id("item"), "type": "function_call", "call_id": call.call_id, "name": call.name}
    where = {"response_id": response_id, "output_index": index}
    added = {**item, "status": "in_progress", "arguments": ""}
    await line.say("response.output_item.added", **where, item=added)
    await line.say("conversation.item.added", item=added)
    same = {**where, "item_id": item["id"], "call_id": call.call_id}
    await line.say("response.function_call_arguments.delta", **same, delta=call.arguments)
    await line.say("response.function_call_arguments.done", **same, name=call.name, arguments=call.arguments)
    done = {**item, "status": "completed", "arguments": call.arguments}
    await line.say("response.output_item.done", **where, item=done)
    await line.say("conversation.item.done", item=done)
    return done
