"""The testing kit: scripted peers, a simulated server and somebody who calls it, a conformance suite for transports.

`scripted_session` is where to begin when a test cares for every event, `simulated_call` when it cares for what is said.
`trio_codex.testing.strategies` (Hypothesis), `.voices` and `.engines` (speech for a server), `.voice` (models and a workflow for a
pipeline) and `.threads` (the local server for tests that know nothing of Trio) are modules of their own. Everything in memory works
under `trio.testing.MockClock`.
"""

from trio_codex.testing.answering import Call, answer
from trio_codex.testing.availability import skip_if_unavailable
from trio_codex.testing.conformance import check_transport
from trio_codex.testing.line import Line, ScriptFailed
from trio_codex.testing.recorded import recorded_script
from trio_codex.testing.scripted import ScriptedPeer, scripted, scripted_session
from trio_codex.testing.simulated import Caller, SimulatedServer, simulated, simulated_call
from trio_codex.testing.sockets import ScriptedServer, scripted_server
from trio_codex.testing.steps import Steps
from trio_codex.tool_running import run_inline

__all__ = [
    "Call",
    "Caller",
    "Line",
    "ScriptFailed",
    "ScriptedPeer",
    "ScriptedServer",
    "SimulatedServer",
    "Steps",
    "answer",
    "check_transport",
    "recorded_script",
    "run_inline",
    "scripted",
    "scripted_server",
    "scripted_session",
    "simulated",
    "simulated_call",
    "skip_if_unavailable",
]
