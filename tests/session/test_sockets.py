from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import trio
import trio_websocket

from trio_codex import Agent, Endpoint, Session, open_realtime_session, tool
from trio_codex.errors import ConnectionFailed, ConnectionLost
from trio_codex.events import AudioEvent
from trio_codex.protocol import ConversationItemCreate, InputAudioBufferAppend, ResponseCreate
from trio_codex.testing import Call, Line, answer, scripted_server

CLOCK = "real"

LIMIT_S = 60

TRANSPORT = ["trio-websocket"]
"""The one that sessions of this module are on, see `on_each_transport`."""


@pytest.fixture(autouse=True, params=["trio-websocket", "lean"])
def on_each_transport(request: pytest.FixtureRequest) -> None:
    TRANSPORT[:] = [request.param]


def connect(server: Any, agent: Agent | None = None, **options: Any) -> Any:
    return open_realtime_session(
        agent or Agent(), endpoint=server.endpoint, api_key="sk-test", transport=TRANSPORT[0], **options
    )


async def test_a_conversation() -> None:
    @tool
    async def clock() -> str:
        """Tell the time."""
        return "10:30"

    async def script(line: Line) -> None:
        await line.expect(ConversationItemCreate)
        await answer(line, await line.expect(ResponseCreate), calls=[Call("c1", "clock")])
        assert (await line.expect(ConversationItemCreate)).item.output == "10:30"
        await answer(line, await line.expect(ResponseCreate), "Half past ten.", audio=[bytes(4800)] * 50)
        assert (await line.expect_end()).code == 1000

    with trio.fail_after(LIMIT_S):
        async with scripted_server(script) as server, connect(server, Agent(tools=[clock])) as session:
            with session.subscribe([AudioEvent]) as sound:
                reply = await session.ask("What time is it?")
                assert reply.transcript == "Half past ten."
                assert len(reply.audio) == 50 * 4800
                await session.aclose()
                assert len([event async for event in sound]) == 50


async def test_both_talk_at_once() -> None:
    pieces = [bytes([number]) * 200_000 for number in range(40)]
    all_said = trio.Event()

    async def script(line: Line) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, line)
            for piece in pieces:
                assert (await line.expect(InputAudioBufferAppend)).audio == piece
        all_said.set()

    async def talk(line: Line) -> None:
        await answer(line, words="…", audio=pieces)

    async def listen(session: Session) -> None:
        heard = b""
        async for pcm in session.audio:
            heard += pcm
            if len(heard) == 40 * 200_000:
                break
        assert heard == b"".join(pieces)

    with trio.fail_after(LIMIT_S):
        async with scripted_server(script) as server, connect(server) as session, trio.open_nursery() as nursery:
            nursery.start_soon(listen, session)
            for piece in pieces:
                await session.send_audio(piece)
            await all_said.wait()  # whoever hangs up on an answer is not to be spoken to any more


async def test_cancelling_a_verb_never_cuts_a_frame() -> None:
    sent = 0
    with trio.fail_after(LIMIT_S):
        async with scripted_server() as server, connect(server) as session:
            with server.line.deaf():
                for _ in range(400):  # far more than the sockets take
                    with trio.move_on_after(0.002):
                        await session.send_audio(bytes(100_000))
                        sent += 1
            assert 0 < sent < 400
            for _ in range(sent):
                assert (await server.line.expect(InputAudioBufferAppend)).audio == bytes(100_000)
            await session.send_message("whole", respond=False)
            await server.line.expect(ConversationItemCreate)


@pytest.mark.parametrize(("code", "reason"), [(1001, "the hour is over"), (1006, ""), (4000, "no")])
async def test_the_peer_ends_it(code: int, reason: str) -> None:
    with trio.fail_after(LIMIT_S):
        async with scripted_server() as server, connect(server) as session:
            await server.line.drop(code, reason)
            with pytest.raises(ConnectionLost) as caught:
                async for _ in session:
                    pass
            assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_nobody_listens() -> None:
    async with scripted_server() as server:
        pass
    with trio.fail_after(LIMIT_S), pytest.raises(ConnectionFailed, match="cannot reach"):
        async with connect(server):
            raise AssertionError


async def test_a_peer_that_does_not_answer_the_goodbye_costs_the_patience() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/v1/realtime"
    endpoint = Endpoint.custom(url.replace("ws", "http", 1), realtime_url=url)
    with trio.fail_after(LIMIT_S):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(_acknowledge_and_freeze, listener)
            async with open_realtime_session(Agent(), endpoint=endpoint, patience=0.2, transport=TRANSPORT[0]):
                started = trio.current_time()
            assert trio.current_time() - started >= 0.2
            nursery.cancel_scope.cancel()


async def _acknowledge_and_freeze(listener: trio.SocketListener) -> None:
    """A server that does nothing any more once the settings are acknowledged, not even on the websocket's own level."""
    async with await listener.accept() as tcp:
        async with trio.open_nursery() as nursery:
            websocket = await (await trio_websocket.wrap_server_stream(nursery, tcp)).accept()
            await websocket.get_message()
            await websocket.send_message('{"type":"session.updated","event_id":"e","session":{"type":"realtime"}}')
            nursery.cancel_scope.cancel()
        await trio.sleep_forever()


async def test_the_bodys_error_comes_out_as_it_is() -> None:
    error = ValueError("mine")
    with trio.fail_after(LIMIT_S), pytest.raises(ValueError, match="mine") as caught:
        async with scripted_server() as server, connect(server):
            raise error
    assert caught.value is error


async def test_cancelling() -> None:
    with trio.fail_after(LIMIT_S):
        async with scripted_server() as server:
            with trio.CancelScope() as scope:
                async with connect(server) as session, trio.open_nursery() as nursery:

                    @nursery.start_soon
                    async def cancel_once_asked() -> None:
                        assert (await server.line.expect(ConversationItemCreate)).item.type == "message"
                        await server.line.expect(ResponseCreate)
                        scope.cancel()

                    await session.ask("hello?")
            assert scope.cancelled_caught
            assert (await server.line.expect_end()).code == 1000


@pytest.mark.parametrize("where", ["body", "aclose"])
def test_ctrl_c(where: str) -> None:
    ended = []

    async def main() -> None:
        async with scripted_server() as server:
            async with connect(server) as session, trio.open_nursery() as nursery:
                nursery.start_soon(interrupt)
                if where == "body":
                    await trio.sleep_forever()
                async with trio.open_nursery() as closing:
                    closing.start_soon(session.aclose)
                    os.kill(os.getpid(), signal.SIGINT)
            ended.append("unreachable")

    async def interrupt() -> None:
        await trio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(BaseException) as caught:
        trio.run(main)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):  # those are the body's own nurseries
        [error] = error.exceptions
    assert isinstance(error, KeyboardInterrupt)
    assert ended == []
