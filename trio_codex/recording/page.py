"""A recorded call as one page: a time line to look at and a table to read, in a single file that loads nothing.

Everything that was said or came from a tool is text of others: it is escaped, and the page forbids scripts and any loading.
"""

from __future__ import annotations

from html import escape
from typing import Final

from trio_codex.recording.reading import ReadRecording
from trio_codex.recording.timeline import Kind, Moment, Timeline

__all__ = ["page", "remarks", "summary"]

_LANES: Final[dict[Kind, int]] = {"user": 0, "agent": 1, "tool": 2}
_LANE_NAMES: Final = ("you", "agent", "tools")
_LANE_HEIGHT, _MARGIN, _WIDTH = 34, 60, 1000

_STYLE: Final = """
:root { color-scheme: light dark; --user: #2b7bb9; --agent: #2e8b57; --tool: #b8860b; }
:root { --handoff: #8a4fbf; --guardrail: #c2410c; --error: #c62828; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
dl { display: flex; flex-wrap: wrap; gap: .3rem 2rem; }
dl div { display: flex; }
dt { opacity: .65; }
dd { margin: 0 0 0 .4rem; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; margin: 1rem 0; }
svg text { font-size: 11px; fill: currentColor; opacity: .7; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #8883; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
small { opacity: .7; overflow-wrap: anywhere; }
.said { overflow-wrap: anywhere; white-space: pre-wrap; }
.user { color: var(--user); } .agent { color: var(--agent); } .tool { color: var(--tool); }
.handoff { color: var(--handoff); } .guardrail { color: var(--guardrail); } .error { color: var(--error); }
rect { fill: currentColor; } line { stroke: currentColor; stroke-width: 2; } line.tick { stroke: #8884; stroke-width: 1; }
"""


def page(recording: ReadRecording, told: Timeline) -> str:
    """Give the page as HTML."""
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in summary(recording, told)
    )
    rows = "".join(map(_row, told.moments))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A call of {escape(recording.at)}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>
<body><h1>A call of {escape(recording.at)}</h1><dl>{facts}</dl>{_picture(told)}
<table><thead><tr><th>at (s)</th><th>took (s)</th><th>who</th><th>what</th></tr></thead><tbody>{rows}</tbody></table></body></html>
"""


def summary(recording: ReadRecording, told: Timeline) -> list[tuple[str, str]]:
    """Give the figures of a call, each with its name."""
    waits = told.waits
    figures = [
        ("recorded by", f"trio_codex {recording.version}"),
        ("length", f"{told.seconds:.1f} s"),
        ("answers", str(sum(moment.kind == "agent" for moment in told.moments))),
        (
            "wait for an answer",
            f"median {waits[len(waits) // 2]:.2f} s, longest {waits[-1]:.2f} s" if waits else "none",
        ),
        ("tool calls", str(sum(moment.kind == "tool" for moment in told.moments))),
        ("interruptions", str(sum(moment.heard_s is not None for moment in told.moments))),
        ("tokens", str(told.tokens)),
    ]
    if told.lost:
        figures.append(("lines lost", str(told.lost)))
    if recording.cut_off:
        figures.append(("the file", "ends in the middle of a line"))
    return figures


def _row(moment: Moment) -> str:
    took = f"{moment.end - moment.begin:.2f}" if moment.end is not None and moment.end > moment.begin else ""
    said = f'<div class="said">{escape(moment.text)}</div>' if moment.text else ""
    more = "; ".join(remarks(moment))
    remark = f"<small>{escape(more)}</small>" if more else ""
    who = escape(moment.who or moment.kind)
    times = f'<td class="n">{moment.begin:.2f}</td><td class="n">{took}</td>'
    return f'<tr>{times}<td class="{moment.kind}">{who}</td><td>{said}{remark}</td></tr>'


def remarks(moment: Moment) -> list[str]:
    """Give what there is to say beside the words."""
    found = [moment.detail] if moment.detail else []
    if moment.waited is not None:
        found.append(f"after {moment.waited:.2f} s")
    if moment.audio_s:
        found.append(f"{moment.audio_s:.1f} s of audio")
    if moment.heard_s is not None:
        found.append(f"cut off, {moment.heard_s:.1f} s heard")
    if moment.status:
        found.append(moment.status)
    return found


def _picture(told: Timeline) -> str:
    """Lanes with a bar for what took time, and lines across for what did not."""
    scale = (_WIDTH - _MARGIN - 10) / max(told.seconds, 0.001)
    height = _LANE_HEIGHT * len(_LANE_NAMES) + 24
    names = "".join(
        f'<text x="0" y="{lane * _LANE_HEIGHT + 22}">{name}</text>' for lane, name in enumerate(_LANE_NAMES)
    )
    marks = "".join(_mark(moment, scale) for moment in told.moments)
    ticks = "".join(_tick(seconds, scale, height) for seconds in _ticks(told.seconds))
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="time line">{ticks}{names}{marks}</svg>'


def _mark(moment: Moment, scale: float) -> str:
    x = _MARGIN + moment.begin * scale
    title = f"<title>{escape(f'{moment.begin:.2f} s {moment.who}: {moment.text}'[:300])}</title>"
    if moment.kind in _LANES:
        length = max(
            (moment.end or moment.begin) - moment.begin, moment.audio_s if moment.heard_s is None else moment.heard_s
        )
        y = _LANES[moment.kind] * _LANE_HEIGHT + 6
        return f'<rect class="{moment.kind}" x="{x:.1f}" y="{y}" width="{max(length * scale, 2):.1f}" height="22" rx="3">{title}</rect>'
    if moment.kind in ("handoff", "error", "guardrail"):
        return f'<line class="{moment.kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_LANE_HEIGHT * 3}">{title}</line>'
    return ""


def _ticks(seconds: float) -> list[float]:
    step = next((step for step in (1, 2, 5, 10, 30, 60, 300, 600) if seconds / step <= 12), 3600)
    return [float(at) for at in range(0, int(seconds) + 1, step)]


def _tick(seconds: float, scale: float, height: int) -> str:
    x = _MARGIN + seconds * scale
    line = f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 18}"/>'
    return f'{line}<text x="{x:.1f}" y="{height - 5}">{seconds:g} s</text>'
