"""The models of OpenAI, and of every service that speaks the same API: ears, mouth, and agents that write.

`OpenAISTT` hears recordings (`/audio/transcriptions`) and streams (a realtime transcription session), `OpenAITTS` speaks
(`/audio/speech`), `AgentWorkflow` runs an Agent on `/responses`. Each may be used by itself; for the length of a run they are opened
once, so that their connections are kept. What a service refuses, or does not finish, is a VoiceError.
"""

from trio_codex.voice.openai.agent_workflow import AgentWorkflow
from trio_codex.voice.openai.speech import OpenAITTS
from trio_codex.voice.openai.transcription import OpenAISTT

__all__ = ["AgentWorkflow", "OpenAISTT", "OpenAITTS"]
