"""What the stand-in says or calls, decided from the conversation alone.

A forced function is called; the output of a call is told in a sentence; a word of the program is taken in; otherwise
the function that fits what was said best is called, and if none fits, the answer takes up what was said. Pure and
deterministic: the same request gives the same reply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, TypeAlias

import attrs

from trio_codex.protocol import (
    AnswerRequest,
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    SystemMessage,
    UserMessage,
)
from trio_codex.server.standin.arguments import arguments_for
from trio_codex.server.standin.matching import IN_DESCRIPTION, best_match
from trio_codex.server.standin.words import tokens


@attrs.frozen
class Saying:
    """Say this."""

    text: str


@attrs.frozen
class Calling:
    """Call this function."""

    name: str
    arguments: Mapping[str, Any]


Reply: TypeAlias = Saying | Calling


@attrs.frozen
class Turn:
    """What has happened since the user spoke last: the words, and the calls that were made with their outputs.

    `said` is None when no user has spoken at all, "" when nothing was understood.
    """

    said: str | None = None
    outputs: tuple[tuple[str, str], ...] = ()

    @property
    def called(self) -> frozenset[str]:
        """The functions that have answered."""
        return frozenset(name for name, _ in self.outputs)


def reply_to(request: AnswerRequest) -> Reply:
    """Decide what to answer."""
    if request.items and isinstance(request.items[-1], SystemMessage):  # the program has told us something
        return Saying("I see. Can I help you with something else?")
    turn = last_turn(request.items)
    forced = _forced(request, turn)
    if forced is not None:
        return _calling(forced, turn.said)
    if request.items and isinstance(request.items[-1], AssistantMessage):  # the last words of the user are answered
        wanted = _WORD_FOR_WORD.match(request.instructions.strip())
        if wanted is not None:
            return Saying(_echoed(wanted))
    newcomer = _handed_over_to(turn.outputs[-1][1]) if turn.outputs else None
    if turn.outputs and newcomer is None:
        return Saying(" ".join(told(name, output) for name, output in turn.outputs))
    if request.tool_choice != "none" and turn.said:
        candidates = [tool for tool in _functions(request) if tool["name"] not in turn.called]
        if newcomer is None:
            match = best_match(turn.said, candidates)
        else:  # somebody has sent the user here, so there is something to be done
            candidates = [tool for tool in candidates if not _hands_over(tool)]
            match = best_match(turn.said, candidates, threshold=IN_DESCRIPTION)
        if match is not None:
            return _calling(match, turn.said)
    if newcomer is not None:
        return Saying(f"Hello, this is {newcomer}. {_taking_up(turn.said)} Let me help you with that.")
    return Saying(_answer(turn.said, request.instructions))


def last_turn(items: Sequence[Any]) -> Turn:
    """The end of a conversation, from the last words of the user on."""
    end = max((at for at, item in enumerate(items) if isinstance(item, UserMessage)), default=-1)
    names = {item.call_id: item.name for item in items if isinstance(item, FunctionCall)}
    outputs = tuple(
        (names.get(item.call_id, "function"), item.output)
        for item in items[end + 1 :]
        if isinstance(item, FunctionCallOutput)
    )
    # Speech that was cut in two by a pause is two items with nothing between them.
    spoken = list(takewhile(lambda item: isinstance(item, UserMessage), reversed(items[: end + 1])))
    words = [part.text or part.transcript or "" for item in reversed(spoken) for part in item.content]
    return Turn(" ".join(filter(None, words)) if spoken else None, outputs)


# --- calls -------------------------------------------------------------------------------------------------------------


def _functions(request: AnswerRequest) -> list[Mapping[str, Any]]:
    return [tool for tool in request.tools if tool.get("type", "function") == "function"]


def _forced(request: AnswerRequest, turn: Turn) -> Mapping[str, Any] | None:
    """The function that has to be called; none when it has been, or the session would never get to speak."""
    functions = _functions(request)
    match request.tool_choice:
        case "required" if not turn.outputs and functions:
            return best_match(turn.said or "", functions) or functions[0]
        case {"name": name} if name not in turn.called:
            return next((tool for tool in functions if tool["name"] == name), None)
        case _:
            return None


def _calling(tool: Mapping[str, Any], said: str | None) -> Calling:
    return Calling(tool["name"], arguments_for(tool.get("parameters") or {}, said or ""))


# --- handoffs ----------------------------------------------------------------------------------------------------------

_HANDED_OVER: Final = re.compile(r"You are now connected to (.+?)\.?$")
_HANDOFF: Final = re.compile(r"^(transfer|hand_?off|switch)_to_|\bhand(ing)? ?off to\b", re.IGNORECASE)


def _handed_over_to(output: str) -> str | None:
    """Who speaks now, if this is the output of a handoff."""
    found = _HANDED_OVER.search(output)
    return " ".join(_spoken_name(found[1])) if found else None


def _hands_over(tool: Mapping[str, Any]) -> bool:
    return any(_HANDOFF.search(str(tool.get(key) or "")) for key in ("name", "description"))


def _spoken_name(name: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\sA-Z_]+|[A-Z]", name)


# --- sentences ---------------------------------------------------------------------------------------------------------

_LONGEST: Final = 400
_ECHO: Final = re.compile(
    r"^(?:please )?(?:say|repeat|reply|respond|answer)(?: only| just)?(?: with)?(?: exactly| the words?)?[:,]? (?P<words>.+)$",
    re.IGNORECASE,
)
_WORD_FOR_WORD: Final = re.compile(r"say: ?(?P<words>.+)$", re.IGNORECASE)
_QUESTION: Final = re.compile(
    r"^(who|whom|whose|what|when|where|why|which|how|is|are|am|was|were|do|does|did|can|could|will|would|should|may)\b",
    re.IGNORECASE,
)


def told(name: str, output: str) -> str:
    """The output of a function as a sentence or two; that of a handoff is a greeting."""
    newcomer = _handed_over_to(output)
    if newcomer is not None:
        return f"Hello, this is {newcomer}."
    error = re.match(r"error:?\s*(.+)", output, re.IGNORECASE | re.DOTALL)
    if error:
        return _sentence(f"I am sorry, that did not work: {_shortened(error[1])}")
    value = _parsed(output)
    text = _shortened(_as_words(value))
    if not text:
        return "That is done."
    if isinstance(value, str) and len(tokens(text)) > 2:
        return _sentence(text)
    joint = " is" if isinstance(value, (bool, int, float, str)) else ":"
    return _sentence(f"The result of {' '.join(tokens(name))}{joint} {text}")


def _answer(said: str | None, instructions: str) -> str:
    if said is None:
        wanted = _ECHO.match(instructions.strip())
        return _echoed(wanted) if wanted else "Hello! How can I help you?"
    wanted = _ECHO.match(said.strip())
    return _echoed(wanted) if wanted else _taking_up(said)


def _echoed(wanted: re.Match[str]) -> str:
    return wanted["words"].strip(" .\"'")


def _taking_up(said: str | None) -> str:
    if not said:
        return "I did not catch that. Could you say it again?"
    verb = "asked" if said.endswith("?") or _QUESTION.match(said) else "said"
    return _sentence(f"You {verb}: {_shortened(said)}")


def _parsed(output: str) -> Any:
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        return output


def _as_words(value: Any, depth: int = 0) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return " ".join(value.split())
        case dict() if depth < 3:
            parts = ((" ".join(tokens(str(key))), _as_words(entry, depth + 1)) for key, entry in value.items())
            return ", ".join(f"{key} is {entry}" for key, entry in parts if entry)
        case list() if depth < 3:
            parts_of_list = [entry for each in value if (entry := _as_words(each, depth + 1))]
            return (
                ", ".join(parts_of_list[:-1])
                + (" and " if len(parts_of_list) > 1 else "")
                + "".join(parts_of_list[-1:])
            )
        case int() | float():
            return str(value)
        case _:
            return ""


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= _LONGEST:
        return text
    return text[:_LONGEST].rsplit(" ", 1)[0] + " and so on"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
