"""openai-agents: a voice pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy
from agents import set_tracing_disabled
from agents.voice import AudioInput, OpenAIVoiceModelProvider, VoicePipeline, VoicePipelineConfig, VoiceWorkflowBase

from benchmarks.contestants.under_asyncio import UnderAsyncio
from benchmarks.voice import RECORDING, TOKEN_S, VoiceClient, tokens

set_tracing_disabled(True)


class Workflow(VoiceWorkflowBase):  # type: ignore[misc, unused-ignore] # where agents is not installed
    """Writes a text, as a model would."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def run(self, transcription: str) -> AsyncIterator[str]:
        """Write."""
        for token in tokens(self._text):
            await asyncio.sleep(TOKEN_S)
            yield token


class PipelineClient(UnderAsyncio):
    """Pipelines under asyncio."""

    async def first_audio(self, url: str, text: str) -> None:
        """Run a pipeline until its first audio is there; the rest of it is run to its end, for it cannot be left."""
        provider = OpenAIVoiceModelProvider(api_key="sk-of-nobody", base_url=url)
        pipeline = VoicePipeline(workflow=Workflow(text), config=VoicePipelineConfig(model_provider=provider))
        result = await pipeline.run(AudioInput(buffer=numpy.frombuffer(RECORDING, dtype=numpy.int16)))
        async for event in result.stream():
            if event.type == "voice_stream_event_audio" and event.data is not None and len(event.data):
                return


CLIENT: VoiceClient = PipelineClient()
