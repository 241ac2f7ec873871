"""The pipeline: what it is made of, and a run of it, whose lifetime is a block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import attrs
import trio

from trio_codex.body import Body
from trio_codex.callables import check_callable
from trio_codex.credentials import Endpoint, KeySource
from trio_codex.errors import ConfigurationError
from trio_codex.given import check_seconds
from trio_codex.voice.conversation import Conversation, Silence
from trio_codex.voice.ears import Listening, listening
from trio_codex.voice.inputs import AudioInput, Input
from trio_codex.voice.models import STTModel, TTSModel, VoiceConfig, Workflow
from trio_codex.voice.mouth import speaking
from trio_codex.voice.result import VoiceResult
from trio_codex.voice.sentences import splitting
from trio_codex.voice.stages import Stage
from trio_codex.voice.workflows import Answering, answering

__all__ = ["VoicePipeline"]

Function = TypeVar("Function", bound=Callable[..., Any])


class VoicePipeline:
    """Speech-to-text, a workflow, text-to-speech: `listening(…) | answering(…) | splitting() | speaking(…)`.

    ::

        pipeline = VoicePipeline(SimpleWorkflow(lambda transcript: [f"You said: {transcript}"]))
        async with pipeline.run(AudioInput.from_wav(wav)) as result:
            async for event in result: ...

    `stt_model` and `tts_model` are models, or names of models of the service, which is found by `endpoint` and `api_key` as everywhere.
    `stages` replaces all that: the first stage hears the whole input, the others are run anew for each thing it gives; the last one
    gives audio. It may be run any number of times, at the same time as well. Raises ConfigurationError for what is no workflow or model.
    """

    def __init__(
        self,
        workflow: Workflow | None = None,
        *,
        config: VoiceConfig | None = None,
        endpoint: Endpoint | None = None,
        api_key: KeySource | None = None,
        stt_model: STTModel | str | None = None,
        tts_model: TTSModel | str | None = None,
        stages: Stage[Any, Any] | None = None,
    ) -> None:
        self.config: VoiceConfig = config or VoiceConfig()
        others = (workflow, endpoint, api_key, stt_model, tts_model)
        if stages is not None and any(other is not None for other in others):
            raise ConfigurationError("give either stages or what they are made of: they replace workflow and models")
        if stages is None:
            if workflow is None:
                raise ConfigurationError("a pipeline needs a workflow, or stages")
            stages = self._stages(workflow, endpoint, api_key, stt_model, tts_model)
        if len(stages.parts) < 2:
            raise ConfigurationError(
                "a pipeline has at least two stages: one that hears, and one that makes audio of that"
            )
        self.stages: Stage[Any, Any] = stages
        self._silence: Silence | None = None

    def _stages(
        self,
        workflow: Workflow,
        endpoint: Endpoint | None,
        api_key: KeySource | None,
        stt_model: STTModel | str | None,
        tts_model: TTSModel | str | None,
    ) -> Stage[Any, Any]:
        stt, tts = self.config.stt_settings, self.config.tts_settings
        if isinstance(stt_model, str):
            stt, stt_model = attrs.evolve(stt, model=stt_model), None
        if isinstance(tts_model, str):
            tts, tts_model = attrs.evolve(tts, model=tts_model), None
        if stt_model is None or tts_model is None:
            from trio_codex.voice.openai import OpenAISTT, OpenAITTS

            if stt_model is None:
                stt_model = OpenAISTT(endpoint=endpoint, api_key=api_key)
            if tts_model is None:
                tts_model = OpenAITTS(endpoint=endpoint, api_key=api_key)
        if (at := getattr(workflow, "at", None)) is not None:
            workflow = at(endpoint, api_key)
        ears = listening(stt_model, stt)
        return ears | answering(workflow) | splitting() | speaking(tts_model, tts, prefetch=self.config.prefetch)

    def on_silence(self, *, after: float) -> Callable[[Function], Function]:
        """Say something when nobody has spoken for `after` seconds of a stream: a decorator.

        ::

            @pipeline.on_silence(after=8)
            def still_there(times: int) -> str:
                return "Are you still there?"

        The function is told how many times in a row it is asked, and `send`; it may give what the function of a SimpleWorkflow may. The
        seconds begin when an answer has been handed on or somebody has stopped speaking, and begin anew after what it says. Raises
        ConfigurationError for a pipeline without a workflow.
        """
        check_seconds(after, where="on_silence after")
        if not any(isinstance(stage, Answering) for stage in self.stages.parts):
            raise ConfigurationError("on_silence needs a pipeline with answering(workflow) among its stages")

        def register(function: Function) -> Function:
            check_callable(function, "times, send", where="on_silence")
            self._silence = Silence(function, after)
            return function

        return register

    @asynccontextmanager
    async def run(self, audio: Input) -> AsyncIterator[VoiceResult]:
        """Run the pipeline on an AudioInput (one turn), a StreamedAudioInput or any async iterable of bytes (any number of turns).

        Nothing of it runs when the block is left. What goes wrong inside is an event, not an exception; the block raises what its body
        raises, as it is, and at its beginning ConfigurationError (no key, a missing extra) and what the models' opening raises.
        """
        if not isinstance(audio, AudioInput) and not hasattr(audio, "__aiter__"):
            raise ConfigurationError(
                f"a pipeline hears an AudioInput, a StreamedAudioInput or an async iterable of bytes, not {type(audio).__name__}"
            )
        body = Body()
        ended: BaseException | None = None
        try:
            async with AsyncExitStack() as stack:
                stages = [await stack.enter_async_context(stage.open()) for stage in self.stages.parts]
                conversation = self._conversation(audio, stages)
                with conversation.result:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(conversation.run, name=f"voice pipeline {self.config.workflow_name}")
                        try:
                            with body:
                                yield conversation.result
                        finally:
                            nursery.cancel_scope.cancel()
        except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
            ended = error
        if (outcome := body.outcome(ended, _failure)) is not None:
            raise outcome

    def _conversation(self, audio: Input, stages: Sequence[Stage[Any, Any]]) -> Conversation:
        hear, *answer = stages
        streamed = not isinstance(audio, AudioInput)
        if not streamed and isinstance(hear, Listening):
            hear = hear.whole
        return Conversation(
            audio,
            hear,
            tuple(answer),
            streamed=streamed,
            barge_in=self.config.barge_in,
            silence=self._silence,
        )


def _failure(failures: Sequence[BaseException]) -> BaseException:
    """The one failure that a user should see: interrupts first, then what a model's opening or closing raised."""
    return next((failure for failure in failures if not isinstance(failure, Exception)), failures[0])
