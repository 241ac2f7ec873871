"""What happened in a recorded call: who spoke when, what was called, how long the user waited.

Made of the events that the session told its user, so it needs no protocol knowledge: one `Moment` for each thing that a person would
name, with its beginning and end in seconds from the start of the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

import attrs

from trio_codex.recording.reading import Line, ReadRecording
from trio_codex.recording.redaction import AUDIO

__all__ = ["Kind", "Moment", "Timeline", "timeline"]

Kind = Literal["session", "user", "agent", "tool", "handoff", "guardrail", "error", "end"]

_BYTES_PER_S: Final = {"pcm": 48_000, "g711": 8_000}


@attrs.define
class Moment:
    """One thing that happened. `end` is None while it is not over, and for what takes no time.

    `who` is the agent or the tool, `text` what was said or what came of it, `waited` the seconds between the end of the user's turn and
    the agent's first sound or word, `audio_s` how much was said, `heard_s` how much of it was heard when it was cut off.
    """

    kind: Kind
    begin: float
    who: str = ""
    text: str = ""
    end: float | None = None
    detail: str = ""
    waited: float | None = None
    audio_s: float = 0.0
    heard_s: float | None = None
    status: str = ""


@attrs.frozen
class Timeline:
    """The moments of a call in the order of their beginnings, and its figures."""

    moments: tuple[Moment, ...]
    seconds: float
    tokens: int
    lost: int

    @property
    def waits(self) -> list[float]:
        """The waits for an answer, shortest first."""
        return sorted(moment.waited for moment in self.moments if moment.waited is not None)


def timeline(recording: ReadRecording) -> Timeline:
    """Tell what happened. Pure."""
    story = _Story()
    for line in recording.lines:
        story.take(line)
    last = max((line.t for line in recording.lines if line.t is not None), default=0.0)
    moments = sorted(story.moments, key=lambda moment: moment.begin)
    return Timeline(tuple(moments), last, story.tokens, recording.lost)


class _Story:
    """The moments so far, and those that are still open."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.tokens = 0
        self._agent = ""
        self._bytes_per_s = _BYTES_PER_S["pcm"]
        self._turn_over: float | None = None  # since when an answer is waited for
        self._users: dict[str, Moment] = {}  # by item
        self._agents: dict[str, Moment] = {}  # by item
        self._calls: dict[str, Moment] = {}  # by call id

    def take(self, line: Line) -> None:
        form, t = line.form, line.t or 0.0
        if "briefing" in form and not self._agent:
            self._agent = form["agent"]
        if "lost" in form:
            self._add(Moment("error", t, text=f"{form['lost']} lines of the recording were lost here"))
        if "end" in form:
            self._ended(form["end"], t)
        if "step" in form:
            self._given(form["step"], form.get("args") or {}, form, t)
            for effect in form.get("out") or ():
                told = self._TOLD.get(effect.get("emit"))
                if told is not None:
                    told(self, effect, t)

    def _add(self, moment: Moment) -> Moment:
        self.moments.append(moment)
        return moment

    # --- what the program did --------------------------------------------------------------------------------------

    def _given(self, step: str, args: Mapping[str, Any], form: Mapping[str, Any], t: float) -> None:
        if step == "new":
            self._add(Moment("session", t, who=self._agent, text="connecting"))
        elif step == "send_message":
            words = " ".join(_words(part) for part in args.get("content", ()))
            self._add(Moment("user", t, who="you", text=words, end=t, detail="in writing"))
            self._turn_over = t
        elif step == "respond" or (step == "hear" and args.get("commit")):
            self._turn_over = t
        elif step == "interrupt":
            self._add(Moment("user", t, who="you", text="interrupted by the program", end=t))

    def _ended(self, end: Mapping[str, Any] | None, t: float) -> None:
        text = "left in order" if end is None else f"connection lost (code {end['code']}) {end['reason']}".rstrip()
        self._add(Moment("end", t, text=text))

    # --- what the session told ---------------------------------------------------------------------------------------

    def _speech_started(self, event: Mapping[str, Any], t: float) -> None:
        self._users[event["item_id"]] = self._add(Moment("user", t, who="you", detail="spoken"))

    def _speech_stopped(self, event: Mapping[str, Any], t: float) -> None:
        self._turn_over = t
        if moment := self._users.get(event["item_id"]):
            moment.end = t

    def _input_transcript(self, event: Mapping[str, Any], t: float) -> None:
        moment = self._users.get(event["item_id"])
        if moment is None:
            moment = self._users[event["item_id"]] = self._add(Moment("user", t, who="you", detail="spoken"))
        moment.text = event["transcript"]  # all of it so far
        moment.end = moment.end or t

    def _agent_start(self, event: Mapping[str, Any], t: float) -> None:
        self._agent = event["agent"]

    def _audio(self, event: Mapping[str, Any], t: float) -> None:
        audio = event["audio"]
        moment = self._answer(audio["item_id"], t)
        moment.audio_s += audio["data"][AUDIO] / self._bytes_per_s
        moment.end = t

    def _words(self, event: Mapping[str, Any], t: float) -> None:
        moment = self._answer(event["item_id"], t)
        moment.text += event["delta"]
        moment.end = t

    def _answer(self, item_id: str, t: float) -> Moment:
        moment = self._agents.get(item_id)
        if moment is None:
            moment = self._agents[item_id] = self._add(Moment("agent", t, who=self._agent))
            if self._turn_over is not None:
                moment.waited, self._turn_over = t - self._turn_over, None
        return moment

    def _interrupted(self, event: Mapping[str, Any], t: float) -> None:
        if moment := self._agents.get(event["item_id"]):
            moment.heard_s = event["heard_ms"] / 1000

    def _done(self, event: Mapping[str, Any], t: float) -> None:
        if event["status"] != "completed" and self._agents:
            list(self._agents.values())[-1].status = event["status"]

    def _usage(self, event: Mapping[str, Any], t: float) -> None:
        self.tokens += (event["usage"] or {}).get("total_tokens") or 0

    def _tool_start(self, event: Mapping[str, Any], t: float) -> None:
        moment = Moment("tool", t, who=event["name"], detail=event["arguments"])
        self._calls[event["call_id"]] = self._add(moment)

    def _tool_end(self, event: Mapping[str, Any], t: float) -> None:
        if moment := self._calls.get(event["call_id"]):
            moment.end, moment.text = t, event["output"]

    def _approval(self, event: Mapping[str, Any], t: float) -> None:
        if moment := self._calls.get(event["call_id"]):
            moment.status = "asked for approval"

    def _handoff(self, event: Mapping[str, Any], t: float) -> None:
        self._add(
            Moment("handoff", t, who=event["to_agent"], text=f"{event['from_agent']} → {event['to_agent']}", end=t)
        )

    def _guardrail(self, event: Mapping[str, Any], t: float) -> None:
        self._add(Moment("guardrail", t, who=self._agent, text=str(event.get("message", "")), end=t))

    def _error(self, event: Mapping[str, Any], t: float) -> None:
        error = event["error"]
        self._add(Moment("error", t, text=error["message"], detail=error["code"] or error["type"] or "", end=t))

    _TOLD: ClassVar[Mapping[str | None, Callable[[_Story, Mapping[str, Any], float], None]]] = {
        "agent_start": _agent_start,
        "audio": _audio,
        "audio_interrupted": _interrupted,
        "error": _error,
        "guardrail_tripped": _guardrail,
        "handoff": _handoff,
        "input_transcript": _input_transcript,
        "response_done": _done,
        "speech_started": _speech_started,
        "speech_stopped": _speech_stopped,
        "text_delta": _words,
        "tool_approval_required": _approval,
        "tool_end": _tool_end,
        "tool_start": _tool_start,
        "transcript_delta": _words,
        "usage": _usage,
    }


def _words(part: Any) -> str:
    form = part.get("$part", {}) if isinstance(part, dict) else {}
    return form.get("text") or f"[{form.get('type', 'something')}]"
