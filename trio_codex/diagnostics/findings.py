"""What an examination found: one finding for each check, and the report that is made of them.

Findings are facts and sentences, ready to be shown; they hold no key. A report for others holds, beyond that, nothing of this machine's
user, folders or private hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

__all__ = ["Finding", "Outcome", "Report"]

Outcome = Literal["ok", "failed", "skipped"]

_PUBLIC: Final = ("api.openai.com",)
_AZURE: Final = re.compile(r"\b[a-z0-9-]+\.openai\.azure\.com\b", re.IGNORECASE)


@attrs.frozen
class Finding:
    """What one check found: `what` is the reason or the facts, `advice` what to do, `details` more for machines (codes, ids)."""

    check: str
    outcome: Outcome
    what: str
    advice: str = ""
    seconds: float = 0.0
    details: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Report:
    """All findings of one examination, in order."""

    findings: tuple[Finding, ...]
    hosts: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Names that are nobody else's business."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(finding.outcome == "failed" for finding in self.findings)

    @property
    def cause(self) -> Finding | None:
        """The first failure, which the others may well come from."""
        return next((finding for finding in self.findings if finding.outcome == "failed"), None)

    def __getitem__(self, check: str) -> Finding:
        return next(finding for finding in self.findings if finding.check == check)

    def redacted(self) -> str:
        """The report as a text to paste in public: without home folders, user names, private hosts and addresses."""
        lines = [f"- {each.outcome.upper()} {each.check} ({each.seconds:.2f} s): {each.what}" for each in self.findings]
        told = [(each.check, name, value) for each in self.findings for name, value in each.details.items()]
        lines += [f"- {check}: {name} = {value}" for check, name, value in told if name != "needs"]
        text = "\n".join(["### trio-codex doctor", "", *lines])
        for host in self.hosts:
            text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "<host>", text)
        home = str(Path.home())
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text
        text = _AZURE.sub("<resource>.openai.azure.com", text)
        return re.sub(r"[0-9a-fA-F:.]{3,}", lambda found: _hidden_address(found[0]), text)


def _hidden_address(text: str) -> str:
    """Hide an IP address, unless it is this machine's to itself; anything else (versions, times) stays."""
    bare = text.rstrip(".:")
    address, colon, port = bare.rpartition(":") if bare.count(":") == 1 else (bare, "", "")
    try:
        return text if ipaddress.ip_address(address).is_loopback else f"<address>{colon}{port}{text[len(bare) :]}"
    except ValueError:
        return text


def private_hosts(*urls: str) -> tuple[str, ...]:
    """The hosts of these URLs that the public does not know anyway."""
    hosts = (urlsplit(url).hostname or "" for url in urls)
    return tuple(host for host in dict.fromkeys(hosts) if host and host not in _PUBLIC and not _AZURE.fullmatch(host))
