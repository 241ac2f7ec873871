"""The testing kit: scripted peers in memory and over a socket, a conformance suite for transports, steps of the scheduler.

`scripted` and `scripted_session` are where to begin. `trio_codex.testing.strategies` (Hypothesis) and `.engines` (speech) are modules
of their own. Everything in memory works under `trio.testing.MockClock`.
"""

from trio_codex.testing.answering import Call, answer
from trio_codex.testing.conformance import check_transport
from trio_codex.testing.line import Line, ScriptFailed
from trio_codex.testing.scripted import ScriptedPeer, run_inline, scripted, scripted_session
from trio_codex.testing.sockets import ScriptedServer, scripted_server
from trio_codex.testing.steps import Steps

__all__ = [
    "Call",
    "Line",
    "ScriptFailed",
    "ScriptedPeer",
    "ScriptedServer",
    "Steps",
    "answer",
    "check_transport",
    "run_inline",
    "scripted",
    "scripted_server",
    "scripted_session",
]
