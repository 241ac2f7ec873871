"""MCP servers that this program calls: a real one in a process of its own, over HTTP, and in memory."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed")

from hypercorn.config import Config
from hypercorn.trio import serve
from mcp import Client, ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.server.mcpserver import Image, MCPServer

from trio_codex import Agent, ToolContext, open_realtime_session
from trio_codex.errors import ConfigurationError, ConnectionFailed
from trio_codex.events import ToolApprovalRequiredEvent, ToolEndEvent
from trio_codex.mcp import open_mcp_tools
from trio_codex.protocol import ConversationItemCreate, ResponseCreate
from trio_codex.secret import Secret
from trio_codex.server import open_local_server
from trio_codex.testing import Call, answer, scripted_session
from trio_codex.testing.engines import ScriptedSTT, ToneTTS
from trio_codex.tools import NO_VALUE, Tool, failure_text, serialize

PROGRAM = '''
import os, sys, time
import anyio
from mcp.server.mcpserver import MCPServer

app = MCPServer("weather station")

@app.tool()
async def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."

@app.tool()
async def who() -> str:
    return f"{os.getpid()} {os.environ.get('STATION', '')[::-1]} {'OPENAI_API_KEY' in os.environ}"

@app.tool()
async def wait() -> str:
    """Wait for something that does not come."""
    await anyio.sleep_forever()

@app.tool()
async def fail() -> str:
    raise ValueError("no such place")

@app.tool()
async def die() -> str:
    os._exit(3)

app.run("stdio")
'''


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An MCP server that a session starts for itself."""
    program = tmp_path_factory.mktemp("mcp") / "station.py"
    program.write_text(PROGRAM)
    return [sys.executable, str(program)]


def by_name(tools: tuple[Tool, ...]) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools}


async def said(tool: Tool, arguments: str = "{}") -> str:
    """What the model reads, as the tool runner makes it."""
    try:
        return serialize(await tool.bind(arguments, ToolContext(None, Agent(), "c"))())
    except Exception as error:
        return failure_text(error)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- a process ---------------------------------------------------------------------------------------------------------


async def test_a_session_calls_the_tools_of_a_process(command: list[str]) -> None:
    with trio.fail_after(60):
        async with open_mcp_tools(command, env={"STATION": Secret("station-north")}) as tools:
            assert by_name(tools)["get_weather"].schema() == {
                "type": "function",
                "name": "get_weather",
                "description": "Get the weather in a city.",
                "parameters": {
                    "type": "object",
                    "title": "get_weatherArguments",
                    "properties": {"city": {"title": "City", "type": "string"}},
                    "required": ["city"],
                },
            }
            hasty = attrs.evolve(by_name(tools)["wait"], name="hasty", timeout=0.1)
            careful = attrs.evolve(by_name(tools)["get_weather"], name="careful", needs_approval=True)
            async with scripted_session(Agent(tools=[*tools, hasty, careful])) as (session, line):

                async def output(name: str, arguments: str = "{}") -> str:
                    await answer(line, calls=[Call(name, name, arguments)])
                    text: str = (await line.expect(ConversationItemCreate)).item.output
                    await answer(line, await line.expect(ResponseCreate))
                    return text

                assert await output("get_weather", '{"city":"Rome"}') == "It is sunny in Rome."
                assert (await output("get_weather")).startswith("Error: Error executing tool get_weather: 1 validation")
                assert (await output("get_weather", "{")).startswith("Error: Invalid JSON arguments - ")
                assert await output("fail") == "Error: Error executing tool fail"
                assert await output("hasty") == "Error: The tool took longer than 0.1 s and was stopped"
                pid, backwards, knows_key = (await output("who")).split()
                assert (backwards, knows_key) == ("htron-noitats", "False")
                with session.subscribe([ToolApprovalRequiredEvent]) as asked:
                    await answer(line, calls=[Call("c", "careful", '{"city":"Oslo"}')])
                    assert (await anext(asked)).tool is careful
                    await session.reject("c", "Not now.")
                    assert (await line.expect(ConversationItemCreate)).item.output == "Not now."
                    await answer(line, await line.expect(ResponseCreate))
                gone = "Error: The MCP server weather station does not answer: Connection closed"
                assert await output("die") == gone
                assert await output("get_weather", '{"city":"Rome"}') == gone
        assert not is_running(int(pid))
        left = "Error: The MCP server weather station does not answer: it is not connected any more"
        assert await said(by_name(tools)["get_weather"], '{"city":"Rome"}') == left


