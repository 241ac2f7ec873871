"""Certificates of a real private authority, over the loopback; of those that cannot be trusted, websockets and HTTP say the same."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from trio_codex import Endpoint
from trio_codex.errors import ConnectionFailed
from trio_codex.http import open_api
from trio_codex.transport import Target
from trio_codex.transport.streams import open_stream

from .conftest import issued


@asynccontextmanager
async def serving(certificate: trustme.LeafCert, **limits: ssl.TLSVersion) -> AsyncIterator[str]:
    """A server that shows this certificate; gives host and port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    for name, version in limits.items():
        setattr(context, name, version)

    async def handler(tcp: trio.SocketStream) -> None:
        stream = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
        try:
            await stream.do_handshake()
            await stream.receive_some()
        except (trio.BrokenResourceError, ssl.SSLError):
            pass

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def failures(place: str) -> list[ConnectionFailed]:
    """How both kinds of connection fail."""
    with pytest.raises(ConnectionFailed) as websocket:
        await open_stream(Target(url=f"wss://{place}/v1/realtime"))
    async with open_api(Endpoint.custom(f"https://{place}/v1"), "sk-test-0123456789") as api:
        with pytest.raises(ConnectionFailed) as http:
            await api.request("GET", "models")
    return [websocket.value, http.value]


async def test_a_good_one(authority: trustme.CA, bundle: Path) -> None:
    async with serving(issued(authority, "127.0.0.1")) as place:
        await trio.aclose_forcefully(await open_stream(Target(url=f"wss://{place}/v1/realtime")))


@pytest.mark.parametrize(
    ("name", "days", "reason", "advice"),
    [
        ("elsewhere.test", (-1, 1), "IP address mismatch", "is for another host"),
        ("127.0.0.1", (-2, -1), "has expired", "the clock of this machine says"),
        ("127.0.0.1", (1, 2), "not yet valid", "the clock of this machine says"),
    ],
)
async def test_one_that_is_refused(
    name: str, days: tuple[float, float], reason: str, advice: str, authority: trustme.CA, bundle: Path
) -> None:
    async with serving(issued(authority, name, days=days)) as place:
        for error in await failures(place):
            assert (error.stage, error.fault, error.retryable) == ("tls", "network", False)
            assert place in error.what
            assert reason in error.what
            assert f"the roots in {bundle} (CODEX_CA_CERTIFICATE)" in error.what
            assert advice in error.advice
            assert error.advice in str(error)


async def test_one_of_another_authority(bundle: Path) -> None:
    stranger = trustme.CA(key_type=trustme.KeyType.ECDSA)
    async with serving(issued(stranger, "127.0.0.1")) as place:
        for error in await failures(place):
            assert f"{bundle} does not hold the authority that signed it" in error.advice


async def test_one_without_a_bundle(authority: trustme.CA) -> None:
    async with serving(issued(authority, "127.0.0.1")) as place:
        for error in await failures(place):
            assert "checked against the roots of the system" in error.what
            assert "CODEX_CA_CERTIFICATE" in error.advice


async def test_one_that_signed_itself(bundle: Path, tmp_path: Path) -> None:
    async with serving(self_signed(tmp_path)) as place:  # type: ignore[arg-type]
        for error in await failures(place):
            assert "self-signed certificate" in error.what
            assert "does not hold the authority" in error.advice


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_a_server_that_speaks_only_old_tls(authority: trustme.CA, bundle: Path) -> None:
    old = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    async with serving(issued(authority, "127.0.0.1"), **old) as place:
        for error in await failures(place):
            assert error.stage == "tls"


class self_signed:  # noqa: N801 - stands in for a LeafCert
    """A certificate that is its own issuer."""

    def __init__(self, folder: Path) -> None:
        import datetime
        import ipaddress

        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "myself")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(
                name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        self._file = folder / "self.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))

    def configure_cert(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._file)
