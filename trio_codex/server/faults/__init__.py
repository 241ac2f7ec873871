"""Faults by name: what networks and services do to their clients, on demand and repeatable.

    async with open_local_server(faults=["latency:ms=200,jitter=100", "reject-update:nth=2"], seed=7) as server: ...

`FAULTS` lists them. HTTP and TCP faults work around the web server, the others around and in a session. `EventFaults` is the pure part.
"""

from trio_codex.server.faults.events import EventFaults
from trio_codex.server.faults.plan import FaultPlan, Refusal
from trio_codex.server.faults.registry import FAULTS, Fault, FaultKind, Parameter, describe_faults, parse_fault

__all__ = [
    "FAULTS",
    "EventFaults",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "Parameter",
    "Refusal",
    "describe_faults",
    "parse_fault",
]
