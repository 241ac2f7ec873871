"""The voice pipeline: speech-to-text, a workflow of your own, text-to-speech, as Trio tasks joined by bounded channels.

    pipeline = VoicePipeline(SimpleWorkflow(lambda transcript: [f"You said: {transcript}"]))
    async with pipeline.run(AudioInput.from_wav(wav)) as result:
        async for event in result:
            match event:
                case VoiceStreamEventAudio(data=pcm): ...

The pipeline is `listening | answering | splitting | speaking`, each a `Stage`; whatever runs ends with the block. Audio is
s16le mono PCM at 24 kHz. The names below are resolved when they are first used, so that each part is paid for by who uses it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_codex.voice.events import (
        VoiceStreamEvent,
        VoiceStreamEventAudio,
        VoiceStreamEventError,
        VoiceStreamEventLifecycle,
    )
    from trio_codex.voice.models import (
        Heard,
        Opens,
        Segment,
        Send,
        SpeechStarted,
        SpeechStopped,
        StreamingSTTModel,
        STTModel,
        STTSettings,
        Transcript,
        TranscriptDelta,
        TranscriptionStream,
        TTSModel,
        TTSSettings,
        VoiceConfig,
        Word,
        Workflow,
    )
    from trio_codex.voice.stages import Stage

_HOMES = {
    "Heard": "models",
    "Opens": "models",
    "STTModel": "models",
    "STTSettings": "models",
    "Segment": "models",
    "Send": "models",
    "SpeechStarted": "models",
    "SpeechStopped": "models",
    "Stage": "stages",
    "StreamingSTTModel": "models",
    "TTSModel": "models",
    "TTSSettings": "models",
    "Transcript": "models",
    "TranscriptDelta": "models",
    "TranscriptionStream": "models",
    "VoiceConfig": "models",
    "VoiceStreamEvent": "events",
    "VoiceStreamEventAudio": "events",
    "VoiceStreamEventError": "events",
    "VoiceStreamEventLifecycle": "events",
    "Word": "models",
    "Workflow": "models",
}

__all__ = [
    "Heard",
    "Opens",
    "STTModel",
    "STTSettings",
    "Segment",
    "Send",
    "SpeechStarted",
    "SpeechStopped",
    "Stage",
    "StreamingSTTModel",
    "TTSModel",
    "TTSSettings",
    "Transcript",
    "TranscriptDelta",
    "TranscriptionStream",
    "VoiceConfig",
    "VoiceStreamEvent",
    "VoiceStreamEventAudio",
    "VoiceStreamEventError",
    "VoiceStreamEventLifecycle",
    "Word",
    "Workflow",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
