"""A worker that stands still, as one that was stopped does, fails its job instead of holding it for ever."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from trio_codex.errors import VoiceError
from trio_codex.speech import open_recognizer, pool


@pytest.mark.parametrize("nbytes", [100, 10_000_000])  # it owes the answer; it does not take what is sent
async def test_a_stopped_worker_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, recordings: dict[str, bytes], nbytes: int
) -> None:
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            assert await recognizer.transcribe(recordings["weather"])
            with monkeypatch.context() as patch:
                patch.setattr(pool, "_PROGRESS_WITHIN", 0.3)
                os.kill(recognizer._pool._idle[0].pid, signal.SIGSTOP)
                with pytest.raises(VoiceError, match="no progress within") as raised:
                    await recognizer.transcribe(bytes(nbytes))
            assert raised.value.code == "worker_failed"
            assert "weather" in await recognizer.transcribe(recordings["weather"])


async def test_a_user_who_takes_time_is_not_the_workers_fault(
    monkeypatch: pytest.MonkeyPatch, recordings: dict[str, bytes]
) -> None:
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            await recognizer.transcribe(b"")
            with monkeypatch.context() as patch:
                patch.setattr(pool, "_PROGRESS_WITHIN", 0.5)
                async with recognizer.stream() as stream:
                    await stream.feed(recordings["weather"][:4800])  # which a busy machine does in time
                    await trio.sleep(1.2)
                    patch.undo()
                    await stream.feed(recordings["weather"][4800:])
                    assert "weather" in await stream.finish()
