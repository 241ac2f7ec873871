"""Which roots are trusted, and what is said of a file that cannot serve."""

import ssl
from pathlib import Path

import pytest
import trio
import trustme

from trio_codex.credentials import ca_bundle, ssl_context
from trio_codex.errors import ConfigurationError
from trio_codex.trust import for_children


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def test_the_first_variable_that_is_not_blank_counts() -> None:
    assert ca_bundle({}) is None
    assert ca_bundle({"CODEX_CA_CERTIFICATE": " ", "SSL_CERT_FILE": ""}) is None
    both = ca_bundle({"CODEX_CA_CERTIFICATE": " /a ", "SSL_CERT_FILE": "/b"})
    assert both
    assert (both.variable, both.path) == ("CODEX_CA_CERTIFICATE", Path("/a"))
    second = ca_bundle({"CODEX_CA_CERTIFICATE": "\t", "SSL_CERT_FILE": "/b"})
    assert second
    assert (second.variable, second.path) == ("SSL_CERT_FILE", Path("/b"))


def test_children_trust_the_same_file() -> None:
    assert for_children({"SSL_CERT_FILE": " "}) == {}
    both = for_children({"CODEX_CA_CERTIFICATE": "/a", "SSL_CERT_FILE": "/b"})
    assert both == {"CODEX_CA_CERTIFICATE": "/a", "SSL_CERT_FILE": "/a"}


def test_the_context_is_strict(bundle: Path) -> None:
    for environ in ({}, {"SSL_CERT_FILE": str(bundle)}):
        context = ssl_context(environ)
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname


def test_a_bundle_replaces_the_roots_of_the_system(bundle: Path) -> None:
    assert ssl_context({"CODEX_CA_CERTIFICATE": str(bundle)}).cert_store_stats()["x509_ca"] == 1


def test_a_blank_variable_does_not_cost_the_roots_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    expected = ssl_context({}).cert_store_stats()
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert ssl_context({"SSL_CERT_FILE": ""}).cert_store_stats() == expected


def test_files_that_cannot_serve(tmp_path: Path, authority: trustme.CA) -> None:
    blank, broken, key = tmp_path / "blank.pem", tmp_path / "broken.pem", tmp_path / "key.pem"
    blank.write_text("nothing here")
    broken.write_text("-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n")
    authority.private_key_pem.write_to_path(str(key))
    for file, said in [
        (tmp_path / "missing.pem", "No such file"),
        (tmp_path, "Is a directory"),
        (blank, "no certificate in PEM form"),
        (key, "no certificate in PEM form"),
        (broken, "cannot be read"),
    ]:
        for variable in ("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"):
            with pytest.raises(ConfigurationError) as caught:
                ssl_context({variable: str(file)})
            assert str(caught.value).startswith(f"{variable} names {file}, which ")
            assert said in str(caught.value)


async def _greet(context: ssl.SSLContext, authority: trustme.CA, name: str) -> bytes:
    """Say hello over TLS between two ends in memory: a real handshake, no network."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(server_context)
    ours, theirs = trio.testing.memory_stream_pair()
    client = trio.SSLStream(ours, context, server_hostname="localhost")
    server = trio.SSLStream(theirs, server_context, server_side=True)
    failure: ssl.SSLError | None = None

    async def serve() -> None:
        try:
            await server.send_all(b"hello")
        except (trio.BrokenResourceError, ssl.SSLError):
            await theirs.aclose()

    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            received = await client.receive_some(5)
        except trio.BrokenResourceError as error:
            failure = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else None
            nursery.cancel_scope.cancel()
    if failure:
        raise failure
    return received


async def test_a_private_authority(bundle: Path, authority: trustme.CA) -> None:
    context = ssl_context({"CODEX_CA_CERTIFICATE": str(bundle)})
    with trio.fail_after(5):
        assert await _greet(context, authority, "localhost") == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError, match="ostname mismatch"):
            await _greet(context, authority, "elsewhere.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await _greet(context, trustme.CA(), "localhost")
