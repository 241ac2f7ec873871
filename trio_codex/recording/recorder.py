"""The flight recorder: everything that goes into the core of a session and comes out of it, line by line, into a file.

A line is one JSON object: the first says what it is, the others are an agent, a step of the core with its time (seconds from the
beginning), the end, or how many lines were lost. The session never waits for the disk: lines are kept up to a bound, beyond which they are
lost and counted in the file; one task writes them, and a file that is cut off in the middle of a line is still read up to there.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from importlib.metadata import version
from typing import IO, Any, Final

import attrs
import orjson
import trio

from trio_codex.body import Body
from trio_codex.errors import ConfigurationError, ConnectionLost
from trio_codex.logs import get_logger
from trio_codex.protocol import Conversation
from trio_codex.recording.values import Written

__all__ = ["Recorder", "Recording", "open_recorder", "recorded"]

FORMAT: Final = 1
KEPT_BYTES: Final = 8 * 1024 * 1024
"""Lines that wait for the disk; more than a minute of a busy call, even with its audio."""
PATIENCE_S: Final = 5.0
"""How long the end of the block waits for the disk."""

_log: Final = get_logger("recording")

RunSync = Callable[[Callable[[], Any]], Awaitable[Any]]


@attrs.frozen
class Recording:
    """Where a session is recorded: `record=Recording("call.jsonl", audio=True)`; a path alone leaves the audio out.

    The file is made anew, readable by its owner alone. It holds what was said, in words, and no key. Without `audio`, sound is
    recorded as its length.
    """

    path: str | os.PathLike[str]
    audio: bool = False


class Recorder:
    """Takes lines without ever waiting; `open_recorder` makes it and writes them."""

    def __init__(self, file: IO[bytes], *, audio: bool) -> None:
        self.written: Written = Written(self._put, audio=audio)
        self._file = file
        self._lines: list[bytes] = []
        self._size = 0
        self._lost = 0
        self._arrived = trio.Event()
        self._closed = False
        self._scope = trio.CancelScope(shield=True)
        self._began = trio.current_time()
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        head = {"trio_codex": version("trio-codex"), "format": FORMAT, "at": at, "audio": audio}
        self._write(as_json(head) + b"\n")

    def put(self, **line: Any) -> None:
        """One more line, with its time."""
        self._put({"t": round(trio.current_time() - self._began, 6), **line})

    def end(self, lost: ConnectionLost | None) -> None:
        """The session is over: we ended it (None), or the connection did."""
        self.put(end=None if lost is None else {"code": lost.code, "reason": lost.reason})

    def _put(self, line: dict[str, Any]) -> None:
        text = as_json(line) + b"\n"
        if self._size and self._size + len(text) > KEPT_BYTES:
            self._lost += 1
        else:
            self._lines.append(text)
            self._size += len(text)
        self._arrived.set()

    def close(self) -> None:
        """No line comes any more, and what there is has so much time to be written."""
        self._closed = True
        self._scope.deadline = trio.current_time() + PATIENCE_S
        self._arrived.set()

    async def write(self, run_sync: RunSync) -> None:
        """Write what comes, until `close`, whoever is cancelled. A disk that fails costs the rest of the recording, not the session."""
        with self._scope:
            try:
                while self._lines or not self._closed:
                    await self._arrived.wait()
                    self._arrived = trio.Event()
                    while batch := self._take():
                        await run_sync(functools.partial(self._write, batch))
            except OSError as error:
                _log.warning("the recording ends here: %s", error)
                self._size = KEPT_BYTES  # so that nothing is kept any more

    def _take(self) -> bytes:
        if self._lost:
            self._lines.append(orjson.dumps({"lost": self._lost}) + b"\n")
        batch = b"".join(self._lines)
        self._lines, self._size, self._lost = [], 0, 0
        return batch

    def _write(self, batch: bytes) -> None:
        self._file.write(batch)
        self._file.flush()


_NOTHING: Final = nullcontext()


def open_recorder(
    record: str | os.PathLike[str] | Recording | None, run_sync: RunSync | None = None
) -> AbstractAsyncContextManager[Recorder | None]:
    """Record into a file while the block runs; None records nothing.

    What the body raises comes out as it is, after the last line is on the disk or five seconds have passed. Raises ConfigurationError
    when the file cannot be made.
    """
    if record is None:
        return _NOTHING
    return _open_recorder(record if isinstance(record, Recording) else Recording(record), run_sync or _in_thread)


@asynccontextmanager
async def _open_recorder(recording: Recording, run_sync: RunSync) -> AsyncIterator[Recorder]:
    body = Body()
    ended: BaseException | None = None
    with _created(recording) as recorder:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(recorder.write, run_sync, name="flight recorder")
                try:
                    with body:
                        yield recorder
                finally:
                    recorder.close()
        except (BaseExceptionGroup, trio.Cancelled) as error:  # noqa: ASYNC103 - raised again below
            ended = error
    if (outcome := body.outcome(ended, lambda failures: failures[0])) is not None:
        raise outcome


@contextmanager
def _created(recording: Recording) -> Iterator[Recorder]:
    try:
        file = os.fdopen(os.open(recording.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        recorder = Recorder(file, audio=recording.audio)
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"record: {str(recording.path)!r} cannot be written: {reason}") from None
    try:
        yield recorder
    finally:
        try:
            file.close()
        except OSError as error:
            _log.warning("the end of the recording is lost: %s", error)


async def _in_thread(function: Callable[[], Any]) -> Any:
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


def as_json(form: Any) -> bytes:
    """Write a form; texts that UTF-8 cannot say (lone surrogates) as escapes."""
    try:
        return orjson.dumps(form)
    except TypeError:
        return json.dumps(form).encode()


# --- the core, recorded ------------------------------------------------------------------------------------------------


def recorded(recorder: Recorder, *arguments: Any) -> Conversation:
    """Make a conversation whose every step goes into the recording."""
    recorder.put(step="new", args=recorder.written.input(arguments))
    return _Recorded(recorder, *arguments)


class _Recorded(Conversation):
    """A conversation that writes down what it is given and what it decides."""

    def __init__(self, recorder: Recorder, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.recorder = recorder


STEPS: Final = tuple(
    name for name, member in vars(Conversation).items() if inspect.isfunction(member) and not name.startswith("_")
)
"""All methods of the core that change something: its public ones. What it only tells is a property."""


def _step(name: str) -> Callable[..., Any]:
    method = getattr(Conversation, name)
    signature = inspect.signature(method)

    @functools.wraps(method)
    def step(self: _Recorded, *args: Any, **kwargs: Any) -> Any:
        recorder, written = self.recorder, self.recorder.written
        given = signature.bind(self, *args, **kwargs).arguments
        form = {argument: written.input(value) for argument, value in given.items() if argument != "self"}
        try:
            result = method(self, *args, **kwargs)
        except Exception as error:
            recorder.put(step=name, args=form, **outcome(written, error))
            raise
        recorder.put(step=name, args=form, **outcome(written, result))
        return result

    return step


for _name in STEPS:
    setattr(_Recorded, _name, _step(_name))


def outcome(written: Written, result: Any) -> dict[str, Any]:
    """What a step gave, in the form in which it is written and compared."""
    match result:
        case BaseException():
            return {"raised": type(result).__name__, "message": str(result)}
        case None:
            return {}
        case list():
            return {"out": written.effects(result)}
        case (str(gives), list(effects)):
            return {"gives": gives, "out": written.effects(effects)}
    raise TypeError(f"a step of the core gave {type(result).__name__}")
