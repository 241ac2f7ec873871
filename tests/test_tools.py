"""`@tool`: names, schemas, arguments, results, and every text that the model may read."""

import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import json
import subprocess
import sys
import textwrap
from collections import OrderedDict, namedtuple
from collections.abc import AsyncIterator, Iterator
from types import MappingProxyType
from typing import Annotated, Any, Literal

import attrs
import pytest
import trio

from trio_codex import Agent, Tool, ToolContext, tool
from trio_codex.errors import ConfigurationError, ToolError
from trio_codex.tools import CANCELLED, NO_VALUE, TIMED_OUT, UNKNOWN_TOOL, failure_text, serialize

CONTEXT = ToolContext(context={"user": 7}, agent=Agent(), call_id="call_1")


@tool
async def get_weather(city: str, units: Literal["C", "F"] = "C") -> str:
    """Say how the weather is.

    Args:
        city: Where to look.
        units: Celsius or Fahrenheit.
    """
    return f"{city}: 20 {units}"


def refused(made: Tool, arguments: str) -> str:
    with pytest.raises(ToolError) as caught:
        made.bind(arguments, CONTEXT)
    return str(caught.value)


# --- making one ---


def test_schema_as_the_wire_says_it() -> None:
    assert get_weather.schema() == {
        "type": "function",
        "name": "get_weather",
        "description": "Say how the weather is.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where to look."},
                "units": {
                    "type": "string",
                    "enum": ["C", "F"],
                    "description": "Celsius or Fahrenheit.",
                    "default": "C",
                },
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    }
    json.dumps(get_weather.schema())


async def test_a_tool_is_still_the_function() -> None:
    with trio.fail_after(1):
        assert await get_weather("Oslo", units="F") == "Oslo: 20 F"
    assert inspect.signature(get_weather).parameters.keys() == {"city", "units"}


def test_defaults_of_the_settings() -> None:
    assert get_weather.timeout is None
    assert get_weather.needs_approval is False
    assert (get_weather.approval_timeout, get_weather.approval_default) == (30.0, "reject")
    assert get_weather.on_interrupt == "continue"
    assert get_weather.respond is True
    assert get_weather.is_enabled is True
    assert get_weather.is_async


def test_settings_are_kept() -> None:
    def check(context: ToolContext, arguments: dict[str, Any]) -> bool:
        return True

    @tool(
        name="look-up",
        description="Look.",
        timeout=5.0,
        needs_approval=check,
        approval_timeout=None,
        approval_default="approve",
        on_interrupt="cancel",
        respond=False,
        is_enabled=False,
    )
    def look(x: int) -> int:
        return x

    assert (look.name, look.description, look.timeout, look.on_interrupt) == ("look-up", "Look.", 5.0, "cancel")
    assert (look.needs_approval, look.approval_timeout, look.approval_default) == (check, None, "approve")
    assert (look.respond, look.is_enabled, look.is_async) == (False, False, False)
    assert look(3) == 3


def test_tools_compare_by_identity() -> None:
    def f() -> int:
        return 1

    assert tool(f) != tool(f)
    assert len({tool(f), tool(f)}) == 2


def test_no_parameters() -> None:
    @tool
    def ping() -> str:
        return "pong"

    assert ping.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert ping.bind("{}", CONTEXT)() == "pong"


def test_the_context_is_filled_in_and_not_shown() -> None:
    @tool
    def whoami(question: str, where: Annotated[ToolContext, "filled in"]) -> Any:
        return where.context["user"], where.agent.name, where.call_id

    assert whoami.parameters["properties"].keys() == {"question"}
    assert whoami.bind('{"question": "?"}', CONTEXT)() == (7, "Agent", "call_1")
    assert "there is no such field" in refused(whoami, '{"question": "?", "where": 1}')


def test_local_classes_and_string_annotations() -> None:
    @attrs.frozen
    class Inner:
        n: "int"

    @attrs.frozen
    class Outer:
        inner: "Inner"
        more: "list[Outer]" = attrs.field(factory=list)

    @tool
    def take(it: "Outer", context: "ToolContext") -> Any:
        return it

    assert take.bind('{"it": {"inner": {"n": 1}}}', CONTEXT)() == Outer(Inner(1))


