"""The HTTP client against servers that say exactly what a test wants, over real sockets."""

from __future__ import annotations

import gc
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from trio_codex import Endpoint
from trio_codex.errors import ConfigurationError, ConnectionFailed, ServerRefused
from trio_codex.http import Api, Content, open_api
from trio_codex.testing import Steps

KEY = "sk-test-of-nobody"


def answer(status: int, body: object = b"", *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Said", f"content-length: {len(content)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


class Server:
    """Says one answer after the other, one per connection, and keeps what it was asked."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.asked: list[bytes] = []
        self.ended = trio.Event()
        self.url = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        self.asked.append(request)
        await stream.send_all(self.answers[min(len(self.asked), len(self.answers)) - 1])
        if b"chunked" in self.answers[-1]:
            try:
                for number in itertools.count():
                    await stream.send_all(b"%x\r\n%b\r\n" % (len(line := b"data: %d\n\n" % number), line))
                    await trio.sleep(0.01)
            except trio.BrokenResourceError:
                self.ended.set()


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[Server]:
    server = Server(list(answers))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        yield server
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


async def test_a_whole_answer() -> None:
    async with serving(answer(200, {"data": []})) as server, open_api(Endpoint.custom(server.url), KEY) as api:
        response = await api.request("GET", "models")
    assert response.json() == {"data": []}
    assert server.asked[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}".encode() in server.asked[0]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
async def test_what_is_refused_for_a_passing_reason_is_asked_again(status: int) -> None:
    refused = answer(status, {"error": {"message": "Later."}}, "retry-after-ms: 1")
    async with (
        serving(refused, refused, answer(200, {"ok": True})) as server,
        open_api(Endpoint.custom(server.url), KEY) as api,
    ):
        assert (await api.request("POST", "responses", json={})).json() == {"ok": True}
    assert len(server.asked) == 3


async def test_but_at_most_twice_and_the_error_says_everything() -> None:
    body = {
        "error": {"message": "Slow down.", "type": "rate_limit_error", "code": "rate_limit_exceeded", "param": None}
    }
    refused = answer(429, body, "retry-after: 0.001", "x-request-id: req_1")
    async with serving(refused) as server, open_api(Endpoint.custom(server.url), KEY) as api:
        with pytest.raises(ServerRefused, match=r"^Slow down\.$") as caught:
            await api.request("POST", "responses", json={})
    error = caught.value
    assert (error.status, error.type, error.code, error.param) == (429, "rate_limit_error", "rate_limit_exceeded", None)
    assert (error.request_id, error.retry_after) == ("req_1", 0.001)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "refused",
    [
        answer(400, {"error": {"message": "No."}}),
        answer(429, {"error": {"message": "You exceeded it.", "code": "insufficient_quota"}}),
        answer(503, {"error": "No."}, "x-should-retry: false"),
        answer(503, b"<html>not JSON", "retry-after: 3600"),
        answer(307, b"", "location: http://127.0.0.1:1/"),
    ],
)
async def test_what_will_not_pass_is_asked_once(refused: bytes) -> None:
    async with serving(refused) as server, open_api(Endpoint.custom(server.url), KEY) as api:
        with pytest.raises(ServerRefused):
            await api.request("GET", "models")
    assert len(server.asked) == 1


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_codex.http.FIRST_DELAY_S", 0.001)
    async with open_api(Endpoint.custom("http://127.0.0.1:1/v1"), KEY) as api:
        with pytest.raises(ConnectionFailed, match=r"http://127\.0\.0\.1:1/v1"):
            await api.request("GET", "models")


async def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    async with serving(half) as server, open_api(Endpoint.custom(server.url), KEY) as api:
        with pytest.raises(ConnectionFailed, match="no whole answer"):
            await api.request("GET", "models")
    assert len(server.asked) == 1


STREAMED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("how", ["enough", "failure", "cancelled"])
async def test_an_answer_left_in_the_middle_ends_the_request(how: str) -> None:
    async with serving(STREAMED) as server, open_api(Endpoint.custom(server.url), KEY) as api:
        with trio.CancelScope() as scope:
            try:
                async with api.stream("POST", "responses", json={}) as answer:
                    async for event in answer.events():
                        if event.data == "3" and how == "failure":
                            raise KeyError(event.data)  # noqa: TRY301 - a failure of the one who reads
                        if event.data == "3" and how == "cancelled":
                            scope.cancel()
                        if event.data == "3" and how == "enough":
                            break
            except KeyError:
                pass
        with trio.fail_after(60):
            await server.ended.wait()
        gc.collect()  # an async generator left open would be a warning, which is an error here


# --- a request that is cancelled ---


async def answers(stream: trio.SocketStream) -> None:
    """Reads a whole request, however long, and answers in pieces."""
    request = b""
    while b"\r\n\r\n" not in request:
        if not (data := await stream.receive_some()):
            return
        request += data
    head, _, body = request.partition(b"\r\n\r\n")
    [length] = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < length:
        if not (data := await stream.receive_some()):
            return
        body += data
    for piece in (b"HTTP/1.1 200 OK\r\n", b"content-length: 4\r\n\r\n", b"do", b"ne"):
        await stream.send_all(piece)
        await trio.lowlevel.checkpoint()


async def reads_nothing(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


FEW, MANY = b"x" * 100_000, b"x" * (6 << 20)  # the many do not fit into the buffers between two sockets


def spoken(length: bytes) -> Content:
    return {"json": {"text": length.decode()}}


def recorded(length: bytes) -> Content:
    return {"files": {"file": ("a.wav", length, "audio/wav")}, "data": {"model": "m"}}


@pytest.mark.parametrize(
    ("server", "content", "streamed"),
    [
        (answers, spoken(FEW), False),
        (answers, recorded(FEW), False),
        (answers, recorded(FEW), True),
        (reads_nothing, spoken(MANY), False),
        (reads_nothing, recorded(MANY), True),
    ],
    ids=["json", "multipart", "streamed", "unread-json", "unread-multipart"],
)
async def test_a_request_that_is_cancelled_at_any_step_leaves_nothing(
    server: Callable[[trio.SocketStream], Awaitable[None]], content: Content, streamed: bool
) -> None:
    """An async generator left open would be a warning, which is an error here."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await server(stream)

    async def ask(api: Api) -> bytes:
        if not streamed:
            return (await api.request("POST", "audio/transcriptions", **content)).content
        async with api.stream("POST", "audio/transcriptions", **content) as answer:
            return b"".join([chunk async for chunk in answer])

    async def ask_until(step: int, api: Api) -> tuple[bytes, bool]:
        """What is answered, and whether the step was reached."""
        me = trio.lowlevel.current_task()
        got = b""
        async with trio.open_nursery() as nursery:
            steps = Steps(step, lambda _: nursery.cancel_scope.cancel(), of=lambda task: task is me)
            if server is reads_nothing:
                nursery.start_soon(give_up_on, steps, nursery.cancel_scope)
            trio.lowlevel.add_instrument(steps)
            try:
                got = await ask(api)
            finally:
                trio.lowlevel.remove_instrument(steps)
            nursery.cancel_scope.cancel()
        return got, steps.count >= step

    async with trio.open_nursery() as servers:
        [listener] = await servers.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
        async with open_api(Endpoint.custom(url), KEY) as api:
            for step in itertools.count(1):
                got, reached = await ask_until(step, api)
                if not reached:
                    break
        servers.cancel_scope.cancel()
    gc.collect()
    assert got == (b"done" if server is answers else b"")
    assert step > 5


async def give_up_on(steps: Steps, scope: trio.CancelScope) -> None:
    """Cancel what takes no step any more."""
    before = -1
    while steps.count > before:
        before = steps.count
        await trio.testing.wait_all_tasks_blocked(0.02)
    scope.cancel()


async def test_a_missing_key_is_found_before_any_network_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no API key found"):
        async with open_api():
            pass
