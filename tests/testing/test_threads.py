from __future__ import annotations

import threading
import urllib.error
import urllib.request

import pytest

from trio_codex import Agent, open_realtime_session
from trio_codex.errors import ConfigurationError
from trio_codex.server import LocalServer
from trio_codex.testing.threads import local_server as running


def test_a_server_for_blocking_programs() -> None:
    with running() as server, urllib.request.urlopen(f"{server.http_url}/models", timeout=5) as answer:
        assert answer.status == 200
    assert "local server" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{server.http_url}/models", timeout=5)


def test_mistakes_are_raised_here() -> None:
    with pytest.raises(ConfigurationError, match="there is no fault"), running(faults=["earthquake"]):
        raise AssertionError


def test_the_blocks_error_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), running():
        raise ValueError("mine")


# --- the fixtures ----------------------------------------------------------------------------------------------------


async def test_the_fixture(local_server: LocalServer) -> None:
    async with open_realtime_session(Agent(), endpoint=local_server.endpoint) as session:
        assert (await session.ask("Hello.")).transcript


@pytest.mark.local_server(api_key="sk-marked", faults=["rate-limited:on=rest"])
def test_its_marker(local_server: LocalServer) -> None:
    request = urllib.request.Request(f"{local_server.http_url}/models", headers={"Authorization": "Bearer sk-marked"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert caught.value.code == 429
    assert caught.value.headers["retry-after"] == "1"
    caught.value.close()
