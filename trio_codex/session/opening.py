"""Opening and leaving: `open_realtime_session`, where a session's lifetime is tied to a block.

What the body raises is captured at the `yield` and raised again, the same object, after the nursery has closed, so that no exception
group is ever put around a user's error. `Cancelled` is never captured: it goes through the nursery, and Trio absorbs it where it belongs.
When a service failed, that is the cause: it is raised, typed, with the body's own error as its context.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from trio_codex.agent import Agent
from trio_codex.credentials import Endpoint, resolve_key
from trio_codex.errors import ConfigurationError, ConnectionLost, InternalError, RemoteProtocolError, TrioCodexError
from trio_codex.events import HistoryItem
from trio_codex.protocol import Conversation, Item, SessionSettings, structure
from trio_codex.session.services import Services
from trio_codex.session.session import BUFFER, Session
from trio_codex.session.shell import Shell
from trio_codex.session.tool_runner import ToolRunner, brief
from trio_codex.transport import Connector, Target

DEFAULT_MODEL = "gpt-realtime-2.1"


@asynccontextmanager
async def open_realtime_session(
    agent: Agent,
    *,
    settings: SessionSettings | None = None,
    endpoint: Endpoint | None = None,
    api_key: str | Callable[[], str | Awaitable[str]] | None = None,
    model: str | None = None,
    call_id: str | None = None,
    context: Any = None,
    history: Iterable[HistoryItem | Item | Mapping[str, Any]] = (),
    transport: str | Connector | None = None,
    record: str | None = None,
    patience: float = 2.0,
    connect_timeout: float = 10.0,
) -> AsyncIterator[Session]:
    """Open a conversation with a model; the block is its lifetime.

    ::

        async with open_realtime_session(agent) as session:
            reply = await session.ask("What time is it?")

    When the block is entered, the server has acknowledged the settings; when it is left, nothing of the session runs any more: no task,
    no socket, no thread but abandoned sync tools. Leaving takes at most `patience` seconds, connecting at most `connect_timeout`.
    Raises ConfigurationError (no key, a bad CA file) before any network use, ConnectionFailed (DNS, TCP, TLS, handshake, time limit),
    ServerRefused (a setting); the body's own exception comes out as it is. Leaving normally raises ConnectionLost only if something
    that was accepted could not be sent and nobody has been told.
    """
    if call_id is not None and model is not None:
        raise ConfigurationError("give either model or call_id: a call has its model already")
    if record is not None:
        raise ConfigurationError("record is not supported yet")
    if agent.guardrails:
        raise ConfigurationError(
            f"agent {agent.name!r} has guardrails, which sessions do not run yet; nothing would be checked"
        )
    connect = _connector(transport)
    target = await _target(endpoint, api_key, model, call_id, connect_timeout)
    conversation = Conversation(await brief(agent, context), settings, [_item(item) for item in history])
    shell = Shell(conversation)
    tools = ToolRunner(shell, context, getattr(connect, "run_sync", None))
    raised: BaseException | None = None  # by the body
    failure: BaseException | None = None  # of a service, or of the opening
    services: Services | None = None
    try:
        async with connect(target) as connection, trio.open_nursery() as nursery:
            services = Services(shell, connection, tools, patience)
            session = Session(shell, services, tools, shell.feeds.open(None, BUFFER), context)
            await nursery.start(services.run)
            await _acknowledged(shell)
            services.shield()
            try:
                yield session
            except GeneratorExit:
                raise
            except BaseException as error:
                if _is_cancellation(error):
                    raise
                raised = error
            finally:
                await services.leave()
    except BaseExceptionGroup as group:  # what the body raised does not pass through here
        if _is_cancellation(group):
            raise
        failure = _cause_of(group)
    if failure is not None:
        raise failure
    if raised is not None:
        raise raised
    if services is not None and (lost := services.lost_something):
        raise ConnectionLost(lost.code, lost.reason)


async def _acknowledged(shell: Shell) -> None:
    """Send the settings and wait until the server has agreed to them."""
    ticket, effects = shell.conversation.open()
    shell.expect(ticket)
    shell.perform(effects)
    await shell.wait_settled(ticket)


def _connector(transport: str | Connector | None) -> Connector:
    if transport is None or transport == "trio-websocket":
        from trio_codex.transport.websocket import open_websocket

        return open_websocket
    if isinstance(transport, str):
        raise ConfigurationError(f"there is no transport {transport!r}; use 'trio-websocket' or a connector")
    return transport


async def _target(
    endpoint: Endpoint | None,
    api_key: str | Callable[[], str | Awaitable[str]] | None,
    model: str | None,
    call_id: str | None,
    timeout: float,
) -> Target:
    endpoint = endpoint or Endpoint.from_environment()
    key = await resolve_key(endpoint, api_key)
    if call_id is None and model is None:
        model = DEFAULT_MODEL
    headers = endpoint.headers(key.reveal() if key is not None else None)
    return Target(url=endpoint.realtime_url(model, call_id), headers=tuple(headers), timeout=timeout)


def _item(item: HistoryItem | Item | Mapping[str, Any]) -> Item:
    """An item to start the conversation with, in a form that the API lets a client create (so no assistant audio)."""
    if isinstance(item, HistoryItem):
        item = _replayed(item)
    if not isinstance(item, Mapping):
        return item
    content = item.get("content")
    if item.get("type", "message") == "message" and isinstance(content, str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        item = {**item, "type": "message", "content": [{"type": kind, "text": content}]}
    try:
        found: Item = structure(dict(item), Item)
    except RemoteProtocolError as error:
        raise ConfigurationError(f"history: not an item of a conversation: {error}") from None
    return found


def _replayed(item: HistoryItem) -> dict[str, Any]:
    if item.type == "message":
        text = item.text if item.text_heard is None else item.text_heard
        return {"type": "message", "role": item.role or "user", "content": text}
    fields = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments, "output": item.output}
    return {"type": item.type, **{name: value for name, value in fields.items() if value is not None}}


def _cause_of(group: BaseException) -> BaseException:
    """The one exception that a user should see: interrupts first, then our typed errors, anything else as a defect of ours."""
    leaves = list(_leaves(group))
    for leaf in leaves:
        if not isinstance(leaf, Exception) and not isinstance(leaf, trio.Cancelled):
            return leaf
    for leaf in leaves:
        if isinstance(leaf, TrioCodexError | trio.ClosedResourceError):
            return leaf
    failure = next((leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)), group)
    defect = InternalError(f"a task of the session failed: {failure!r}; please report this")
    defect.__cause__ = failure
    return defect


def _is_cancellation(error: BaseException) -> bool:
    """Whether nothing but `Cancelled` is in it; a nursery of the body puts a group around it."""
    return all(isinstance(leaf, trio.Cancelled) for leaf in _leaves(error))


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error
