"""The flight recorder: a session writes what its core is given and what it decides; later, the core can be run over it again.

`record="call.jsonl"` of `open_realtime_session` records, `read_recording` reads, `replay` compares with today's code, `timeline` tells what
happened. The commands `trio-codex replay` and `trio-codex inspect` show both.
"""

from trio_codex.recording.page import page, remarks, summary
from trio_codex.recording.reading import Line, ReadRecording, read_recording
from trio_codex.recording.recorder import Recorder, Recording, open_recorder, recorded
from trio_codex.recording.replaying import Difference, Replay, replay
from trio_codex.recording.timeline import Moment, Timeline, timeline

__all__ = [
    "Difference",
    "Line",
    "Moment",
    "ReadRecording",
    "Recorder",
    "Recording",
    "Replay",
    "Timeline",
    "open_recorder",
    "page",
    "read_recording",
    "recorded",
    "remarks",
    "replay",
    "summary",
    "timeline",
]
