"""The shell around the conversation: it performs effects and holds what the verbs wait for.

`perform` is a plain function: no checkpoint can fall between a decision of the core and its consequences, so nobody ever sees half a
transition and nothing needs a lock. The outbox is unbounded, because only verbs that hold room and the core's own bounded outputs fill
it; room is counted in frames. When the connection ends, everybody who waits is told, once, here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, cast

import attrs
import trio

from trio_codex.errors import ConnectionLost, TrioCodexError
from trio_codex.protocol import (
    Briefing,
    CancelTool,
    ClientEvent,
    ContentPart,
    Conversation,
    Effect,
    Emit,
    Note,
    Play,
    PrepareHandoff,
    Reply,
    ResponseParams,
    Send,
    SessionSettings,
    Settle,
    StartCheck,
    StartTimer,
    StartTool,
    StopPlayback,
    ToolCall,
    check_settings,
    encode_client_event,
)
from trio_codex.session.diary import log, note
from trio_codex.session.outbox import Outbox
from trio_codex.session.playback import Speaker
from trio_codex.session.streams import Feeds
from trio_codex.transport import NORMAL


@attrs.define(eq=False)
class Waiting:
    """What a verb that waits for an answer sleeps on."""

    done: trio.Event = attrs.field(factory=trio.Event)
    value: Any = None
    error: TrioCodexError | None = None


class UserTasks(Protocol):
    """What runs the user's code, each call in a task of its own; never waits."""

    def start(self, call: ToolCall) -> None:
        """Run a tool."""

    def cancel(self, call_id: str) -> None:
        """Cancel one call; the model is told."""

    def prepare(self, call: ToolCall) -> None:
        """Run the callables of a handoff."""

    def check(self, check: StartCheck) -> None:
        """Let a guardrail judge a text."""


class OwnTasks(Protocol):
    """What runs the session's own tasks; never waits."""

    def start_writer(self) -> None:
        """Write until nothing waits in the outbox any more."""

    def start_timer(self, name: str, seconds: float) -> None:
        """Tell the core when so much time has passed."""

    def stop_timer(self, name: str) -> None:
        """What it was for has come, if there is such a timer."""


