"""One response in the making: its output items, their parts and deltas, what it costs, and how it ends.

Gives the events of a response's life in the API's order; every `.done` comes, also when the response is cut off. Knows
nothing of other responses, of the client's events or of who generates. Progress is reported in three verbs: `text` (a
transcript, where the answer is audio), `audio` and `call`.

Invariants: indices count up from 0; the deltas of a part add up to the text of its `.done`; one output item is open at
a time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import attrs

from trio_codex.protocol.codec import structure
from trio_codex.protocol.items import (
    AssistantMessage,
    ContentPart,
    FunctionCall,
    Response,
    ResponseError,
    StatusDetails,
    Usage,
)
from trio_codex.protocol.peer_effects import AnswerRequest, Say, explicit
from trio_codex.protocol.peer_ids import Ids
from trio_codex.protocol.peer_items import ItemList, OwnItem, Record
from trio_codex.protocol.peer_session import ResponseConfig
from trio_codex.protocol.peer_usage import Bill, rate_limits
from trio_codex.protocol.response_events import (
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from trio_codex.protocol.server_events import ConversationItemAdded, ConversationItemDone, RateLimitsUpdated
from trio_codex.protocol.sessions import AudioConfig

ARGUMENTS_PER_DELTA = 24
"""Characters of a function call's arguments in one delta."""


@attrs.frozen
class Ending:
    """How a response ends: `status`, and the reason or error that its details tell."""

    status: str
    reason: str | None = None
    error: ResponseError | None = None

    @property
    def details(self) -> StatusDetails | None:
        """The status details of the wire; none when it is completed."""
        if self.status == "completed":
            return None
        return StatusDetails(type=self.status, reason=self.reason, error=self.error)


COMPLETED = Ending("completed")


