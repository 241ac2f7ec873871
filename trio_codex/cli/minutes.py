"""The minutes of a conversation: turns, tool calls, handoffs, and whether the agent's turn is over.

One task follows the session's events and writes them down; the players wait on `turn_over`. A turn is over when its last response is
done: one that made a call is followed by another, after the tool or the handoff; one that was cancelled by another, after the speech
that cut it short, which there is none of where the user writes; and whoever speaks while it is over, opens it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from typing import Any

import attrs
import trio

from trio_codex.cli.console import Console
from trio_codex.errors import ConnectionLost
from trio_codex.events import (
    AgentStartEvent,
    AudioEvent,
    ErrorEvent,
    HandoffEvent,
    InputTranscriptEvent,
    ResponseDoneEvent,
    SessionEvent,
    SpeechStartedEvent,
    SpeechStoppedEvent,
    TextDeltaEvent,
    ToolEndEvent,
    ToolStartEvent,
    TranscriptDeltaEvent,
)
from trio_codex.session import Session


@attrs.define
class Turn:
    """What one side said and the other answered; `first_audio_ms` is None when it was not measured."""

    user: str | None = None
    agent: str = ""
    agent_name: str | None = None
    first_audio_ms: int | None = None


class Minutes:
    """Follows a session and keeps what happened."""

    def __init__(self, console: Console) -> None:
        self.turns: list[Turn] = []
        self.tool_calls: list[dict[str, Any]] = []
        self.handoffs: list[list[str]] = []
        self.errors: list[str] = []
        self.turn_over: trio.Event = trio.Event()
        self.speech_started: trio.Event = trio.Event()  # or there will be none, because something failed
        self.voice_ended_at: float | None = None  # when the last voiced sample was sent, if that is measured
        self._console = console
        self._written = False  # the user's turn: nobody cuts in
        self._more_to_come = False  # a call was made: another response follows
        self._speaking = False  # the user, as the server hears it
        self._unanswered = False  # what the user said or says

    def begin_turn(self, user: str | None = None) -> None:
        """The user has the word; `user` is what is written, if it is not spoken."""
        self.turns.append(Turn(user))
        self._written = user is not None
        self.turn_over = trio.Event()
        self.speech_started = trio.Event()
        self.voice_ended_at = None
        self._more_to_come = False

    async def follow(self, session: Session) -> None:
        """Write down what happens until the session ends; a lost connection is an error like any other."""
        try:
            async for event in session:
                self._note(event)
        except ConnectionLost as lost:
            self._fail(str(lost))
        self.turn_over.set()
        self.speech_started.set()

    def _note(self, event: SessionEvent) -> None:
        if not self.turns:
            self.begin_turn()
        match event:
            case InputTranscriptEvent() | AgentStartEvent() | TranscriptDeltaEvent() | TextDeltaEvent() | AudioEvent():
                self._note_speech(event, self.turns[-1])
            case ToolStartEvent() | ToolEndEvent() | HandoffEvent():
                self._note_call(event)
            case ErrorEvent(error):
                self._fail(f"{error.type}: {error.message}")
            case SpeechStartedEvent() | SpeechStoppedEvent():
                self._note_voice(started=isinstance(event, SpeechStartedEvent))
            case ResponseDoneEvent(status=status, status_details=details):
                self._console.end_of_words()
                cut_in = status == "cancelled" and not self._written
                if status in ("incomplete", "cancelled") and not cut_in:
                    self._console.line("notice", f"the answer was cut short ({_reason(details)})")
                more = self._more_to_come and status == "completed"
                if not (more or self._unanswered or cut_in):
                    self.turn_over.set()

    def _note_voice(self, *, started: bool) -> None:
        self._speaking = started
        if started:
            self._unanswered = True
            self.speech_started.set()
            if self.turn_over.is_set() and not self.errors:
                self.turn_over = trio.Event()

    def _note_speech(self, event: SessionEvent, turn: Turn) -> None:
        match event:
            case InputTranscriptEvent(transcript=words, final=True):
                turn.user = f"{turn.user or ''} {words}".strip()
                self._console.line("user", f"you: {words}")
            case AgentStartEvent(agent):
                self._more_to_come = False
                self._unanswered = self._speaking
                turn.agent_name = agent.name
            case TranscriptDeltaEvent(delta=words) | TextDeltaEvent(delta=words):
                turn.agent += words
                self._console.words("agent", turn.agent_name or "agent", words)
            case AudioEvent() if turn.first_audio_ms is None and self.voice_ended_at is not None:
                turn.first_audio_ms = round((trio.current_time() - self.voice_ended_at) * 1000)

    def _note_call(self, event: SessionEvent) -> None:
        match event:
            case ToolStartEvent(name=name, arguments=arguments):
                self._more_to_come = True
                self._console.line("tool", f"  [{name} {arguments}]")
            case ToolEndEvent(tool=tool, name=name, arguments=arguments, output=output):
                if tool is not None:
                    self.tool_calls.append({"name": name, "arguments": _plain(arguments), "output": output})
                self._console.line("tool", f"  [{name} -> {output}]")
            case HandoffEvent(source, target):
                self.handoffs.append([source.name, target.name])
                self._console.line("handoff", f"  [{source.name} hands over to {target.name}]")

    def _fail(self, message: str) -> None:
        self.errors.append(message)
        self.turn_over.set()
        self.speech_started.set()
        self._console.line("error", f"error: {message}")

    def figures(self, audio_in_s: float, audio_out_s: float) -> str:
        """One line that sums the conversation up."""
        counts = (
            f"{_count(self.turns, 'turn')}, {_count(self.tool_calls, 'tool call')}, {_count(self.handoffs, 'handoff')}"
        )
        line = f"{counts}, {audio_in_s:.1f} s of audio in, {audio_out_s:.1f} s out"
        if all(turn.first_audio_ms is None for turn in self.turns):  # in writing, or faster than real time
            return line
        waits = [f"{turn.first_audio_ms} ms" if turn.first_audio_ms is not None else "-" for turn in self.turns]
        return f"{line}, time to first audio: {', '.join(waits)}"

    def as_json(self, **more: Any) -> str:
        """The same for machines."""
        turns = [attrs.asdict(turn) for turn in self.turns]
        facts = {"turns": turns, "tool_calls": self.tool_calls, "handoffs": self.handoffs, **more}
        return json.dumps(facts, ensure_ascii=False)


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


def _reason(details: Mapping[str, Any] | str | None) -> str:
    reason = details.get("reason") if isinstance(details, Mapping) else details
    return str(reason or "the server does not say why")


def _plain(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
