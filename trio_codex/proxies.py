"""Which proxy a connection goes through: `HTTPS_PROXY` (for https and wss), `HTTP_PROXY` (for http and ws), else `ALL_PROXY`.

Upper and lower case count alike, blank means unset. `NO_PROXY` names what is reached directly: hosts and all below them, addresses,
networks, each with or without a port, `*` for everything. This machine itself is always reached directly. HTTP and websockets ask here,
so that both go the same way. Nothing here opens a connection; credentials of a proxy are in no repr and in no error.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from trio_codex.endpoints import is_loopback
from trio_codex.errors import ConfigurationError
from trio_codex.secret import Secret

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_VARIABLES: Final = {"https": "HTTPS_PROXY", "wss": "HTTPS_PROXY", "http": "HTTP_PROXY", "ws": "HTTP_PROXY"}
_TARGET_PORTS: Final = {"https": 443, "wss": 443, "http": 80, "ws": 80}


@attrs.frozen
class Proxy:
    """A proxy and the variable that names it. `scheme` is http, https, socks5 or socks5h (the last two alike: it looks names up)."""

    variable: str
    scheme: str
    host: str
    port: int
    username: Secret | None = None
    password: Secret | None = None

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port} ({self.variable})"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS instead of HTTP."""
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """The proxy's URL without its credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def find_proxy(url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Say through which proxy a URL is reached, None for directly. Raises ConfigurationError for a proxy that is no URL."""
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if is_loopback(host) or _is_exempt(host, parts.port or _TARGET_PORTS[parts.scheme], _get("NO_PROXY", environ)):
        return None
    for variable in (_VARIABLES[parts.scheme], "ALL_PROXY"):
        if text := _get(variable, environ):
            return _proxy(variable, text)
    return None


def _get(variable: str, environ: Mapping[str, str]) -> str:
    # A web server's CGI programs get their callers' headers as variables, `Proxy:` among them as HTTP_PROXY.
    names = (
        [variable.lower()] if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ else [variable.lower(), variable]
    )
    return next((text for name in names if (text := environ.get(name, "").strip())), "")


def _proxy(variable: str, text: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), 0
    if not parts.hostname or not port:
        raise ConfigurationError(
            f"{variable} must be the URL of a proxy: http://, https:// or socks5:// with host and port"
        )
    name, password = (Secret(unquote(part)) if part else None for part in (parts.username, parts.password))
    return Proxy(variable, parts.scheme, parts.hostname, port, name, password)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    return any(_matches(host, port, entry.strip().lower()) for entry in no_proxy.split(","))


def _matches(host: str, port: int, entry: str) -> bool:
    with_port = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry)
    if with_port:
        if int(with_port[2]) != port:
            return False
        entry = with_port[1]
    entry = entry.strip("[]")
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        entry = entry.removeprefix("*").lstrip(".").rstrip(".")
        return bool(entry) and (host == entry or host.endswith(f".{entry}"))
