"""`trio-codex doctor`: whatever keeps a newcomer from talking, the same command says the right sentence."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import pty
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme

from trio_codex import Endpoint
from trio_codex.diagnostics import CHECKS, Check, Examination, Finding, Report, Skip, examine
from trio_codex.diagnostics.doctor import _clock
from trio_codex.errors import ConfigurationError
from trio_codex.server import LocalServer, open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

from .conftest import ProxyProcess, issued

KEY = "sk-proj-a-key-nobody-may-see-0123456789"
WRONG = "sk-proj-another-key-9876543210"

Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Set variables; keys of the machine that the tests run on are out of reach."""
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))

    def set_them(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_them


@asynccontextmanager
async def service(*faults: str) -> AsyncIterator[LocalServer]:
    async with open_local_server(api_key=KEY, faults=faults, stt=ScriptedSTT(), tts=ToneTTS()) as server:
        yield server


@asynccontextmanager
async def behind_tls(server: LocalServer, certificate: trustme.LeafCert, date: bytes = b"") -> AsyncIterator[int]:
    """The same service over TLS, where it is that date; gives the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    port = int(server.http_url.split("/")[2].rpartition(":")[2])

    async def handle(tcp: trio.SocketStream) -> None:
        near = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        try:
            await near.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError):
            return
        async with await trio.open_tcp_stream("127.0.0.1", port) as far, trio.open_nursery() as nursery:
            nursery.start_soon(pump, near, far, nursery.cancel_scope)
            nursery.start_soon(pump, far, near, nursery.cancel_scope, date)

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def pump(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope, date: bytes = b"") -> None:
    try:
        while data := await source.receive_some():
            await sink.send_all(re.sub(rb"(?i)\r\ndate: [^\r]*", b"\r\ndate: " + date, data) if date else data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel()


@attrs.frozen
class Said:
    status: int
    out: str

    @property
    def first_failure(self) -> str:
        lines = [line for line in self.out.splitlines() if line.startswith("FAILED")]
        return lines[0] if lines else ""

    @property
    def advice(self) -> str:
        return self.out.partition("Look at this first: ")[2]


Doctor = Callable[..., Any]


async def as_a_process(*arguments: str) -> Said:
    """What `trio-codex doctor` says in this environment."""
    command = [sys.executable, "-m", "trio_codex", "doctor", *arguments]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.stderr == b""
    return Said(done.returncode, done.stdout.decode())


@pytest.fixture
def ask() -> Doctor:
    """Runs the command for people and, at the same time, for machines: both say the same. Gives what people see."""

    async def run(*arguments: str) -> Said:
        said: dict[str, Said] = {}

        async def note(form: str, *options: str) -> None:
            said[form] = await as_a_process(*arguments, *options)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, "text")
            nursery.start_soon(note, "json", "--json")
        check_that_it_is_the_same(said["text"], said["json"])
        return said["text"]

    return run


def check_that_it_is_the_same(text: Said, machine: Said) -> None:
    facts = json.loads(machine.out)
    assert text.status == machine.status == (0 if facts["ok"] else 1)
    failed = [each for each in facts["checks"] if each["outcome"] == "failed"]
    lines = text.out.splitlines()
    assert [line.split()[0].lower() for line in lines[: len(facts["checks"])]] == [
        each["outcome"] for each in facts["checks"]
    ]
    if failed:
        told = f"Look at this first: {failed[0]['check']}. {failed[0]['advice'] or failed[0]['what']}"
        assert without_times(told) == without_times(lines[-1])


def without_times(text: str) -> str:
    return re.sub(r"\d", "0", text)


async def test_no_key(ask: Doctor, environment: Environment) -> None:
    environment(HTTPS_PROXY="http://127.0.0.1:1")  # nothing of this test leaves the machine
    said = await ask()
    assert said.status == 1
    assert "no API key found" in said.first_failure
    assert "set OPENAI_API_KEY or CODEX_API_KEY" in said.advice


@pytest.mark.parametrize(
    ("fault", "check", "sentence", "advice"),
    [
        ("", "models", "Incorrect API key provided", "give a valid API key"),
        ("expired-key", "models", "", "this key has expired"),
        ("rate-limited:retry_after=61", "models", "", "more slowly; the service wants to be left alone for 61 s"),
        ("insufficient-quota", "models", "", "the account has no quota left"),
        (
            "model-not-found:on=realtime",
            "realtime",
            "HTTP status 404 (model_not_found)",
            "name a model that this key may use",
        ),
        ("refused-session", "realtime", "", "name a model that this key may use"),
        ("server-error:on=realtime", "realtime", "HTTP status 500 (server_error)", "the service itself failed"),
        ("error-event", "realtime", "", "the service itself failed"),
        ("failed-response:code=insufficient_quota", "realtime", "", "the account has no quota left"),
        (
            "drop-before-upgrade:on=realtime",
            "realtime",
            "hung up during the websocket handshake",
            "may let no websockets",
        ),
    ],
)
async def test_what_the_service_refuses(
    fault: str,
    check: str,
    sentence: str,
    advice: str,
    ask: Doctor,
    environment: Environment,
) -> None:
    async with service(*([fault] if fault else [])) as server:
        environment(OPENAI_BASE_URL=server.http_url, OPENAI_API_KEY=KEY if fault else WRONG)
        said = await ask()
    assert said.status == 1
    assert said.first_failure.split()[1] == check
    assert sentence in said.first_failure
    assert advice in said.advice
    if not fault:
        assert said.out.count("the key was refused (invalid_api_key)") == 3


async def test_a_stored_key_that_is_not_usable_is_told_of(
    ask: Doctor, environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "auth.json").write_text("[]")
    environment(OPENAI_BASE_URL="https://127.0.0.1:1/v1", OPENAI_API_KEY=KEY)
    said = await ask()
    assert f"from OPENAI_API_KEY; not usable: {tmp_path}/auth.json (not a JSON object)\n" in said.out


async def test_nobody_there(ask: Doctor, environment: Environment) -> None:
    environment(OPENAI_BASE_URL="https://127.0.0.1:1/v1", OPENAI_API_KEY=KEY)
    said = await ask()
    assert said.first_failure.split()[1] == "tcp"
    assert "check that it runs" in said.advice


async def test_a_proxy_that_is_not_there(ask: Doctor, environment: Environment) -> None:
    environment(HTTPS_PROXY="http://127.0.0.1:1", OPENAI_API_KEY=KEY)
    said = await ask()
    assert said.first_failure.split()[1] == "tcp"
    assert "cannot reach" in said.first_failure
    assert "HTTPS_PROXY" in said.advice


async def test_no_network(ask: Doctor, environment: Environment) -> None:
    environment(OPENAI_BASE_URL="https://nobody.invalid/v1", OPENAI_API_KEY=KEY)
    said = await ask()
    assert said.first_failure.split()[1] == "dns"
    assert "nobody knows the name nobody.invalid" in said.first_failure
    assert "is there a network, and a name server?" in said.advice


@pytest.mark.parametrize(
    ("days", "name", "trusted", "sentence", "advice"),
    [
        ((-1, 1), "127.0.0.1", False, "checked against the roots of the system", "CODEX_CA_CERTIFICATE"),
        ((1, 2), "127.0.0.1", True, "not yet valid", "the clock of this machine says 20"),
        ((-2, -1), "127.0.0.1", True, "has expired", "the clock of this machine says 20"),
        ((-1, 1), "other.test", True, "mismatch", "for another host"),
    ],
)
async def test_certificates(
    days: tuple[float, float],
    name: str,
    trusted: bool,
    sentence: str,
    advice: str,
    ask: Doctor,
    environment: Environment,
    authority: trustme.CA,
    bundle: Path,
) -> None:
    async with service() as server, behind_tls(server, issued(authority, name, days=days)) as port:
        environment(OPENAI_BASE_URL=f"https://127.0.0.1:{port}/v1", OPENAI_API_KEY=KEY)
        if not trusted:
            environment(CODEX_CA_CERTIFICATE=" ")
        said = await ask()
    assert said.first_failure.split()[1] == "tls"
    assert sentence in said.first_failure
    assert advice in said.advice


async def test_a_wrong_clock_that_certificates_do_not_mind(
    ask: Doctor, environment: Environment, authority: trustme.CA, bundle: Path
) -> None:
    there = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    certificate = issued(authority, "127.0.0.1")
    async with service() as server, behind_tls(server, certificate, there.encode()) as port:
        environment(OPENAI_BASE_URL=f"https://127.0.0.1:{port}/v1", OPENAI_API_KEY=KEY)
        said = await ask()
    [line] = [line for line in said.out.splitlines() if " models " in line]
    assert re.search(r"the clock of this machine is (119|120) minutes behind: set it right", line)


async def test_a_bad_bundle(ask: Doctor, environment: Environment, tmp_path: Path) -> None:
    environment(OPENAI_BASE_URL="https://127.0.0.1:1/v1", OPENAI_API_KEY=KEY, SSL_CERT_FILE=str(tmp_path / "gone.pem"))
    said = await ask()
    assert said.first_failure.split()[1] == "ca"
    assert "gone.pem, which cannot be read" in said.first_failure


async def test_a_proxy_that_wants_credentials(
    ask: Doctor, environment: Environment, guarded_proxy: ProxyProcess
) -> None:
    environment(
        OPENAI_BASE_URL="https://api.test/v1",
        OPENAI_API_KEY=KEY,
        HTTPS_PROXY=f"http://somebody:{WRONG}@{guarded_proxy.place}",
    )
    said = await ask()
    assert said.first_failure.split()[1] == "tls"
    assert (
        f"the proxy {guarded_proxy.place} (HTTPS_PROXY) does not lead to api.test:443: HTTP status 407"
        in said.first_failure
    )
    assert "give its user name and password in HTTPS_PROXY" in said.advice


async def test_bad_settings(ask: Doctor, environment: Environment) -> None:
    environment(OPENAI_BASE_URL="localhost:8765")
    assert "OPENAI_BASE_URL must be a URL" in (await ask()).first_failure
    environment(OPENAI_BASE_URL="https://api.test/v1", ALL_PROXY="what://is.this")
    assert "ALL_PROXY must be the URL of a proxy" in (await ask()).first_failure
    environment(OPENAI_BASE_URL="http://api.test/v1", OPENAI_API_KEY=KEY, ALL_PROXY="http://127.0.0.1:1")
    assert "unencrypted" in (await ask()).first_failure


async def test_all_is_well_behind_a_proxy_and_a_private_authority(
    ask: Doctor, environment: Environment, proxy: ProxyProcess, authority: trustme.CA, bundle: Path
) -> None:
    async with service() as server, behind_tls(server, issued(authority, "api.test")) as port:
        environment(
            OPENAI_BASE_URL=f"https://api.test:{port}/v1", OPENAI_API_KEY=KEY, ALL_PROXY=f"http://{proxy.place}"
        )
        said = await ask()
        report = await as_a_process("--report")
        facts = json.loads((await as_a_process("--json")).out)
    assert (said.status, said.first_failure) == (0, "")
    assert "Everything that was looked at works." in said.out
    assert f"through the proxy {proxy.place} (ALL_PROXY)" in said.out
    assert facts["ok"] is True
    outcomes = {each["check"]: each["outcome"] for each in facts["checks"]}
    assert set(outcomes) - {"sound device"} == {
        "environment", "key", "ca", "dns", "tcp", "tls", "models", "realtime", "speech-to-text", "text-to-speech"
    }  # fmt: skip
    assert {outcome for name, outcome in outcomes.items() if name != "sound device"} == {"ok"}
    assert "https://<host>:" in report.out
    assert "api.test" not in report.out
    assert f"{Path.home()}/" not in report.out
    assert f"/{getpass.getuser()}/" not in report.out


def test_a_terminal_sees_colours(environment: Environment) -> None:
    environment(HTTPS_PROXY="http://127.0.0.1:1", TERM="xterm")
    shown, terminal = pty.openpty()
    try:
        command = [sys.executable, "-m", "trio_codex", "doctor"]
        done = subprocess.run(command, stdout=terminal, timeout=60, check=False)
        said = os.read(shown, 65536).decode()
    finally:
        os.close(shown)
        os.close(terminal)
    assert done.returncode == 1
    assert "\x1b[32mok      \x1b[0menvironment" in said
    assert "\x1b[31mFAILED  \x1b[0mkey" in said


async def test_locally(ask: Doctor, environment: Environment) -> None:
    environment(HTTPS_PROXY="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1")
    said = await ask("--local")
    assert (said.status, said.first_failure) == (0, "")


# --- the examination itself ---


async def found(outcome: str) -> Any:
    async def look(about: Examination) -> str:
        about.details["seen"] = outcome
        if outcome == "skip":
            raise Skip("there is nothing")
        if outcome == "fail":
            raise ConfigurationError("it is wrong", advice="mend it")
        if outcome == "slow":
            await trio.sleep(60)
        if outcome == "defect":
            raise KeyError("oh")
        return "it is there"

    checks = [Check("first", (), 5, look), Check("second", ("first",), 5, fine), Check("third", ("second",), 5, fine)]
    heard: list[str] = []
    report = await examine(checks=checks, tell=lambda finding: heard.append(finding.check))
    assert heard == ["first", "second", "third"]
    return report


async def fine(about: Examination) -> str:
    return "fine"


@pytest.mark.parametrize(
    ("outcome", "outcomes", "what"),
    [
        ("ok", ["ok", "ok", "ok"], "it is there"),
        ("skip", ["skipped", "ok", "ok"], "there is nothing"),
        ("fail", ["failed", "skipped", "skipped"], "it is wrong"),
        ("slow", ["failed", "skipped", "skipped"], "it took more than 5 s"),
        ("defect", ["failed", "skipped", "skipped"], "a defect of trio_codex: KeyError"),
    ],
)
async def test_what_a_check_may_come_to(outcome: str, outcomes: list[str], what: str, autojump_clock: Any) -> None:
    report = await found(outcome)
    assert [each.outcome for each in report.findings] == outcomes
    assert what in report["first"].what
    assert report.ok is (outcome in ("ok", "skip"))
    assert (report.cause is None) is report.ok
    assert report["first"].details["seen"] == outcome
    assert "needs" not in report.redacted()


def test_a_report_for_others_names_nobody() -> None:
    told = (
        "https://voice.corp.example:8443 is 10.1.2.3, fd00::17 at 12:30:45; proxy 10.1.2.4:3128 (127.0.0.1:99); 3.11.7"
    )
    text = Report(
        (Finding("dns", "ok", f"{told}; {Path.home()}/roots.pem; my-voice.openai.azure.com"),), ("voice.corp.example",)
    )
    said = text.redacted()
    assert (
        "https://<host>:8443 is <address>, <address> at 12:30:45; proxy <address>:3128 (127.0.0.1:99); 3.11.7" in said
    )
    assert "~/roots.pem; <resource>.openai.azure.com" in said


async def test_a_callable_that_gives_no_key() -> None:
    def ask() -> str:
        raise LookupError(KEY)

    checks = [check for check in CHECKS if check.name in ("environment", "key")]
    report = await examine(Endpoint.openai(), ask, checks=checks)
    assert report["key"].what == "whoever was asked for the key raised LookupError"


async def test_an_examination_may_be_cancelled() -> None:
    async with AsyncExitStack():
        with trio.move_on_after(0.01) as limit:
            await found("slow")
    assert limit.cancelled_caught


def test_a_wrong_clock() -> None:
    assert "minutes ahead: set it right" in _clock("Thu, 01 Jan 2015 00:00:00 GMT")
    assert "minutes behind: set it right" in _clock("Thu, 01 Jan 2099 00:00:00 GMT")
    assert _clock(None) == _clock("yesterday") == ""
