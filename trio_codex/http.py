"""The service over HTTP: one client for everything that is not a websocket.

Keys are asked for at every request, trust roots and proxies are those of the environment, redirects are never followed, so that a key
goes only to the host it is for. What is refused for a passing reason is asked for again, at most twice, with the server's delay, and
never once an answer has begun. Built on httpx, which is imported when a client is opened; knows nothing of what the bodies mean.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

import trio

from trio_codex.credentials import Endpoint, KeySource, resolve_key, ssl_context
from trio_codex.delays import retry_after
from trio_codex.errors import ConnectionFailed, ServerRefused
from trio_codex.given import check_seconds
from trio_codex.logs import get_logger
from trio_codex.outgoing import Outgoing
from trio_codex.proxies import find_proxy
from trio_codex.secret import secrets_in, without
from trio_codex.sse import ServerSentEvent, SseParser
from trio_codex.trust import tls_failure

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Api", "Content", "open_api"]

_log: Final = get_logger("http")

RETRIES: Final = 2
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 8.0
LONGEST_OBEYED_S: Final = 60.0
"""A server that wants to be left alone for longer is not asked again by us: the error says how long it wants."""

_PASSING: Final = frozenset({408, 409, 429})
_LASTING_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_ERROR_BYTES: Final = 64 * 1024


@asynccontextmanager
async def open_api(
    endpoint: Endpoint | None = None,
    api_key: KeySource | None = None,
    *,
    timeout: float = 600.0,
    connect_timeout: float = 10.0,
) -> AsyncIterator[Api]:
    """Open a client of one service; leaving the block closes its connections.

    ::

        async with open_api(endpoint) as api:
            response = await api.request("GET", "models")
            async with api.stream("POST", "responses", json=body) as answer:
                async for event in answer.events(): ...

    `endpoint` None: the environment's. `timeout`, in seconds: how long the server may be silent. The key is looked for at once, so that
    a missing one is found here. Raises ConfigurationError (no key, a bad CA file).
    """
    import httpx

    check_seconds(timeout, where="timeout")
    check_seconds(connect_timeout, where="connect_timeout")
    endpoint = endpoint or Endpoint.from_environment()
    await resolve_key(endpoint, api_key)
    limits = httpx.Timeout(timeout, connect=connect_timeout)
    query = endpoint.url("").partition("?")[2]
    way: Any = Outgoing(httpx, endpoint.http_url, ssl_context(), query)
    async with httpx.AsyncClient(transport=way, trust_env=False, timeout=limits, follow_redirects=False) as client:
        yield Api(client, endpoint, api_key)


class Answer:
    """An answer whose body is being received; an async iterator over its bytes, in any chunking.

    Cancel-safe up to the chunk on its way. Raises ConnectionFailed when the answer breaks off or the server is silent for too long.
    """

    def __init__(self, response: httpx.Response, chunks: AsyncIterator[bytes]) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._chunks = chunks

    @property
    def request_id(self) -> str | None:
        """The service's name for this request."""
        return self.headers.get("x-request-id")

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    def events(self) -> ServerSentEvents:
        """Read the body as server-sent events."""
        return ServerSentEvents(self)


class ServerSentEvents:
    """The events of an answer, as an async iterator."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._parser = SseParser()
        self._waiting: Iterator[ServerSentEvent] = iter(())

    def __aiter__(self) -> ServerSentEvents:
        return self

    async def __anext__(self) -> ServerSentEvent:
        while True:
            for event in self._waiting:
                return event
            self._waiting = iter(self._parser.feed(await anext(self._answer)))


class Content(TypedDict, total=False):
    """What a request says, as httpx takes it; `files` must be bytes, so that they can be sent again."""

    content: bytes
    json: Any
    data: Mapping[str, Any]
    files: Any
    params: Mapping[str, str]
    headers: Mapping[str, str]


class Api:
    """A client of one service; `open_api` makes it. Paths are below the endpoint's base, as in `audio/speech`."""

    def __init__(self, client: httpx.AsyncClient, endpoint: Endpoint, api_key: KeySource | None) -> None:
        self.endpoint = endpoint
        self._client = client
        self._api_key = api_key

    async def request(self, method: str, path: str, **content: Unpack[Content]) -> httpx.Response:
        """Ask and read the whole answer.

        Cancel-safe: the request is given up. Raises ServerRefused for an answer that is not 2xx, ConnectionFailed when none came or
        it broke off, ConfigurationError for a key that is none.
        """
        with _connection_failures(self.endpoint):
            response = await self._answered(method, path, content)
            try:
                await response.aread()
            finally:
                await _close(response)  # noqa: ASYNC102 - it shields itself and waits for nobody
        return response

    @asynccontextmanager
    async def stream(self, method: str, path: str, **content: Unpack[Content]) -> AsyncIterator[Answer]:
        """Ask and receive the answer as it comes; leaving the block early ends the request. Raises what `request` raises."""
        async with AsyncExitStack() as stack:
            with _connection_failures(self.endpoint):
                response = await self._answered(method, path, content)
                stack.push_async_callback(_close, response)
                chunks = response.aiter_bytes()
                stack.push_async_callback(_unwind, chunks)
            yield Answer(response, _Named(chunks, self.endpoint))

    async def _answered(self, method: str, path: str, content: Content) -> httpx.Response:
        """Give a 2xx answer whose body is still to be read."""
        import httpx

        attempt = 0
        while True:
            try:
                response = await self._send(method, path, content)
            except (
                httpx.NetworkError,
                httpx.ConnectTimeout,
                httpx.RemoteProtocolError,
            ) as error:  # no answer has begun
                if attempt == RETRIES or _cause(error, ssl.SSLError):
                    raise
                delay = _backoff(attempt)
            else:
                secrets = secrets_in([*response.request.headers.items(), *self.endpoint.query])
                request_id = without(secrets, response.headers.get("x-request-id", ""))
                _log.info("%s %s: %s%s", method, path, response.status_code, request_id and f" ({request_id})")
                if response.is_success:
                    return response
                refusal = await _refusal(response, secrets)
                delay = refusal.retry_after if refusal.retry_after is not None else _backoff(attempt)
                if attempt == RETRIES or not _is_passing(response, refusal) or delay > LONGEST_OBEYED_S:
                    raise refusal
            attempt += 1
            await trio.sleep(delay)

    async def _send(self, method: str, path: str, content: Content) -> httpx.Response:
        key = await resolve_key(self.endpoint, self._api_key)
        headers = [*self.endpoint.headers(key), *content.get("headers", {}).items()]
        given: dict[str, Any] = {**content, "headers": headers}
        # The endpoint's query is added below httpx, which logs addresses.
        request = self._client.build_request(method, f"{self.endpoint.http_url}/{path.lstrip('/')}", **given)
        return await self._client.send(request, stream=True)


