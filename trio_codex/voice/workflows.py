"""From what was heard to what is said: workflows, and the stage that runs one.

Whatever a function gives is said in its order and waits for its turn to be spoken; async generators are closed before the stage goes on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import trio

from trio_codex.callables import check_callable, evaluate
from trio_codex.errors import ConfigurationError
from trio_codex.logs import get_logger
from trio_codex.voice.models import Send, Transcript, Workflow
from trio_codex.voice.stages import Stage

__all__ = ["Answering", "SimpleWorkflow", "answering", "saying"]

_log = get_logger("voice")


class SimpleWorkflow:
    """A workflow made of a function of what was said, a str, or of that and `send`.

    ::

        SimpleWorkflow(lambda transcript: [f"You said: {transcript}"], greeting="Hello! I am listening.")

    The function may be an async one. What it returns is said: a str, or an iterable of texts, each of which is a text of its own (a line
    end is put between). An async generator function streams: its pieces are joined as they are, so it yields the white space between
    words and sentences, too; it is closed when the turn ends before it does. With `send`, `await send(piece)` streams as well. None and
    empty texts say nothing. `greeting` is said when a stream begins, and may be anything that the function may return, or a function of
    nothing. Raises ConfigurationError for a function of another signature.
    """

    def __init__(self, function: Callable[..., Any], *, greeting: Any = None) -> None:
        check_callable(function, "transcript, send", where="the function of a SimpleWorkflow")
        if callable(greeting):
            check_callable(greeting, "send", where="the greeting of a SimpleWorkflow")
        self._function = function
        self._greeting = greeting

    async def run(self, transcript: Transcript, send: Send) -> None:
        """Answer one turn."""
        await say(await evaluate(self._function, transcript.text, send), send)

    async def on_start(self, send: Send) -> None:
        """Greet, if there is a greeting."""
        await say(await evaluate(self._greeting, send), send)


async def say(given: Any, send: Send) -> None:
    """Say what a function gave: nothing, a text, texts of their own, or a text in pieces from an async iterator."""
    match given:
        case None:
            pass
        case str():
            await send(given)
        case AsyncGenerator():
            async with aclosing(given):
                async for piece in given:
                    await send(piece)
        case AsyncIterable():
            async for piece in given:
                await send(piece)
        case Iterable():
            between = ""
            for text in given:
                await send(text if not between or not isinstance(text, str) else between + text)
                between = "" if not text or text[-1:].isspace() else "\n"
        case _:
            raise ConfigurationError(f"a workflow says texts, not {type(given).__name__}")


class Answering(Stage[Transcript, str]):
    """The stage that runs a workflow; the pipeline finds the workflow's optional methods here.

    Its `run` and `on_start` may also give what the function of a SimpleWorkflow may, in the place of sending it.
    """

    def __init__(self, workflow: Workflow) -> None:
        if not callable(getattr(workflow, "run", None)):
            raise ConfigurationError(f"a workflow has an async method run(transcript, send); {workflow!r} has none")
        super().__init__(self._answer)
        self._workflow = workflow

    async def _answer(self, receive: trio.MemoryReceiveChannel[Transcript], send: trio.MemorySendChannel[str]) -> None:
        speak = _speaking_to(send)
        async for transcript in receive:
            await say(await evaluate(self._workflow.run, transcript, speak), speak)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Answering]:
        """Open the workflow for a run, if it needs that."""
        if hasattr(self._workflow, "open"):
            async with self._workflow.open() as workflow:
                yield Answering(workflow)
        else:
            yield self

    @property
    def greeting(self) -> Stage[Transcript, str] | None:
        """The stage that greets, None when the workflow has no `on_start`.

        An error in a greeting is logged, and the conversation begins without it: there is nothing yet that would be wrong after it.
        """
        on_start = getattr(self._workflow, "on_start", None)
        if on_start is None:
            return None

        async def greet(send: Send) -> None:
            try:
                await say(await evaluate(on_start, send), send)
            except trio.BrokenResourceError:
                raise
            except Exception:
                _log.exception("the greeting of a workflow failed; the conversation goes on")

        return saying(greet)

    def interrupted(self, heard: str) -> None:
        """Tell the workflow how much of its answer was heard, if it wants to know."""
        tell = getattr(self._workflow, "on_interrupted", None)
        if tell is not None:
            tell(heard)


def answering(workflow: Workflow) -> Stage[Transcript, str]:
    """Return the stage that answers each transcript with the pieces of text that a workflow says."""
    return Answering(workflow)


def saying(function: Callable[..., Any], *offered: Any) -> Stage[Any, str]:
    """Return a stage that hears nothing and says what a function of `offered` and `send` gives, as a SimpleWorkflow's may."""

    async def run(receive: trio.MemoryReceiveChannel[Any], send: trio.MemorySendChannel[str]) -> None:
        speak = _speaking_to(send)
        await say(await evaluate(function, *offered, speak), speak)

    return Stage(run)


def _speaking_to(send: trio.MemorySendChannel[str]) -> Send:
    async def speak(text: str) -> None:
        if not isinstance(text, str):
            raise ConfigurationError(f"a workflow says texts, not {type(text).__name__}")
        if text:
            await send.send(text)

    return speak
