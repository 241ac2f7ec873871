"""What a user may set on a session, and how it is written on the wire.

`SessionSettings` is flat and sparse: UNSET is not sent, None is sent as null (the API reads null as "off"). The wire is nested;
the table `WIRE_PATHS` is the only place that knows how. `session_object` joins an agent's briefing with the settings: the settings win.
Nothing here checks values against the API's limits: that is `validation`'s.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Final, Literal, TypeAlias

import attrs

from trio_codex.agent import Agent, Handoff
from trio_codex.errors import ConfigurationError
from trio_codex.hosted import HostedMcp
from trio_codex.protocol.effects import ToolCall
from trio_codex.protocol.items import FunctionCall
from trio_codex.protocol.plain import as_json
from trio_codex.tools import Tool


class _Unset(enum.Enum):
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = _Unset.UNSET
"""The value of a setting that is not sent at all."""

Unset: TypeAlias = Literal[_Unset.UNSET]


@attrs.frozen(kw_only=True)
class ServerVAD:
    """Turn detection by silence. Times in ms, `threshold` 0 to 1; the server's defaults are 0.5, 300 ms and 500 ms.

    `idle_timeout_ms` (5,000 to 30,000) lets the agent speak up when nobody says anything. With `create_response=False` the server
    only reports turns and the asking is left to you; with `interrupt_response=False` speech does not stop a running answer.
    """

    type: ClassVar[str] = "server_vad"
    threshold: float | None | Unset = UNSET
    prefix_padding_ms: int | None | Unset = UNSET
    silence_duration_ms: int | None | Unset = UNSET
    idle_timeout_ms: int | None | Unset = UNSET
    create_response: bool | None | Unset = UNSET
    interrupt_response: bool | None | Unset = UNSET


@attrs.frozen(kw_only=True)
class SemanticVAD:
    """Turn detection by what was said. `eagerness`: low, medium, high or auto (= medium), waiting at most 8, 4 or 2 s."""

    type: ClassVar[str] = "semantic_vad"
    eagerness: str | None | Unset = UNSET
    create_response: bool | None | Unset = UNSET
    interrupt_response: bool | None | Unset = UNSET


@attrs.frozen(kw_only=True)
class Transcription:
    """How the user's audio is transcribed beside the conversation (a separate model, billed separately)."""

    model: str | None | Unset = UNSET
    language: str | None | Unset = UNSET
    prompt: str | None | Unset = UNSET
    delay: str | None | Unset = UNSET
    languages: Sequence[str] | None | Unset = UNSET
    keywords: Sequence[str] | None | Unset = UNSET


NOT_IN_CALLS: Final = ("threshold", "prefix_padding_ms", "silence_duration_ms")
"""Fields of turn detection that calls refuse."""

_FORMATS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "audio/pcm": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "audio/pcmu": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
    "audio/pcma": {"type": "audio/pcma"},
}


@attrs.frozen(kw_only=True)
class SessionSettings:
    """What the session overrides of the server's defaults and of the agent; UNSET is not sent, None is sent as null.

    Formats are `audio/pcm` (16 bit, 24,000 Hz, mono), `audio/pcmu` or `audio/pcma` (G.711, 8,000 Hz), as a name or a mapping.
    `noise_reduction` is `near_field`, `far_field` or a mapping. `output_modalities` is `["audio"]` or `["text"]`. `speed` is 0.25 to
    1.5 and `max_output_tokens` 1 to 4,096 or "inf". `voice` can not change after the first audio. Limits are the API's.
    """

    instructions: str | None | Unset = UNSET
    output_modalities: Sequence[str] | Unset = UNSET
    voice: str | Mapping[str, Any] | None | Unset = UNSET
    speed: float | None | Unset = UNSET
    input_format: str | Mapping[str, Any] | Unset = UNSET
    output_format: str | Mapping[str, Any] | Unset = UNSET
    turn_detection: ServerVAD | SemanticVAD | Mapping[str, Any] | None | Unset = UNSET
    transcription: Transcription | Mapping[str, Any] | None | Unset = UNSET
    noise_reduction: str | Mapping[str, Any] | None | Unset = UNSET
    tool_choice: str | Mapping[str, Any] | None | Unset = UNSET
    max_output_tokens: int | str | None | Unset = UNSET
    truncation: str | Mapping[str, Any] | None | Unset = UNSET
    reasoning: Mapping[str, Any] | None | Unset = UNSET
    parallel_tool_calls: bool | None | Unset = UNSET
    prompt: Mapping[str, Any] | None | Unset = UNSET
    tracing: str | Mapping[str, Any] | None | Unset = UNSET
    include: Sequence[str] | None | Unset = UNSET

    def overlaid(self, other: SessionSettings) -> SessionSettings:
        """These settings with everything that `other` sets put over them."""
        return attrs.evolve(self, **_given(other))

    def for_call(self) -> SessionSettings:
        """These settings without what telephone and WebRTC calls do not allow: their audio formats are the call's, and so is the tuning
        of turn detection by silence (refused as unknown: seen in openai-agents-js).
        """
        turns = self.turn_detection
        if isinstance(turns, ServerVAD):
            turns = attrs.evolve(turns, **dict.fromkeys(NOT_IN_CALLS, UNSET))
        elif isinstance(turns, Mapping):
            turns = {name: value for name, value in turns.items() if name not in NOT_IN_CALLS}
        return attrs.evolve(self, input_format=UNSET, output_format=UNSET, turn_detection=turns)

    def to_wire(self) -> dict[str, Any]:
        """The partial session object of a `session.update`; ConfigurationError for an unknown audio format or what is no JSON."""
        return _on_wire(_given(self))


