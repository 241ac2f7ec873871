"""The effective settings of a session and of one response, as the JSON that `session.created` and `session.updated`
show.

A `session.update` is a patch: absent means unchanged, null turns off, "" and [] clear, objects are merged field by
field except where their `type` changes. A patch is taken whole or not at all. Owns the defaults and the rules that need
the session's state; what a value may be by itself is in `peer_rules`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trio_codex.audio import AudioFormat
from trio_codex.grammar import Refusal, wrong_value
from trio_codex.protocol.peer_rules import RESPONSE, SESSION, TRANSCRIPTION_SESSION

INSTRUCTIONS: Final = (
    "You are a helpful, friendly voice agent. Be brief, speak naturally, and answer in the language of the user. "
    "Call a function whenever one fits what the user asks for."
)

_SERVER_VAD: Final[Mapping[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD: Final[Mapping[str, Any]] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
_DETECTORS: Final = {"server_vad": _SERVER_VAD, "semantic_vad": _SEMANTIC_VAD}
_PCM: Final[Mapping[str, Any]] = {"type": "audio/pcm", "rate": 24000}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "object": "realtime.session",
    "type": "realtime",
    "output_modalities": ["audio"],
    "instructions": INSTRUCTIONS,
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "include": None,
    "audio": {
        "input": {
            "format": _PCM,
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": _SERVER_VAD,
        },
        "output": {"format": _PCM, "voice": "alloy", "speed": 1.0},
    },
}

TRANSCRIPTION_MODEL: Final = "gpt-transcribe"
LIVE_WHISPER: Final = "gpt-realtime-whisper"
"""The one model that writes down without detecting turns."""
_TRANSCRIPTION_DEFAULTS: Final[Mapping[str, Any]] = {
    "object": "realtime.transcription_session",
    "type": "transcription",
    "include": None,
    "audio": {
        "input": {
            "format": _PCM,
            "transcription": {"model": TRANSCRIPTION_MODEL},
            "noise_reduction": None,
            "turn_detection": _SERVER_VAD,
        },
    },
}


@attrs.frozen
class SessionState:
    """The part of a session's state that decides what may be changed."""

    voice_heard: bool
    answering: bool


class SessionConfig:
    """The effective session object. `json` is what events show; the properties are what the peer asks of it.

    `kind` is "realtime", or "transcription" for a session that only writes down what it hears.
    """

    def __init__(self, *, model: str, session_id: str, expires_at: int, kind: str) -> None:
        self.speaks: bool = kind == "realtime"
        identity = {"id": session_id, "expires_at": expires_at}
        if self.speaks:
            self.json: dict[str, Any] = copy.deepcopy({**_DEFAULTS, **identity, "model": model})
        else:
            self.json = copy.deepcopy({**_TRANSCRIPTION_DEFAULTS, **identity})

    @property
    def turn_detection(self) -> Mapping[str, Any] | None:
        """The turn detection, None when it is off."""
        detection: Mapping[str, Any] | None = self.json["audio"]["input"]["turn_detection"]
        return detection

    @property
    def idle_timeout_ms(self) -> int | None:
        """After how much silence the session asks again, None for never."""
        return (self.turn_detection or {}).get("idle_timeout_ms") if self.speaks else None

    @property
    def transcribes(self) -> bool:
        """Whether the client wants to read what the user said."""
        return self.json["audio"]["input"]["transcription"] is not None

    @property
    def input_format(self) -> AudioFormat:
        """The format of the audio that is appended."""
        return AudioFormat.from_wire(self.json["audio"]["input"]["format"])

    def update(self, patch: Mapping[str, Any], state: SessionState) -> None:
        """Apply the session object of a `session.update`; when any of it is wrong, raise Refusal and change nothing."""
        _check_identity(patch, self.json)
        (SESSION if self.speaks else TRANSCRIPTION_SESSION)(patch, "session")
        merged = _merged(self.json, patch)
        _check_ears(merged["audio"]["input"])
        if self.speaks:
            _check_changes(self.json, merged, state)
            _check_tools(merged, "session", choice="tool_choice" in patch)
        elif merged["audio"]["input"]["transcription"] is None:
            raise wrong_value("session.audio.input.transcription", "a transcription session cannot do without it.")
        self.json = merged


