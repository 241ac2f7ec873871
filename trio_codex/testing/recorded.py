"""A recording as a scripted peer: the server says what it said, in answer to what it was told, at the times at which it said it.

::

    async with scripted(recorded_script("call.jsonl"), acknowledge=False) as peer:
        async with open_realtime_session(agent, transport=peer, api_key="sk-test") as session: ...

The session must say the same kinds of events in the same order, or the script fails, showing what came instead. Audio that was left
out of the recording is silence of the same length. Under `trio.testing.MockClock` an hour of a call takes as long as its frames.
"""

from __future__ import annotations

import os
from typing import Any

import trio

from trio_codex.recording import Line as RecordedLine, read_recording
from trio_codex.recording.redaction import restored
from trio_codex.testing.line import Line
from trio_codex.testing.scripted import Script

__all__ = ["recorded_script"]


def recorded_script(path: str | os.PathLike[str]) -> Script:
    """Make a script of a recording; it does the opening as well, so the peer is not to acknowledge by itself.

    Blocks for the file. Raises ConfigurationError for what is no recording.
    """
    lines = read_recording(path).lines

    async def script(line: Line) -> None:
        began = trio.current_time()
        for recorded in lines:
            if (said := _said(recorded)) is not None:
                await trio.sleep_until(began + (recorded.t or 0.0))
                if isinstance(said, str):
                    await line.say_frame(said)
                else:
                    await line.say(said)
            for effect in recorded.form.get("out") or ():
                if "send" in effect:
                    await line.expect(effect["send"]["type"])

    return script


def _said(recorded: RecordedLine) -> Any:
    """What the server said at this line: an event, a frame that is none, or None."""
    args = recorded.form.get("args") or {}
    match recorded.form.get("step"):
        case "receive":
            event = args["event"]
            return restored(event.get("$server") or event.get("$unknown"))
        case "bad_frame":
            return str(args["frame"])
    return None
