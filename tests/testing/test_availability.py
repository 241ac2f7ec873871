from __future__ import annotations

from typing import Any

import pytest

from trio_codex import Agent, open_realtime_session
from trio_codex.errors import ConfigurationError, ServerRefused
from trio_codex.server import open_local_server
from trio_codex.testing import skip_if_unavailable
from trio_codex.testing.voices import SimulatedSTT, SimulatedTTS

Skipped: Any = pytest.skip.Exception
Failed: Any = pytest.fail.Exception


def serving(*faults: str) -> Any:
    return open_local_server(stt=SimulatedSTT(), tts=SimulatedTTS(pace=50), faults=faults)


async def test_a_service_that_is_there() -> None:
    reached = False
    async with serving() as server, skip_if_unavailable(endpoint=server.endpoint):
        async with open_realtime_session(Agent(), endpoint=server.endpoint) as session:
            assert (await session.ask("hello")).transcript
        reached = True
    assert reached


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("insufficient-quota", "insufficient_quota"),
        ("model-not-found", "realtime_model_unavailable"),
        ("refused-session:code=model_not_found", "realtime_model_unavailable"),
        ("server-error", "realtime_upstream_server_error"),
        ("error-event", "realtime_upstream_server_error"),
        ("failed-response", "realtime_upstream_server_error"),
        ("rate-limited", "unreachable"),
        ("drop-before-upgrade", "unreachable"),
    ],
)
async def test_reasons_to_skip(fault: str, reason: str) -> None:
    async with serving(fault) as server:
        with pytest.raises(Skipped, match=reason):
            async with skip_if_unavailable(endpoint=server.endpoint):
                raise AssertionError("it must not begin")


async def test_a_service_that_does_not_answer_in_time() -> None:
    async with serving("half-open:after=1") as server:
        with pytest.raises(Skipped, match="timeout"):
            async with skip_if_unavailable(endpoint=server.endpoint, timeout=0.3):
                raise AssertionError


async def test_a_key_that_is_refused_is_no_reason() -> None:
    async with serving("invalid-api-key") as server:
        with pytest.raises(Failed, match="the service refused"):
            async with skip_if_unavailable(endpoint=server.endpoint):
                raise AssertionError


async def test_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    with pytest.raises(Skipped, match="not configured"):
        async with skip_if_unavailable():
            raise AssertionError


async def test_errors_of_the_block() -> None:
    async with serving() as server:
        where = {"endpoint": server.endpoint}
        with pytest.raises(Skipped, match="insufficient_quota"):
            async with skip_if_unavailable(**where):
                raise ServerRefused("no more", code="insufficient_quota")
        with pytest.raises(ConfigurationError, match="mine"):
            async with skip_if_unavailable(**where):
                raise ConfigurationError("mine")
        with pytest.raises(ValueError, match="mine"):
            async with skip_if_unavailable(**where):
                raise ValueError("mine")