def test_future_annotations(tmp_path: Any) -> None:
    program = """
        from __future__ import annotations
        import dataclasses
        from typing import NotRequired, TypedDict
        from trio_codex import Agent, ToolContext, tool

        class Options(TypedDict):
            a: int
            b: NotRequired[int]

        def make():
            @dataclasses.dataclass
            class Local:
                o: Options
                again: Local | None = None

            @tool(timeout=1)
            def f(x: Local, context: ToolContext) -> Nowhere:
                return x.o
            return f

        f = make()
        context = ToolContext(None, Agent(), "c")
        assert f.bind('{"x": {"o": {"a": 1}, "again": {"o": {"a": 2, "b": 3}}}}', context)() == {"a": 1}
        assert f.parameters["$defs"]["Options"]["required"] == ["a"]
    """
    file = tmp_path / "future.py"
    file.write_text(textwrap.dedent(program))
    subprocess.run([sys.executable, str(file)], check=True, timeout=30)


def test_callables_of_every_kind() -> None:
    class Shop:
        def price(self, item: str) -> float:
            """Say the price."""
            return len(item) * 1.5

        async def __call__(self, item: str) -> str:
            """Sell."""
            return item

    price = tool(Shop().price)
    assert (price.name, price.description) == ("price", "Say the price.")
    assert price.bind('{"item": "ab"}', CONTEXT)() == 3.0
    sell = tool(name="sell")(Shop())
    assert (sell.is_async, sell.description) == (True, "Sell.")
    half = tool(name="half")(functools.partial(Shop().price, item="abcd"))
    assert half.parameters["required"] == []
    assert half.bind("{}", CONTEXT)() == 6.0


def test_a_tool_from_a_schema_of_elsewhere() -> None:
    schema = {"type": "object", "properties": {"a-b": {"type": "integer"}}}
    remote = Tool(name="remote", parameters=schema, function=lambda **arguments: arguments)
    assert remote.bind('{"a-b": 1, "other": null}', CONTEXT)() == {"a-b": 1, "other": None}
    assert refused(remote, "[]") == "Error: Invalid arguments - $: expected object, got an array"


# --- what cannot be a tool ---


def positional(a: int, /) -> int:
    return a


def starred(*a: int) -> tuple[int, ...]:
    return a


def keywords(**a: int) -> dict[str, int]:
    return a


def bare(a) -> int:  # type: ignore[no-untyped-def]
    return 1


