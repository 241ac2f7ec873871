"""Agents, handoffs, guardrails: what is kept, what is derived, what is refused."""

import dataclasses
from typing import Any, TypedDict

import attrs
import pytest
import trio

from trio_codex import Agent, Guardrail, Handoff, ToolContext, tool
from trio_codex.agent import HANDOFF_DONE, HANDOFF_FAILED, resolve_instructions
from trio_codex.errors import ConfigurationError, ToolError


@tool
def look(x: int) -> int:
    """Look."""
    return x


@attrs.frozen
class Reason:
    """Why the user is passed on."""

    why: str
    urgent: bool = False


# --- agents ---


def test_defaults() -> None:
    agent = Agent()
    assert agent.name == "Agent"
    assert agent.instructions == "You are a helpful assistant."
    assert (agent.tools, agent.handoffs, agent.guardrails) == ((), (), ())
    assert agent.handoff_description is None
    assert agent.voice is None


def test_frozen_and_identical_only_to_itself() -> None:
    agent = Agent(name="A", tools=[look])
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        agent.name = "B"  # type: ignore[misc]
    assert agent != Agent(name="A", tools=[look])
    assert len({agent, agent.replace()}) == 2


def test_replace() -> None:
    agent = Agent(name="A", tools=[look])
    other = agent.replace(name="B", voice="ash")
    assert (other.name, other.voice, other.tools) == ("B", "ash", (look,))
    assert agent.name == "A"
    with pytest.raises(ConfigurationError):
        agent.replace(name=" ")
    with pytest.raises(TypeError):
        agent.replace(nmae="B")


def test_repr_tells_no_secrets() -> None:
    assert repr(Agent(name="A", instructions="the password is 7")) == "Agent(name='A')"


