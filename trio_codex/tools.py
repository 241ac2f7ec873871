"""`@tool`: a typed Python function becomes a Tool, with the JSON schema that the model sees.

Owns the description of a tool, the reading of its arguments, the text of its result, and every text that the model
gets instead of one. Running is the session's business: `tool.bind(…)` checks the arguments and gives an `Invocation`
to call, in a task or a thread, whenever the session likes.

Everything here is frozen, sync and free of trio; tools compare by identity.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Set
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, ParamSpec, TypeVar, overload

import attrs
import orjson

from trio_codex.callables import check_callable, evaluate
from trio_codex.errors import ConfigurationError, ToolError
from trio_codex.given import check_seconds
from trio_codex.signatures import Signature, read_signature
from trio_codex.structuring import CONVERTER, problems

if TYPE_CHECKING:
    from trio_codex.agent import Agent

P = ParamSpec("P")
R = TypeVar("R")

# --- what the model reads when there is no result --------------------------------------------------------------------

UNKNOWN_TOOL: Final = "Error: Unknown tool {name}"
INVALID_JSON: Final = "Error: Invalid JSON arguments - {reason}"
INVALID_ARGUMENTS: Final = "Error: Invalid arguments - {problems}"
FAILED: Final = "Error: {message}"
TIMED_OUT: Final = "Error: The tool took longer than {seconds:g} s and was stopped"
CANCELLED: Final = "Error: The call was cancelled before it was done"
REJECTED: Final = "Error: The call was not approved"
APPROVAL_TIMED_OUT: Final = "Error: Nobody approved the call in time"
NOT_ENABLED: Final = "Error: The tool {name} is not available now"
TOO_LONG: Final = "Error: The result is too long: {length} characters, and {limit} are allowed"
NO_VALUE: Final = "Done (the tool gave no value)"


def failure_text(error: BaseException) -> str:
    """Give what the model reads when a tool raised: a ToolError's own text as it is, else `Error: <message>`."""
    if isinstance(error, ToolError):
        return sendable(str(error))
    return sendable(FAILED.format(message=_message(error)))


def _message(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):  # a tool with a nursery of its own
        return "; ".join(map(_message, error.exceptions))
    try:
        return str(error) or type(error).__name__
    except Exception:  # an exception that cannot say what it is must not cost the session
        return type(error).__name__


def sendable(text: str) -> str:
    """Replace what UTF-8 cannot say (lone surrogates): one odd character must not cost the connection."""
    return text.encode("utf-8", "replace").decode()


# --- descriptions ----------------------------------------------------------------------------------------------------

Check = bool | Callable[..., bool | Awaitable[bool]]
"""A flag, or a sync or async callable that gives one. Sync ones run on the event loop and must be quick."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_name(name: object, *, where: str) -> None:
    """Raise ConfigurationError unless servers accept `name` as the name of a function."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: {name!r} is not 1 to 64 ASCII letters, digits, '_' or '-'")


def _valid_name(tool: Tool, attribute: attrs.Attribute[Any], value: object) -> None:
    check_name(value, where="the name of a tool (give name=)")


