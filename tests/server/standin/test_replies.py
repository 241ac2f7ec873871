"""What the stand-in says, with agents of all kinds: nothing in it knows any of them."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from trio_codex import Agent, Handoff, tool
from trio_codex.protocol import (
    AnswerRequest,
    AssistantMessage,
    ContentPart,
    FunctionCall,
    FunctionCallOutput,
    Item,
    SystemMessage,
    UserMessage,
)
from trio_codex.server.standin.replies import Calling, Saying, reply_to


@tool
def get_weather(city: str, units: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Get the current weather in a city."""
    return ""


@tool
def set_timer(minutes: int, label: str | None = None) -> str:
    """Start a countdown."""
    return ""


@tool
def add_numbers(first: float, second: float) -> float:
    """Add two numbers."""
    return 0


@tool
def order_pizza(size: Literal["small", "medium", "large"], toppings: list[Literal["ham", "cheese", "olives"]]) -> str:
    """Order a pizza for delivery."""
    return ""


@tool
def check_device_status(device: str) -> str:
    """Run diagnostics on a device that has problems."""
    return ""


@tool(name="search_documents", description="Search the manuals of the company for an answer.")
def search(query: str) -> str:
    return ""


SUPPORT = Agent(name="TechSupport")
BILLING = Agent(name="Billing", handoff_description="Questions about invoices, payments and refunds.")
TOOLS = [each.schema() for each in (get_weather, set_timer, add_numbers, order_pizza, search)]
TOOLS += [Handoff(agent).schema() for agent in (SUPPORT, BILLING)]


def user(text: str) -> UserMessage:
    return UserMessage(content=(ContentPart(type="input_audio", transcript=text),))


def request(*items: Item | str, tools: list[dict[str, Any]] = TOOLS, **fields: Any) -> AnswerRequest:
    asked = tuple(user(item) if isinstance(item, str) else item for item in items)
    return AnswerRequest(
        response_id="r", instructions=fields.pop("instructions", ""), items=asked, tools=tuple(tools), **fields
    )


def called(name: str, output: str, call_id: str = "c") -> list[Item]:
    return [
        FunctionCall(call_id=call_id, name=name, arguments="{}"),
        FunctionCallOutput(call_id=call_id, output=output),
    ]


def call(reply: object) -> tuple[str, dict[str, Any]]:
    assert isinstance(reply, Calling), reply
    return reply.name, dict(reply.arguments)


def words(reply: object) -> str:
    assert isinstance(reply, Saying), reply
    return reply.text


# --- choosing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name", "arguments"),
    [
        ("what is the weather in london", "get_weather", {"city": "London"}),
        (
            "tell me about the weather in new york in fahrenheit",
            "get_weather",
            {"city": "New York", "units": "fahrenheit"},
        ),
        ("whether in paris", "get_weather", {"city": "Paris"}),  # what a recogniser makes of it
        ("could you start a countdown for ten minutes", "set_timer", {"minutes": 10}),
        ("timer five minutes please", "set_timer", {"minutes": 5}),
        ("add twelve and thirty", "add_numbers", {"first": 12, "second": 30}),
        (
            "i would like a large pizza with ham and olives",
            "order_pizza",
            {"size": "large", "toppings": ["ham", "olives"]},
        ),
        (
            "look into the manuals for the warranty",
            "search_documents",
            {"query": "look into the manuals for the warranty"},
        ),
        ("i have a technical problem with my computer", "transfer_to_techsupport", {}),
        ("i have the technical problem with myself where", "transfer_to_techsupport", {}),
        ("can i speak to tech support", "transfer_to_techsupport", {}),
        ("i want a refund", "transfer_to_billing", {}),
        ("there is a mistake in my invoice", "transfer_to_billing", {}),
    ],
)
def test_the_function_that_fits_is_called(said: str, name: str, arguments: dict[str, Any]) -> None:
    assert call(reply_to(request(said))) == (name, arguments)


@pytest.mark.parametrize(
    "said", ["hello there", "thank you very much", "tell me a joke", "what is your name", "goodbye", "yes", "no"]
)
def test_small_talk_is_taken_up(said: str) -> None:
    assert said in words(reply_to(request(said))).lower()


def test_renaming_an_agent_renames_its_handoff_and_nothing_else() -> None:
    tools = [Handoff(Agent(name=name)).schema() for name in ("GardenAdvice", "LegalTeam", "Kitchen")]
    for said, name in [
        ("my garden is dry", "transfer_to_gardenadvice"),
        ("i need a legal opinion", "transfer_to_legalteam"),
        ("what is cooking in the kitchen", "transfer_to_kitchen"),
    ]:
        assert call(reply_to(request(said, tools=tools))) == (name, {})


def test_tool_choice_none_calls_nothing() -> None:
    assert "weather" in words(reply_to(request("what is the weather in london", tool_choice="none")))


def test_a_forced_function_is_called_whatever_was_said() -> None:
    forced = {"type": "function", "name": "order_pizza"}
    assert call(reply_to(request("hello", tool_choice=forced))) == ("order_pizza", {"size": "small", "toppings": []})
    assert call(reply_to(request(tool_choice=forced)))[0] == "order_pizza"


def test_required_calls_what_fits_best_or_the_first() -> None:
    assert call(reply_to(request("ten minutes timer", tool_choice="required")))[0] == "set_timer"
    assert call(reply_to(request("hello", tool_choice="required")))[0] == "get_weather"


