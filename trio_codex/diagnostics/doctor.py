"""Why does it not work? From the environment to the spoken word, one check after the other, each with its own time limit.

A check that needs what another one has not found is skipped and says so; so the first failure is the cause to look at, and its advice what
to do. Checks are functions of an `Examination` that give what they found as a sentence, raise a TrioCodexError, or `Skip`.
Nothing of the service is used but the bare HTTP client and the probe; nothing here starts a session.
"""

from __future__ import annotations

import email.utils
import os
import platform
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import attrs
import trio

from trio_codex.audio import RATE, encode_wav
from trio_codex.credentials import Endpoint, KeySource, ca_bundle, find_key, resolve_key, ssl_context
from trio_codex.diagnostics.findings import Finding, Outcome, Report, private_hosts
from trio_codex.diagnostics.probe import asking_for_a_key, probe_text_turn
from trio_codex.diagnostics.reasons import skip_reason_for_error
from trio_codex.errors import ConnectionFailed, RemoteProtocolError, ServerRefused, TrioCodexError
from trio_codex.http import Api, open_api
from trio_codex.logs import get_logger
from trio_codex.proxies import Proxy, find_proxy
from trio_codex.transport import Target
from trio_codex.transport.dialing import DEFAULT_MODEL
from trio_codex.transport.streams import address_of, connect, open_stream

__all__ = ["CHECKS", "Check", "Examination", "Skip", "examine"]

STT_MODEL, TTS_MODEL, VOICE = "gpt-transcribe", "gpt-4o-mini-tts", "ash"
_log: Final = get_logger("diagnostics")

_UNREMARKABLE: Final = ("(not set)", "(no such file)", "(found)")
CLOCK_TOLERANCE_S: Final = 300
_SHOWN: Final = ("trio", "trio-websocket", "httpx")
_VARIABLES: Final = (
    "CODEX_API_KEY",
    "CODEX_HOME",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "CODEX_CA_CERTIFICATE",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)


class Skip(Exception):  # noqa: N818 - not an error
    """Raised by a check that has nothing to look at; its text says why."""