def _runnable(tool: Tool, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise ConfigurationError(f"tool {tool.name}: function must be callable, not {type(value).__name__}")
    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        raise ConfigurationError(f"tool {tool.name}: a generator gives no result that can be sent; return a list")


def _seconds(tool: Tool, attribute: attrs.Attribute[Any], value: object) -> None:
    check_seconds(value, where=f"tool {tool.name}: {attribute.name}", or_none=True)


def _one_of(*choices: object) -> Callable[[Tool, attrs.Attribute[Any], object], None]:
    def check(tool: Tool, attribute: attrs.Attribute[Any], value: object) -> None:
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
            expected = " or ".join(map(repr, choices))
            raise ConfigurationError(f"tool {tool.name}: {attribute.name} must be {expected}, not {value!r}")

    return check


def _flag(offered: str) -> Callable[[Tool, attrs.Attribute[Any], object], None]:
    def check(tool: Tool, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, bool):
            check_callable(value, offered, where=f"tool {tool.name}: {attribute.name} (True, False or a callable)")

    return check


async def _nobody(agent: Agent, text: str) -> str:
    raise ToolError(FAILED.format(message=f"{agent.name} cannot be asked: this call is not made in a session"))


@attrs.frozen
class ToolContext:
    """What a call knows of its origin: the session's `context`, the agent that made the call, the call's id.

    `await call.delegate(agent, text)` lets another agent answer a text, beside the conversation, and gives its words.
    """

    context: Any
    agent: Agent
    call_id: str
    delegate: Callable[[Agent, str], Awaitable[str]] = attrs.field(default=_nobody, eq=False, repr=False)


@attrs.frozen(eq=False, kw_only=True)
class Tool:
    """A function that the model may call. Made by `@tool`, or directly from a JSON schema that comes from elsewhere.

    `parameters` is the JSON schema of the arguments; `function` gets them by name. Times are seconds, None is no
    limit. `needs_approval` may be a sync or async callable of (context: ToolContext, arguments: dict), `is_enabled`
    one of (context, agent). Without `signature` the arguments are any JSON object and go to the function as they are.
    """

    name: str = attrs.field(validator=_valid_name)
    description: str = ""
    parameters: Mapping[str, Any] = attrs.field(repr=False)
    function: Callable[..., Any] = attrs.field(repr=False, validator=_runnable)
    timeout: float | None = attrs.field(default=None, validator=_seconds)
    needs_approval: Check = attrs.field(default=False, validator=_flag("context, arguments"))
    approval_timeout: float | None = attrs.field(default=30.0, validator=_seconds)
    approval_default: Literal["reject", "approve"] = attrs.field(
        default="reject", validator=_one_of("reject", "approve")
    )
    on_interrupt: Literal["continue", "cancel"] = attrs.field(
        default="continue", validator=_one_of("continue", "cancel")
    )
    respond: bool = attrs.field(default=True, validator=_one_of(True, False))
    is_enabled: Check = attrs.field(default=True, validator=_flag("context, agent"))
    signature: Signature | None = attrs.field(default=None, repr=False)
    is_async: bool = attrs.field(
        init=False, default=attrs.Factory(lambda tool: _is_async(tool.function), takes_self=True)
    )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as if it had not been made a tool."""
        return self.function(*args, **kwargs)

    def schema(self) -> dict[str, Any]:
        """Give the tool as the wire describes it."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }

    def bind(self, arguments: str, context: ToolContext) -> Invocation:
        """Check the arguments (JSON text of the model) and give the call, ready to be made.

        Raises ToolError with the text for the model: `Error: Invalid JSON arguments - <reason>` or
        `Error: Invalid arguments - <path>: <what is wrong>` (several are joined by "; ").
        """
        if self.signature is None:
            return Invocation(self, context, read_arguments(arguments, dict[str, Any]))
        return Invocation(self, context, self.signature.by_name(read_arguments(arguments, self.signature.arguments)))

    async def enabled(self, context: Any, agent: Agent) -> bool:
        """Say whether the agent has this tool now. Raises what the callable raises; cancelling cancels it."""
        return bool(await evaluate(self.is_enabled, context, agent))


@attrs.frozen(eq=False)
class Invocation:
    """One call with checked arguments; calling it runs the function: the value, or the coroutine of an async one."""

    tool: Tool
    context: ToolContext
    arguments: Mapping[str, Any]

    def __call__(self) -> Any:
        """Run the function (a sync one may block: use a thread). Raises what the function raises."""
        parameter = self.tool.signature.context_parameter if self.tool.signature else None
        return self.tool.function(**self.arguments, **({parameter: self.context} if parameter else {}))

    async def needs_approval(self) -> bool:
        """Say whether somebody must approve this call. Raises what the callable raises; cancelling cancels it."""
        return bool(await evaluate(self.tool.needs_approval, self.context, dict(self.arguments)))


@attrs.frozen(eq=False, kw_only=True)
class FunctionTool(Tool, Generic[P, R]):
    """What `@tool` makes: a Tool that type checkers let you call like the function itself."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, as if it had not been made a tool."""
        result: R = self.function(*args, **kwargs)
        return result

    @property
    def __wrapped__(self) -> Callable[P, R]:
        return self.function


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def read_arguments(arguments: str, cls: Any) -> Any:
    """Give the arguments of a call (JSON text) as an instance of `cls`; ToolError with the text for the model."""
    try:
        given = orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        raise ToolError(INVALID_JSON.format(reason=error)) from None
    try:
        return CONVERTER.structure(given, cls)
    except Exception as error:
        raise ToolError(sendable(INVALID_ARGUMENTS.format(problems=_explain(error)))) from None


def _explain(error: Exception) -> str:
    try:
        found = list(islice(problems(error), 6))
    except RecursionError:
        return "$: nested too deeply"
    return "; ".join([*found[:5], "and more"] if len(found) > 5 else found)


# --- the decorator ---------------------------------------------------------------------------------------------------


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    needs_approval: Check = False,
    approval_timeout: float | None = 30.0,
    approval_default: Literal["reject", "approve"] = "reject",
    on_interrupt: Literal["continue", "cancel"] = "continue",
    respond: bool = True,
    is_enabled: Check = True,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Make a function a Tool: name, description and strict JSON schema come from its signature and docstring.

    Types: str, int, float, bool, None, Literal, Enum, Any, unions, list, tuple, set, Sequence, dict and Mapping with
    str keys, date, time, datetime, UUID, attrs classes, dataclasses, TypedDicts (nested and recursive).
    `Annotated[T, "what it is"]` describes a parameter, as does the docstring. A parameter annotated `ToolContext` is
    filled in and not shown to the model. Raises ConfigurationError, naming function and parameter, when something
    cannot be described.
    """
    frame = inspect.currentframe()
    local = dict(frame.f_back.f_locals) if frame and frame.f_back else {}

    def decorate(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        return _make(function, local, **settings)

    return decorate if function is None else decorate(function)


def _make(
    function: Callable[..., Any],
    local: Mapping[str, Any],
    *,
    name: str | None = None,
    description: str | None = None,
    **settings: Any,
) -> FunctionTool[..., Any]:
    if isinstance(function, Tool) or not callable(function):
        raise ConfigurationError(f"@tool takes a function, not {function!r}")
    signature = read_signature(function, local, context_type=ToolContext)
    return FunctionTool(
        name=signature.name if name is None else name,
        description=signature.description if description is None else description,
        parameters=signature.parameters,
        function=function,
        signature=signature,
        **settings,
    )


# --- results ---------------------------------------------------------------------------------------------------------


def serialize(result: object) -> str:
    """Give a tool's result as the text that the model reads.

    A str goes as it is. None becomes `NO_VALUE`, because an empty answer leaves a model guessing whether the call
    worked. Everything else is JSON: numbers, bools, lists, mappings, sets, attrs classes, dataclasses, enums (their
    values), dates, UUIDs, Decimals (as text). Raises TypeError for what has no such form, bytes above all; the session
    gives that to the model as `Error: …`.
    """
    if isinstance(result, enum.Enum):
        return serialize(result.value)
    if isinstance(result, str):
        return sendable(result)
    if result is None:
        return NO_VALUE
    try:
        return orjson.dumps(result, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError as error:
        raise TypeError(f"the tool's result cannot be sent: {error.__cause__ or error}") from None


def _plain(value: object) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("bytes are not text; decode them, or give base64 if the model asked for it")
    cls: Any = type(value)
    if attrs.has(cls):
        return {field.name: getattr(value, field.name) for field in attrs.fields(cls)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Set, tuple)):
        return list(value)
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{cls.__name__} has no JSON form")
