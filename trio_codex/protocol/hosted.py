"""Hosted calls: those that the API makes at MCP servers; what the user is told of them, and who approves.

A hosted call is known by the id of the first item that tells of it: the `mcp_call`, or an `mcp_approval_request` that comes before it.
It begins when its arguments are whole and ends when its output is told, with one ToolStartEvent and one ToolEndEvent; no output is sent,
the API has it. Like the calls that run here it belongs to the batch of its response (`calls`): the API does not go on by itself, so one
answer is asked for when the response and all its calls are done. Only events of responses make calls: items that a client puts into
the conversation tell of the past.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar

import attrs

from trio_codex.events import ErrorEvent, ErrorInfo, ToolApprovalRequiredEvent, ToolEndEvent, ToolStartEvent
from trio_codex.hosted import HostedMcp, HostedTool
from trio_codex.protocol import server_events as server
from trio_codex.protocol.answers import Answers
from trio_codex.protocol.calls import Calls
from trio_codex.protocol.client_events import ConversationItemCreate
from trio_codex.protocol.effects import Effects, StartTimer
from trio_codex.protocol.items import Item, McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools
from trio_codex.protocol.running import Running
from trio_codex.tools import APPROVAL_TIMED_OUT, CANCELLED, FAILED, REJECTED

T = TypeVar("T")

LIST_FAILED: Final = "mcp_list_tools_failed"
"""The type of the error that says that the tools of a server are not known."""

_TIMER: Final = "approval of "
_REMEMBERED: Final = 256  # ids of calls that are over, and items of calls that no response has told of
_UNNAMED: Final = HostedMcp(server_label="unnamed", server_url="https://unnamed.invalid")
"""The settings of a server that no agent has, because a raw event gave it to the API."""


@attrs.define(eq=False)
class _Call:
    """A hosted call that has not ended."""

    call_id: str
    running: Running
    server_label: str
    name: str
    arguments: str = ""
    asking: str | None = None  # the approval request that waits
    seen: bool = False  # the API has told of the call itself, not only of the request to approve it
    begun: bool = False
    settled: bool = False  # the API is through with it; the output may come yet
    ids: set[str] = attrs.field(factory=set)

    @property
    def server(self) -> HostedMcp:
        return self.running.briefing.find_hosted(self.server_label) or _UNNAMED


class HostedCalls:
    """The hosted calls of a session; every method may cause effects."""

    def __init__(self, effects: Effects, answers: Answers, calls: Calls) -> None:
        self._effects = effects
        self._answers = answers
        self._batches = calls
        self._calls: dict[str, _Call] = {}  # under each of its ids
        self._ended: dict[str, bool] = {}
        self._announced: dict[str, McpCall] = {}  # calls that no response has told of yet
        self._descriptions: dict[tuple[str, str], str] = {}  # by server and tool

    def receive(self, event: server.ServerEvent) -> None:
        """An event of the server; what is not about hosted calls changes nothing."""
        hears = self._HEARS.get(type(event))
        if hears is not None:
            hears(self, event)

    # --- approval --------------------------------------------------------------------------------------------------

    def decide(self, call_id: str, *, approved: bool, message: str | None = None) -> bool:
        """Approve or reject a call, `message` being the text for the model; says whether one waits under this id."""
        call = self._calls.get(call_id)
        if call is None or call.asking is None:
            return False
        request, call.asking = call.asking, None
        reason = message.removeprefix(FAILED.format(message="")) if message and not approved else None
        answer = McpApprovalResponse(
            id=self._effects.new_id("item"), approval_request_id=request, approve=approved, reason=reason
        )
        self._effects.send(ConversationItemCreate(item=answer))
        if not approved:
            self._end(call, message or REJECTED)
        elif not call.seen:
            self._batches.hosted_ended(call.running, call.call_id)  # the API makes it as part of another answer
        return True

    def timed_out(self, name: str) -> None:
        """A timer has run out: if it is that of an approval that still waits, the default decides."""
        call = self._calls.get(name.removeprefix(_TIMER)) if name.startswith(_TIMER) else None
        if call is not None:
            self.decide(call.call_id, approved=call.server.approval_default == "approve", message=APPROVAL_TIMED_OUT)

    def _asked(self, request: McpApprovalRequest, running: Running) -> None:
        if request.id in self._calls or request.id in self._ended:
            return
        call = next((each for each in self._calls.values() if _is_about(request, each)), None)
        if call is None:
            call = self._new(request, running)
        self._calls[request.id] = call
        call.ids.add(request.id)
        call.asking, call.arguments = request.id, request.arguments
        self._begin(call)
        self._effects.emit(
            ToolApprovalRequiredEvent(call.running.agent, self._tool(call), call.call_id, call.arguments)
        )
        if (limit := call.server.approval_timeout) is not None:
            self._effects.add(StartTimer(_TIMER + request.id, limit))

    # --- what the API tells ----------------------------------------------------------------------------------------

    def _of_response(self, event: server.ResponseOutputItemAdded | server.ResponseOutputItemDone) -> None:
        running = self._running(event.response_id)
        if running is not None:
            self._item(event.item, running, done=isinstance(event, server.ResponseOutputItemDone))

    def _of_conversation(self, event: server.ConversationItemAdded | server.ConversationItemDone) -> None:
        done = not isinstance(event, server.ConversationItemAdded)
        if isinstance(event.item, McpListTools):
            label = event.item.server_label
            self._descriptions |= {(label, tool.name): tool.description or "" for tool in event.item.tools}
        elif isinstance(event.item, McpCall):
            self._told(event.item, None, done=done)
        elif isinstance(event.item, McpApprovalRequest) and done and (running := self._running("")):
            self._asked(event.item, running)

    def _item(self, item: Item, running: Running, *, done: bool) -> None:
        if isinstance(item, McpCall):
            self._told(item, running, done=done)
        elif isinstance(item, McpApprovalRequest) and done:
            self._asked(item, running)

    def _told(self, item: McpCall, running: Running | None, *, done: bool) -> None:
        """The item of a call; `running` is the response that tells of it, None if none does."""
        call = self._calls.get(item.id) or self._calls.get(item.approval_request_id or "")
        if call is None:
            if item.id in self._ended or item.approval_request_id in self._ended:
                return
            if running is None:
                _remember(self._announced, item.id, item)
                return
            call = self._new(item, running)
        self._calls[item.id] = call
        call.ids.add(item.id)
        call.arguments = item.arguments or call.arguments
        if not call.seen and running is not None:
            call.seen, call.running = True, running
            if call.begun:  # approved when only the request was there
                self._batches.hosted_began(running, call.call_id)
        output = item.output if item.error is None else FAILED.format(message=_message(item.error))
        if done or output is not None:
            self._begin(call)
        if output is not None:
            self._end(call, output)

    def _arguments(self, event: server.ResponseMcpCallArgumentsDone) -> None:
        if call := self._known(event.item_id, event.response_id):
            call.arguments = event.arguments
            self._begin(call)

    def _in_progress(self, event: server.ResponseMcpCallInProgress) -> None:
        if call := self._known(event.item_id):
            self._begin(call)

    def _settled(self, event: server.ResponseMcpCallCompleted | server.ResponseMcpCallFailed) -> None:
        if call := self._known(event.item_id):
            self._begin(call)
            self._settle(call)

    def _known(self, item_id: str, response_id: str = "") -> _Call | None:
        """The call that this item is; one that was only announced is the response's, now that it runs."""
        item, running = self._announced.pop(item_id, None), self._running(response_id)
        if item is not None and running is not None:
            self._told(item, running, done=False)
        return self._calls.get(item_id)

    def _running(self, response_id: str) -> Running | None:
        """The response that an event belongs to, None for one beside the conversation: its calls are its asker's."""
        running = self._answers.of(response_id) or Running(response_id, self._batches.briefing, over=True)
        return None if running.out_of_band else running

    def _response_done(self, event: server.ResponseDone) -> None:
        running = self._running(event.response.id or "")
        if running is None:
            return
        completed = event.response.status in (None, "completed")
        for item in event.response.output or () if completed else ():  # some servers tell items only here
            self._item(item, running, done=True)
        for call in {id(call): call for call in self._calls.values()}.values():
            if call.settled and call.running is not running:
                self._end(call, "")  # the next answer is over, and nobody has told what the call gave
            elif call.running is running and not completed and not call.settled and call.asking is None:
                self._end(call, CANCELLED)

    def _list_failed(self, event: server.McpListToolsFailed) -> None:
        message = f"the API could not list the tools of an MCP server (item {event.item_id})"
        self._effects.emit(ErrorEvent(ErrorInfo(LIST_FAILED, message)))

    # --- begin and end ---------------------------------------------------------------------------------------------

    def _new(self, item: McpCall | McpApprovalRequest, running: Running) -> _Call:
        return _Call(item.id, running, item.server_label, item.name)

    def _begin(self, call: _Call) -> None:
        if not call.begun:
            call.begun = True
            self._batches.hosted_began(call.running, call.call_id)
            about = (call.running.agent, self._tool(call), call.name, call.call_id, call.arguments)
            self._effects.emit(ToolStartEvent(*about))

    def _settle(self, call: _Call) -> None:
        if not call.settled:
            call.settled = True
            self._batches.hosted_began(call.running, call.call_id)  # if an answer was asked for too early, one more is
            self._batches.hosted_ended(call.running, call.call_id, respond=call.server.respond)

    def _end(self, call: _Call, output: str) -> None:
        for each in call.ids:
            del self._calls[each]
            _remember(self._ended, each, True)
        if call.begun:
            about = (call.running.agent, self._tool(call), call.name, call.call_id, call.arguments)
            self._effects.emit(ToolEndEvent(*about, output))
            self._settle(call)

    def _tool(self, call: _Call) -> HostedTool:
        description = self._descriptions.get((call.server_label, call.name), "")
        return HostedTool(call.name, call.server_label, description)

    _HEARS: ClassVar[Mapping[type, Callable[[HostedCalls, Any], None]]] = {
        server.ResponseOutputItemAdded: _of_response,
        server.ResponseOutputItemDone: _of_response,
        server.ConversationItemAdded: _of_conversation,
        server.ConversationItemCreated: _of_conversation,
        server.ConversationItemDone: _of_conversation,
        server.ResponseMcpCallArgumentsDone: _arguments,
        server.ResponseMcpCallInProgress: _in_progress,
        server.ResponseMcpCallCompleted: _settled,
        server.ResponseMcpCallFailed: _settled,
        server.ResponseDone: _response_done,
        server.McpListToolsFailed: _list_failed,
    }


def _is_about(request: McpApprovalRequest, call: _Call) -> bool:
    """Whether a request asks for a call that the API has told of before."""
    same = (call.server_label, call.name) == (request.server_label, request.name)
    return same and call.asking is None and not call.settled and call.arguments in ("", request.arguments)


def _message(error: Any) -> str:
    message = error.get("message") if isinstance(error, Mapping) else error.message
    return str(message or "the call failed")


def _remember(memory: dict[str, T], key: str, value: T) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
