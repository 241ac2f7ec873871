"""Keys: where they are looked for, in which order, and which may go where.

An explicit key (a text, or a callable asked at each connect) → the endpoint's own → `CODEX_API_KEY` → the key stored in
`auth.json` → `OPENAI_API_KEY`, the last three only where the endpoint takes keys of the environment. Blank means unset.
Tokens of a ChatGPT login are never used as a key. A key that would travel unencrypted to another machine is refused.

Endpoints and trust roots have modules of their own and are offered here too. Nothing here opens a connection.
"""

import functools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import orjson

from trio_codex.callables import evaluate
from trio_codex.endpoints import Endpoint, KeySource
from trio_codex.errors import ConfigurationError
from trio_codex.logs import get_logger
from trio_codex.secret import Secret
from trio_codex.trust import Bundle, ca_bundle, ssl_context

__all__ = [
    "Bundle",
    "Endpoint",
    "KeySearch",
    "KeySource",
    "Secret",
    "ca_bundle",
    "find_key",
    "resolve_key",
    "ssl_context",
    "store_key",
]

_log = get_logger("credentials")

_GET_A_KEY = (
    "set OPENAI_API_KEY or CODEX_API_KEY to a key from https://platform.openai.com/api-keys, or talk to a local server"
)

_MODES = {
    "apikey": "api_key",
    "apiKey": "api_key",
    "api_key": "api_key",
    "api": "api_key",
    "bedrockApiKey": "bedrock",
    "bedrock_api_key": "bedrock",
    "chatgpt": "chatgpt",
    "chatgptAuthTokens": "chatgpt_auth_tokens",
    "chatgpt_auth_tokens": "chatgpt_auth_tokens",
}


@attrs.frozen
class KeySearch:
    """What the search of the environment found: the key, its place, and every place looked at with what was there."""

    key: Secret | None = None
    source: str | None = None
    looked_at: tuple[str, ...] = ()


async def resolve_key(
    endpoint: Endpoint, api_key: KeySource | None = None, *, environ: Mapping[str, str] | None = None
) -> Secret | None:
    """Give the key for an endpoint, None where it needs none and none was found. Asks callables; reads small files.

    Raises ConfigurationError when a required key is missing (naming the places looked at), when a callable gives none,
    when a key is no key, when it would travel unencrypted, and for what is no endpoint. What a callable raises comes
    out as it is; cancelling cancels the callable.
    """
    if not isinstance(endpoint, Endpoint):
        kind = type(endpoint).__name__  # and not what it is: URLs may hold secrets
        raise ConfigurationError(f"endpoint must be an Endpoint, such as Endpoint.custom(url), not {kind}")
    found: Secret | None = None
    looked_at: tuple[str, ...] = ()
    for source, name in ((api_key, "api_key"), (endpoint.key_source, "the endpoint's key")):
        if found is None and source is not None:
            found = await _ask(source, name)
    if found is None and endpoint.ambient_keys:
        search = find_key(environ)
        found, looked_at = search.key, search.looked_at
    if found is not None:
        endpoint.refuse_plain("a key")
    elif endpoint.key_required:
        raise ConfigurationError(
            _nothing_found(endpoint, looked_at), advice=_GET_A_KEY if endpoint.ambient_keys else ""
        )
    return found


def _nothing_found(endpoint: Endpoint, looked_at: tuple[str, ...]) -> str:
    if not endpoint.ambient_keys:
        return "no API key found: give Endpoint.azure(…) an api_key or a token_provider, or the session an api_key"
    places = "; ".join(looked_at)
    return f"no API key found (CODEX_API_KEY, auth.json OPENAI_API_KEY, or OPENAI_API_KEY); looked at: {places}"


async def _ask(source: KeySource, name: str) -> Secret | None:
    given: Any = await evaluate(source) if callable(source) else source
    if isinstance(given, Secret):
        given = given.reveal()
    if not isinstance(given, str):
        raise ConfigurationError(f"{name} must be a text or a callable that gives one, not {type(given).__name__}")
    key = _key(given, name)
    if key is None and callable(source):
        # Going on to another key behind the back of whoever was asked would be a surprise.
        raise ConfigurationError(f"{name} was asked for a key and gave a blank one")
    return key


def _key(text: str, place: str) -> Secret | None:
    """Make a key of a text, None if it is blank. Raises ConfigurationError for what no header can carry."""
    text = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise ConfigurationError(f"{place} holds blanks or characters that no key has")
    return Secret(text) if text else None


# --- the environment -------------------------------------------------------------------------------------------------