@attrs.define
class Examination:
    """What the checks know so far, and what they leave for each other."""

    given: Endpoint | None
    api_key: KeySource | None
    model: str | None
    endpoint: Endpoint = attrs.field(factory=Endpoint.openai)
    proxy: Proxy | None = None
    details: dict[str, Any] = attrs.field(factory=dict)
    refused: str | None = None  # why the service lets this key do nothing

    @property
    def url(self) -> str:
        """Where realtime sessions go."""
        return self.endpoint.realtime_url(self.endpoint.deployment or self.model or DEFAULT_MODEL)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that this machine connects to: the service's, or the proxy's."""
        return (self.proxy.host, self.proxy.port) if self.proxy else address_of(self.url)


@attrs.frozen
class Check:
    """One step: what it needs to have gone well before, how long it may take in seconds, and the function that does it."""

    name: str
    needs: tuple[str, ...]
    limit_s: float
    look: Callable[[Examination], Awaitable[str]]


async def examine(
    endpoint: Endpoint | None = None,
    api_key: KeySource | None = None,
    *,
    model: str | None = None,
    checks: Sequence[Check] | None = None,
    tell: Callable[[Finding], None] = lambda _: None,
) -> Report:
    """Go through all checks (None: `CHECKS`); `tell` hears of each finding as it is made.

    Endpoint, key and model are those of `open_realtime_session`. What is wrong is in the report; nothing is raised. Cancel-safe.
    """
    about = Examination(endpoint, api_key, model)
    findings: dict[str, Finding] = {}
    for check in CHECKS if checks is None else checks:
        missing = next((name for name in check.needs if name in findings and findings[name].outcome == "failed"), None)
        missing = missing or next(
            (name for name in check.needs if name not in findings or _fell_away(findings[name])), None
        )
        if missing is not None:
            found = Finding(check.name, "skipped", f"{missing} has to be in order first", details={"needs": missing})
        else:
            found = await _looked(check, about)
        findings[check.name] = found
        tell(found)
    hosts = private_hosts(about.endpoint.http_url, about.url, about.proxy.url if about.proxy else "")
    return Report(tuple(findings.values()), hosts)


def _fell_away(finding: Finding) -> bool:
    return finding.outcome == "skipped" and "needs" in finding.details


async def _looked(check: Check, about: Examination) -> Finding:
    began = time.perf_counter()
    about.details = {}
    outcome: Outcome = "ok"
    what = advice = ""
    try:
        with trio.fail_after(check.limit_s):
            what = await check.look(about)
    except Skip as reason:
        outcome, what = "skipped", str(reason)
    except trio.TooSlowError:
        outcome, what = "failed", f"it took more than {check.limit_s:g} s"
        advice = "look for what holds it up: a firewall that drops silently, a proxy, a slow network"
    except TrioCodexError as error:
        outcome, what, advice = "failed", error.what, error.advice
        if error.retry_after:
            advice = f"{advice}; the service wants to be left alone for {error.retry_after:g} s"
        told = {
            name: getattr(error, name, None)
            for name in ("status", "code", "type", "request_id", "session_id", "retry_after")
        }
        about.details |= {name: value for name, value in told.items() if value is not None}
    except Exception as error:  # the other checks may still find the cause
        outcome, what = "failed", f"a defect of trio_codex: {type(error).__name__} in this check"
        advice = "please report it, with the output of `trio-codex doctor --report`"
        _log.exception("the check %s failed", check.name)
    return Finding(check.name, outcome, what, advice, time.perf_counter() - began, about.details)


# --- this machine ------------------------------------------------------------------------------------------------------


async def _environment(about: Examination) -> str:
    await trio.lowlevel.checkpoint()
    about.details["versions"] = {name: _version(name) for name in ("trio-codex", *_SHOWN)}
    about.details["variables"] = [
        name for name in _VARIABLES if any(os.environ.get(each, "").strip() for each in (name, name.lower()))
    ]
    about.endpoint = about.given or Endpoint.from_environment()
    about.proxy = find_proxy(about.url)
    way = f", through the proxy {about.proxy.place}" if about.proxy else ""
    machine = f"Python {platform.python_version()} on {platform.system()}, trio {_version('trio')}, trio-codex {_version('trio-codex')}"
    return f"{machine}; service {about.endpoint.http_url}{way}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"


async def _key(about: Examination) -> str:
    endpoint = about.endpoint
    with asking_for_a_key():
        key = await resolve_key(endpoint, about.api_key)
    search = find_key() if endpoint.ambient_keys and about.api_key is None and endpoint.key_source is None else None
    if search is not None and search.source:
        unusable = [place for place in search.looked_at if not place.endswith(_UNREMARKABLE)]
        return f"from {search.source}{'; not usable: ' if unusable else ''}{', '.join(unusable)}"
    if key is None:
        said = any(name.lower() in ("authorization", "api-key") for name, _ in endpoint.extra_headers)
        return "in the endpoint's headers" if said else "none, and this service needs none"
    return "given to this examination"


async def _ca(about: Examination) -> str:
    if not about.url.startswith("wss:"):
        raise Skip("this service is not spoken to over TLS")
    context = await trio.to_thread.run_sync(ssl_context)
    bundle = ca_bundle()
    stats = context.cert_store_stats()
    if bundle is not None:
        return f"{stats['x509_ca']} roots in {bundle.path} ({bundle.variable})"
    place = ssl.get_default_verify_paths()
    return f"the roots of the system ({place.cafile or place.capath or 'none are named'})"


# --- the way to the service ----------------------------------------------------------------------------------------------


async def _dns(about: Examination) -> str:
    host, port = about.address
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        advice = (
            "is there a network, and a name server? check the spelling of the name; a proxy is named by HTTPS_PROXY"
        )
        raise ConnectionFailed(f"nobody knows the name {host}: {error}", stage="dns", advice=advice) from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    return f"{'the proxy ' if about.proxy else ''}{host} is {', '.join(addresses[:3])}{', …' if addresses[3:] else ''}"


async def _tcp(about: Examination) -> str:
    host, port = about.address
    (await connect(host, port)).close()
    return f"{'the proxy at ' if about.proxy else ''}{host}:{port} answers"


async def _tls(about: Examination) -> str:
    secure = about.url.startswith("wss:")
    if not secure and about.proxy is None:
        raise Skip("this service is not spoken to over TLS")
    stream = await open_stream(Target(url=about.url, timeout=10))
    version_, until = "not encrypted", ""
    if isinstance(stream, trio.SSLStream):
        version_ = str(stream.version())
        certificate = stream.getpeercert() or {}
        until = f", certificate valid until {certificate.get('notAfter', '?')}"
    await trio.aclose_forcefully(stream)
    return f"{version_}{until}{', through the proxy' if about.proxy else ''}"


# --- the service -----------------------------------------------------------------------------------------------------------


def _with_api(look: Callable[[Examination, Api], Awaitable[str]]) -> Callable[[Examination], Awaitable[str]]:
    async def with_api(about: Examination) -> str:
        if about.refused:
            raise Skip(f"the key was refused ({about.refused})")
        async with open_api(about.endpoint, about.api_key, timeout=20.0) as api:
            try:
                return await look(about, api)
            except ServerRefused as error:
                if error.status == 401:
                    about.refused = error.code or "401"
                if error.status in (404, 405, 501) and error.code != "model_not_found":
                    raise Skip(f"the server has no such thing: {error}") from None
                raise
            except ValueError as error:
                raise RemoteProtocolError(
                    f"what answers at {about.endpoint.http_url} is not the API: no JSON came"
                ) from error

    return with_api


async def _models(about: Examination, api: Api) -> str:
    response = await api.request("GET", "models")
    wrong = _clock(response.headers.get("date"))
    stated = response.json()
    listed = stated.get("data") if isinstance(stated, dict) else None
    names = [str(each.get("id")) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    model = about.endpoint.deployment or about.model or DEFAULT_MODEL
    here = "is among them" if model in names else "is not among them, so it may be refused"
    return f"{len(names)} models; {model} {here}{wrong}"


def _clock(date: str | None) -> str:
    try:
        ahead = time.time() - email.utils.parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return ""
    if abs(ahead) <= CLOCK_TOLERANCE_S:
        return ""
    return f"; the clock of this machine is {abs(ahead) / 60:.0f} minutes {'ahead' if ahead > 0 else 'behind'}: set it right"


async def _realtime(about: Examination) -> str:
    if about.refused:
        raise Skip(f"the key was refused ({about.refused})")
    began = time.perf_counter()
    probe = await probe_text_turn(model=about.model, endpoint=about.endpoint, api_key=about.api_key)
    if probe.session_id:
        about.details["session_id"] = probe.session_id
    if (failure := probe.failure) is not None:
        about.details |= {"kind": probe.kind, "skip_reason": skip_reason_for_error(probe)}
        raise failure
    return f"{probe.model} answered in {time.perf_counter() - began:.1f} s ({len(probe.events)} events)"


async def _stt(about: Examination, api: Api) -> str:
    silence = encode_wav(bytes(RATE))  # half a second
    files = {"file": ("audio.wav", silence, "audio/wav")}
    response = await api.request("POST", "audio/transcriptions", data={"model": STT_MODEL}, files=files)
    if "text" not in (response.json() or {}):
        raise ServerRefused(f"{STT_MODEL}: the answer holds no text")
    return f"{STT_MODEL} answers"


async def _tts(about: Examination, api: Api) -> str:
    began = time.perf_counter()
    body = {"model": TTS_MODEL, "voice": VOICE, "input": "ok", "response_format": "pcm"}
    async with api.stream("POST", "audio/speech", json=body) as answer:
        async for chunk in answer:
            if chunk:
                return f"{TTS_MODEL} spoke after {1000 * (time.perf_counter() - began):.0f} ms"
    raise ServerRefused(f"{TTS_MODEL}: no audio came")


CHECKS: Final = (
    Check("environment", (), 5, _environment),
    Check("key", ("environment",), 10, _key),
    Check("ca", ("environment",), 5, _ca),
    Check("dns", ("environment",), 5, _dns),
    Check("tcp", ("dns",), 6, _tcp),
    Check("tls", ("tcp", "ca"), 12, _tls),
    Check("models", ("key", "tls"), 25, _with_api(_models)),
    Check("realtime", ("key", "tls"), 35, _realtime),
    Check("speech-to-text", ("key", "tls"), 35, _with_api(_stt)),
    Check("text-to-speech", ("key", "tls"), 35, _with_api(_tts)),
)
"""The checks, in their order; the command line adds the sound device, which is not the service's business."""
