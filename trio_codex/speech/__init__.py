"""Local ears and mouth: speech-to-text, turn detection and text-to-speech, without a server and without blocking the event loop.

Audio is `bytes` of s16le mono PCM at 24 kHz everywhere; engines resample inside. The engines live in worker
processes, because pocketsphinx holds the GIL while it decodes and espeak-ng is global state under the GPL. They are
started with `trio.lowlevel.open_process` over pipes and not with `multiprocessing`, which knows nothing of Trio (its
queues and process waits block or need threads) and whose fork start method copies an event loop in mid-flight. A
worker is in a session of its own (Ctrl-C of the terminal does not reach it), ends with the scope that opened it, and
dies with this process even when that is killed. Turn detection costs some microseconds per chunk and runs in place.
All of it needs the extra `local`.

    async with open_recognizer() as recognizer:
        async with recognizer.stream() as stream:         # one utterance, one worker; waits for a free one
            await stream.feed(pcm)                        # any number of times, any chunking
            text = await stream.finish()
    async with open_synthesizer() as synthesizer:
        async with synthesizer.speak("Hello.", voice="alloy", speed=1.0) as speech:
            async for pcm in speech: ...
    detector = TurnDetector(threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500) for event in
    detector.feed(pcm): ...                  # SpeechStarted(audio_start_ms) | SpeechStopped(audio_end_ms,
    voice_end_ms)

What each raises, its units and its cancel-safety are said where it is defined.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_codex.speech.recognizer import RecognitionStream, Recognizer, open_recognizer
    from trio_codex.speech.synthesizer import Speech, Synthesizer, open_synthesizer
    from trio_codex.speech.turns import SpeechStarted, SpeechStopped, TurnDetector
    from trio_codex.speech.voices import VOICES

# Lazy, so that a worker process, which lives inside this package, starts without Trio.
_HOMES = {
    "VOICES": "voices",
    "RecognitionStream": "recognizer",
    "Recognizer": "recognizer",
    "Speech": "synthesizer",
    "SpeechStarted": "turns",
    "SpeechStopped": "turns",
    "Synthesizer": "synthesizer",
    "TurnDetector": "turns",
    "open_recognizer": "recognizer",
    "open_synthesizer": "synthesizer",
}

__all__ = [
    "VOICES",
    "RecognitionStream",
    "Recognizer",
    "Speech",
    "SpeechStarted",
    "SpeechStopped",
    "Synthesizer",
    "TurnDetector",
    "open_recognizer",
    "open_synthesizer",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
