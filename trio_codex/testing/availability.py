"""Tests against the real service, which may not be there: `skip_if_unavailable`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from trio_codex.diagnostics import Probe, format_probe_failure, probe_text_turn, skip_reason_for_error
from trio_codex.errors import ConfigurationError, ConnectionFailed, TrioCodexError

__all__ = ["skip_if_unavailable", "take_reason"]

_reasons: list[str] = []


@asynccontextmanager
async def skip_if_unavailable(**where: Any) -> AsyncIterator[None]:
    """Skip a pytest test when the service cannot serve it, for a reason that is none of the program's doing.

    ::

        async def test_the_real_thing():
            async with skip_if_unavailable(), open_realtime_session(Agent()) as session:
                assert (await session.ask("Say hello.")).transcript

    First a minimal turn is tried (`diagnostics.probe_text_turn`, whose arguments these are). No key, no connection, no answer in time,
    no quota, no access to the model, an error of the service: skipped, and the reason says which. A key that is refused, and whatever the
    probe met otherwise, fails the test. Errors of the block that have such a reason skip it as well. Needs pytest.
    """
    import pytest

    try:
        probe = await probe_text_turn(**where)
    except ConfigurationError as error:
        _skip(f"not configured: {error}")
    if not probe.ok:
        if (reason := _reason(probe)) is None:
            pytest.fail(f"the service refused: {format_probe_failure(probe)}")
        _skip(f"{reason}: {format_probe_failure(probe)}")
    try:
        yield
    except TrioCodexError as error:
        if (reason := skip_reason_for_error(error)) is None:
            raise
        _skip(f"{reason}: {error}")


def _skip(reason: str) -> NoReturn:
    import pytest

    _reasons[:] = [reason]
    pytest.skip(reason)


def take_reason() -> str | None:
    """Give the reason of the last skip, once: pytest-trio loses it on the way, and the plugin puts it back."""
    return _reasons.pop() if _reasons else None


def _reason(probe: Probe) -> str | None:
    if reason := skip_reason_for_error(probe):
        return reason
    if probe.kind == "timeout":
        return "timeout"
    if probe.kind == "connect_failed" and isinstance(probe.error, ConnectionFailed):
        status = probe.error.status
        return "unreachable" if status is None or status >= 500 or status == 429 else None
    return None