def find_key(environ: Mapping[str, str] | None = None) -> KeySearch:
    """Look for a key in the environment and in the stored credentials, and say what was found where.

    Raises ConfigurationError only for a key that no header can carry. Blocks for a file or two.
    """
    looked_at: list[str] = []
    for place, text in _places(os.environ if environ is None else environ, looked_at):
        key = _key(text, place)
        if key is not None:
            return KeySearch(key, place, (*looked_at, f"{place} (found)"))
        looked_at.append(f"{place} (not set)")
    return KeySearch(looked_at=tuple(looked_at))


def _places(environ: Mapping[str, str], looked_at: list[str]) -> Iterator[tuple[str, str]]:
    yield "CODEX_API_KEY", environ.get("CODEX_API_KEY", "")
    stored = _stored_key(environ, looked_at)
    if stored is not None:
        yield stored
    yield "OPENAI_API_KEY", environ.get("OPENAI_API_KEY", "")


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME", "").strip() or Path.home())


def _codex_home(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Give the folder of the stored credentials, and whether it was set explicitly."""
    explicit = environ.get("CODEX_HOME", "").strip()
    return (Path(explicit), True) if explicit else (_home(environ) / ".codex", False)


def _credential_files(environ: Mapping[str, str]) -> list[Path]:
    folder, explicit = _codex_home(environ)
    files = [folder / "auth.json", folder / ".credentials.json"]
    if not explicit:
        home = _home(environ)
        files += [
            home / ".config" / "codex" / "credentials.json",
            home / ".config" / "openai" / "codex.json",
            home / ".codex" / "credentials.json",
        ]
    return list(dict.fromkeys(files))


def _stored_key(environ: Mapping[str, str], looked_at: list[str]) -> tuple[str, str] | None:
    """Give place and text of the stored key. The first file that exists decides, whatever is in it."""
    if _uses_keyring(_codex_home(environ)[0] / "config.toml"):
        _warn_of_keyring()
        looked_at.append("auth.json (ignored: cli_auth_credentials_store=keyring)")
        return None
    for file in _credential_files(environ):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            looked_at.append(f"{file} (no such file)")
            continue
        except OSError as error:
            looked_at.append(f"{file} ({error.strerror})")
            return None
        found = _key_in(content)
        if isinstance(found, _Unusable):
            looked_at.append(f"{file} ({found.reason})")
            return None
        return str(file), found
    return None


@attrs.frozen
class _Unusable:
    reason: str


def _key_in(content: bytes) -> str | _Unusable:
    try:
        stored = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _Unusable("not JSON")
    if not isinstance(stored, dict):
        return _Unusable("not a JSON object")
    # An OPENAI_API_KEY that is null says "none"; the other spelling is then not looked at.
    key = stored["OPENAI_API_KEY"] if "OPENAI_API_KEY" in stored else stored.get("openai_api_key")
    mode = stored.get("auth_mode")
    if mode is not None and _MODES.get(mode if isinstance(mode, str) else "") != "api_key":
        return _Unusable("its auth_mode is not an API key")
    if not isinstance(key, str) or not key.strip():
        return _Unusable("holds no API key")
    return key


def store_key(key: str | Secret, environ: Mapping[str, str] | None = None) -> Path:
    """Store an API key in `auth.json`, readable by its owner alone, and give the file; what else stands in it is kept. Blocks.

    A reader sees the old file or the new one, never half of one. Raises ConfigurationError for what is no key, where stored keys are
    not looked at (keyring), and when the file cannot be written or is being written by somebody else.
    """
    environ = os.environ if environ is None else environ
    text = _key(key.reveal() if isinstance(key, Secret) else key, "the key to store")
    folder, _ = _codex_home(environ)
    if text is None or _uses_keyring(folder / "config.toml"):
        reason = "it is blank" if text is None else "cli_auth_credentials_store=keyring, so auth.json would be ignored"
        raise ConfigurationError(f"the key is not stored: {reason}")
    file, draft = folder / "auth.json", folder / "auth.json.tmp"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = orjson.dumps({**_stored_object(file), "auth_mode": "apikey", "OPENAI_API_KEY": text.reveal()})
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(descriptor)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the key is not stored: {error.filename or file}: {error.strerror}") from None
    return file


def _stored_object(file: Path) -> dict[str, Any]:
    try:
        stored = orjson.loads(file.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _uses_keyring(config: Path) -> bool:
    # "auto" means the keyring only where one is supported; none is, so it means the file.
    try:
        return tomllib.loads(config.read_text("utf-8")).get("cli_auth_credentials_store") == "keyring"
    except (OSError, ValueError):
        return False


@functools.cache  # once per process
def _warn_of_keyring() -> None:
    _log.warning("keyring credentials are not supported (cli_auth_credentials_store=keyring): auth.json is ignored")
