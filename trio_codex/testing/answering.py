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
    response: dict[str, Any] = {"id": response_id or line.new_id("resp"), "object": "realtime.response"}
    beside = create is not None and create.response is not None and create.response.conversation == "none"
    response["conversation_id"] = None if beside else "conv_scripted"
    if create is not None and create.response is not None:
        response["metadata"] = create.response.metadata
    teller = _Teller(line, response["id"], beside=beside)
    await line.say("response.created", response={**response, "status": "in_progress", "output": []})
    items = []
    if words or audio:
        items.append(await teller.message(words, [audio] if isinstance(audio, bytes) else list(audio)))
    items += [await teller.call(call) for call in calls]
    await line.say("response.done", response={**response, "status": status, "status_details": details, "output": items})
    return str(response["id"])


class _Teller:
    """Tells the items of one response; those of a response beside the conversation are no items of the conversation."""

    def __init__(self, line: Line, response_id: str, *, beside: bool) -> None:
        self._line = line
        self._response_id = response_id
        self._beside = beside
        self._count = -1

    async def _tell(self, event: str, item: dict[str, Any]) -> dict[str, Any]:
        """One end of an item's life: `added` or `done`."""
        where = {"response_id": self._response_id, "output_index": self._count}
        await self._line.say(f"response.output_item.{event}", **where, item=item)
        if not self._beside:
            await self._line.say(f"conversation.item.{event}", item=item)
        return {**where, "item_id": item["id"]}

    async def message(self, words: str, audio: list[bytes]) -> dict[str, Any]:
        line = self._line
        self._count += 1
        item = {"id": line.new_id("item"), "type": "message", "role": "assistant"}
        part = await self._tell("added", {**item, "status": "in_progress", "content": []})
        part["content_index"] = 0
        spoken = any(audio)
        kind = "output_audio_transcript" if spoken else "output_text"
        if words:
            await line.say(f"response.{kind}.delta", **part, delta=words)
        if spoken:
            for piece in audio:
                await line.say("response.output_audio.delta", **part, delta=piece)
            await line.say("response.output_audio.done", **part)
        await line.say(f"response.{kind}.done", **part, **{"transcript" if spoken else "text": words})
        content = {"type": "output_audio", "transcript": words} if spoken else {"type": "output_text", "text": words}
        done = {**item, "status": "completed", "content": [content]}
        await self._tell("done", done)
        return done

    async def call(self, call: Call) -> dict[str, Any]:
        line = self._line
        self._count += 1
        item = {"id": line.new_id("item"), "type": "function_call", "call_id": call.call_id, "name": call.name}
        same = await self._tell("added", {**item, "status": "in_progress", "arguments": ""})
        same["call_id"] = call.call_id
        await line.say("response.function_call_arguments.delta", **same, delta=call.arguments)
        await line.say("response.function_call_arguments.done", **same, name=call.name, arguments=call.arguments)
        done = {**item, "status": "completed", "arguments": call.arguments}
        await self._tell("done", done)
        return done
