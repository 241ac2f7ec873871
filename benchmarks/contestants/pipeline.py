"""trio_codex: a voice pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from benchmarks.contestants.under_trio import UnderTrio
from benchmarks.voice import RECORDING, TOKEN_S, VoiceClient, tokens
from trio_codex import Endpoint
from trio_codex.voice import AudioInput, SimpleWorkflow, VoicePipeline, VoiceStreamEventAudio


class PipelineClient(UnderTrio):
    """Pipelines under Trio."""

    async def first_audio(self, url: str, text: str) -> None:
        """Run a pipeline until its first audio is there."""

        async def write(transcript: str) -> AsyncIterator[str]:
            for token in tokens(text):
                await trio.sleep(TOKEN_S)
                yield token

        pipeline = VoicePipeline(SimpleWorkflow(write), endpoint=Endpoint.custom(url), api_key="sk-of-nobody")
        async with pipeline.run(AudioInput(RECORDING)) as result:
            async for event in result:
                if isinstance(event, VoiceStreamEventAudio):
                    return


CLIENT: VoiceClient = PipelineClient()
