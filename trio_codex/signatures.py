"""The signature of a tool's function: the arguments that the model gives, their description, the context parameter.

Joins `docstrings` (words) and `schema` (types). The arguments of a function become an attrs class made from its
parameters, so they are structured like any other class. Every complaint names the function and the parameter.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from trio_codex.docstrings import parse_docstring
from trio_codex.errors import ConfigurationError
from trio_codex.schema import Member, UnsupportedTypeError, bare, describe_object

_REFUSED = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only, but arguments come by name",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments, which a schema cannot name",
    inspect.Parameter.VAR_KEYWORD: "takes any keyword, which a strict schema cannot name",
}


@attrs.frozen(eq=False)
class Signature:
    """What `@tool` found out about a function. `arguments` is the attrs class of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    arguments: type[attrs.AttrsInstance]
    context_parameter: str | None

    def by_name(self, arguments: attrs.AttrsInstance) -> dict[str, Any]:
        """Give the arguments of an instance of the class by name, as the function takes them."""
        return {name: getattr(arguments, name) for name in attrs.fields_dict(self.arguments)}


def read_signature(function: Callable[..., Any], local: Mapping[str, Any], *, context_type: type) -> Signature:
    """Read a function; `local` are the names visible where it was made a tool. Raises ConfigurationError."""
    reader = _Reader(function, local)
    said = parse_docstring(getattr(_innermost(function), "__doc__", None))
    contexts, members = [], []
    for parameter, annotation in reader.parameters():
        if bare(annotation)[0] is context_type:
            contexts.append(parameter.name)
        else:
            members.append(reader.member(parameter, annotation, said.parameters.get(parameter.name, "")))
    if len(contexts) > 1:
        raise ConfigurationError(f"{reader.where(contexts[1])} is a second {context_type.__name__}")
    name: str = getattr(function, "__name__", "") or getattr(_innermost(function), "__name__", "tool")
    return Signature(
        name=name,
        description=said.text,
        parameters=describe_object(members, local),
        arguments=_arguments_class(f"{name}_arguments", members),
        context_parameter=contexts[0] if contexts else None,
    )


@attrs.frozen
class _Reader:
    """Goes through the parameters of one function; `local` are the names visible where it was made a tool."""

    function: Callable[..., Any]
    local: Mapping[str, Any]

    def where(self, parameter: str) -> str:
        name = getattr(self.function, "__qualname__", None) or repr(self.function)
        return f"tool {name}, parameter {parameter!r}"

    def parameters(self) -> Iterator[tuple[inspect.Parameter, Any]]:
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.name == "self":
                raise ConfigurationError(
                    f"{self.where('self')}: a method needs its instance; use tool(instance.method)"
                )
            if parameter.kind in _REFUSED:
                raise ConfigurationError(f"{self.where(parameter.name)} {_REFUSED[parameter.kind]}")
            if parameter.annotation is parameter.empty:
                raise ConfigurationError(f"{self.where(parameter.name)} has no annotation")
            yield parameter, self._resolved(parameter)

    def _resolved(self, parameter: inspect.Parameter) -> Any:
        """Make a type of an annotation that may be a string, or hold some."""

        def holder() -> None: ...

        holder.__annotations__ = {"it": parameter.annotation}
        owner = _innermost(self.function)
        visible = {**self.local, **_closure(owner)}
        try:
            return typing.get_type_hints(holder, getattr(owner, "__globals__", {}), visible, include_extras=True)["it"]
        except (NameError, AttributeError, TypeError, SyntaxError) as error:
            said = f"the annotation {parameter.annotation!r} cannot be resolved ({error})"
            raise ConfigurationError(f"{self.where(parameter.name)}: {said}") from error

    def member(self, parameter: inspect.Parameter, annotation: Any, description: str) -> Member:
        required = parameter.default is parameter.empty
        member = Member(parameter.name, annotation, required, parameter.default, description)
        try:
            describe_object([member], self.local)
        except UnsupportedTypeError as error:
            raise ConfigurationError(f"{self.where(parameter.name)}: {error}") from error
        except RecursionError as error:
            raise ConfigurationError(f"{self.where(parameter.name)}: the type never ends; use a class") from error
        return member


def _arguments_class(name: str, members: list[Member]) -> type[attrs.AttrsInstance]:
    fields = {
        member.key: attrs.field(
            type=member.annotation,
            default=attrs.NOTHING if member.required else member.default,
            alias=member.key,
            kw_only=True,
        )
        for member in members
    }
    return attrs.make_class(name, fields)


def _innermost(function: Any) -> Any:
    """Find the function whose globals and docstring count, behind partials, wrappers, methods and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    return function if hasattr(function, "__globals__") else type(function).__call__


def _closure(owner: Any) -> dict[str, Any]:
    cells = getattr(owner, "__closure__", None) or ()
    found = {}
    for name, cell in zip(owner.__code__.co_freevars if cells else (), cells, strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found
