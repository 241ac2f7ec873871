"""One service over HTTP, as the models use it: opened for a run, or for a single request, and its failures told as VoiceErrors.

Only what runs within `told` is told anew, never what the user of an answer raises; ConfigurationErrors and cancellations go through as
they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Self

import attrs

from trio_codex.credentials import Endpoint, KeySource
from trio_codex.errors import ConnectionFailed, RemoteProtocolError, ServerRefused, VoiceError
from trio_codex.given import check_seconds
from trio_codex.http import Answer, Api, open_api

__all__ = ["Client", "answer", "told"]


@contextmanager
def told(what: str) -> Iterator[None]:
    """Raise VoiceError for a failure of the service; `what` names what was asked of it, as in `speech`."""
    try:
        yield
    except ServerRefused as error:
        raise VoiceError(
            f"{what} failed: {error.what}",
            status=error.status,
            code=error.code,
            request_id=error.request_id,
            retry_after=error.retry_after,
        ) from error
    except ConnectionFailed as error:
        raise VoiceError(f"{what} failed: {error.what}", status=error.status) from error
    except RemoteProtocolError as error:
        raise VoiceError(f"{what} failed: what the server answered is not the protocol: {error}") from error


@asynccontextmanager
async def answer(api: Api, what: str, path: str, **content: Any) -> AsyncIterator[Answer]:
    """Ask and receive the answer as it comes. Raises VoiceError for a refusal; leaving the block ends the request."""
    async with AsyncExitStack() as stack:
        with told(what):
            given = await stack.enter_async_context(api.stream("POST", path, **content))
        yield given


def _seconds(_: object, field: attrs.Attribute[Any], value: float) -> None:
    check_seconds(value, where=field.name)


@attrs.frozen(kw_only=True)
class Client:
    """Which service, with which key (None: as the environment says), and how many seconds it may be silent."""

    endpoint: Endpoint | None = None
    api_key: KeySource | None = attrs.field(default=None, repr=False)
    timeout: float = attrs.field(default=120.0, validator=_seconds)
    _api: Api | None = attrs.field(default=None, repr=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Give the same, with connections that are kept within the block. Raises ConfigurationError (no key, a bad CA file)."""
        async with self._service() as api:
            yield attrs.evolve(self, api=api)

    @asynccontextmanager
    async def _service(self) -> AsyncIterator[Api]:
        if self._api is not None:
            yield self._api
            return
        async with open_api(self.endpoint, self.api_key, timeout=self.timeout) as api:
            yield api

    @asynccontextmanager
    async def _answer(self, what: str, path: str, **content: Any) -> AsyncIterator[Answer]:
        async with self._service() as api, answer(api, what, path, **content) as given:
            yield given
