"""The recogniser with its real engine: words, determinism, what happens when a worker is slow, killed or missing."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import pytest
import trio

from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.speech import RecognitionStream, Recognizer, open_recognizer

KEY_WORDS = {
    "greeting": "what can you do",
    "weather": "weather like in boston",
    "problem": "technical problem with my software",
    "status": "the status of the mail server",
    "goodbye": "goodbye",
}


async def feed(stream: RecognitionStream, pcm: bytes, size: int = 960) -> None:
    for at in range(0, len(pcm), size):
        await stream.feed(pcm[at : at + size])


def pid_of(recognizer: Recognizer) -> int:
    (worker,) = recognizer._pool._idle
    return worker.pid


async def test_the_recordings_are_understood_and_the_event_loop_stays_free(recordings: dict[str, bytes]) -> None:
    busy = 0.0

    async def tick() -> None:
        nonlocal busy
        while True:
            before = time.thread_time()  # this thread's own work: others may be busy
            await trio.sleep(0.005)
            busy = max(busy, time.thread_time() - before)

    with trio.fail_after(60):
        async with open_recognizer() as recognizer, trio.open_nursery() as nursery:
            await recognizer.transcribe(bytes(4800))
            nursery.start_soon(tick)
            for name, words in KEY_WORDS.items():
                async with recognizer.stream() as stream:
                    await feed(stream, recordings[name])
                    assert words in await stream.finish()
            nursery.cancel_scope.cancel()
    assert busy < 0.1


async def test_one_audio_has_one_transcript_whatever_was_heard_before_and_however_it_comes(
    recordings: dict[str, bytes],
) -> None:
    goodbye = recordings["goodbye"] + recordings["weather"][: 48 * 900]
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            first = await recognizer.transcribe(goodbye)
            await recognizer.transcribe(recordings["greeting"][: 48 * 1500])
            async with recognizer.stream(partials=True) as stream:
                await feed(stream, goodbye, 777)
                assert await stream.finish() == first
                assert stream.partial
            async with recognizer.stream() as stream:
                await feed(stream, recordings["weather"][: 48 * 1000])  # and is left without a finish
            assert await recognizer.transcribe(goodbye) == first


async def test_silence_and_no_audio_have_no_words() -> None:
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            assert await recognizer.transcribe(b"") == ""
            assert await recognizer.transcribe(bytes(48 * 400)) == ""


async def test_a_finished_utterance_hears_no_more() -> None:
    with trio.fail_after(60):
        async with open_recognizer() as recognizer, recognizer.stream() as stream:
            await stream.finish()
            with pytest.raises(trio.ClosedResourceError):
                await stream.feed(bytes(2))


async def test_a_killed_worker_is_an_error_once_and_then_replaced(recordings: dict[str, bytes]) -> None:
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            await recognizer.transcribe(b"")
            first = pid_of(recognizer)
            with pytest.raises(VoiceError) as caught:
                async with recognizer.stream() as stream:
                    await stream.feed(recordings["goodbye"])
                    os.kill(first, signal.SIGKILL)
                    await stream.finish()
            assert caught.value.code == "worker_died"
            assert "goodbye" in await recognizer.transcribe(recordings["goodbye"])
            second = pid_of(recognizer)
            os.kill(second, signal.SIGKILL)  # while it is idle: nobody needs to know
            await recognizer._pool._idle[0]._process.wait()
            assert await recognizer.transcribe(b"") == ""
            assert len({first, second, pid_of(recognizer)}) == 3


async def test_a_cancelled_feed_leaves_no_half_frame(recordings: dict[str, bytes]) -> None:
    pcm = recordings["goodbye"]
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            await recognizer.transcribe(b"")
            pid = pid_of(recognizer)
            async with recognizer.stream() as stream:
                os.kill(pid, signal.SIGSTOP)
                with trio.move_on_after(0.1) as scope:
                    while True:
                        await stream.feed(bytes(48 * 77))
                assert scope.cancelled_caught
                os.kill(pid, signal.SIGCONT)
                await stream.feed(pcm)
                assert "goodbye" in await stream.finish()
            assert pid_of(recognizer) == pid


async def test_a_worker_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_codex.speech.pool._ANSWER_WITHIN", 0.1)
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            await recognizer.transcribe(b"")
            pid = pid_of(recognizer)
            async with recognizer.stream():
                os.kill(pid, signal.SIGSTOP)
            assert await recognizer.transcribe(b"") == ""
            assert pid_of(recognizer) != pid


async def test_no_more_workers_than_allowed() -> None:
    running = most = 0

    async def hear(recognizer: Recognizer) -> None:
        nonlocal running, most
        async with recognizer.stream() as stream:
            running += 1
            most = max(most, running)
            await stream.feed(bytes(960))
            await stream.finish()
            running -= 1

    with trio.fail_after(60):
        async with open_recognizer(workers=2) as recognizer:
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(hear, recognizer)
            assert most == 2
            assert len(recognizer._pool._idle) == 2


async def test_the_bodys_own_exception_comes_out_as_it_is_and_nothing_is_left() -> None:
    failure = ValueError("mine")
    with trio.fail_after(60), pytest.raises(ValueError, match="mine") as caught:
        async with open_recognizer() as recognizer:
            await recognizer.transcribe(b"")
            pid = pid_of(recognizer)
            raise failure
    assert caught.value is failure
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_bodys_own_exception_comes_out_of_a_cancelled_scope_too() -> None:
    failure = ValueError("mine")
    with trio.fail_after(60), pytest.raises(ValueError, match="mine") as caught, trio.CancelScope() as scope:
        async with open_recognizer():
            scope.cancel()
            raise failure
    assert caught.value is failure


async def test_after_the_block_it_is_closed() -> None:
    with trio.fail_after(60):
        async with open_recognizer() as recognizer:
            pass
        with pytest.raises(trio.ClosedResourceError):
            await recognizer.transcribe(b"")


async def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="at least one worker"):
        async with open_recognizer(workers=0):
            pass
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-codex\[local\]'"):
        async with open_recognizer():
            pass


async def test_an_engine_that_cannot_load_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "pocketsphinx.py").write_text("raise ImportError('the model is gone')")
    monkeypatch.syspath_prepend(tmp_path)
    with trio.fail_after(60), pytest.raises(VoiceError, match="the model is gone") as caught:
        async with open_recognizer() as recognizer:
            await recognizer.transcribe(bytes(960))
    assert caught.value.code == "worker_failed"
