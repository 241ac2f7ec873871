"""The verbs: what a user can do with a live session.

Every verb that says something to the server waits for room first, which is the only place where it can be cancelled (nothing has
happened yet), and then acts in one synchronous step. Verbs that also wait for an answer say so. After `aclose` verbs raise
trio.ClosedResourceError, after the peer's end ConnectionLost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson
import trio

from trio_codex.agent import Agent
from trio_codex.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from trio_codex.events import HistoryItem, SessionEvent, Usage
from trio_codex.protocol import (
    ContentPart,
    Conversation,
    Reply,
    ResponseParams,
    SessionSettings,
    UserMessage,
    check_event,
    check_response,
    decode_client_event,
    structure,
    unstructure,
)
from trio_codex.session.playback import PlaybackReports, Speaker
from trio_codex.session.services import Services
from trio_codex.session.shell import Shell
from trio_codex.session.streams import EventStream
from trio_codex.session.tool_runner import ToolRunner
from trio_codex.tool_running import brief

Content: TypeAlias = str | Sequence[ContentPart | Mapping[str, Any] | str]
"""What can be said in writing: a text, or parts (texts, images) as values or as the wire writes them."""

BUFFER = 1024
"""Events that a stream holds unless another number is given."""


class Session:
    """A live conversation; `open_realtime_session` makes it. An async iterator over its own stream of events.

    Its own stream begins before the first frame of the server. A second simultaneous `async for` over it raises trio.BusyResourceError;
    use `subscribe` for more streams.
    """

    def __init__(self, shell: Shell, services: Services, tools: ToolRunner, stream: EventStream, context: Any) -> None:
        self._shell = shell
        self._services = services
        self._tools = tools
        self._stream = stream
        self._context = context

    @property
    def _conversation(self) -> Conversation:
        return self._shell.conversation

    # --- what stands, without waiting ------------------------------------------------------------------------------

    @property
    def current_agent(self) -> Agent:
        """The agent in charge."""
        return self._conversation.briefing.agent

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """The items of the conversation so far, in its order."""
        return self._conversation.history

    @property
    def usage(self) -> Usage:
        """The tokens of all responses so far."""
        return self._conversation.usage

    @property
    def session_id(self) -> str | None:
        """The server's id of this session."""
        return self._conversation.session_id

    @property
    def audio(self) -> Speaker:
        """What should sound now: `async for pcm in session.audio`, in whole samples; emptied at once when the user cuts in."""
        return self._shell.speaker

    @property
    def playback(self) -> PlaybackReports:
        """Where a sink says what was really heard."""
        return PlaybackReports(self._conversation.played)

    # --- events ----------------------------------------------------------------------------------------------------

    def subscribe(self, kinds: Iterable[type[SessionEvent]] | None = None, buffer: int = BUFFER) -> EventStream:
        """Open one more independent stream, of these event classes (None: all but RawModelEvent).

        It holds at most `buffer` events and 16 MiB; what is lost is said in its place by an EventsLostEvent. Leaving it (`with`,
        `async with` or `close()`) twice or late is harmless.
        """
        return self._shell.feeds.open(kinds, buffer)

    def __aiter__(self) -> EventStream:
        return self._stream

    # --- saying something ------------------------------------------------------------------------------------------

    async def send_message(self, content: Content, *, respond: bool = True) -> str:
        """Say something in writing: a text, or parts (texts, images); gives the new item's id.

        With `respond`, an answer is asked for as soon as the running one is done. Cancel-safe: said or not said. Raises
        ConfigurationError for parts that are none, ConnectionLost, trio.ClosedResourceError.
        """
        parts = _parts(content)
        await self._shell.wait_room()
        item_id, effects = self._conversation.send_message(parts, respond=respond)
        self._shell.perform(effects, room=True)
        return item_id

    async def send_audio(self, pcm: bytes, commit: bool = False, respond: bool = True) -> None:
        """Send the user's audio in the session's input format (PCM16, 24,000 Hz, mono unless set otherwise), of any length.

        `commit=True` on the last chunk ends the turn, and one answer follows, whoever noticed the end first; `respond=False` leaves
        the asking to you. Half a sample waits for its other half. Cancel-safe: sent or not sent. Raises LocalProtocolError when
        there are less than 100 ms to commit and the server detects no turns, ConnectionLost, trio.ClosedResourceError.
        """
        await self._shell.wait_room()
        self._hear(pcm, commit=commit, respond=respond)

    def send_audio_nowait(self, pcm: bytes) -> None:
        """Send the user's audio without waiting; raises trio.WouldBlock when there is no room (then nothing is sent)."""
        self._shell.take_room_nowait()
        self._hear(pcm)

    def _hear(self, pcm: bytes, *, commit: bool = False, respond: bool = True) -> None:
        try:
            audio = pcm if type(pcm) is bytes else memoryview(pcm).tobytes()
            effects = self._shell.conversation.hear(audio, commit=commit, respond=respond)
        except BaseException:
            self._shell.outbox.give_back_room()
            raise
        self._shell.perform(effects, room=True)

    async def send_raw_event(self, event: Mapping[str, Any]) -> str:
        """Send any client event, as its JSON object; gives its event id. It takes part in the sequencing of creates and updates.

        What it says is left to the server to judge. Cancel-safe: sent or not sent. Raises LocalProtocolError when it is not a client
        event, ConfigurationError for an event id that is too long, ConnectionLost, trio.ClosedResourceError.
        """
        try:
            wire = decode_client_event(orjson.dumps(event))
        except (RemoteProtocolError, orjson.JSONEncodeError) as error:
            raise LocalProtocolError(f"not a client event: {error}") from None
        check_event(event)
        await self._shell.wait_room()
        event_id, effects = self._conversation.send_raw(wire)
        self._shell.perform(effects, room=True)
        return event_id

    # --- asking and stopping ---------------------------------------------------------------------------------------

    async def respond(self, **overrides: Any) -> None:
        """Ask for an answer now, or right after the running one: `instructions=`, `tool_choice=`, `metadata=`, … as the API names them.

        Cancel-safe: asked or not asked. Raises ConfigurationError for overrides that do not fit, ConnectionLost,
        trio.ClosedResourceError.
        """
        params = self._params(overrides)
        await self._shell.wait_room()
        _, effects = self._conversation.respond(params)
        self._shell.perform(effects, room=True)

    async def ask(self, content: Content | None = None, *, out_of_band: bool = False, **overrides: Any) -> Reply:
        """Say something (or nothing) and wait for the whole answer, tools and handoffs included.

        `out_of_band` asks beside the conversation: neither the question nor the answer becomes part of it, function calls are given
        in the items and not run. Cancelling cancels the response. Raises ConfigurationError for overrides that do not fit, ServerRefused
        when the response failed, ConnectionLost, trio.ClosedResourceError; a cancelled or incomplete response returns with that status.
        """
        parts = _parts(content) if content is not None else ()
        if out_of_band:
            overrides["conversation"] = "none"
            if parts:
                overrides["input"] = [unstructure(UserMessage(content=parts))]
        return await self._shell.ask(self._params(overrides), () if out_of_band else parts)

    async def interrupt(self) -> None:
        """Stop the answer: cancel the response, drop what is queued to sound, and tell the server what was heard.

        Harmless when nobody speaks. Raises ConnectionLost, trio.ClosedResourceError.
        """
        await self._checkpoint()
        self._shell.perform(self._conversation.interrupt(trio.current_time()))

    # --- changing the session --------------------------------------------------------------------------------------

    async def update_session(self, settings: SessionSettings) -> None:
        """Change settings; returns once the server has acknowledged them.

        They also hold after handoffs. Cancelling stops the waiting, not the update. Raises ConfigurationError, and then sends nothing,
        for what the API does not allow, ServerRefused when the server refuses them or does not answer in 10 s (code "timeout"),
        ConnectionLost, trio.ClosedResourceError.
        """
        await self._checkpoint()
        self._shell.check_settings(settings)
        ticket, effects = self._conversation.update(settings)
        self._shell.expect(ticket)
        self._shell.perform(effects)
        await self._shell.wait_settled(ticket)

    async def update_agent(self, agent: Agent) -> None:
        """Put another agent in charge, as a handoff by the model would, after the running answer; returns once it is in charge.

        Cancelling stops the waiting, not the change. Raises what the agent's callables raise, ConfigurationError for an agent that the
        API does not allow, LocalProtocolError while another handoff is under way, ServerRefused, ConnectionLost,
        trio.ClosedResourceError.
        """
        self._shell.check_open()
        target = await brief(agent, self._context)
        self._shell.check_agent(target)
        await self._checkpoint()
        ticket, effects = self._conversation.redirect(target)
        self._shell.expect(ticket)
        self._shell.perform(effects)
        await self._shell.wait_settled(ticket)

    async def approve(self, call_id: str) -> None:
        """Let a tool call that waits for approval run.

        Cancel-safe. Raises LocalProtocolError when none waits under this id, ConnectionLost, trio.ClosedResourceError.
        """
        await self._checkpoint()
        self._decide(call_id, approved=True)

    async def reject(self, call_id: str, message: str | None = None) -> None:
        """Refuse a tool call that waits for approval; the model reads `message`. Cancel-safe. Raises what `approve` raises."""
        await self._checkpoint()
        self._decide(call_id, approved=False, message=message)

    def _decide(self, call_id: str, *, approved: bool, message: str | None = None) -> None:
        """Calls that the API makes are decided by an item, calls that run here by their task."""
        effects = self._conversation.decide(call_id, approved=approved, message=message)
        if effects is None:
            self._tools.approvals.decide(call_id, approved=approved, message=message)
        else:
            self._shell.perform(effects)

    async def aclose(self) -> None:
        """End the session in order, within its patience. Idempotent; leaving the block does it too, and so may any task or tool.

        Cancelling it stops the waiting, not the closing.
        """
        self._services.leave()
        await self._services.wait_left()

    def _params(self, overrides: Mapping[str, Any]) -> ResponseParams | None:
        return check_response(overrides, self._conversation.briefing, model=self._shell.model) if overrides else None

    async def _checkpoint(self) -> None:
        """What a verb that needs no room begins with."""
        self._shell.check_open()
        await trio.lowlevel.checkpoint()
        self._shell.check_open()


def _parts(content: Content) -> tuple[ContentPart, ...]:
    if isinstance(content, str | ContentPart | Mapping):
        content = [content]
    if not isinstance(content, Iterable):
        raise ConfigurationError(f"a text or a sequence of content parts is expected, not {content!r}")
    return tuple(_part(part) for part in content)


def _part(part: ContentPart | Mapping[str, Any] | str) -> ContentPart:
    if isinstance(part, ContentPart):
        return part
    if isinstance(part, str):
        return ContentPart(type="input_text", text=part)
    try:
        return structure(dict(part), ContentPart)
    except (RemoteProtocolError, TypeError, ValueError) as error:
        raise ConfigurationError(f"not a content part (text or image): {error}") from None