class Shell:
    """The state of a session outside the core. Who runs tasks says so before anything is performed."""

    user_tasks: UserTasks
    own_tasks: OwnTasks

    def __init__(self, conversation: Conversation, model: str | None = None) -> None:
        self.conversation = conversation
        self.model = model  # None: not known
        self.feeds: Feeds = Feeds()
        self.speaker: Speaker = Speaker(conversation.taken)
        self.outbox: Outbox = Outbox()
        self.lost: ConnectionLost | None = None  # the peer ended the connection, or it broke
        self.closed: bool = False  # we ended it
        self.told: bool = False  # somebody has been given `lost`
        self._waiting: dict[str, Waiting] = {}
        self._warned: tuple[str, ...] = ()

    # --- performing ------------------------------------------------------------------------------------------------

    def perform(self, effects: Iterable[Effect], *, room: bool = False) -> None:
        """Make effects happen, now and in order. With `room`, a verb holds room: its first frame takes it, or it goes back."""
        posted = False
        try:
            for effect in effects:
                if type(effect) is Emit:  # most are, so they do not ask the long way
                    self.feeds.put(effect.event)
                    note(effect.event)
                elif type(effect) is Send:
                    room = not self._post(effect, room=room) and room
                    posted = True
                elif type(effect) is Play:
                    self.speaker.play(effect)
                else:
                    self._do(effect)
        finally:
            if room:
                self.outbox.give_back_room()
            if posted and self.outbox.send():
                self.own_tasks.start_writer()

    def _do(self, effect: Effect) -> None:
        match effect:
            case StopPlayback(response_id):
                self.speaker.stop(response_id)
            case StartTool(call):
                self.user_tasks.start(call)
            case CancelTool(call_id):
                self.user_tasks.cancel(call_id)
            case PrepareHandoff(call):
                self.user_tasks.prepare(call)
            case StartCheck():
                self.user_tasks.check(effect)
            case Settle(ticket, value, error):
                self._settle(ticket, value, error)
            case StartTimer(name, seconds):
                self.own_tasks.start_timer(name, seconds)
            case Note(message, warning):
                log.log(logging.WARNING if warning else logging.INFO, "%s", message)

    def _post(self, effect: Send, *, room: bool) -> bool:
        """Put a frame in the outbox; says whether it took room."""
        text = encode_client_event(cast("ClientEvent", effect.event))
        return (
            self.outbox.put(text, room=room) and room
        )  # if the session is over, who could care is told by `check_open`

    # --- looking before sending ------------------------------------------------------------------------------------

    def check_settings(self, settings: SessionSettings, *, complete: bool = False) -> None:
        """Check settings that are about to be sent; warnings are logged once per session. Raises ConfigurationError."""
        talk = self.conversation
        over = None if complete else talk.settings
        self._warn(check_settings(settings, talk.briefing, over=over, model=self.model, complete=complete))

    def check_agent(self, target: Briefing) -> None:
        """Check an agent that is about to take over, under the settings that win over it. Raises ConfigurationError."""
        winning = SessionSettings(voice=self.conversation.settings.voice)
        self._warn(check_settings(winning, target, model=self.model))

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            if warning not in self._warned:
                self._warned += (warning,)
                log.warning("%s", warning)

    # --- verbs -----------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise trio.ClosedResourceError after our own end, ConnectionLost after the peer's."""
        if self.lost is not None:
            self.told = True
            raise self.lost_again(self.lost)
        if self.closed:
            raise trio.ClosedResourceError("this session is closed")

    async def wait_room(self) -> None:
        """Wait until there is room for one more frame of a verb. The only place where such a verb can be cancelled."""
        self.check_open()
        await self.outbox.wait_room()
        try:
            self.check_open()
        except BaseException:
            self.outbox.give_back_room()
            raise

    def take_room_nowait(self) -> None:
        """The same without waiting; trio.WouldBlock when there is none."""
        self.check_open()
        self.outbox.take_room_nowait()

    async def wait_settled(self, ticket: str) -> Any:
        """Wait for the answer of a verb. Raises what the core settled it with, or what `check_open` would raise."""
        waiting = self._waiting[ticket]
        try:
            await waiting.done.wait()
        finally:
            del self._waiting[ticket]
        if waiting.error is not None:
            raise waiting.error
        if waiting.value is _OVER:
            self.check_open()
        return waiting.value

    async def ask(self, params: ResponseParams | None, message: Sequence[ContentPart] = ()) -> Reply:
        """Say something (or nothing), ask for an answer and wait for it. Cancelling cancels the answer. Raises what waiting raises."""
        await self.wait_room()
        said: list[Effect] = []
        if message:
            _, said = self.conversation.send_message(message, respond=False)
        ticket, asked = self.conversation.respond(params, ask=True)
        self.expect(ticket)
        self.perform([*said, *asked], room=True)
        try:
            reply: Reply = await self.wait_settled(ticket)
        except trio.Cancelled:
            self.perform(self.conversation.abandon(ticket, trio.current_time()))
            raise
        return reply

    def expect(self, ticket: str) -> None:
        """Somebody is going to wait for this ticket; call it before performing the effects that may settle it."""
        self._waiting[ticket] = Waiting()

    def _settle(self, ticket: str, value: Any, error: TrioCodexError | None) -> None:
        self.own_tasks.stop_timer(ticket)  # the core calls the timer of an answer by its ticket
        if waiting := self._waiting.get(ticket):
            waiting.value, waiting.error = value, error
            if error is not None:
                error.session_id = self.conversation.session_id
            waiting.done.set()
        elif error is not None:
            log.info("nobody waits for %s any more, which failed: %s", ticket, error)

    # --- the end ---------------------------------------------------------------------------------------------------

    def end(self, lost: ConnectionLost | None) -> None:
        """The session is over: we ended it (None), or the connection did. The first end counts."""
        if self.closed or self.lost is not None:
            return
        if lost is not None and self.conversation.expired and not lost.reason:
            lost = ConnectionLost(lost.code, "session_expired")
        self.closed, self.lost = lost is None, lost
        self.feeds.finish(self._iteration_over)
        self.speaker.finish(self._iteration_over)
        for waiting in self._waiting.values():
            if not waiting.done.is_set():
                waiting.value = _OVER
                waiting.done.set()
        self.outbox.close()

    def _iteration_over(self) -> BaseException:
        if self.lost is None:
            return StopAsyncIteration()
        self.told = True
        if self.lost.code == NORMAL and not self.conversation.expired:
            return StopAsyncIteration()
        return self.lost_again(self.lost)

    def lost_again(self, lost: ConnectionLost) -> ConnectionLost:
        """The same end for one more who is told: everybody gets an exception of his own."""
        return ConnectionLost(lost.code, lost.reason, session_id=self.conversation.session_id)


_OVER: Final = object()
