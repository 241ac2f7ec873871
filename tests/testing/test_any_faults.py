"""Any faults together, in any session: every verb comes back or raises what is documented, and nothing is left running."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypothesis import given, strategies as st
from trio.testing import MockClock

from trio_codex import Agent, Session, SessionSettings, Transcription, tool
from trio_codex.errors import ConnectionLost, ServerRefused
from trio_codex.protocol import AnswerRequest, FunctionCallOutput
from trio_codex.server import Answer
from trio_codex.server.faults import FAULTS, FaultKind, Parameter
from trio_codex.testing import Caller, simulated_call

LIMIT_S = 600.0
TYPED = (ServerRefused, ConnectionLost)


def values(parameter: Parameter) -> st.SearchStrategy[Any]:
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    numbers: dict[str, st.SearchStrategy[Any]] = {
        "nth": st.integers(parameter.least, 3),
        "chance": st.sampled_from([0.1, 0.5, 1.0]),
        "every": st.integers(1, 4),
        "after": st.sampled_from([5.0, 30.0, 3600.0]),
        "size": st.just(1),
    }
    return numbers.get(parameter.name, st.just(parameter.default))


@st.composite
def fault(draw: st.DrawFn, kind: FaultKind) -> str:
    given = {parameter.name: draw(values(parameter)) for parameter in kind.parameters}
    return f"{kind.name}:{','.join(f'{name}={value}' for name, value in given.items())}"


KINDS = [kind for kind in FAULTS.values() if kind.place == "events" or kind.name == "expiry"]
ANY_FAULTS = st.lists(st.sampled_from(KINDS), max_size=4, unique=True).flatmap(
    lambda kinds: st.tuples(*(fault(kind) for kind in kinds))
)


@tool
async def look_up(what: str) -> str:
    """Look something up."""
    await trio.sleep(1)
    return f"all about {what}"


async def responder(request: AnswerRequest, answer: Answer) -> None:
    last: Any = [item for item in request.items if getattr(item, "role", None) != "assistant"][-1:]
    match last:
        case [FunctionCallOutput(output=output)]:
            await answer.say(f"I found {output}.")
        case [item] if "look" in "".join(part.text or part.transcript or "" for part in getattr(item, "content", ())):
            await answer.call("look_up", {"what": "the whole history of the world"})
        case _ if len(request.items) % 5 == 0 and request.tools:
            await answer.call("transfer_to_other", {})
        case _:
            await answer.say("I see. Tell me more about it, please.")


async def ask(session: Session, caller: Caller) -> None:
    reply = await session.ask("What do you think?")
    assert reply.status in ("completed", "cancelled", "incomplete")


async def ask_beside(session: Session, caller: Caller) -> None:
    await session.ask("And between us?", out_of_band=True)


async def say(session: Session, caller: Caller) -> None:
    await caller.say("Please look it up")


async def say_and_interrupt(session: Session, caller: Caller) -> None:
    await caller.say("A story")
    await trio.sleep(1.5)
    await session.interrupt()


async def write(session: Session, caller: Caller) -> None:
    await session.send_message("look for me")


async def update(session: Session, caller: Caller) -> None:
    await session.update_session(SessionSettings(instructions="Be brief."))


async def wait(session: Session, caller: Caller) -> None:
    await trio.sleep(7)


ACTIONS = st.lists(st.sampled_from([ask, ask_beside, say, say_and_interrupt, write, update, wait]), max_size=6)


async def live(faults: tuple[str, ...], seed: int, actions: list[Callable[[Session, Caller], Awaitable[None]]]) -> None:
    other = Agent(name="Other")
    agent = Agent(tools=[look_up], handoffs=[other])
    options = {"settings": SessionSettings(transcription=Transcription(model="m")), "pace": 4.0}
    ended: list[BaseException | None] = []

    async def listen(session: Session) -> None:
        try:
            async for event in session:
                assert event.type
        except ConnectionLost as lost:
            ended.append(lost)
        else:
            ended.append(None)

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            try:
                async with simulated_call(agent, responder, faults=faults, seed=seed, **options) as (session, caller):
                    nursery.start_soon(listen, session)
                    for action in actions:
                        try:
                            await action(session, caller)
                        except TYPED:
                            continue
            except TYPED:
                pass  # at opening, or something accepted could not be sent
    assert ended == [] or len(ended) == 1


@given(faults=ANY_FAULTS, seed=st.integers(0, 99), actions=ACTIONS)
def test_a_session_survives_any_faults(
    faults: tuple[str, ...], seed: int, actions: list[Callable[[Session, Caller], Awaitable[None]]]
) -> None:
    trio.run(live, faults, seed, actions, clock=MockClock(autojump_threshold=0))
