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
    from trio_codex.voice.ears import listening
    from trio_codex.voice.events import (
        VoiceStreamEvent,
        VoiceStreamEventAudio,
        VoiceStreamEventError,
        VoiceStreamEventLifecycle,
    )
    from trio_codex.voice.inputs import AudioInput, StreamedAudioInput
    from trio_codex.voice.local import LocalSTT, LocalTTS
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
    from trio_codex.voice.mouth import SentenceEnded, SentenceStarted, speaking
    from trio_codex.voice.openai import AgentWorkflow, OpenAISTT, OpenAITTS
    from trio_codex.voice.pipeline import VoicePipeline
    from trio_codex.voice.result import Turn, VoiceResult
    from trio_codex.voice.sentences import Sentences, splitting
    from trio_codex.voice.stages import Stage
    from trio_codex.voice.workflows import SimpleWorkflow, answering

_HOMES = {
    "AgentWorkflow": "openai",
    "AudioInput": "inputs",
    "Heard": "models",
    "LocalSTT": "local",
    "LocalTTS": "local",
    "OpenAISTT": "openai",
    "OpenAITTS": "openai",
    "Opens": "models",
    "STTModel": "models",
    "STTSettings": "models",
    "Segment": "models",
    "Send": "models",
    "SentenceEnded": "mouth",
    "SentenceStarted": "mouth",
    "Sentences": "sentences",
    "SimpleWorkflow": "workflows",
    "SpeechStarted": "models",
    "SpeechStopped": "models",
    "Stage": "stages",
    "StreamedAudioInput": "inputs",
    "StreamingSTTModel": "models",
    "TTSModel": "models",
    "TTSSettings": "models",
    "Transcript": "models",
    "TranscriptDelta": "models",
    "TranscriptionStream": "models",
    "Turn": "result",
    "VoiceConfig": "models",
    "VoicePipeline": "pipeline",
    "VoiceResult": "result",
    "VoiceStreamEvent": "events",
    "VoiceStreamEventAudio": "events",
    "VoiceStreamEventError": "events",
    "VoiceStreamEventLifecycle": "events",
    "Word": "models",
    "Workflow": "models",
    "answering": "workflows",
    "listening": "ears",
    "speaking": "mouth",
    "splitting": "sentences",
}

__all__ = [
    "AgentWorkflow",
    "AudioInput",
    "Heard",
    "LocalSTT",
    "LocalTTS",
    "OpenAISTT",
    "OpenAITTS",
    "Opens",
    "STTModel",
    "STTSettings",
    "Segment",
    "Send",
    "SentenceEnded",
    "SentenceStarted",
    "Sentences",
    "SimpleWorkflow",
    "SpeechStarted",
    "SpeechStopped",
    "Stage",
    "StreamedAudioInput",
    "StreamingSTTModel",
    "TTSModel",
    "TTSSettings",
    "Transcript",
    "TranscriptDelta",
    "TranscriptionStream",
    "Turn",
    "VoiceConfig",
    "VoicePipeline",
    "VoiceResult",
    "VoiceStreamEvent",
    "VoiceStreamEventAudio",
    "VoiceStreamEventError",
    "VoiceStreamEventLifecycle",
    "Word",
    "Workflow",
    "answering",
    "listening",
    "speaking",
    "splitting",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