@attrs.define
class _OpenMessage:
    record: Record
    output_index: int
    pieces: list[str] = attrs.field(factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class ActiveResponse:
    """A response between `response.created` and `response.done`."""

    def __init__(
        self,
        config: ResponseConfig,
        context: Sequence[Record],
        *,
        conversation: ItemList | None,
        conversation_id: str | None,
        ids: Ids,
    ) -> None:
        self.id: str = ids.new("resp")
        self.config = config
        self.context: tuple[Record, ...] = tuple(context)
        self.requested: bool = False
        self._conversation = conversation
        self._conversation_id = conversation_id
        self._ids = ids
        self._bill = Bill()
        self._output: list[Record] = []
        self._message: _OpenMessage | None = None

    @property
    def awaits_words(self) -> bool:
        """Whether the recogniser still owes words of the context."""
        return any(record.awaits_words for record in self.context)

    @property
    def spoke(self) -> bool:
        """Whether any of it has sounded."""
        return self._bill.spoken_ms > 0

    @property
    def spoken_ms(self) -> int:
        """How long it takes to say all of it."""
        return round(self._bill.spoken_ms)

    @property
    def exhausted(self) -> bool:
        """Whether the response has used up its tokens."""
        limit = self.config.max_output_tokens
        return isinstance(limit, int) and self._bill.output_tokens >= limit

    def request(self) -> AnswerRequest:
        """What is to be answered; from now on somebody generates it."""
        self.requested = True
        config = self.config
        return AnswerRequest(
            response_id=self.id,
            instructions=config.instructions,
            items=tuple(record.understood() for record in self.context),
            tools=config.tools,
            tool_choice=config.tool_choice,
            modality=config.modality,
            voice=config.voice_name,
            speed=config.speed,
            audio_format=config.audio_format,
            metadata=config.metadata,
        )

    # --- life ------------------------------------------------------------------------------------------------------

    def open(self) -> Iterator[Say]:
        """The response exists."""
        yield Say(ResponseCreated(event_id=self._ids.event(), response=self._response("in_progress")))
        yield Say(RateLimitsUpdated(event_id=self._ids.event(), rate_limits=rate_limits()))

    def text(self, delta: str) -> Iterator[Say]:
        """More of what is said: text, or the transcript of the audio."""
        message = yield from self._open_message()
        message.pieces.append(delta)
        self._bill.say(delta)
        place = self._place(message)
        if self.config.modality == "audio":
            yield Say(
                ResponseOutputAudioTranscriptDelta(event_id=self._ids.event(), delta=delta, content_index=0, **place)
            )
        else:
            yield Say(ResponseOutputTextDelta(event_id=self._ids.event(), delta=delta, content_index=0, **place))

    def audio(self, data: bytes) -> Iterator[Say]:
        """More of how it sounds, in the response's output format; a text answer has none."""
        if self.config.modality != "audio":
            return
        message = yield from self._open_message()
        message.record.hear(data)
        self._bill.sound(len(data) / self.config.audio_format.bytes_per_ms)
        place = self._place(message)
        yield Say(ResponseOutputAudioDelta(event_id=self._ids.event(), delta=data, content_index=0, **place))

    def end_message(self, status: str = "completed") -> Iterator[Say]:
        """The message is said; what comes next is another item."""
        message, self._message = self._message, None
        if message is None:
            return
        place, text = self._place(message), message.text
        if self.config.modality == "audio":
            part = ContentPart(type="audio", transcript=text)
            shown = ContentPart(type="output_audio", transcript=text)
            yield Say(ResponseOutputAudioDone(event_id=self._ids.event(), content_index=0, **place))
            yield Say(
                ResponseOutputAudioTranscriptDone(event_id=self._ids.event(), transcript=text, content_index=0, **place)
            )
        else:
            part = ContentPart(type="text", text=text)
            shown = ContentPart(type="output_text", text=text)
            yield Say(ResponseOutputTextDone(event_id=self._ids.event(), text=text, content_index=0, **place))
        yield Say(ResponseContentPartDone(event_id=self._ids.event(), part=part, content_index=0, **place))
        item = AssistantMessage(id=message.record.id, object="realtime.item", status=status, content=(shown,))
        yield from self._item_done(message.record, item, message.output_index)

    def call(self, name: str, arguments: str) -> Iterator[Say]:
        """A function call, with all its deltas."""
        yield from self.end_message()
        call_id = self._ids.new("call")
        call = FunctionCall(
            id=self._ids.new("item"),
            object="realtime.item",
            status="in_progress",
            call_id=call_id,
            name=name,
            arguments="",
        )
        record = Record(call)
        index = yield from self._item_added(record)
        self._bill.say(arguments)
        place: dict[str, Any] = {
            "response_id": self.id,
            "item_id": record.id,
            "output_index": index,
            "call_id": call_id,
        }
        for start in range(0, len(arguments), ARGUMENTS_PER_DELTA):
            delta = arguments[start : start + ARGUMENTS_PER_DELTA]
            yield Say(ResponseFunctionCallArgumentsDelta(event_id=self._ids.event(), delta=delta, **place))
        yield Say(
            ResponseFunctionCallArgumentsDone(event_id=self._ids.event(), name=name, arguments=arguments, **place)
        )
        yield from self._item_done(record, attrs.evolve(call, status="completed", arguments=arguments), index)

    def close(self, ending: Ending) -> Iterator[Say]:
        """The response is over."""
        yield from self.end_message("completed" if ending.status == "completed" else "incomplete")
        usage = self._bill.usage(self.config, self.context)
        response = self._response(ending.status, details=ending.details, usage=usage)
        yield Say(ResponseDone(event_id=self._ids.event(), response=response))

    # --- pieces ----------------------------------------------------------------------------------------------------

    def _place(self, message: _OpenMessage) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": message.record.id, "output_index": message.output_index}

    def _open_message(self) -> Generator[Say, None, _OpenMessage]:
        if self._message is None:
            item = AssistantMessage(id=self._ids.new("item"), object="realtime.item", status="in_progress", content=())
            record = Record(item, format=self.config.audio_format)
            index = yield from self._item_added(record)
            self._message = _OpenMessage(record, index)
            audible = self.config.modality == "audio"
            part = ContentPart(type="audio", transcript="") if audible else ContentPart(type="text", text="")
            yield Say(
                ResponseContentPartAdded(
                    event_id=self._ids.event(), part=part, content_index=0, **self._place(self._message)
                )
            )
        return self._message

    def _item_added(self, record: Record) -> Generator[Say, None, int]:
        index = len(self._output)
        self._output.append(record)
        place: dict[str, Any] = {"response_id": self.id, "output_index": index}
        yield Say(ResponseOutputItemAdded(event_id=self._ids.event(), item=record.item, **place))
        if self._conversation is not None:
            self._conversation.add(record)
            link = self._conversation.link_of(record.id)
            yield Say(ConversationItemAdded(event_id=self._ids.event(), item=record.item, **link))
        return index

    def _item_done(self, record: Record, item: OwnItem, index: int) -> Iterator[Say]:
        record.item = item
        yield Say(
            ResponseOutputItemDone(event_id=self._ids.event(), item=item, response_id=self.id, output_index=index)
        )
        if self._conversation is not None and record.id in self._conversation:
            link = self._conversation.link_of(record.id)
            yield Say(ConversationItemDone(event_id=self._ids.event(), item=item, **link))
        if record.truncated:
            record.transcribe(None)

    def _response(self, status: str, *, details: StatusDetails | None = None, usage: Usage | None = None) -> Response:
        config = self.config
        output = {"format": config.audio_format.to_wire(), "voice": config.voice}
        fields = explicit(
            id=self.id,
            object="realtime.response",
            status=status,
            status_details=details,
            output=tuple(record.item for record in self._output),
            conversation_id=self._conversation_id,
            metadata=config.metadata,
            usage=usage,
            output_modalities=(config.modality,),
            max_output_tokens=config.max_output_tokens,
            audio=structure({"output": output}, AudioConfig),
        )
        return Response(**fields)
