"""The synthesiser with its real engines: sound, voices, odd texts, leaving in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from typing import Any

import pytest
import trio

from trio_codex.audio import rms
from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.speech import VOICES, Synthesizer, open_synthesizer
from trio_codex.speech.flite import sentences
from trio_codex.speech.voices import espeak_voice, flite_voice

ENGINES = [
    "espeak-ng",
    pytest.param(
        "flite", marks=pytest.mark.skipif(shutil.which("flite") is None, reason="the command flite is not there")
    ),
]
every_engine = pytest.mark.parametrize("engine", ENGINES)

ODD_TEXTS = [
    "\0\1\x7f\ud800 nul and a lone surrogate",
    "emoji 😀👩\u200d👩\u200d👧 and \u202eright to left\u202c",
    "-o /tmp/x --help; $(true) `id` 'quotes\" <speak>&amp; [[hElo]]",
    "日本語 und Größe, naïve café — “quoted”…",
    "a" * 700,
    "1234567890 3.14 50% $5 @#*~^",
]


async def said(synthesizer: Synthesizer, text: str, **settings: Any) -> bytes:
    async with synthesizer.speak(text, **settings) as speech:
        chunks = [chunk async for chunk in speech]
    assert all(0 < len(chunk) <= 4800 and len(chunk) % 2 == 0 for chunk in chunks)
    return b"".join(chunks)


@every_engine
async def test_a_sentence_sounds(engine: Any) -> None:
    with trio.fail_after(60):
        async with open_synthesizer(engine=engine) as synthesizer:
            pcm = await said(synthesizer, "Hello. How are you?")
    assert synthesizer.engine == engine
    assert 1000 < len(pcm) / 48 < 3500
    assert rms(pcm) > 0.01


@every_engine
async def test_odd_texts_do_no_harm(engine: Any) -> None:
    with trio.fail_after(60):
        async with open_synthesizer(engine=engine) as synthesizer:
            for text in ODD_TEXTS:
                assert len(await said(synthesizer, text)) > 4800
            for text in ("", "  \n\t "):
                assert rms(await said(synthesizer, text)) == 0


@every_engine
async def test_leaving_in_the_middle_frees_the_worker(engine: Any) -> None:
    with trio.fail_after(60):
        async with open_synthesizer(engine=engine) as synthesizer:
            await said(synthesizer, "one")
            (worker,) = synthesizer._pool._idle
            async with synthesizer.speak("This goes on and on, and does not end. " * 2000) as speech:
                await anext(speech)
            began = time.perf_counter()
            assert await said(synthesizer, "two")
            assert time.perf_counter() - began < 20  # all of the other would take minutes
            assert [idle.pid for idle in synthesizer._pool._idle] == [worker.pid]


@every_engine
async def test_speed_and_voices_make_a_difference(engine: Any) -> None:
    text = "The weather is fine."
    with trio.fail_after(60):
        async with open_synthesizer(engine=engine) as synthesizer:
            normal, fast, slow = [len(await said(synthesizer, text, speed=speed)) for speed in (1.0, 1.8, 0.5)]
            assert fast * 1.3 < normal < slow / 1.3
            heard = {await said(synthesizer, text, voice=voice) for voice in VOICES}
            assert len(heard) == len(VOICES)
            assert await said(synthesizer, text, voice="a name of my own")


async def test_a_slow_listener_does_not_keep_the_worker() -> None:
    with trio.fail_after(60):
        async with open_synthesizer(engine="espeak-ng") as synthesizer:
            async with synthesizer.speak("Here are some words, to be taken later.") as later:
                now = await said(synthesizer, "Here are some words, to be taken now.")
                then = b"".join([chunk async for chunk in later])
            assert len(now) == pytest.approx(len(then), rel=0.3)


async def test_a_killed_worker_is_an_error_and_then_replaced() -> None:
    with trio.fail_after(60):
        async with open_synthesizer(engine="espeak-ng") as synthesizer:
            await said(synthesizer, "one")
            (worker,) = synthesizer._pool._idle
            with pytest.raises(VoiceError) as caught:
                async with synthesizer.speak("This goes on and on. " * 5000) as speech:
                    await anext(speech)
                    os.kill(worker.pid, signal.SIGKILL)
                    async for _ in speech:
                        pass
            assert caught.value.code == "worker_died"
            assert await said(synthesizer, "two")


async def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(60):
        async with open_synthesizer(engine="espeak-ng") as synthesizer:
            for speed in (0.1, 5, float("nan")):
                with pytest.raises(ConfigurationError, match="speed"):
                    async with synthesizer.speak("x", speed=speed):
                        pass
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="flite"):
        async with open_synthesizer(engine="flite"):
            pass
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'trio-codex\[local\]'"):
        async with open_synthesizer():
            pass


def test_every_name_has_a_voice_of_its_own_and_unknown_names_keep_theirs() -> None:
    assert (
        len({espeak_voice(name) for name in VOICES}) == len({flite_voice(name) for name in VOICES}) == len(VOICES) == 13
    )
    assert espeak_voice("custom") == espeak_voice("custom")


def test_sentences_for_flite() -> None:
    assert list(sentences("Dr. Who? Yes! It\u2019s \u201cme\u201d\u2026\nNew line.")) == [
        "Dr.",
        "Who?",
        "Yes!",
        'It\'s "me"...',
        "New line.",
    ]
    assert list(sentences("... !!! 😀")) == []
    assert max(len(piece) for piece in sentences("word " * 500)) <= 300
