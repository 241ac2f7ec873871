"""The embedded local server: the realtime API and what belongs to it over HTTP, with real speech; no key, no network, no language model.

    async with open_local_server() as server:
        async with open_realtime_session(agent, endpoint=server.endpoint) as session: ...

What it says comes from a `Responder`; bring your own, or take the `StandIn`, which is the default. Its speech comes from
`trio_codex.speech`, or from engines of yours that fit `SpeechToText` and `TextToSpeech`. Needs the extra `local`.
"""

from trio_codex.server.engines import Detector, SpeechToText, TextToSpeech, Utterance
from trio_codex.server.local import LocalServer, open_local_server, serve
from trio_codex.server.responder import Answer, AnswerRequest, Responder
from trio_codex.server.standin import StandIn

__all__ = [
    "Answer",
    "AnswerRequest",
    "Detector",
    "LocalServer",
    "Responder",
    "SpeechToText",
    "StandIn",
    "TextToSpeech",
    "Utterance",
    "open_local_server",
    "serve",
]
