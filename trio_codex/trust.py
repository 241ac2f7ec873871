"""Whom we trust: one TLS context for HTTPS and websockets.

`CODEX_CA_CERTIFICATE`, else `SSL_CERT_FILE`, names a PEM file whose certificates are then the only roots; else the
system decides. Blank means unset. A file that cannot serve is named at once, not by a handshake that fails later; a certificate that
is refused is reported with its host, the reason and the roots that were used.
"""

import datetime
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from trio_codex.errors import ConfigurationError

VARIABLES = ("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE")

# Numbers of OpenSSL's verification (x509_vfy.h), which its texts are not as steady as.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_ISSUER: Final = (2, 18, 19, 20, 21)
_OTHER_HOST: Final = (62, 63, 64)


@attrs.frozen
class Bundle:
    """A file of trusted roots and the variable that names it."""

    variable: str
    path: Path


def ca_bundle(environ: Mapping[str, str] | None = None) -> Bundle | None:
    """Say which file of roots is to be used, None for those of the system."""
    environ = os.environ if environ is None else environ
    for variable in VARIABLES:
        path = environ.get(variable, "").strip()
        if path:
            return Bundle(variable, Path(path))
    return None


def for_children(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the variables that have child processes trust the same file as we do, whichever of the two they look at."""
    bundle = ca_bundle(environ)
    return dict.fromkeys(VARIABLES, str(bundle.path)) if bundle else {}


def ssl_context(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Give a client's context: TLS 1.2 at least, certificates and host names checked. Blocks for a file or two.

    Raises ConfigurationError, naming variable, file and reason, when the bundle is missing, unreadable or not PEM.
    """
    environ = os.environ if environ is None else environ
    bundle = ca_bundle(environ)
    context = _with_bundle(bundle) if bundle else _with_system_roots(environ)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_failure(place: str, error: BaseException, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Say what a failed TLS handshake with `place` (host and port) failed for, with which roots, and what to do about it."""
    environ = os.environ if environ is None else environ
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    bundle = ca_bundle(environ)
    roots = f"the roots in {bundle.path} ({bundle.variable})" if bundle else "the roots of the system"
    if not isinstance(cause, ssl.SSLCertVerificationError):
        advice = "check that the address and port are right and that nothing in between answers in its place"
        return f"the TLS handshake with {place} failed: {str(cause) or 'the peer hung up'}", advice
    text = f"the TLS handshake with {place} failed: its certificate was refused: {cause.verify_message} (checked against {roots})"
    return text, _advice_on(cause.verify_code, bundle)


def _advice_on(verify_code: int, bundle: Bundle | None) -> str:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    if verify_code == _NOT_YET_VALID:
        return f"the certificate is not valid yet: the clock of this machine says {now}; set it right if that is wrong"
    if verify_code == _EXPIRED:
        return f"the certificate has expired: the clock of this machine says {now}; if that is right, the server needs a new one"
    if verify_code in _OTHER_HOST:
        return "the certificate is for another host: check the address, and whether something in between answers in its place"
    if verify_code in _UNKNOWN_ISSUER and bundle is not None:
        return f"{bundle.path} does not hold the authority that signed it: add that one's certificate (PEM) to the file"
    return "a private CA is named by CODEX_CA_CERTIFICATE or SSL_CERT_FILE: a PEM file with the authority's certificate"


def _with_bundle(bundle: Bundle) -> ssl.SSLContext:
    named = f"{bundle.variable} names {bundle.path}"
    try:
        content = bundle.path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{named}, which cannot be read: {error.strerror}") from None
    if b"-----BEGIN CERTIFICATE-----" not in content and b"-----BEGIN TRUSTED CERTIFICATE-----" not in content:
        raise ConfigurationError(f"{named}, which holds no certificate in PEM form")
    try:
        return ssl.create_default_context(cafile=str(bundle.path))
    except ssl.SSLError as error:
        raise ConfigurationError(f"{named}, which holds a certificate that cannot be read: {error.reason}") from None


def _with_system_roots(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if "SSL_CERT_FILE" in environ:
        # It is blank, but OpenSSL takes that for a file name and ends up with no roots at all.
        paths = ssl.get_default_verify_paths()
        file, folder = paths.openssl_cafile, paths.openssl_capath
        if Path(file).is_file():
            context.load_verify_locations(cafile=file)
        if Path(folder).is_dir():
            context.load_verify_locations(capath=folder)
    return context
