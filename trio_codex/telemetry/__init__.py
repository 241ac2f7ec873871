"""OpenTelemetry (extra `otel`): spans and metrics of sessions and voice pipelines, made by watching them from outside.

::

    telemetry = Telemetry()
    async with open_realtime_session(agent) as session, telemetry.watching(session):
        ...
    pipeline = VoicePipeline(telemetry.workflow(workflow), stt_model=telemetry.stt(OpenAISTT()), tts_model=telemetry.tts(OpenAITTS()))

Nothing that was said is in them unless `content=True`, no sound unless `audio=True`. Only OpenTelemetry's API is needed here; the
program chooses an SDK and where its data goes.
"""

from trio_codex.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
