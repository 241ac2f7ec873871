"""No key is ever seen: everything that the suite prints, logs, raises, records and traces is searched for every key that it uses.

A plugin that `conftest` loads, so that every test is a test of this as well. Keys are learnt where they pass: whatever becomes a `Secret`,
whatever goes into headers and queries that may hold one, and what the environment names as one. What is shown is heard where it leaves:

- printed: the captured output, what a test reads of it with `capsys`, and all that child processes say to a test;
- logged: every record of every logger, and of frames what would be logged of them;
- raised: the library's errors when they are made, and every exception that `pytest.raises` catches, with its causes and notes;
- recorded: what is written into recordings, and pages that are made of them;
- traced: every span that ends, with its events, and the attributes of every measurement.

A key that is so short that it would be found everywhere fails its test: a longer one is as good.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import trio

from trio_codex import errors
from trio_codex.endpoints import Endpoint
from trio_codex.recording.recorder import Recorder
from trio_codex.recording.redaction import HIDDEN
from trio_codex.secret import Secret, secrets_in
from trio_codex.session import opening
from trio_codex.transport import wiretap

LEAST = 7
"""Shorter ones are words that may stand anywhere; `sk-test` is long enough."""
KEPT = 64 << 20
"""Characters of a test that are kept until its end; what is beyond is searched for the keys that are known by then."""
KEY_VARIABLE = re.compile(r"(API_KEY|TOKEN|SECRET)$")


class Watch:
    """What one test has used and shown."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.short = False
        self.shown: list[tuple[str, str]] = []
        self.found: list[str] = []
        self.kept = 0

    def learn(self, *texts: str) -> None:
        self.secrets.update(text for text in texts if len(text) >= LEAST)
        self.short = self.short or any(0 < len(text.strip()) < LEAST for text in texts if text != HIDDEN)

    def hear(self, where: str, text: str) -> None:
        self.shown.append((where, text))
        self.kept += len(text)
        if self.kept > KEPT:
            self.found += self.leaks()
            self.shown, self.kept = [], 0

    def leaks(self) -> list[str]:
        """Where a key was shown; the key itself is not repeated."""
        whole = "\0".join(text for _, text in self.shown)
        seen = sorted((key for key in self.secrets if key in whole), key=len, reverse=True)
        if not seen:
            return self.found
        pattern = re.compile("|".join(map(re.escape, seen)))
        return self.found + [
            f"{where}: {pattern.sub('<KEY>', text)[:500]}" for where, text in self.shown if pattern.search(text)
        ]


watch = Watch()


def after(owner: Any, name: str, heard: Callable[..., object]) -> None:
    """Have `heard` called with the arguments and the result of every call of a method."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        heard(self, result, *args, **kwargs)
        return result

    setattr(owner, name, method)


def pytest_configure() -> None:
    after(Secret, "__init__", lambda secret, *_: watch.learn(secret.reveal()))
    after(Endpoint, "headers", lambda _, headers, *__: watch.learn(*keys_in(headers)))
    after(Endpoint, "url", lambda _, url, *__: learn_query(url))
    after(Endpoint, "realtime_url", lambda _, url, *__, **___: learn_query(url))
    after(pytest.MonkeyPatch, "setenv", lambda _, __, name, value, *___: learn_variables({name: str(value)}))
    listen_to_output()
    listen_to_loggers()
    listen_to_errors()
    after(Recorder, "_write", lambda _, __, batch: watch.hear("recorded", batch.decode(errors="replace")))
    with suppress(ImportError):
        listen_to_telemetry()


# --- keys --------------------------------------------------------------------------------------------------------------


def keys_in(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [text for text in secrets_in(pairs) if not text.startswith("org-")]


def learn_query(url: str) -> None:
    watch.learn(*secrets_in(parse_qsl(urlsplit(url).query)))


def learn_variables(environ: Mapping[str, str]) -> None:
    watch.learn(*(text.strip() for name, text in environ.items() if KEY_VARIABLE.search(name)))


# --- printed -----------------------------------------------------------------------------------------------------------


def listen_to_output() -> None:
    after(pytest.CaptureFixture, "readouterr", lambda _, said: watch.hear("printed", f"{said.out}{said.err}"))
    after(subprocess.Popen, "__init__", started)
    after(subprocess.Popen, "communicate", lambda _, said, *__, **___: hear_process(f"{said!r}"))
    listen_to_trio_processes(vars(trio._subprocess))  # type: ignore[attr-defined]


def listen_to_trio_processes(module: dict[str, Any]) -> None:
    """Those of `run_process`; what the speech engines say to us is sound."""
    original = module["_open_process"]

    async def open_process(*args: Any, **kwargs: Any) -> trio.Process:
        process: trio.Process = await original(*args, **kwargs)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                overhear(stream, "receive_some", hear_process)
        return process

    module["_open_process"] = open_process


def hear_process(said: object) -> None:
    watch.hear("said by a process", said.decode(errors="replace") if isinstance(said, bytes | bytearray) else str(said))


def started(process: Any, _: None, *args: Any, env: Mapping[str, str] | None = None, **kwargs: Any) -> None:
    learn_variables(os.environ if env is None else env)
    for name in ("stdout", "stderr"):
        if (pipe := getattr(process, name)) is not None:
            setattr(process, name, Overheard(pipe))


class Overheard:
    """A pipe whose reader is heard."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._pipe, name)
        if not name.startswith("read"):
            return method

        def read(*args: Any) -> Any:
            said = method(*args)
            hear_process(said)
            return said

        return read

    def __iter__(self) -> Iterator[Any]:
        for line in self._pipe:
            hear_process(line)
            yield line

    def __enter__(self) -> Overheard:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()