# Where a setting stands in the wire's session object; what is not named here stands at its top under its own name.
WIRE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "output_format": ("audio", "output", "format"),
    "input_format": ("audio", "input", "format"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "transcription": ("audio", "input", "transcription"),
    "noise_reduction": ("audio", "input", "noise_reduction"),
}


def _given(settings: object) -> dict[str, Any]:
    """The fields of an attrs value that are set."""
    kind: Any = type(settings)
    return {name: value for name in _fields(kind) if (value := getattr(settings, name)) is not UNSET}


@cache
def _fields(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls))


def _on_wire(given: Mapping[str, Any]) -> dict[str, Any]:
    """The session object that says this."""
    session: dict[str, Any] = {"type": "realtime"}
    for name, value in given.items():
        *nests, key = WIRE_PATHS.get(name, (name,))
        place = session
        for nest in nests:
            place = place.setdefault(nest, {})
        place[key] = _plain(name, value)
    return session


def _plain(name: str, value: Any) -> Any:
    where = f"SessionSettings.{name}"
    match value:
        case ServerVAD() | SemanticVAD():
            return as_json({"type": value.type, **_given(value)}, where)
        case Transcription():
            return as_json(_given(value), where)
        case str() if name in ("input_format", "output_format"):
            if value not in _FORMATS:
                raise ConfigurationError(
                    f"{where} must be an audio format ({', '.join(_FORMATS)}), not {value!r} [the API's description]"
                )
            return dict(_FORMATS[value])
        case str() if name == "noise_reduction":
            return {"type": as_json(value, where)}
        case _:
            return as_json(value, where)


@attrs.frozen(kw_only=True)
class Briefing:
    """An agent as it takes part in one session: instructions resolved, and only the tools and handoffs that are enabled."""

    agent: Agent
    instructions: str
    tools: tuple[Tool | HostedMcp, ...] = ()
    handoffs: tuple[Handoff, ...] = ()

    @property
    def functions(self) -> tuple[Tool | HostedMcp | Handoff, ...]:
        """What the model can call, in the order of the wire: the tools, then the handoffs."""
        return (*self.tools, *self.handoffs)

    def find_tool(self, name: str) -> Tool | None:
        """The tool of this name, None if there is none; hosted ones are not called by us."""
        return next((tool for tool in self.tools if isinstance(tool, Tool) and tool.name == name), None)

    def find_hosted(self, server_label: str) -> HostedMcp | None:
        """The server of this label, whose tools the API calls; None if there is none."""
        return next((each for each in self.tools if isinstance(each, HostedMcp) and each.name == server_label), None)

    def find_handoff(self, name: str) -> Handoff | None:
        """The handoff of this name, None if there is none. Handoffs come before tools of the same name."""
        return next((handoff for handoff in self.handoffs if handoff.name == name), None)

    def read_call(self, item: FunctionCall, response_id: str = "") -> ToolCall:
        """The call that the agent makes by this item: of a handoff, of a tool, of a function that nobody knows."""
        handoff = self.find_handoff(item.name)
        return ToolCall(
            call_id=item.call_id or item.id or "",
            name=item.name,
            arguments=item.arguments,
            response_id=response_id,
            agent=self.agent,
            tool=None if handoff else self.find_tool(item.name),
            handoff=handoff,
        )


def session_object(briefing: Briefing, settings: SessionSettings) -> dict[str, Any]:
    """The session object that puts an agent in charge: what the agent says, overlaid by the settings."""
    own = {"instructions": briefing.instructions}
    if briefing.agent.voice is not None:
        own["voice"] = briefing.agent.voice
    tools = [as_json(each.schema(), f"tool {each.name!r}") for each in briefing.functions]
    return {**_on_wire({**own, **_given(settings)}), "tools": tools}