@attrs.frozen(kw_only=True)
class ResponseConfig:
    """What one response goes by: the session's settings under the overrides of its `response.create`."""

    instructions: str
    tools: tuple[Mapping[str, Any], ...]
    tool_choice: str | Mapping[str, Any]
    modality: str
    max_output_tokens: int | str
    voice: str | Mapping[str, Any]
    speed: float
    audio_format: AudioFormat
    metadata: Mapping[str, str] | None
    in_conversation: bool

    @classmethod
    def of(cls, session: SessionConfig, overrides: Mapping[str, Any], state: SessionState) -> ResponseConfig:
        """Lay the `response` object of a `response.create` over the session; raises Refusal."""
        RESPONSE(overrides, "response")
        merged = _merged(session.json, overrides)
        _check_tools(merged, "response")
        in_conversation = overrides.get("conversation", "auto") == "auto"
        output = merged["audio"]["output"]
        if in_conversation and state.voice_heard and output["voice"] != session.json["audio"]["output"]["voice"]:
            raise _voice_is_heard("response.audio.output.voice")
        return cls(
            instructions=merged["instructions"],
            tools=tuple(merged["tools"]),
            tool_choice=merged["tool_choice"],
            modality=merged["output_modalities"][0],
            max_output_tokens=merged["max_output_tokens"],
            voice=output["voice"],
            speed=output["speed"],
            audio_format=AudioFormat.from_wire(output["format"]),
            metadata=overrides.get("metadata"),
            in_conversation=in_conversation,
        )

    @property
    def voice_name(self) -> str:
        """The voice as a name; a custom voice goes by its id."""
        return self.voice if isinstance(self.voice, str) else str(self.voice["id"])


def _check_identity(patch: Mapping[str, Any], session: Mapping[str, Any]) -> None:
    if patch.get("type", session["type"]) != session["type"]:
        raise wrong_value("session.type", f"the type of a session cannot change; this one is '{session['type']}'.")
    if "model" in session and patch.get("model", session["model"]) != session["model"]:
        raise wrong_value("session.model", f"the model of a session cannot change; this one is '{session['model']}'.")


def _check_ears(ears: Mapping[str, Any]) -> None:
    transcription = ears["transcription"] or {}
    is_live = transcription.get("model") == LIVE_WHISPER
    if transcription.get("delay") is not None and not is_live:
        raise wrong_value("session.audio.input.transcription.delay", f"only '{LIVE_WHISPER}' has it.")
    if is_live and ears["turn_detection"] is not None:
        raise wrong_value("session.audio.input.turn_detection", f"it must be null with '{LIVE_WHISPER}'.")


def _check_changes(before: Mapping[str, Any], after: Mapping[str, Any], state: SessionState) -> None:
    old, new = before["audio"]["output"], after["audio"]["output"]
    if state.voice_heard and new["voice"] != old["voice"]:
        raise _voice_is_heard("session.audio.output.voice")
    if state.answering and new["speed"] != old["speed"]:
        raise wrong_value("session.audio.output.speed", "the speed can only change between turns.")
    if before["tracing"] is not None and after["tracing"] != before["tracing"]:
        raise wrong_value("session.tracing", "tracing cannot change once it is enabled.")


def _voice_is_heard(param: str) -> Refusal:
    message = "Cannot update a conversation's voice if assistant audio is present."
    return Refusal("cannot_update_voice", message, param)


def _check_tools(config: Mapping[str, Any], path: str, *, choice: bool = True) -> None:
    names = [tool["name"] for tool in config["tools"]]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise wrong_value(f"{path}.tools", f"there are two tools with the name '{twice}'.")
    match config["tool_choice"]:
        case {"name": name} if choice and name not in names:
            raise wrong_value(f"{path}.tool_choice.name", f"there is no tool with the name '{name}'.")


def _merged(current: Any, patch: Any) -> Any:
    """The patch laid over the current value."""
    if isinstance(patch, Mapping) and isinstance(current, Mapping):
        kind = current.get("type")
        if patch.get("type", kind) == kind:
            return {**current, **{name: _merged(current.get(name), value) for name, value in patch.items()}}
    return _with_defaults(copy.deepcopy(patch))


def _with_defaults(value: Any) -> Any:
    if isinstance(value, Mapping) and value.get("type") in _DETECTORS:
        return {**_DETECTORS[value["type"]], **value}
    return value