# --- leaving an answer -------------------------------------------------------------------------------------------------


async def _unwind(chunks: AsyncIterator[bytes]) -> None:
    """End a chain of async generators that may stand in the middle.

    Closing the outermost would leave those within it to the garbage collector; being cancelled in the innermost await unwinds all.
    """
    with trio.CancelScope() as scope:
        scope.cancel(reason="the rest of the answer is not wanted")
        try:
            async for _ in chunks:
                pass
        except Exception:  # noqa: S110 - the connection is given up anyway
            pass


async def _close(response: httpx.Response) -> None:
    with trio.CancelScope(shield=True):  # closing a socket does not wait for anybody
        await response.aclose()


class _Named:
    """The chunks of a body, with errors in our own terms."""

    def __init__(self, chunks: AsyncIterator[bytes], endpoint: Endpoint) -> None:
        self._chunks = chunks
        self._endpoint = endpoint

    def __aiter__(self) -> _Named:
        return self

    async def __anext__(self) -> bytes:
        with _connection_failures(self._endpoint):
            return await anext(self._chunks)


# --- what went wrong ---------------------------------------------------------------------------------------------------


@contextmanager
def _connection_failures(endpoint: Endpoint) -> Iterator[None]:
    """Tell failures of the connection in our own terms."""
    import httpx

    try:
        yield
    except httpx.TimeoutException as error:
        raise ConnectionFailed(f"{endpoint.http_url} did not answer in time ({type(error).__name__})") from error
    except httpx.ProxyError as error:
        proxy = find_proxy(endpoint.http_url)
        place = proxy.place if proxy else "?"
        text = f"the proxy {place} does not lead to {endpoint.http_url}: {error}"
        raise ConnectionFailed(text, stage="proxy", advice="check its address and credentials") from error
    except httpx.HTTPError as error:
        if (cause := _cause(error, ssl.SSLError)) is not None:
            text, advice = tls_failure(endpoint.http_url, cause)
            raise ConnectionFailed(text, stage="tls", advice=advice) from error
        raise ConnectionFailed(
            f"no whole answer came from {endpoint.http_url}: {error or type(error).__name__}",
            stage="dns" if _cause(error, socket.gaierror) else None,
        ) from error


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


async def _refusal(response: httpx.Response, secrets: tuple[str, ...]) -> ServerRefused:
    """What the server says instead of an answer, in the API's shape or in any other."""
    body = bytearray()
    chunks = response.aiter_bytes()
    try:
        async for chunk in chunks:
            body += chunk
            if len(body) > _ERROR_BYTES:
                break
    finally:
        await _unwind(chunks)  # noqa: ASYNC102 - it is cancelled to begin with
        await _close(response)  # noqa: ASYNC102 - it shields itself and waits for nobody
    stated = {name: without(secrets, str(value)) for name, value in _stated(bytes(body)).items() if value is not None}
    request_id = response.headers.get("x-request-id")
    return ServerRefused(
        stated.get("message") or f"the server answered {response.status_code} {response.reason_phrase}",
        type=stated.get("type"),
        code=stated.get("code"),
        param=stated.get("param"),
        status=response.status_code,
        request_id=request_id and without(secrets, request_id),
        retry_after=retry_after(response.headers),
    )


def _stated(body: bytes) -> Mapping[str, Any]:
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = whole.get("error") if isinstance(whole, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _is_passing(response: httpx.Response, refusal: ServerRefused) -> bool:
    """Whether to ask again. https://platform.openai.com/docs/guides/error-codes: a spent quota does not come back by waiting."""
    said = response.headers.get("x-should-retry")
    if said in ("true", "false"):
        return bool(said == "true")
    if refusal.code in _LASTING_CODES or refusal.type in _LASTING_CODES:
        return False
    return response.status_code in _PASSING or response.status_code >= 500


def _backoff(attempt: int) -> float:
    return min(FIRST_DELAY_S * 2.0**attempt, LONGEST_DELAY_S)
