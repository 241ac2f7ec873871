"""Plain values that cannot mean anything are refused where they enter, before any network use."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from trio_codex import Agent, Endpoint, open_realtime_session
from trio_codex.diagnostics import probe_text_turn
from trio_codex.errors import ConfigurationError
from trio_codex.given import check_count, check_seconds, check_text
from trio_codex.http import open_api
from trio_codex.rest import open_client
from trio_codex.voice import AgentWorkflow, OpenAISTT, OpenAITTS

NOWHERE = Endpoint.custom("http://127.0.0.1:9/v1")


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "2", None, [1]])
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(ConfigurationError, match="patience must be seconds above 0, not"):
        check_seconds(value, where="patience")


def test_times() -> None:
    check_seconds(0.5, where="")
    check_seconds(None, where="", or_none=True)
    check_seconds(0, where="", or_zero=True)
    with pytest.raises(ConfigurationError, match="seconds from 0 on, not -1"):
        check_seconds(-1, where="", or_zero=True)
    with pytest.raises(ConfigurationError, match="above 0 or None, not 0"):
        check_seconds(0, where="", or_none=True)


@pytest.mark.parametrize("value", [0, -3, 1.0, True, "2", None])
def test_what_is_no_count(value: object) -> None:
    check_count(1, where="")
    with pytest.raises(ConfigurationError, match="room must be a whole number, at least 1, not"):
        check_count(value, where="room")


@pytest.mark.parametrize("value", ["", " \n", 7, b"name", None])
def test_what_is_no_name(value: object) -> None:
    check_text("name", where="")
    check_text(None, where="", or_none=True)
    with pytest.raises(ConfigurationError, match="model must be a text that is not blank, not"):
        check_text(value, where="model")


async def _opens(manager: Any) -> None:
    async with manager:
        pass


@pytest.mark.parametrize(
    "use",
    [
        lambda: _opens(open_realtime_session(Agent(), endpoint=NOWHERE, patience=-1)),
        lambda: _opens(open_realtime_session(Agent(), endpoint=NOWHERE, connect_timeout=0)),
        lambda: _opens(open_realtime_session(Agent(), endpoint=NOWHERE, model="")),
        lambda: _opens(open_realtime_session(Agent(), endpoint=NOWHERE, call_id=" ")),
        lambda: _opens(open_api(NOWHERE, timeout=-1)),
        lambda: _opens(open_api(NOWHERE, connect_timeout=math.nan)),
        lambda: probe_text_turn(endpoint=NOWHERE, model=""),
        lambda: _secret_for(""),
    ],
    ids=["patience", "connect_timeout", "model", "call_id", "timeout", "nan", "probe", "client secret"],
)
async def test_where_they_enter(use: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        await use()


async def _secret_for(model: str) -> None:
    async with open_client(NOWHERE) as client:
        await client.client_secrets.create(model=model)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AgentWorkflow(Agent(), ""),
        lambda: AgentWorkflow(Agent(), timeout=-1),
        lambda: OpenAISTT(timeout=0),
        lambda: OpenAITTS(timeout=math.inf),
    ],
)
def test_models_of_the_service(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        make()
