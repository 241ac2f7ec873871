"""The default responder: it stands in for a language model, needs none, and is useful with any agent.

Deterministic and without knowledge of any particular agent: all it has are the conversation and the functions'
descriptions.
"""

from __future__ import annotations

from trio_codex.server.responder import Answer, AnswerRequest
from trio_codex.server.standin.replies import Calling, Saying, reply_to

__all__ = ["StandIn"]


class StandIn:
    """A `Responder` that calls the function that fits what was said, tells its result, and otherwise takes up the
    words."""

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        """Answer a request."""
        match reply_to(request):
            case Saying(text):
                await answer.say(text)
            case Calling(name, arguments):
                await answer.call(name, arguments)