def test_a_session_that_forces_a_function_gets_to_speak_all_the_same() -> None:
    turn = ["weather in rome", *called("get_weather", "It is warm in Rome.")]
    for choice in ("required", {"type": "function", "name": "get_weather"}):
        assert words(reply_to(request(*turn, tool_choice=choice))) == "It is warm in Rome."
    other = {"type": "function", "name": "set_timer"}
    assert call(reply_to(request(*turn, tool_choice=other)))[0] == "set_timer"


def test_speech_that_was_cut_in_two_is_read_as_one() -> None:
    assert call(reply_to(request("what is the weather", "in london"))) == ("get_weather", {"city": "London"})


# --- after a call ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("It is sunny and 21 degrees.", "It is sunny and 21 degrees."),
        ("sunny with some wind", "Sunny with some wind."),
        ("21", "The result of get weather is 21."),
        (
            '{"temperature": 21, "sky": "clear", "rain": false}',
            "The result of get weather: temperature is 21, sky is clear, rain is no.",
        ),
        ('["a", "b", "c"]', "The result of get weather: a, b and c."),
        ("Error: no such city", "I am sorry, that did not work: no such city."),
        ("", "That is done."),
        ("null", "That is done."),
        ("x " * 1000, "X " + "x " * 199 + "and so on."),
    ],
)
def test_the_result_is_told(output: str, said: str) -> None:
    assert words(reply_to(request("what is the weather", *called("get_weather", output)))) == said


def test_several_results_are_told_together() -> None:
    turn = ["both", *called("get_weather", "It is sunny here.", "a"), *called("set_timer", "The timer is set.", "b")]
    assert words(reply_to(request(*turn))) == "It is sunny here. The timer is set."


def test_the_next_turn_is_a_new_one() -> None:
    answered = AssistantMessage(content=(ContentPart(type="output_audio", transcript="It is warm."),))
    turns = ["weather in rome", *called("get_weather", "It is warm."), answered, "and the weather in oslo"]
    assert call(reply_to(request(*turns))) == ("get_weather", {"city": "Oslo"})


# --- handoffs ----------------------------------------------------------------------------------------------------------

ARRIVED = called("transfer_to_techsupport", "Handoff complete. You are now connected to TechSupport.")


def test_the_new_agent_takes_up_the_request() -> None:
    said = words(reply_to(request("i have a technical problem", *ARRIVED, tools=[])))
    assert said.startswith("Hello, this is Tech Support.")
    assert "i have a technical problem" in said


def test_the_new_agent_calls_its_own_tool_when_one_fits() -> None:
    reply = reply_to(request("my router has a technical problem", *ARRIVED, tools=[check_device_status.schema()]))
    assert call(reply)[0] == "check_device_status"


def test_the_new_agent_greets_before_it_tells_the_result() -> None:
    turn = ["technical problem", *ARRIVED, *called("check_device_status", "All is well here.", "d")]
    assert words(reply_to(request(*turn))) == "Hello, this is Tech Support. All is well here."


def test_agents_do_not_hand_over_to_each_other_for_ever() -> None:
    back = Handoff(Agent(name="TechnicalGreeter"), tool_name="pass_on").schema()
    reply = reply_to(request("i have a technical problem", *ARRIVED, tools=[back]))
    assert "Tech Support" in words(reply)


def test_a_handoff_that_failed_is_said() -> None:
    turn = ["technical problem", *called("transfer_to_techsupport", "Error: Handoff failed - busy")]
    assert words(reply_to(request(*turn))) == "I am sorry, that did not work: Handoff failed - busy."


# --- without words -----------------------------------------------------------------------------------------------------


def test_nothing_said_and_nothing_understood_are_not_the_same() -> None:
    assert words(reply_to(request())) == "Hello! How can I help you?"
    assert "again" in words(reply_to(request("")))


@pytest.mark.parametrize(
    "said", ["Reply with exactly ok.", "please say ok", "Repeat: ok", "answer only with the word ok"]
)
def test_what_is_to_be_said_is_said(said: str) -> None:
    assert words(reply_to(request(said))) == "ok"
    assert words(reply_to(request(instructions=said))) == "ok"


def test_words_that_the_program_wants_are_said_once_the_user_is_answered() -> None:
    answered = AssistantMessage(content=(ContentPart(type="output_audio", transcript="You said: good morning."),))
    wanted = "Say: I cannot talk about that."
    said = "what is the weather in Rome"
    assert words(reply_to(request(said, answered, instructions=wanted))) == "I cannot talk about that"
    assert call(reply_to(request(answered, said, instructions=wanted))) == ("get_weather", {"city": "Rome"})
    forced = request(said, answered, instructions=wanted, tool_choice={"type": "function", "name": "get_weather"})
    assert call(reply_to(forced)) == ("get_weather", {"city": "Rome"})


def test_a_word_of_the_program_is_taken_in() -> None:
    told = SystemMessage(content=(ContentPart(type="input_text", text="The user must not hear that."),))
    assert words(reply_to(request("what is the weather in Rome", told))) == "I see. Can I help you with something else?"
    assert call(reply_to(request(told, "what is the weather in Rome"))) == ("get_weather", {"city": "Rome"})
