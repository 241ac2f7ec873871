"""Agent, Handoff, Guardrail: frozen descriptions of who speaks, to whom it may pass, and what it must not say.

They compare and hash by identity, so an agent can be a key, and a copy is another agent. What can be wrong is found
when they are made (ConfigurationError); handoffs given as callables, which let two agents name each other, are
resolved by `resolved_handoffs()` when a session opens. No behaviour lives here: sessions run agents.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, TypeVar, Union

import attrs

from trio_codex.callables import check_callable, evaluate
from trio_codex.errors import ConfigurationError
from trio_codex.hosted import HostedMcp
from trio_codex.schema import UnsupportedTypeError, describe_record, is_record
from trio_codex.tools import Check, Tool, ToolContext, check_name, read_arguments, tool

T = TypeVar("T")

Instructions = str | Callable[..., str | Awaitable[str]]
"""A text, or a sync or async callable of (context) or (context, agent) that gives one."""

HandoffSource = Union["Agent", "Handoff", Callable[[], "Agent | Handoff"]]
"""What stands in `Agent.handoffs`."""

HANDOFF_DONE: Final = "Handoff complete. You are now connected to {name}."
HANDOFF_FAILED: Final = "Error: Handoff failed - {reason}"


def _tuple(value: Iterable[T]) -> tuple[T, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigurationError(f"tools, handoffs and guardrails are lists, not {value!r}")
    return tuple(value)


# Converters for each field: what type checkers make of a generic one refuses every list.
def _tools(value: Iterable[Tool | HostedMcp]) -> tuple[Tool | HostedMcp, ...]:
    return _tuple(value)


def _handoffs(value: Iterable[HandoffSource]) -> tuple[HandoffSource, ...]:
    return _tuple(value)


def _guardrails(value: Iterable[Guardrail]) -> tuple[Guardrail, ...]:
    return _tuple(value)


@attrs.frozen(eq=False)
class Guardrail:
    """A check of what the agent says, made on the text so far every `every` characters and once at the end.

    `check` is a sync or async callable of (text), (text, context) or (text, context, agent); anything true that it
    gives trips the guardrail and is reported as its result. Sync ones run on the event loop and must be quick. With
    `hold="sentence"` it checks at the end of every sentence too, and audio is kept back until its words have passed.
    When the check itself raises, `on_error` says whether speech goes on ("open") or stops ("closed").
    """

    check: Callable[..., Any]
    every: int = 100
    hold: Literal["sentence"] | None = None
    on_error: Literal["open", "closed"] = "open"

    def __attrs_post_init__(self) -> None:
        check_callable(self.check, "text, context, agent", where="Guardrail check")
        if type(self.every) is not int or self.every < 1:
            raise ConfigurationError(f"Guardrail every must be a number of characters above 0, not {self.every!r}")
        if self.hold not in (None, "sentence"):
            raise ConfigurationError(f"Guardrail hold must be None or 'sentence', not {self.hold!r}")
        if self.on_error not in ("open", "closed"):
            raise ConfigurationError(f"Guardrail on_error must be 'open' or 'closed', not {self.on_error!r}")

    @property
    def name(self) -> str:
        """What it is called where it is spoken of: the name of its check."""
        return getattr(self.check, "__name__", None) or type(self.check).__name__

    async def judge(self, text: str, context: Any, agent: Agent) -> Any:
        """Give what the check gives: true means tripped. Raises what the check raises; cancelling cancels it."""
        return await evaluate(self.check, text, context, agent)


@attrs.frozen(eq=False)
class Handoff:
    """A way to pass the conversation to another agent, shown to the model as a function tool.

    `agent` is an Agent or a callable giving one. `input_type` (an attrs class, dataclass or TypedDict) is what the
    model must say with it; `on_handoff`, sync or async, is called with (context) or (context, input) before the new
    agent takes over. `is_enabled` may be a sync or async callable of (context, agent), the agent being the one that
    would hand over. Raises ConfigurationError when something is wrong.
    """

    agent: Agent | Callable[[], Agent]
    tool_name: str | None = None
    description: str | None = attrs.field(default=None, repr=False)
    input_type: type | None = attrs.field(default=None, repr=False)
    on_handoff: Callable[..., Any] | None = attrs.field(default=None, repr=False)
    is_enabled: Check = attrs.field(default=True, repr=False)
    parameters: dict[str, Any] = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: _input_schema(self.input_type), takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        if self.tool_name is not None:
            check_name(self.tool_name, where="Handoff tool_name")
        if self.on_handoff is not None:
            check_callable(self.on_handoff, "context, input", where="Handoff on_handoff")
        if not isinstance(self.is_enabled, bool):
            check_callable(self.is_enabled, "context, agent", where="Handoff is_enabled (True, False or a callable)")
        if isinstance(self.agent, Agent):
            check_name(self.name, where=f"the derived tool name of a handoff to {self.agent.name!r} (give tool_name=)")
        else:
            check_callable(self.agent, "", where="Handoff agent (an Agent or a callable giving one)")

    @property
    def target(self) -> Agent:
        """The agent that takes over. Raises ConfigurationError when the callable does not give an Agent."""
        found: object = self.agent if isinstance(self.agent, Agent) else self.agent()
        if not isinstance(found, Agent):
            raise ConfigurationError(f"a handoff's callable must give an Agent, not {found!r}")
        return found

    def resolve(self) -> Handoff:
        """Give this handoff with its agent known. Raises ConfigurationError as `target` does."""
        return self if isinstance(self.agent, Agent) else attrs.evolve(self, agent=self.target)

    @property
    def name(self) -> str:
        """The name of the tool: `tool_name`, or `transfer_to_` and the agent's name in lower case."""
        return self.tool_name if self.tool_name is not None else f"transfer_to_{_identifier(self.target.name)}"

    def schema(self) -> dict[str, Any]:
        """Give the tool as the wire describes it."""
        description = self.description
        if description is None:
            more = (self.target.handoff_description or "").strip()
            description = f"Handoff to the {self.target.name} agent to handle the request.{' ' if more else ''}{more}"
        return {"type": "function", "name": self.name, "description": description, "parameters": self.parameters}

    def read_input(self, arguments: str) -> Any:
        """Give the structured input, None without `input_type`. Raises ToolError with the text for the model."""
        return None if self.input_type is None else read_arguments(arguments, self.input_type)

    async def enabled(self, context: Any, agent: Agent) -> bool:
        """Say whether `agent` may hand over by it now. Raises what the callable raises; cancelling cancels it."""
        return bool(await evaluate(self.is_enabled, context, agent))

    async def notify(self, context: Any, given: Any) -> None:
        """Call `on_handoff`, if there is one. Raises what it raises; cancelling cancels it."""
        if self.on_handoff is not None:
            await evaluate(self.on_handoff, context, given)


