"""Opening and leaving: `open_realtime_session`, where a session's lifetime is tied to a block.

The opening may be cancelled at any point and leaves nothing behind; once the settings are acknowledged, the services are shielded and
end in order. What the body raises comes out as it is, see `body`; a service that fails is a defect of ours and raised as such.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast, get_args
from urllib.parse import urlsplit

import trio

from trio_codex.agent import Agent
from trio_codex.body import Body
from trio_codex.credentials import Endpoint, KeySource
from trio_codex.errors import ConfigurationError, InternalError, RemoteProtocolError, TrioCodexError
from trio_codex.events import HistoryItem
from trio_codex.given import check_seconds
from trio_codex.protocol import Conversation, Effect, Item, SessionSettings, StartTimer, structure
from trio_codex.recording import Recording, open_recorder, recorded
from trio_codex.session.diary import log
from trio_codex.session.services import Services
from trio_codex.session.session import BUFFER, Session
from trio_codex.session.shell import Shell
from trio_codex.session.tool_runner import ToolRunner
from trio_codex.tool_running import brief, run_sync_for
from trio_codex.transport import Connector, Target
from trio_codex.transport.dialing import DEFAULT_MODEL, connector_for, resolve_target
from trio_codex.transport.wiretap import tapped


@asynccontextmanager
async def open_realtime_session(
    agent: Agent,
    *,
    settings: SessionSettings | None = None,
    endpoint: Endpoint | None = None,
    api_key: KeySource | None = None,
    model: str | None = None,
    call_id: str | None = None,
    context: Any = None,
    history: Iterable[HistoryItem | Item | Mapping[str, Any]] = (),
    transport: str | Connector | None = None,
    record: str | os.PathLike[str] | Recording | None = None,
    patience: float = 2.0,
    connect_timeout: float = 10.0,
) -> AsyncIterator[Session]:
    """Open a conversation with a model; the block is its lifetime.

    ::

        async with open_realtime_session(agent) as session:
            reply = await session.ask("What time is it?")

    When the block is entered, the server has acknowledged the settings; when it is left, nothing of the session runs any more: no task,
    no socket, no thread but abandoned sync tools. Leaving takes at most `patience` seconds, connecting at most `connect_timeout`; after
    that the server has 10 s to acknowledge. Raises ConfigurationError (no key, a bad CA file, a setting that the API does not allow) before
    any network use, ConnectionFailed (DNS, TCP, TLS, handshake, time limit), ServerRefused (a setting); the body's own exception comes out
    as it is. Leaving normally raises ConnectionLost only if something that was accepted could not be sent and nobody has been told.
    `record` names a file to record the call in (`Recording(path, audio=True)` with its sound), for `trio-codex replay` and `inspect`.
    """
    if call_id is not None and model is not None:
        raise ConfigurationError("give either model or call_id: a call has its model already")
    check_seconds(patience, where="patience", or_zero=True)
    check_seconds(connect_timeout, where="connect_timeout")
    connect = connector_for(transport)
    target = await resolve_target(endpoint, api_key, model=model, call_id=call_id, timeout=connect_timeout)
    settings = settings if call_id is None or settings is None else _for_call(settings)
    run_sync = run_sync_for(connect)
    given = await brief(agent, context), settings, _items(history)
    body = Body()
    ended: BaseException | None = None
    services: Services | None = None
    async with open_recorder(record, run_sync) as recorder:
        conversation = Conversation(*given) if recorder is None else recorded(recorder, *given)
        shell = Shell(conversation, _known_model(endpoint, model, call_id))
        shell.check_settings(settings or SessionSettings(), complete=call_id is None)
        first = conversation.open()  # after a wait for the server, on cold caches, it takes twice as long (0.12 ms)
        try:
            async with connect(target) as connection, trio.open_nursery() as nursery:
                tools = ToolRunner(shell, context, run_sync)
                services = Services(shell, tapped(connection), tools, patience)
                session = Session(shell, services, tools, shell.feeds.open(None, BUFFER), context)
                await _begin(shell, services, nursery, *first)
                _log_open(session, target)
                del given, target, first  # the session may be long
                try:
                    with body:
                        yield session
                finally:
                    services.leave()  # the nursery waits for it
            log.info("session %s is left", session.session_id)
        except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
            ended = error
        finally:
            if recorder is not None:
                recorder.end(shell.lost)
        if (outcome := body.outcome(ended, _failure)) is not None:
            raise outcome
        if services is not None and (lost := services.lost_something):
            raise shell.lost_again(lost)


async def _begin(shell: Shell, services: Services, nursery: trio.Nursery, ticket: str, effects: list[Effect]) -> None:
    """Send the settings and wait until the server has agreed to them; from then on the services end only when they are left."""
    shell.expect(ticket)
    timer = next(effect for effect in effects if isinstance(effect, StartTimer))
    effects.remove(timer)  # whoever waits keeps the time as well: a task for it takes 0.2 million instructions
    shell.perform(effects)  # before a task for it has begun: the server can think meanwhile (0.05 ms)
    nursery.start_soon(services.run, name="session reader")
    with trio.move_on_after(timer.seconds) as limit:
        await shell.wait_settled(ticket)
    if limit.cancelled_caught:
        shell.expect(ticket)
        shell.perform(shell.conversation.timed_out(ticket))
        await shell.wait_settled(ticket)
    await trio.lowlevel.checkpoint_if_cancelled()  # the services may have been cancelled just now, with us
    services.shield()


def _log_open(session: Session, target: Target) -> None:
    host, agent = urlsplit(target.url).hostname, session.current_agent
    log.info("session %s is open: agent %r, %s", session.session_id, agent.name, host)


def _for_call(settings: SessionSettings) -> SessionSettings:
    allowed = settings.for_call()
    if allowed != settings:
        log.warning(
            "audio formats and the tuning of turn detection by silence are the call's: those settings are left out"
        )
    return allowed


def _known_model(endpoint: Endpoint | None, model: str | None, call_id: str | None) -> str | None:
    """The model that answers, None when only the server knows: of a call, of a deployment that may have any name."""
    if model is not None or call_id is not None or (endpoint is not None and endpoint.deployment is not None):
        return model
    return DEFAULT_MODEL


def _items(history: Iterable[HistoryItem | Item | Mapping[str, Any]]) -> list[Item]:
    if isinstance(history, str | Mapping) or not isinstance(history, Iterable):
        raise ConfigurationError(f"history: a sequence of items is expected, not {type(history).__name__}")
    return [_item(item) for item in history if not (isinstance(item, HistoryItem) and not _can_be_replayed(item))]


def _can_be_replayed(item: HistoryItem) -> bool:
    """Whether a client may create it again: what nobody has transcribed, and the server's own MCP items, it may not."""
    if item.type == "message":
        return any(part.text or part.image_url for part in item.content)
    return item.type in ("function_call", "function_call_output")


