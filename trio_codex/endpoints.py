"""Where a service is and how it wants to be spoken to: base URL, realtime URL, headers, query, who may have which key.

An Endpoint is frozen and does nothing: it writes URLs and headers. Keys come from `credentials`, which asks an endpoint
whether it needs one, whether keys of the environment are for it, and whether its connection may carry one. Values of
headers and queries are in no repr and in no error message.
"""

import functools
import importlib.metadata
import ipaddress
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import attrs

from trio_codex.errors import ConfigurationError
from trio_codex.secret import Secret

KeySource = str | Secret | Callable[[], str | Secret | Awaitable[str | Secret]]
"""A key, or a sync or async callable that is asked for one at each connect."""

Pairs = tuple[tuple[str, str], ...]

OPENAI_URL: Final = "https://api.openai.com/v1"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TELLING = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_RESOURCE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}")


def _names_only(pairs: Pairs) -> str:
    return "{" + ", ".join(f"{name}: …" for name, _ in pairs) + "}"


def _without_query(url: str | None) -> str:
    return repr(url if url is None or "?" not in url else f"{url.partition('?')[0]}?…")


@attrs.frozen(kw_only=True)
class Endpoint:
    """A service that speaks the API. Make one with `.openai()`, `.azure()`, `.custom()` or `.from_environment()`.

    `http_url` is the API's base without query and without a slash at the end. `key_required` and `ambient_keys` say
    whether nothing goes without a key, and whether keys found in the environment may go there.
    """

    http_url: str
    realtime: str | None = attrs.field(default=None, repr=_without_query)
    extra_headers: Pairs = attrs.field(default=(), repr=_names_only)
    query: Pairs = attrs.field(default=(), repr=_names_only)
    deployment: str | None = None
    key_header: Literal["Authorization", "api-key"] = "Authorization"
    key_source: KeySource | None = attrs.field(default=None, repr=False)
    key_required: bool = False
    ambient_keys: bool = False

    def __attrs_post_init__(self) -> None:
        for name, _ in self.extra_headers + self.query:
            if _TELLING.search(name):
                self.refuse_plain(f"what {name} says, which looks like a credential,")

    # --- making one ---

    @classmethod
    def openai(cls, *, organization: str | None = None, project: str | None = None) -> "Endpoint":
        """OpenAI itself. A key is required and may come from the environment."""
        given = {"OpenAI-Organization": organization, "OpenAI-Project": project}
        headers = _checked_headers({name: value for name, value in given.items() if value})
        return cls(http_url=OPENAI_URL, extra_headers=headers, key_required=True, ambient_keys=True)

    @classmethod
    def azure(
        cls,
        *,
        resource: str,
        deployment: str | None = None,
        api_key: KeySource | None = None,
        token_provider: Callable[[], str | Awaitable[str]] | None = None,
    ) -> "Endpoint":
        """Azure OpenAI on its v1 path.

        `resource` is the resource's name or its `https://…` address, `deployment` takes the place of the model in
        realtime URLs. The key (header `api-key`) or the token of the provider (asked at each connect, sent as bearer)
        is given here or as the session's `api_key=`; keys of the environment are not for Azure.
        """
        if api_key is not None and token_provider is not None:
            raise ConfigurationError("Endpoint.azure takes an api_key or a token_provider, not both")
        if token_provider is not None and not callable(token_provider):
            raise ConfigurationError("Endpoint.azure: token_provider must be a callable that gives a token")
        if _RESOURCE.fullmatch(resource):
            url = f"https://{resource}.openai.azure.com/openai/v1"
        else:
            url = resource.rstrip("/")
            url = url if urlsplit(url).path else f"{url}/openai/v1"
        base, query = _split_base(url, "Endpoint.azure: resource (a name or an https:// address)")
        return cls(
            http_url=base,
            query=query,
            deployment=deployment,
            key_header="Authorization" if token_provider is not None else "api-key",
            key_source=api_key if token_provider is None else token_provider,
            key_required=True,
        )

    @classmethod
    def custom(
        cls,
        url: str,
        realtime_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> "Endpoint":
        """Any compatible server. `url` is the API's base (`http(s)://…/v1`); realtime is at `<base>/realtime`.

        `realtime_url` (`ws(s)://…`) is taken as it is instead. `headers` replace ours of the same name, `query` is
        added to every URL. Keys of the environment never go there: only `api_key=` of the session or what `headers`
        say.
        """
        base, own_query = _split_base(url, "Endpoint.custom: url")
        if realtime_url is not None:
            _checked_url(realtime_url, ("ws", "wss"), "Endpoint.custom: realtime_url")
        return cls(
            http_url=base,
            realtime=realtime_url,
            extra_headers=_checked_headers(headers or {}),
            query=own_query + tuple((query or {}).items()),
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Endpoint":
        """The server that OPENAI_BASE_URL names, else OpenAI. Keys of the same environment go there."""
        url = (os.environ if environ is None else environ).get("OPENAI_BASE_URL", "").strip()
        if url.rstrip("/") in ("", OPENAI_URL):
            return cls.openai()
        base, query = _split_base(url, "OPENAI_BASE_URL")
        return cls(http_url=base, query=query, ambient_keys=True)

    # --- using it ---

    def url(self, path: str) -> str:
        """Give the full HTTP URL of an API path, as in `audio/speech`."""
        return _with_query(f"{self.http_url}/{path.lstrip('/')}", self.query)

    def realtime_url(
        self, model: str | None = None, call_id: str | None = None, *, intent: Literal["transcription"] | None = None
    ) -> str:
        """Give the websocket URL for a model, to join a call, or for an intent; a parameter that the endpoint sets itself stays.

        A `realtime_url` is taken as it is: only the endpoint's query, and the intent, are added to it.

        Raises ConfigurationError when both are given.
        """
        if model is not None and call_id is not None:
            raise ConfigurationError("a session has a model or a call_id, not both: a call has its model already")
        intents = () if intent is None else (("intent", intent),)
        if self.realtime is not None:
            return _with_query(self.realtime, self.query + intents)
        # A call has its model already, a transcription session is told it with its settings.
        told = model if intent is not None else None if call_id is not None else (self.deployment or model)
        ours = {"call_id": call_id, "model": told}
        pairs = self.query + tuple((name, value) for name, value in ours.items() if value is not None) + intents
        return _with_query(f"ws{self.http_url.removeprefix('http')}/realtime", pairs)

    def headers(self, key: Secret | str | None) -> list[tuple[str, str]]:
        """Give the headers of a request, the endpoint's own in place of ours of the same name."""
        ours = [("User-Agent", _user_agent())]
        if key is not None:
            text = key.reveal() if isinstance(key, Secret) else key
            ours.insert(0, (self.key_header, text if self.key_header == "api-key" else f"Bearer {text}"))
        theirs = {name.lower() for name, _ in self.extra_headers}
        return [pair for pair in ours if pair[0].lower() not in theirs] + list(self.extra_headers)

    def refuse_plain(self, what: str) -> None:
        """Raise ConfigurationError if `what` would travel unencrypted to another machine."""
        for url in (self.http_url, self.realtime or self.http_url):
            if plain := _plain_way(url):
                where, secure = plain
                raise ConfigurationError(f"{what} would go unencrypted to {where}: use {secure}://")


@functools.lru_cache(maxsize=64)
def _plain_way(url: str) -> tuple[str, str] | None:
    """Where a URL leads unencrypted, if that is another machine, and the scheme that it should have."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "ws") or is_loopback(parts.hostname or ""):
        return None
    return f"{parts.scheme}://{parts.netloc}", {"http": "https", "ws": "wss"}[parts.scheme]


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine by definition (no look-up is made)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@functools.cache
def _user_agent() -> str:
    try:
        return f"trio-codex/{importlib.metadata.version('trio-codex')}"
    except importlib.metadata.PackageNotFoundError:
        return "trio-codex"


# --- URLs and headers, checked ---------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def _checked_url(url: str, schemes: tuple[str, ...], where: str) -> SplitResult:
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = SplitResult("", "", "", "", ""), False
    if not usable or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ConfigurationError(f"{where} must be a URL that begins with {expected} and a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{where} must not hold a user name or password: give headers instead")
    if parts.fragment:
        raise ConfigurationError(f"{where} must not have a fragment (#…)")
    if (parts.hostname or "").endswith(".azure.com") and not parts.path.startswith("/openai/v1"):
        raise ConfigurationError(
            f"{where} is not Azure's v1 path (https://<resource>.openai.azure.com/openai/v1): the older paths with"
            " api-version and deployment speak the beta protocol, which refuses today's settings"
        )
    return parts


@functools.lru_cache(maxsize=64)
def _split_base(url: str, where: str) -> tuple[str, Pairs]:
    """Check a base URL and take its query off, so that paths can be added."""
    parts = _checked_url(url, ("http", "https"), where)
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return base, tuple(parse_qsl(parts.query, keep_blank_values=True))


@functools.lru_cache(maxsize=64)
def _with_query(url: str, pairs: Pairs) -> str:
    """Add parameters to a URL that may have some; what is there already wins and stays as it was written."""
    address, _, query = url.partition("?")
    seen = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    added = []
    for name, value in pairs:
        if name not in seen:
            seen.add(name)
            added.append((name, value))
    query = "&".join(part for part in (query, urlencode(added, quote_via=quote, safe="")) if part)
    return f"{address}?{query}" if query else address


def _checked_headers(headers: Mapping[str, str]) -> Pairs:
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError(f"{name!r} is not the name of a header")
        if not isinstance(value, str) or not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value):
            raise ConfigurationError(f"the value of header {name} must be a text of one line")
    return tuple((name, value.strip()) for name, value in headers.items())
