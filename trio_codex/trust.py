"""Whom we trust: one TLS context for HTTPS and websockets.

`CODEX_CA_CERTIFICATE`, else `SSL_CERT_FILE`, names a PEM file whose certificates are then the only roots; else the
system decides. Blank means unset. A file that cannot serve is named at once, not by a handshake that fails later.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import attrs

from trio_codex.errors import ConfigurationError

VARIABLES = ("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE")


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


def ssl_context(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Give a client's context: TLS 1.2 at least, certificates and host names checked. Blocks for a file or two.

    Raises ConfigurationError, naming variable, file and reason, when the bundle is missing, unreadable or not PEM.
    """
    environ = os.environ if environ is None else environ
    bundle = ca_bundle(environ)
    context = _with_bundle(bundle) if bundle else _with_system_roots(environ)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


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