def overhear(owner: Any, name: str, heard: Callable[[Any], object]) -> None:
    """Hear what an async method of one object gives."""
    original = getattr(owner, name)

    async def method(*args: Any) -> Any:
        given = await original(*args)
        heard(given)
        return given

    setattr(owner, name, method)


# --- logged ------------------------------------------------------------------------------------------------------------


class Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        watch.hear(f"logged by {record.name}", self.format(record))


def listen_to_loggers() -> None:
    listener = Listener()
    listener.setFormatter(logging.Formatter("%(message)s"))
    root, ours = logging.getLogger(), logging.getLogger("trio_codex")
    root.addHandler(listener)
    for logger in (root, ours):
        logger.setLevel(logging.DEBUG)
    # Logged, they would be a sixth of a session's time, and no session would talk to its transport directly.
    logging.getLogger("trio_codex.frames").setLevel(logging.INFO)
    tapped = opening.tapped
    opening.tapped = lambda transport: tapped(with_frames_heard(transport))


def with_frames_heard(transport: Any) -> Any:
    """A transport of whose frames is heard what would be logged, if there is a key in them."""
    for name in ("receive", "receive_many"):
        if hasattr(transport, name):
            overhear(transport, name, hear_frames)
    for name in ("send", "send_many", "send_nowait"):
        if original := getattr(transport, name, None):
            setattr(transport, name, functools.partial(heard_first, original))
    return transport


def heard_first(send: Callable[[Any], Any], frames: Any) -> Any:
    hear_frames(frames)
    return send(frames)


def hear_frames(frames: str | bytes | Sequence[str | bytes]) -> None:
    for frame in [frames] if isinstance(frames, str | bytes) else frames:
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        if any(key in text for key in watch.secrets):
            watch.hear("a frame, as it would be logged", wiretap._shown(frame))


# --- raised ------------------------------------------------------------------------------------------------------------


def listen_to_errors() -> None:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and (kind is errors.TrioCodexError or "__init__" in vars(kind)):
            after(
                kind, "__init__", lambda error, *_, **__: watch.hear(f"raised, {type(error).__name__}", told_by(error))
            )
    for catcher in (pytest.RaisesExc, pytest.RaisesGroup):
        after(catcher, "__exit__", lambda _, __, ___, error, ____: hear_error(error))


def hear_error(error: BaseException | None) -> None:
    for each in chain(error, set()):
        watch.hear(f"raised, {type(each).__name__}", told_by(each))


def chain(error: BaseException | None, met: set[int]) -> Iterator[BaseException]:
    """An exception and all that a traceback of it shows."""
    if error is None or id(error) in met:
        return
    met.add(id(error))
    yield error
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        yield from chain(other, met)


def told_by(error: BaseException) -> str:
    return f"{error!s} {error!r} {vars(error)!r}"


# --- traced ------------------------------------------------------------------------------------------------------------


def listen_to_telemetry() -> None:
    from opentelemetry.sdk.metrics import Counter, Histogram, UpDownCounter
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

    class Hearing(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            watch.hear("traced", span.to_json())

    after(TracerProvider, "__init__", lambda provider, *_, **__: provider.add_span_processor(Hearing()))
    for kind, name in ((Counter, "add"), (UpDownCounter, "add"), (Histogram, "record")):
        after(kind, name, lambda instrument, _, *given, **named: hear_measured(instrument, given, named))


def hear_measured(instrument: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    watch.hear("measured", f"{instrument.name} {given!r} {named!r}")


# --- the judge ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_key_is_seen(request: pytest.FixtureRequest) -> Generator[Watch]:
    """Learns and hears for one test; `pytest_runtest_makereport` judges."""
    watch.__init__()  # type: ignore[misc]
    yield watch
    folder = request.node.funcargs.get("tmp_path")
    for path in folder.rglob("*") if isinstance(folder, Path) else ():
        if path.suffix in (".jsonl", ".html") and path.is_file():
            watch.hear(f"recorded in {path.name}", path.read_text(encoding="utf-8", errors="replace"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "teardown" and report.passed and not item.get_closest_marker("shows_keys"):
        for where, text in (("the name of the test", item.nodeid), *report.sections):
            watch.hear(where, text)
        if leaks := watch.leaks():
            report.outcome = "failed"
            report.longrepr = "a key was shown\n" + "\n".join(leaks)
        elif watch.short:
            report.outcome = "failed"
            report.longrepr = f"a key has less than {LEAST} characters, so that nobody can look for it"
    return report