async def test_the_process_ends_with_the_block_and_errors_come_out_as_they_are(command: list[str]) -> None:
    pids = []

    async def wait(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_mcp_tools(command) as tools:
            pids.append(int((await said(by_name(tools)["who"])).split()[0]))
            task_status.started()
            await said(by_name(tools)["wait"])

    with trio.fail_after(60):
        with pytest.raises(KeyError, match="mine") as caught:
            async with open_mcp_tools(command) as tools:
                pids.append(int((await said(by_name(tools)["who"])).split()[0]))
                raise KeyError("mine")
        assert caught.value.__context__ is None
        async with trio.open_nursery() as nursery:
            await nursery.start(wait)
            nursery.cancel_scope.cancel()
    assert not any(map(is_running, pids))


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            [sys.executable, "-c", "raise SystemExit('no')"],
            ConnectionFailed,
            "it ended; its standard error may say why",
        ),
        ([sys.executable, "-c", "import time; time.sleep(60)"], ConnectionFailed, "it was not ready within 0.3 s"),
        (["/no/such/program", "--key=secret"], ConfigurationError, "cannot be run: No such file or directory"),
        ([], ConfigurationError, "must name a program"),
        ("python server.py", ConfigurationError, "a command is a list"),
        ("http://mcp.example.com/mcp", ConfigurationError, "would go unencrypted"),
        ("http://mcp.example.com/mcp?api_token=secret", ConfigurationError, "would go unencrypted"),
        ("http://127.0.0.1:1/mcp", ConnectionFailed, "cannot be reached: all attempts to connect"),
        (17, ConfigurationError, "not int"),
    ],
)
async def test_what_does_not_open(given: Any, error: type[Exception], text: str) -> None:
    limit = 0.3 if "time.sleep" in str(given) else 10
    with trio.fail_after(60), pytest.raises(error, match=text) as caught:
        async with open_mcp_tools(given, headers={"Authorization": "Bearer secret"}, connect_timeout=limit):
            raise AssertionError("it did open")
    assert "secret" not in str(caught.value)


# --- HTTP --------------------------------------------------------------------------------------------------------------


@attrs.define
class Site:
    """An ASGI application on a port; `vanish` as when its machine is switched off."""

    app: Any
    address: str = ""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def serve(self, *, task_status: trio.TaskStatus[Any]) -> None:
        config = Config()
        config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
        with self.scope:
            await serve(self.app, config, task_status=task_status)

    def vanish(self) -> None:
        self.scope.cancel()


@asynccontextmanager
async def on_the_web(app: Any) -> AsyncIterator[Site]:
    site = Site(app)
    async with trio.open_nursery() as nursery:
        (site.address,) = await nursery.start(site.serve)
        try:
            yield site
        finally:
            site.vanish()