def _item(item: HistoryItem | Item | Mapping[str, Any]) -> Item:
    """An item to start the conversation with, in a form that the API lets a client create (so no assistant audio)."""
    if isinstance(item, HistoryItem):
        item = _replayed(item)
    if isinstance(item, get_args(Item)):
        return cast("Item", item)
    if not isinstance(item, Mapping):
        raise ConfigurationError(f"history: {item!r} is not an item of a conversation")
    item = {"type": "message", **item}
    if item["type"] == "message" and isinstance(item.get("content"), str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        item = {**item, "content": [{"type": kind, "text": item["content"]}]}
    try:
        found: Item = structure(dict(item), Item)
    except RemoteProtocolError as error:
        raise ConfigurationError(f"history: not an item of a conversation: {error}") from None
    return found


def _replayed(item: HistoryItem) -> dict[str, Any]:
    if item.type == "message" and item.role == "assistant":
        return {
            "type": "message",
            "role": "assistant",
            "content": item.text_heard if item.text_heard is not None else item.text,
        }
    if item.type == "message":
        content: list[dict[str, Any]] = [
            {"type": "input_image", "image_url": part.image_url}
            if part.image_url
            else {"type": "input_text", "text": part.text}
            for part in item.content
            if part.image_url or part.text
        ]
        return {"type": "message", "role": item.role or "user", "content": content}
    fields = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments, "output": item.output}
    return {"type": item.type, **{name: value for name, value in fields.items() if value is not None}}


def _failure(failures: Sequence[BaseException]) -> BaseException:
    """The one failure that a user should see: interrupts first, then our typed errors, anything else as a defect of ours.

    A ClosedResourceError is what the opening meets when a task has failed, so it is never the cause where there is another.
    """
    for failure in failures:
        if not isinstance(failure, Exception):
            return failure
    for failure in failures:
        if isinstance(failure, TrioCodexError):
            return failure
    cause = next((failure for failure in failures if not isinstance(failure, trio.ClosedResourceError)), failures[0])
    defect = InternalError(f"a task of the session failed: {cause!r}; please report this")
    defect.__cause__ = cause
    return defect
