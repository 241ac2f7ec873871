"""Everybody in turn against one server: A B A B …, each run in a fresh process, server and client on cores of their own.

How much other programs took of the machine meanwhile is measured as well: figures from a busy machine should say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from json import loads
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.contestants import CONTESTANTS
from benchmarks.environments import ROOT
from benchmarks.run import Run
from benchmarks.scenarios import SCENARIOS, Effort, Figures

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_RUN_LIMIT_S: Final = 120.0


@dataclass(frozen=True)
class Result:
    """The figures of one run, and what share (%) of the machine others used."""

    contestant: str
    scenario: str
    repetition: int
    figures: Figures
    versions: Mapping[str, str]
    others: float

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


def contest(
    pythons: Mapping[str, Path],
    scenarios: Sequence[str],
    effort: Effort,
    repetitions: int,
    minutes: float,
    told: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run every scenario with everybody in turn, all of it `repetitions` times, but begin nothing after so many minutes.

    `pythons`: the interpreter of each contestant. A run that fails is missing in what is given.
    """
    cores = sorted(os.sched_getaffinity(0))
    client, server = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    until = time.monotonic() + 60 * minutes
    results = []
    with _certificate() as certificate, _server(server, certificate) as (plain, tls, voice, process):
        environ = os.environ | {"SSL_CERT_FILE": certificate.get("CERTIFICATE", "")}
        for repetition, key in product(range(repetitions), scenarios):
            scenario = SCENARIOS[key]
            place = f"wss://127.0.0.1:{tls}" if scenario.tls else f"ws://127.0.0.1:{plain}"
            url = f"http://127.0.0.1:{voice}/v1" if scenario.voice else f"{place}/v1/realtime?model=scripted"
            for name, python in pythons.items():
                takes_part = CONTESTANTS[name].takes_part(key, paced=scenario.paced, voice=scenario.voice)
                if takes_part and repetition < scenario.repetitions and time.monotonic() < until:
                    result = _perform(python, Run(name, key, url, client, effort), repetition, process, environ)
                    if result is not None:
                        results.append(result)
                        told(result)
    return results


@contextmanager
def _certificate() -> Iterator[dict[str, str]]:
    """A certificate of the loopback that signs itself, as the environment names it to the server."""
    with TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext"
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*command.split(), "subjectAltName=IP:127.0.0.1", *files], check=True, capture_output=True)
        yield {"CERTIFICATE": str(certificate), "KEY": str(key)}


@contextmanager
def _server(core: int | None, certificate: Mapping[str, str]) -> Iterator[tuple[int, int, int, int]]:
    """The server's ports, without and with TLS and for voice, and its process id."""
    command = [sys.executable, "-m", "benchmarks.server", *([] if core is None else [str(core)])]
    environ = os.environ | dict(certificate)
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        plain, tls, voice = map(int, process.stdout.readline().split())
        yield plain, tls, voice, process.pid
        process.communicate()


def _perform(python: Path, run: Run, repetition: int, server: int, environ: Mapping[str, str]) -> Result | None:
    before, machine = _cpu_of(server) + _cpu_of_children(), _cpu_of_machine()
    command = [str(python), "-m", "benchmarks.run", run.to_json()]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=_RUN_LIMIT_S, env=environ)
    except subprocess.SubprocessError as error:
        print(f"{run.contestant}, {run.scenario}: {error}", file=sys.stderr)
        return None
    ours = _cpu_of(server) + _cpu_of_children() - before
    busy, everything = (now - then for now, then in zip(_cpu_of_machine(), machine, strict=True))
    others = 100 * max(0.0, busy - ours) / everything
    return Result(run.contestant, run.scenario, repetition, others=others, **loads(done.stdout))


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _cpu_of_machine() -> tuple[float, float]:
    """Seconds in which the cores were busy, and all seconds."""
    ticks = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / _TICKS, sum(ticks) / _TICKS