def _input_schema(input_type: Any) -> dict[str, Any]:
    if input_type is None:
        return {"type": "object", "properties": {}}
    if not is_record(input_type):
        said = f"must be an attrs class, a dataclass or a TypedDict, not {input_type!r}"
        raise ConfigurationError(f"Handoff input_type {said}")
    try:
        return describe_record(input_type, {})
    except UnsupportedTypeError as error:
        raise ConfigurationError(f"Handoff input_type: {error}") from error


def _identifier(name: str) -> str:
    """Write a name as servers allow it: each run of blanks and each other byte becomes one underscore."""
    octets = re.sub(rb"\s+", b"_", name.strip().encode().lower())
    return re.sub(rb"[^a-z0-9_]", b"_", octets).decode()


@attrs.frozen(eq=False)
class Agent:
    """Who speaks: a name, instructions, tools, and the agents it may hand over to.

    `instructions` is a text or a sync or async callable of (context) or (context, agent); sync callables run on the
    event loop and must be quick. `handoffs` holds agents, callables giving one, and Handoffs; callables are asked when
    a session opens. Raises ConfigurationError when something is wrong.
    """

    name: str = "Agent"
    instructions: Instructions = attrs.field(default="You are a helpful assistant.", repr=False)
    tools: tuple[Tool | HostedMcp, ...] = attrs.field(default=(), converter=_tools, repr=False)
    handoffs: tuple[HandoffSource, ...] = attrs.field(default=(), converter=_handoffs, repr=False)
    handoff_description: str | None = attrs.field(default=None, repr=False)
    guardrails: tuple[Guardrail, ...] = attrs.field(default=(), converter=_guardrails, repr=False)
    voice: str | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f"an agent's name must be a text that is not blank, not {self.name!r}")
        where = f"agent {self.name!r}"
        if not isinstance(self.instructions, str):
            check_callable(self.instructions, "context, agent", where=f"{where}: instructions (a text or a callable)")
        for field in ("handoff_description", "voice"):
            if not isinstance(getattr(self, field), str | None):
                raise ConfigurationError(f"{where}: {field} must be a text or None, not {getattr(self, field)!r}")
        for each in self.tools:
            if not isinstance(each, Tool | HostedMcp):
                raise ConfigurationError(f"{where}: {each!r} is not a tool; decorate the function with @tool")
        for guardrail in self.guardrails:
            if not isinstance(guardrail, Guardrail):
                raise ConfigurationError(f"{where}: {guardrail!r} is not a Guardrail")
        handoffs = [self._as_handoff(each) for each in self.handoffs]
        self._refuse_duplicates(each for each in handoffs if each.tool_name or isinstance(each.agent, Agent))

    def _as_handoff(self, given: Any) -> Handoff:
        if isinstance(given, Handoff):
            return given
        if isinstance(given, Agent) or (callable(given) and not isinstance(given, Tool)):
            return Handoff(given)
        raise ConfigurationError(f"agent {self.name!r}: {given!r} is not an Agent, a callable giving one, or a Handoff")

    def _refuse_duplicates(self, handoffs: Iterable[Handoff]) -> None:
        names = [each.name for each in self.tools] + [handoff.name for handoff in handoffs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"agent {self.name!r} has more than one tool or handoff named {', '.join(twice)}")

    def resolved_handoffs(self) -> tuple[Handoff, ...]:
        """Give all handoffs with their agents known, asking the callables. Raises ConfigurationError."""
        given = (each if isinstance(each, (Agent, Handoff)) else each() for each in self.handoffs)
        found = tuple(self._as_handoff(each).resolve() for each in given)
        self._refuse_duplicates(found)
        return found

    def as_tool(
        self,
        name: str | None = None,
        description: str | None = None,
        *,
        timeout: float | None = None,
        needs_approval: Check = False,
        approval_timeout: float | None = 30.0,
        approval_default: Literal["reject", "approve"] = "reject",
        on_interrupt: Literal["continue", "cancel"] = "continue",
        respond: bool = True,
        is_enabled: Check = True,
    ) -> Tool:
        """Give a tool by which another agent has this one answer a text: it stays in charge and reads the answer.

        The answer is made beside the conversation, of which this agent reads nothing but the text that it is given, in
        writing and with its own instructions, tools and handoffs; its guardrails check it before it is given. The name
        is the agent's in lower case unless `name` says otherwise. The settings are those of `@tool`. Raises
        ConfigurationError when something is wrong.
        """

        async def ask(input: str, call: ToolContext) -> str:  # noqa: A002 - what the model calls it
            """Ask.

            Args:
                input: all that the agent has to know to answer.
            """
            return await call.delegate(self, input)

        described = " ".join([f"Ask the agent {self.name}.", (self.handoff_description or "").strip()]).strip()
        return tool(
            name=_identifier(self.name) if name is None else name,
            description=described if description is None else description,
            timeout=timeout,
            needs_approval=needs_approval,
            approval_timeout=approval_timeout,
            approval_default=approval_default,
            on_interrupt=on_interrupt,
            respond=respond,
            is_enabled=is_enabled,
        )(ask)

    def replace(self, **changes: Any) -> Agent:
        """Give a copy with these fields changed; it is another agent."""
        return attrs.evolve(self, **changes)


async def resolve_instructions(agent: Agent, context: Any) -> str:
    """Give an agent's instructions as text, asking its callable if it has one. Cancelling cancels the callable.

    Raises what the callable raises; ConfigurationError when it does not give a text, and for what is no agent.
    """
    if not isinstance(agent, Agent):
        raise ConfigurationError(f"an Agent is expected, not {agent!r}")
    text: object = await evaluate(agent.instructions, context, agent)
    if not isinstance(text, str):
        raise ConfigurationError(f"the instructions of agent {agent.name!r} must be a text, not {type(text).__name__}")
    return text