@pytest.mark.parametrize(
    "settings",
    [
        {"name": ""},
        {"name": "  "},
        {"name": 3},
        {"instructions": None},
        {"instructions": lambda a, b, c: ""},
        {"tools": look},
        {"tools": "look"},
        {"tools": [len]},
        {"tools": [look, look]},
        {"handoffs": ["Support"]},
        {"handoffs": [look]},
        {"handoffs": [Agent(name="A b"), Agent(name="a B")]},
        {"handoffs": [Handoff(Agent(name="S"), tool_name="look")], "tools": [look]},
        {"handoffs": [Handoff(lambda: Agent(name="S"), tool_name="look")], "tools": [look]},
        {"guardrails": [len]},
        {"voice": 1},
        {"handoff_description": 1},
    ],
)
def test_refused_agents(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Agent(**settings)


# --- instructions ---


async def later(context: Any, agent: Agent) -> str:
    await trio.lowlevel.checkpoint()
    return f"{agent.name} serves {context}"


@pytest.mark.parametrize(
    ("instructions", "text"),
    [
        ("Be kind.", "Be kind."),
        (lambda: "nothing known", "nothing known"),
        (lambda context: f"serve {context}", "serve me"),
        (lambda context, agent: f"{agent.name} serves {context}", "A serves me"),
        (later, "A serves me"),
    ],
)
async def test_instructions(instructions: Any, text: str) -> None:
    with trio.fail_after(1):
        assert await resolve_instructions(Agent(name="A", instructions=instructions), "me") == text


async def test_instructions_that_are_no_text() -> None:
    with trio.fail_after(1), pytest.raises(ConfigurationError, match="agent 'A' must be a text, not int"):
        await resolve_instructions(Agent(name="A", instructions=lambda: 7), None)  # type: ignore[arg-type,return-value]


# --- handoffs ---


@pytest.mark.parametrize(
    ("name", "derived"),
    [
        ("TechSupport", "transfer_to_techsupport"),
        ("  Tech  Support\t2 ", "transfer_to_tech_support_2"),
        ("a-b.c", "transfer_to_a_b_c"),
        ("Café", "transfer_to_caf__"),
        ("A_b", "transfer_to_a_b"),
    ],
)
def test_derived_names(name: str, derived: str) -> None:
    assert Handoff(Agent(name=name)).name == derived


def test_handoff_as_the_wire_says_it() -> None:
    assert Handoff(Agent(name="TechSupport")).schema() == {
        "type": "function",
        "name": "transfer_to_techsupport",
        "description": "Handoff to the TechSupport agent to handle the request.",
        "parameters": {"type": "object", "properties": {}},
    }


def test_handoff_description() -> None:
    agent = Agent(name="S", handoff_description="  Knows printers. ")
    assert Handoff(agent).schema()["description"] == ("Handoff to the S agent to handle the request. Knows printers.")
    blank = agent.replace(handoff_description="  ")
    assert Handoff(blank).schema()["description"] == "Handoff to the S agent to handle the request."
    assert Handoff(agent, description="Mine.").schema()["description"] == "Mine."


def test_texts() -> None:
    assert HANDOFF_DONE.format(name="S") == "Handoff complete. You are now connected to S."
    assert HANDOFF_FAILED.format(reason="x") == "Error: Handoff failed - x"


@dataclasses.dataclass
class Other:
    why: str


class Third(TypedDict):
    why: str


def test_typed_input() -> None:
    handoff = Handoff(Agent(name="S"), input_type=Reason)
    assert handoff.schema()["parameters"] == {
        "type": "object",
        "description": "Why the user is passed on.",
        "properties": {"why": {"type": "string"}, "urgent": {"type": "boolean", "default": False}},
        "required": ["why"],
        "additionalProperties": False,
    }
    assert handoff.read_input('{"why": "printer"}') == Reason("printer")
    with pytest.raises(ToolError, match=r"^Error: Invalid arguments - \$.why: required, but missing$"):
        handoff.read_input("{}")
    with pytest.raises(ToolError, match=r"^Error: Invalid JSON arguments - "):
        handoff.read_input("")
    assert Handoff(Agent(), input_type=Other).read_input('{"why": "x"}') == Other("x")
    assert Handoff(Agent(), input_type=Third).read_input('{"why": "x"}') == {"why": "x"}


def test_without_input_type_arguments_do_not_matter() -> None:
    assert Handoff(Agent()).read_input("not json") is None


@pytest.mark.parametrize(
    "settings",
    [
        {"agent": "S"},
        {"agent": lambda needed: Agent()},
        {"tool_name": "a b"},
        {"tool_name": ""},
        {"input_type": int},
        {"input_type": {"type": "object"}},
        {"input_type": attrs.make_class("Raw", {"data": attrs.field(type=bytes)})},
        {"on_handoff": "call me"},
        {"on_handoff": lambda a, b, c: None},
        {"is_enabled": "yes"},
        {"agent": Agent(name="x" * 60)},
    ],
)
def test_refused_handoffs(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Handoff(**{"agent": Agent(), **settings})


def test_two_agents_hand_over_to_each_other() -> None:
    sales: Agent = Agent(name="Sales", handoffs=[lambda: support])
    support: Agent = Agent(name="Support", handoffs=[sales, Handoff(lambda: sales, tool_name="back")])
    assert [handoff.target for handoff in sales.resolved_handoffs()] == [support]
    assert [handoff.name for handoff in support.resolved_handoffs()] == ["transfer_to_sales", "back"]
    assert all(handoff.agent is sales for handoff in support.resolved_handoffs())


def test_a_callable_may_give_a_handoff() -> None:
    target = Agent(name="S")
    (handoff,) = Agent(handoffs=[lambda: Handoff(target, tool_name="there")]).resolved_handoffs()
    assert (handoff.name, handoff.target) == ("there", target)


@pytest.mark.parametrize("given", [None, "Support", look])
def test_callables_that_give_no_agent(given: Any) -> None:
    for agent in (Agent(handoffs=[lambda: given]), Agent(handoffs=[Handoff(lambda: given)])):
        with pytest.raises(ConfigurationError):
            agent.resolved_handoffs()


def test_duplicates_behind_callables_are_found_when_resolved() -> None:
    agent = Agent(handoffs=[Agent(name="S"), lambda: Agent(name="s")])
    with pytest.raises(ConfigurationError, match="transfer_to_s"):
        agent.resolved_handoffs()


async def test_callbacks_of_a_handoff() -> None:
    heard: list[Any] = []

    async def note(context: Any, given: Any) -> None:
        await trio.lowlevel.checkpoint()
        heard.append((context, given))

    with trio.fail_after(1):
        await Handoff(Agent(), on_handoff=note, input_type=Reason).notify("me", Reason("x"))
        await Handoff(Agent(), on_handoff=heard.append).notify("me", None)
        await Handoff(Agent()).notify("me", None)
        assert heard == [("me", Reason("x")), "me"]
        assert not await Handoff(Agent(), is_enabled=lambda context, agent: agent.name == "B").enabled(1, Agent())


# --- guardrails ---


def test_guardrail_defaults() -> None:
    guardrail = Guardrail(lambda text: False)
    assert (guardrail.every, guardrail.hold, guardrail.on_error) == (100, None, "open")


@pytest.mark.parametrize(
    "settings",
    [
        {"check": "no"},
        {"check": lambda a, b, c, d: True},
        {"every": 0},
        {"every": 1.5},
        {"every": True},
        {"hold": "word"},
        {"on_error": "shut"},
    ],
)
def test_refused_guardrails(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Guardrail(**{"check": lambda text: False, **settings})


async def test_guardrail_checks() -> None:
    async def check(text: str, context: Any, agent: Agent) -> str | None:
        await trio.lowlevel.checkpoint()
        return f"{context} {agent.name}" if "bad" in text else None

    with trio.fail_after(1):
        assert await Guardrail(check).judge("a bad word", "me", Agent()) == "me Agent"
        assert not await Guardrail(check).judge("a good word", "me", Agent())
        assert await Guardrail(lambda text: "bad" in text).judge("bad", None, Agent()) is True


# --- agents as tools ---


def test_an_agent_as_a_tool() -> None:
    agent = Agent(name="Time Expert", handoff_description=" It knows the time. ")
    made = agent.as_tool()
    assert made.schema() == {
        "type": "function",
        "name": "time_expert",
        "description": "Ask the agent Time Expert. It knows the time.",
        "parameters": {
            "type": "object",
            "properties": {
                "input": {"type": "string", "description": "all that the agent has to know to answer."},
            },
            "required": ["input"],
            "additionalProperties": False,
        },
    }
    other = agent.as_tool("ask_expert", "Ask.", timeout=3.0, on_interrupt="cancel", respond=False, is_enabled=False)
    assert (other.name, other.description, other.timeout) == ("ask_expert", "Ask.", 3.0)
    assert (other.on_interrupt, other.respond, other.is_enabled) == ("cancel", False, False)
    with pytest.raises(ConfigurationError, match="give name="):
        Agent(name="\u0416" * 70).as_tool()


async def test_outside_a_session_no_agent_can_be_asked() -> None:
    context = ToolContext(None, Agent(), "c")
    with pytest.raises(ToolError, match="TimeExpert cannot be asked"):
        await Agent(name="TimeExpert").as_tool().bind('{"input": "hm"}', context)()
