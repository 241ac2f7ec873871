"""Who takes part: what to install, and where the `benchmarks.client.Client` is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Contestant:
    """One library. `client` is a module and a name in it; `packages` are those whose versions are reported.

    `home`: those of one home share a virtual environment. `paced`: takes part only where pacing makes a difference. `only`: the
    scenarios that it can do, if not all. `voice`: where its `benchmarks.voice.VoiceClient` is, if it has voice pipelines.
    `short`: takes part in the short variant as well.
    """

    name: str
    client: str
    home: str
    requirements: tuple[str, ...]
    packages: tuple[str, ...]
    paced: bool = False
    only: frozenset[str] = frozenset()
    voice: str | None = None
    short: bool = False

    def takes_part(self, scenario: str, *, paced: bool, voice: bool) -> bool:
        """Whether it does this scenario; `paced` and `voice` are the scenario's."""
        if voice:
            return self.voice is not None
        return (paced or not self.paced) and (not self.only or scenario in self.only)


_OURS: Final = ("-e", ".[lean]")
_OUR_PACKAGES: Final = ("trio-codex", "trio", "orjson", "pybase64", "attrs", "cattrs")

AGENTS: Final = "openai-agents"
"""Whom everybody is compared to."""

LEAN: Final = "trio_codex lean"
PACED: Final = "trio_codex lean, paced"
"""For whom something is asked."""

_SPEECH: Final = frozenset(
    f"{tls}{name}"
    for tls in ("", "tls_")
    for name in (
        "receive",
        "receive_long",
        "send",
        "send_long",
        "first_audio",
        "duplex_one",
        "duplex",
        "duplex_apart",
        "capacity",
        "memory",
        "memory_many",
    )
)
"""What a connection can do that knows of frames, and of no tools."""

CONTESTANTS: Final = {
    contestant.name: contestant
    for contestant in (
        Contestant(
            LEAN,
            "benchmarks.contestants.session:LEAN",
            "trio_codex",
            _OURS,
            (*_OUR_PACKAGES, "websockets", "httpx"),
            voice="benchmarks.contestants.pipeline:CLIENT",
            short=True,
        ),
        Contestant(
            AGENTS,
            "benchmarks.contestants.agents_session:CLIENT",
            "openai-agents",
            ("openai-agents[voice]==0.24.*",),
            ("openai-agents", "openai", "websockets", "pydantic"),
            voice="benchmarks.contestants.agents_pipeline:CLIENT",
            short=True,
        ),
        Contestant(
            PACED,
            "benchmarks.contestants.session:LEAN_PACED",
            "trio_codex",
            _OURS,
            (*_OUR_PACKAGES, "websockets"),
            paced=True,
            short=True,
        ),
        Contestant(
            "trio_codex trio-websocket",
            "benchmarks.contestants.session:TRIO_WEBSOCKET",
            "trio_codex",
            _OURS,
            (*_OUR_PACKAGES, "trio-websocket", "wsproto"),
        ),
        Contestant(
            "trio_codex trio-websocket, paced",
            "benchmarks.contestants.session:TRIO_WEBSOCKET_PACED",
            "trio_codex",
            _OURS,
            (*_OUR_PACKAGES, "trio-websocket", "wsproto"),
            paced=True,
        ),
        Contestant(
            "openai",
            "benchmarks.contestants.openai_connection:CLIENT",
            "openai",
            ("openai[realtime]>=2",),
            ("openai", "websockets", "pydantic"),
            only=_SPEECH,
        ),
        Contestant(
            "websockets on asyncio",
            "benchmarks.contestants.websockets_asyncio:CLIENT",
            "websockets",
            ("websockets>=17", "trio>=0.31", "orjson>=3.10"),
            ("websockets", "orjson"),
            short=True,
        ),
        Contestant(
            "websockets on Trio",
            "benchmarks.contestants.websockets_trio:CLIENT",
            "websockets",
            ("websockets>=17", "trio>=0.31", "orjson>=3.10"),
            ("websockets", "trio", "orjson"),
        ),
        Contestant(
            "lean transport alone",
            "benchmarks.contestants.lean_frames:CLIENT",
            "trio_codex",
            _OURS,
            ("trio-codex", "trio", "orjson", "websockets"),
        ),
        Contestant(
            "lean transport alone, paced",
            "benchmarks.contestants.lean_frames:PACED",
            "trio_codex",
            _OURS,
            ("trio-codex", "trio", "orjson", "websockets"),
            paced=True,
        ),
    )
}
