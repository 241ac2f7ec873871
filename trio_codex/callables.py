"""Settings that may be callables: "a value, or a sync or async function of what is known then".

Instructions, `is_enabled`, `needs_approval`, `on_handoff` and guardrail checks share this one rule: the callable is
given as many of the offered values as it has positional parameters, in their order, and what it returns is awaited
when it is awaitable. How many it may take is checked when the description is made, so that a wrong signature is
found before anything runs.

The module knows nothing of agents or tools, and of no event loop: awaiting is all it does.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

from trio_codex.errors import ConfigurationError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _positional(function: Callable[..., Any]) -> tuple[float, float]:
    """Give the least and the largest number of positional arguments; infinitely many where no call is right."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # builtins without a signature: they get everything
        return 0, math.inf
    least = sum(p.default is p.empty for p in parameters if p.kind in _POSITIONAL)
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return math.inf, math.inf
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return least, math.inf
    return least, sum(p.kind in _POSITIONAL for p in parameters)


def check_callable(function: object, offered: str, *, where: str) -> None:
    """Raise ConfigurationError unless `function` can be called with the first few of `offered` ("context, agent")."""
    if not callable(function):
        raise ConfigurationError(f"{where} must be callable, not {type(function).__name__}")
    if _positional(function)[0] > (offered.count(",") + 1 if offered else 0):
        raise ConfigurationError(f"{where} must take ({offered}) or the first of them, as positional arguments")


async def evaluate(setting: Any, *offered: Any) -> Any:
    """Give the value of a setting: itself, or what the callable gives for as many of `offered` as it takes.

    Sync callables run where they are called, so they must be quick. Whatever the callable raises comes out as it
    is; cancelling cancels the callable.
    """
    if not callable(setting):
        return setting
    taken = _positional(setting)[1]
    value = setting(*offered[: len(offered) if taken > len(offered) else int(taken)])
    return await value if inspect.isawaitable(value) else value
