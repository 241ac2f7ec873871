"""Requests cancelled at every step: no connection and no task is left, whatever was going on."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from trio_codex.testing.steps import Steps
from trio_codex.voice import STTSettings, TTSSettings
from trio_codex.voice.openai import OpenAISTT, OpenAITTS

PCM = bytes(48 * 200)


async def answer(request: Any, said: Any) -> None:
    if request.path.endswith("speech"):
        await said.begin()
        for _ in range(3):
            await said.piece(bytes(100))
        await said.end()
    elif b"stream" in request.body:
        await said.events(
            {"type": "transcript.text.delta", "delta": "Hi."}, {"type": "transcript.text.done", "text": "Hi."}
        )
    else:
        await said.whole(200, {"text": "Hi."})


async def speak(service: Any) -> None:
    async with OpenAITTS(endpoint=service.endpoint).speak("Hi.", TTSSettings()) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == bytes(300)


async def speak_twice_at_a_time(service: Any) -> None:
    async with OpenAITTS(endpoint=service.endpoint).open() as tts, trio.open_nursery() as nursery:

        async def one() -> None:
            async with tts.speak("Hi.", TTSSettings()) as chunks:
                await anext(chunks)

        nursery.start_soon(one)
        nursery.start_soon(one)


async def transcribe(service: Any) -> None:
    assert str(await OpenAISTT(endpoint=service.endpoint).transcribe(PCM, STTSettings())) == "Hi."


async def transcribe_in_parts(service: Any) -> None:
    async with OpenAISTT(endpoint=service.endpoint).transcribe_in_parts(PCM, STTSettings()) as parts:
        assert len([part async for part in parts]) == 2


@pytest.mark.parametrize("request_", [speak, speak_twice_at_a_time, transcribe, transcribe_in_parts])
async def test_nothing_is_left(serving: Any, request_: Callable[[Any], Awaitable[None]]) -> None:
    at, through = 0, False
    async with serving(answer) as service:
        await request_(service)
        while not through:
            at += 2
            service.all_hung_up = trio.Event()
            scope = trio.CancelScope()
            steps = Steps(at, lambda task, scope=scope: scope.cancel())  # type: ignore[misc]
            trio.lowlevel.add_instrument(steps)
            with scope:
                await request_(service)
                through = True
            trio.lowlevel.remove_instrument(steps)
            if service.connections:
                with trio.fail_after(60):
                    await service.all_hung_up.wait()
        gc.collect()  # a generator that was left standing would be found now
    assert at > 10