def guarded(app: Any, key: str) -> Any:
    """The application, for those who have the key."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"authorization", f"Bearer {key}".encode()) not in scope["headers"]:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who are you?"})
        else:
            await app(scope, receive, send)

    return answered


async def test_what_is_in_the_url_opens_a_server_and_is_not_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    web = MCPServer("web station")
    asked: list[tuple[str, bytes]] = []
    app = web.streamable_http_app()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.append((dict(scope["headers"]).get(b"authorization", b"").decode(), scope["query_string"]))
        await app(scope, receive, send)

    with trio.fail_after(60):
        async with on_the_web(noting) as site:
            url = site.address.replace("//", "//user:hunter2%40@") + "/mcp?token=hunter%2F3"
            async with open_mcp_tools(url):
                pass
    basic = "Basic " + base64.b64encode(b"user:hunter2@").decode()
    assert set(asked) == {(basic, b"token=hunter%2F3")}
    assert f"{site.address}/mcp" in caplog.text  # httpx's own line
    for hidden in ("hunter", basic):
        assert hidden not in caplog.text


async def test_a_server_with_a_url() -> None:
    web = MCPServer("web station")

    @web.tool()
    async def get_weather(city: str) -> str:
        """Get the weather in a city."""
        return f"It rains in {city}."

    with trio.fail_after(60):
        async with on_the_web(guarded(web.streamable_http_app(), "sk-of-the-station")) as site:
            url = f"{site.address}/mcp"
            with pytest.raises(ConnectionFailed, match="HTTP status 401") as refused:
                async with open_mcp_tools(url):
                    pass
            assert refused.value.status == 401
            async with open_mcp_tools(url, headers={"Authorization": "Bearer sk-of-the-station"}) as (tool,):
                assert await said(tool, '{"city":"Bergen"}') == "It rains in Bergen."
                site.vanish()
                for _ in range(2):
                    lost = await said(tool, '{"city":"Bergen"}')
                    assert lost.startswith("Error: The MCP server web station does not answer: ")


# --- what is read ------------------------------------------------------------------------------------------------------


def library() -> MCPServer:
    app = MCPServer("library")

    @app.tool(name="files.read", structured_output=False)
    async def read() -> Any:
        return ["one", Image(data=b"12345", format="png"), "two"]

    @app.tool(name="files/read")
    async def find() -> dict[str, int]:
        return {"found": 2}

    @app.tool(structured_output=False)
    async def nothing() -> Any:
        return []

    @app.tool(name="x" * 80)
    async def long() -> str:
        return "long"

    return app


async def test_names_and_results() -> None:
    with trio.fail_after(60):
        async with Client(library()) as client, open_mcp_tools(client, prefix="lib.", respond=False) as tools:
            assert [tool.name for tool in tools] == [
                "lib_files_read",
                "lib_files_read_2",
                "lib_nothing",
                "lib_" + "x" * 60,
            ]
            assert not any(tool.respond for tool in tools)
            read, find, nothing, _ = tools
            assert await said(read) == "one\ntwo\n[image: image/png, 6 bytes]"
            assert '"found"' in await said(find)
            assert await said(nothing) == NO_VALUE


async def test_a_session_of_ones_own_is_used_and_left_open(command: list[str]) -> None:
    run = StdioServerParameters(command=command[0], args=command[1:])
    with trio.fail_after(60):
        async with stdio_client(run) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            async with open_mcp_tools(session) as tools:
                assert await said(by_name(tools)["get_weather"], '{"city":"Rome"}') == "It is sunny in Rome."
            assert (await session.list_tools()).tools


# --- all together ------------------------------------------------------------------------------------------------------


async def test_the_local_server_answers_with_the_tool_of_a_process(command: list[str]) -> None:
    with trio.fail_after(60):
        async with (
            open_local_server(stt=ScriptedSTT([]), tts=ToneTTS()) as server,
            open_mcp_tools(command) as tools,
            open_realtime_session(Agent(tools=tools[:1]), endpoint=server.endpoint) as session,
        ):
            with session.subscribe([ToolEndEvent]) as ended:
                reply = await session.ask("What is the weather in Rome?")
                assert "sunny in Rome" in reply.transcript
                assert (await anext(ended)).tool is tools[0]


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys, trio\nsys.modules['mcp'] = None\nfrom trio_codex.mcp import open_mcp_tools\n"
        "async def main():\n async with open_mcp_tools(['true']): pass\ntrio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert "ConfigurationError: mcp is needed here" in done.stderr
    assert "trio-codex[mcp]" in done.stderr
