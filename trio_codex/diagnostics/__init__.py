"""Why does it not work? A minimal probe of the service, what an error of it says about whose fault it is, and a walk from key to voice.

Beside the session, not above it: a probe goes over the bare transport with plain JSON, so what it meets is none of the session's doing.
"""

from trio_codex.diagnostics.doctor import CHECKS, Check, Examination, Skip, examine
from trio_codex.diagnostics.findings import Finding, Report
from trio_codex.diagnostics.probe import Probe, ProbeKind, format_probe_failure, probe_text_turn
from trio_codex.diagnostics.reasons import extract_session_id, skip_reason_for_error

__all__ = [
    "CHECKS",
    "Check",
    "Examination",
    "Finding",
    "Probe",
    "ProbeKind",
    "Report",
    "Skip",
    "examine",
    "extract_session_id",
    "format_probe_failure",
    "probe_text_turn",
    "skip_reason_for_error",
]
