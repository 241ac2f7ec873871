"""Servers with certificates of a private authority, and proxies as processes of their own."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trustme

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@attrs.frozen
class ProxyProcess:
    port: int
    process: subprocess.Popen[str]

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def asked(self) -> str:
        """The next request that the proxy has had."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@contextmanager
def running(*credentials: str) -> Iterator[ProxyProcess]:
    script = Path(__file__).with_name("proxy_process.py")
    with subprocess.Popen([sys.executable, str(script), *credentials], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield ProxyProcess(int(process.stdout.readline()), process)
        finally:
            process.kill()


@pytest.fixture
def proxy() -> Iterator[ProxyProcess]:
    with running() as process:
        yield process


@pytest.fixture
def guarded_proxy() -> Iterator[ProxyProcess]:
    """A proxy that lets only `somebody` with the password `hunter2-@:/` in."""
    with running("somebody:hunter2-@:/") as process:
        yield process


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *map(str.lower, VARIABLES), "SSL_CERT_FILE", "CODEX_CA_CERTIFICATE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's certificate, named by CODEX_CA_CERTIFICATE."""
    path = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("CODEX_CA_CERTIFICATE", str(path))
    return path


def issued(authority: trustme.CA, name: str, *, days: tuple[float, float] = (-1, 1)) -> trustme.LeafCert:
    """A certificate that is valid from and until so many days from now."""
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + datetime.timedelta(days=count) for count in days)
    return authority.issue_cert(name, not_before=begin, not_after=end, key_type=trustme.KeyType.ECDSA)
