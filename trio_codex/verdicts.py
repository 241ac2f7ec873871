"""What the service's refusals mean: whose fault, whether trying again helps, what to do. Tables; the first entry that fits counts.

The codes are those of the API's description and of refusals that others have met; a code that is not known is judged by its HTTP status,
a refusal without either is taken for the request's fault. Texts here are shown to people: they say what to do and hold nothing of the
request.
"""

from __future__ import annotations

import json
from typing import Final, Literal, NamedTuple

__all__ = ["Fault", "Verdict", "code_in", "verdict_on", "verdict_on_close"]

Fault = Literal["program", "account", "network", "service", "library"]


class Verdict(NamedTuple):
    """Whose fault, whether the same again may work, and what to do."""

    fault: Fault
    retryable: bool = False
    advice: str = ""


_KEY: Final = (
    "give a valid API key (CODEX_API_KEY, auth.json or OPENAI_API_KEY; for Endpoint.azure and Endpoint.custom, which those are not for,"
    " api_key=); `trio-codex doctor` says which one was used"
)
_EXPIRED: Final = "this key has expired: make a new API key, or let a new client secret be made for each connection"
_QUOTA: Final = (
    "the account has no quota left: add credit or raise the limit in the billing settings, or use another account's key"
)
_MODEL: Final = "name a model that this key may use (`model=`, `--model`), or ask for access to this one"
_WAIT: Final = "wait a moment and try again, more slowly"
_SERVICE: Final = "the service itself failed: try again; if it goes on, look at its status page and quote the ids"
_CHANGED: Final = (
    "the server does not know a field that was sent: it speaks another version of the protocol; look for an update"
)
_REQUEST: Final = "the request is not what the API takes: mend it as the message says"

_BY_CODE: Final[dict[str, Verdict]] = {
    "insufficient_quota": Verdict("account", advice=_QUOTA),
    "billing_hard_limit_reached": Verdict("account", advice=_QUOTA),
    "billing_not_active": Verdict("account", advice=_QUOTA),
    "invalid_api_key": Verdict("account", advice=_KEY),
    "invalid_organization": Verdict(
        "account", advice="the key does not belong to the organization or project that was named"
    ),
    "token_expired": Verdict("account", advice=_EXPIRED),
    "expired_api_key": Verdict("account", advice=_EXPIRED),
    "model_not_found": Verdict("account", advice=_MODEL),
    "rate_limit_exceeded": Verdict("account", True, _WAIT),
    "rate_limit_error": Verdict("account", True, _WAIT),
    "unknown_parameter": Verdict("library", advice=_CHANGED),
    "beta_api_shape_disabled": Verdict(
        "program", advice="the beta protocol is no longer spoken: send no OpenAI-Beta header"
    ),
    "unsupported_country_region_territory": Verdict(
        "account", advice="the service is not offered where this request came from"
    ),
    "session_expired": Verdict("service", True, "sessions last 60 minutes at most: open a new one"),
    "conversation_already_has_active_response": Verdict("program", True, "wait for the running response to end"),
    "timeout": Verdict("service", True, "the service did not answer in time: try again"),
    "server_error": Verdict("service", True, _SERVICE),
    "internal_error": Verdict("service", True, _SERVICE),
}

_BY_STATUS: Final[dict[int, Verdict]] = {
    401: Verdict("account", advice=_KEY),
    403: Verdict("account", advice="this key may not do that: check its project, its permissions and the region"),
    404: Verdict("program", advice="there is no such thing at this address: check the URL, the model and ids"),
    407: Verdict("network", advice="the proxy wants (other) credentials: give them in its URL"),
    408: Verdict("service", True, "the service did not answer in time: try again"),
    409: Verdict("service", True, "something else was changing the same thing: try again"),
    413: Verdict("program", advice="what was sent is too large: send less at once"),
    429: Verdict("account", True, _WAIT),
}

_BY_CLOSE_CODE: Final[dict[int, Verdict]] = {
    1000: Verdict("service", True),
    1002: Verdict(
        "library", advice="the server took something for a breach of the websocket protocol; please report it"
    ),
    1008: Verdict("account", advice="the server refuses to go on with this session: its reason says why"),
    1009: Verdict("program", advice="a message was larger than the server takes: send less at once"),
}


def verdict_on(
    *, status: int | None = None, code: str | None = None, kind: str | None = None, message: str | None = None
) -> Verdict:
    """Judge a refusal by its code, its type (`kind`), its HTTP status and, for want of a code, its words."""
    for name in (code, kind):
        if name in _BY_CODE:
            found = _BY_CODE[name]
            # The service has one code for keys that are wrong and keys that were right once.
            expired = found.advice == _KEY and "expired" in (message or "").lower()
            return found._replace(advice=_EXPIRED) if expired else found
    if status is None:
        return Verdict("program")
    if status == 401 and "expired" in (message or "").lower():
        return Verdict("account", advice=_EXPIRED)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return Verdict("service", True, _SERVICE)
    if 300 <= status < 400:
        return Verdict(
            "program", advice="redirects are not followed, because a key is for one host only: give the final URL"
        )
    return Verdict("program", advice=_REQUEST)


def verdict_on_close(code: int, reason: str = "") -> Verdict:
    """Judge the end of a connection by its websocket close code and reason."""
    for name, verdict in _BY_CODE.items():
        if name in reason:
            return verdict
    if code in _BY_CLOSE_CODE:
        return _BY_CLOSE_CODE[code]
    if code in (1005, 1006, 1015):
        return Verdict("network", True, "the connection broke: open a new session")
    return Verdict("service", True, "the service ended the connection: open a new session")


def code_in(body: str | None) -> str | None:
    """Give the API's error code (or for want of one its type) in the body of an HTTP answer, None if there is none."""
    try:
        stated = json.loads(body or "").get("error")
        code = stated.get("code") or stated.get("type")
    except (ValueError, AttributeError, RecursionError):
        return None
    return code if isinstance(code, str) else None