def unknown(a: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


def unsupported(a: list[bytes]) -> int:
    return 1


def method(self: int) -> int:
    return 1


def two(a: ToolContext, b: ToolContext) -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (positional, "tool positional, parameter 'a' is positional-only"),
        (starred, "tool starred, parameter 'a' takes any number"),
        (keywords, "tool keywords, parameter 'a' takes any keyword"),
        (bare, "tool bare, parameter 'a' has no annotation"),
        (unknown, r"tool unknown, parameter 'a': the annotation 'Nowhere' cannot be resolved \(name 'Nowhere'"),
        (unsupported, "tool unsupported, parameter 'a': bytes is not"),
        (method, r"tool method, parameter 'self': .* tool\(instance.method\)"),
        (two, "tool two, parameter 'b' is a second ToolContext"),
    ],
)
def test_refused_functions(function: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        tool(function)


def test_other_things_are_no_tools() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def more() -> AsyncIterator[int]:
        yield 1

    for thing in (numbers, more, get_weather, 3, None):
        with pytest.raises(ConfigurationError):
            tool()(thing)  # type: ignore[type-var]


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "a.b", "<lambda>", "a\n"])
def test_names_that_servers_refuse(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not 1 to 64"):
        tool(name=name)(lambda: 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": float("inf")},
        {"timeout": "5"},
        {"timeout": True},
        {"approval_timeout": 0},
        {"approval_default": "yes"},
        {"on_interrupt": "stop"},
        {"respond": None},
        {"respond": 1},
        {"needs_approval": "yes"},
        {"needs_approval": lambda a, b, c: True},
        {"is_enabled": None},
        {"is_enabled": lambda *, must: True},
    ],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        tool(name="x", **settings)(lambda: 1)


# --- arguments ---


async def test_arguments_reach_the_function() -> None:
    with trio.fail_after(1):
        assert await get_weather.bind('{"city": "Rome"}', CONTEXT)() == "Rome: 20 C"


def test_arguments_that_do_not_fit() -> None:
    assert refused(get_weather, '{"city": 7}') == "Error: Invalid arguments - $.city: expected string, got 7"
    assert refused(get_weather, "{}") == "Error: Invalid arguments - $.city: required, but missing"
    assert refused(get_weather, '{"city": "x", "units": "K", "z": 1}') == (
        'Error: Invalid arguments - $.units: expected one of "C", "F", got "K"; $.z: there is no such field'
    )


@pytest.mark.parametrize("text", ["", "{", "nope", '{"city": NaN}', "{'city': 1}"])
def test_arguments_that_are_no_json(text: str) -> None:
    assert refused(get_weather, text).startswith("Error: Invalid JSON arguments - ")


def test_what_is_wrong_is_not_listed_without_end() -> None:
    @tool
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    said = refused(add, json.dumps({"numbers": ["x"] * 100_000}))
    assert said.endswith("; and more")
    assert len(said) < 500


@attrs.frozen
class Deep:
    deeper: "Deep | None" = None


def test_arguments_nested_without_end() -> None:
    @tool
    def dig(it: Deep) -> str:
        return "done"

    deep = '{"deeper":' * 1000 + "null" + "}" * 1000
    assert refused(dig, f'{{"it": {deep}}}').endswith("nested too deeply")
    assert refused(dig, "[" * 100_000).startswith("Error: Invalid JSON arguments - ")


def test_a_default_is_the_functions_own() -> None:
    @tool
    def f(when: datetime.date = datetime.date(2026, 1, 1), tags: list[str] = []) -> Any:  # noqa: B006
        return when, tags

    assert f.bind("{}", CONTEXT)() == (datetime.date(2026, 1, 1), [])
    assert "default" not in f.parameters["properties"]["when"]
    assert f.parameters["properties"]["tags"]["default"] == []


# --- approval and availability ---


async def test_approval_may_depend_on_the_call() -> None:
    async def expensive(context: ToolContext, arguments: dict[str, Any]) -> bool:
        await trio.lowlevel.checkpoint()
        return bool(arguments["amount"] > context.context["user"])

    @tool(needs_approval=expensive)
    def pay(amount: int) -> str:
        return "paid"

    with trio.fail_after(1):
        assert await pay.bind('{"amount": 8}', CONTEXT).needs_approval()
        assert not await pay.bind('{"amount": 7}', CONTEXT).needs_approval()
        assert not await get_weather.bind('{"city": "x"}', CONTEXT).needs_approval()


@pytest.mark.parametrize(
    "setting",
    [True, lambda: True, lambda context: context == 1, lambda context, agent: context == 1 and agent.name == "Agent"],
)
async def test_availability(setting: Any) -> None:
    with trio.fail_after(1):
        assert await tool(name="x", is_enabled=setting)(lambda: 1).enabled(1, Agent())


# --- results ---


class Color(enum.Enum):
    RED = "red"
    SEVEN = 7


@attrs.frozen
class Point:
    x: int
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Line:
    ends: list[Point]
    color: Color = Color.RED


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ("odd \ud800", "odd ?"),
        (None, NO_VALUE),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        ([1, "ä", None], '[1,"ä",null]'),
        ((1, 2), "[1,2]"),
        ({1}, "[1]"),
        ({"a": Point(1)}, '{"a":{"x":1,"tags":[]}}'),
        ({1: "x"}, '{"1":"x"}'),
        (OrderedDict(a=1), '{"a":1}'),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (Pair(1, 2), "[1,2]"),
        (Color.RED, "red"),
        (Color.SEVEN, "7"),
        (Line([Point(1, frozenset({"t"}))]), '{"ends":[{"x":1,"tags":["t"]}],"color":"red"}'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (decimal.Decimal("1.10"), '"1.10"'),
    ],
)
def test_results(result: Any, text: str) -> None:
    assert serialize(result) == text


@pytest.mark.parametrize("result", [b"x", {"a": b"x"}, [bytearray(b"x")], object(), {"a": object()}, lambda: 1])
def test_results_that_have_no_text(result: Any) -> None:
    with pytest.raises(TypeError, match=r"the tool's result cannot be sent: .*(bytes are not text|has no JSON form)"):
        serialize(result)


# --- texts instead of results ---


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "Error: no such city"),
        (ToolError("Try again later."), "Try again later."),
        (ValueError(), "Error: ValueError"),
        (ExceptionGroup("x", [ValueError("a"), ExceptionGroup("y", [OSError("b")])]), "Error: a; b"),
        (ValueError("odd \udfff"), "Error: odd ?"),
    ],
)
def test_failures(error: Exception, text: str) -> None:
    assert failure_text(error) == text


def test_texts_of_the_session() -> None:
    assert UNKNOWN_TOOL.format(name="x{y}") == "Error: Unknown tool x{y}"
    assert TIMED_OUT.format(seconds=2.5) == "Error: The tool took longer than 2.5 s and was stopped"
    assert CANCELLED.startswith("Error: ")


def test_no_trio_is_loaded() -> None:
    program = "import sys, trio_codex.agent, trio_codex.tools, trio_codex.credentials; assert 'trio' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
