"""A live session: `open_realtime_session`, the verbs, the streams."""

from trio_codex.protocol import Reply
from trio_codex.session.opening import open_realtime_session
from trio_codex.session.session import Session
from trio_codex.session.streams import EventStream

__all__ = ["EventStream", "Reply", "Session", "open_realtime_session"]
