"""Which key is found where, and which may go where."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_codex import credentials
from trio_codex.credentials import Endpoint, KeySource, Secret, find_key, resolve_key, store_key
from trio_codex.errors import ConfigurationError

OPENAI = Endpoint.openai()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def found(home: Path, **environ: str) -> str | None:
    key = find_key({"HOME": str(home), **environ}).key
    return key.reveal() if key else None


def named(value: object) -> str | None:
    """The name of a test shows no key."""
    return "key" if isinstance(value, str) and "sk-of" in value else None


# --- the order ---


def test_order(home: Path) -> None:
    file = write(home / ".codex" / "auth.json", {"OPENAI_API_KEY": "sk-of-stored"})
    assert found(home, CODEX_API_KEY="sk-of-codex", OPENAI_API_KEY="sk-of-openai") == "sk-of-codex"
    assert found(home, CODEX_API_KEY=" \t", OPENAI_API_KEY="sk-of-openai") == "sk-of-stored"
    file.unlink()
    assert found(home, OPENAI_API_KEY=" sk-of-openai\n") == "sk-of-openai"
    assert found(home, OPENAI_API_KEY="  ") is None


async def _given() -> str:
    await trio.lowlevel.checkpoint()
    return "sk-of-asked"


@pytest.mark.parametrize(
    ("api_key", "expected"),
    [
        ("sk-of-given", "sk-of-given"),
        (Secret("sk-of-given"), "sk-of-given"),
        (lambda: " sk-of-asked ", "sk-of-asked"),
        (_given, "sk-of-asked"),
        (" ", "sk-of-ambient"),
    ],
    ids=named,
)
async def test_an_explicit_key_comes_first(home: Path, api_key: KeySource, expected: str) -> None:
    environ = {"HOME": str(home), "CODEX_API_KEY": "sk-of-ambient"}
    with trio.fail_after(1):
        key = await resolve_key(OPENAI, api_key, environ=environ)
    assert key == Secret(expected)


async def test_a_callable_is_asked_each_time() -> None:
    keys = iter(["sk-of-one", "sk-of-two"])
    with trio.fail_after(1):
        assert await resolve_key(OPENAI, lambda: next(keys)) == Secret("sk-of-one")
        assert await resolve_key(OPENAI, lambda: next(keys)) == Secret("sk-of-two")


@pytest.mark.parametrize("given", ["", " ", None, 3])
async def test_a_callable_that_gives_no_key_is_no_reason_to_take_another(home: Path, given: Any) -> None:
    with trio.fail_after(1), pytest.raises(ConfigurationError, match="api_key"):
        await resolve_key(OPENAI, lambda: given, environ={"HOME": str(home), "CODEX_API_KEY": "sk-of-ambient"})


async def test_what_a_callable_raises_comes_out() -> None:
    def vault() -> str:
        raise LookupError("vault is shut")

    with trio.fail_after(1), pytest.raises(LookupError):
        await resolve_key(OPENAI, vault)


async def test_no_key_names_the_places(home: Path) -> None:
    write(home / ".codex" / "auth.json", {"auth_mode": "chatgpt", "OPENAI_API_KEY": "hunter2"})
    with trio.fail_after(1), pytest.raises(ConfigurationError) as caught:
        await resolve_key(OPENAI, environ={"HOME": str(home)})
    said = str(caught.value)
    assert said.startswith("no API key found (CODEX_API_KEY, auth.json OPENAI_API_KEY, or OPENAI_API_KEY)")
    assert str(home / ".codex" / "auth.json") in said
    assert "hunter2" not in said


@pytest.mark.parametrize("key", ["two words", "new\nline", "sn\u2603w", "ctrl\x01"])
async def test_texts_that_no_header_can_carry(home: Path, key: str) -> None:
    for environ, given in (({"HOME": str(home), "OPENAI_API_KEY": key}, None), ({}, key)):
        with trio.fail_after(1), pytest.raises(ConfigurationError) as caught:
            await resolve_key(OPENAI, given, environ=environ)
        assert key not in str(caught.value)


# --- stored credentials ---


@pytest.mark.parametrize(
    "place",
    [
        ".codex/auth.json",
        ".codex/.credentials.json",
        ".config/codex/credentials.json",
        ".config/openai/codex.json",
        ".codex/credentials.json",
    ],
)
def test_places_of_the_file(home: Path, place: str) -> None:
    file = write(home / place, {"OPENAI_API_KEY": " sk-of-stored "})
    search = find_key({"HOME": str(home), "OPENAI_API_KEY": "sk-of-openai"})
    assert search.key == Secret("sk-of-stored")
    assert search.source == str(file)


def test_an_explicit_folder_ends_the_list(home: Path) -> None:
    write(home / ".config" / "codex" / "credentials.json", {"OPENAI_API_KEY": "elsewhere"})
    own = home / "own"
    assert found(home, CODEX_HOME=str(own)) is None
    write(own / ".credentials.json", {"OPENAI_API_KEY": "sk-of-second"})
    assert found(home, CODEX_HOME=str(own)) == "sk-of-second"
    write(own / "auth.json", {"OPENAI_API_KEY": "sk-of-first"})
    assert found(home, CODEX_HOME=str(own)) == "sk-of-first"


def test_a_blank_folder_is_no_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    write(home / "auth.json", {"OPENAI_API_KEY": "from the working directory"})
    assert found(home, CODEX_HOME="") is None
    assert found(home, CODEX_HOME="  ") is None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"OPENAI_API_KEY": "sk-of-a"}, "sk-of-a"),
        ({"openai_api_key": "sk-of-a"}, "sk-of-a"),
        ({"OPENAI_API_KEY": "sk-of-a", "openai_api_key": "sk-of-b"}, "sk-of-a"),
        ({"OPENAI_API_KEY": None, "openai_api_key": "sk-of-b"}, "sk-of-openai"),
        ({"OPENAI_API_KEY": "  "}, "sk-of-openai"),
        ({"OPENAI_API_KEY": 7}, "sk-of-openai"),
        ({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-of-a"}, "sk-of-a"),
        ({"auth_mode": "apiKey", "OPENAI_API_KEY": "sk-of-a"}, "sk-of-a"),
        ({"auth_mode": "api_key", "OPENAI_API_KEY": "sk-of-a"}, "sk-of-a"),
        ({"auth_mode": "api", "OPENAI_API_KEY": "sk-of-a"}, "sk-of-a"),
        ({"auth_mode": None, "OPENAI_API_KEY": "sk-of-a"}, "sk-of-a"),
        ({"auth_mode": "chatgpt", "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"auth_mode": "chatgptAuthTokens", "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"auth_mode": "chatgpt_auth_tokens", "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"auth_mode": "bedrockApiKey", "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"auth_mode": "bedrock_api_key", "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"auth_mode": "something new", "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"auth_mode": ["apikey"], "OPENAI_API_KEY": "sk-of-stale"}, "sk-of-openai"),
        ({"tokens": {"access_token": "login"}}, "sk-of-openai"),
        ({}, "sk-of-openai"),
    ],
    ids=named,
)
def test_what_the_file_says(home: Path, stored: dict[str, Any], expected: str) -> None:
    write(home / ".codex" / "auth.json", stored)
    assert found(home, OPENAI_API_KEY="sk-of-openai") == expected


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"sk"', '{"OPENAI_API_KEY": "sk-of-a",}'], ids=named)
def test_a_malformed_file_ends_the_search_of_files(home: Path, content: str) -> None:
    write(home / ".codex" / "auth.json", content)
    write(home / ".codex" / ".credentials.json", {"OPENAI_API_KEY": "sk-of-second"})
    assert found(home, OPENAI_API_KEY="sk-of-openai") == "sk-of-openai"
    assert found(home) is None
    assert any("auth.json (not" in place for place in find_key({"HOME": str(home)}).looked_at)


def test_an_unreadable_file_ends_the_search_of_files(home: Path) -> None:
    (home / ".codex" / "auth.json").mkdir(parents=True)
    write(home / ".codex" / ".credentials.json", {"OPENAI_API_KEY": "sk-of-second"})
    assert found(home, OPENAI_API_KEY="sk-of-openai") == "sk-of-openai"


# --- the keyring ---


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('cli_auth_credentials_store = "keyring"', None),
        ('cli_auth_credentials_store = "auto"', "sk-of-stored"),
        ('cli_auth_credentials_store = "file"', "sk-of-stored"),
        ("cli_auth_credentials_store = 7", "sk-of-stored"),
        ("not toml", "sk-of-stored"),
        ("", "sk-of-stored"),
    ],
    ids=named,
)
def test_keyring_setting(home: Path, config: str, expected: str | None) -> None:
    write(home / ".codex" / "auth.json", {"OPENAI_API_KEY": "sk-of-stored"})
    write(home / ".codex" / "config.toml", config)
    assert found(home) == expected


def test_one_warning_of_the_keyring(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials._warn_of_keyring.cache_clear()
    write(home / ".codex" / "config.toml", 'cli_auth_credentials_store = "keyring"')
    with caplog.at_level(logging.WARNING, "trio_codex"):
        assert found(home, OPENAI_API_KEY="sk-of-openai") == "sk-of-openai"
        assert found(home) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "keyring" in caplog.text


# --- which key may go where ---


async def test_the_keys_of_the_environment_go_to_its_server(home: Path) -> None:
    environ = {"HOME": str(home), "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    endpoint = Endpoint.from_environment(environ)
    with trio.fail_after(1):
        assert await resolve_key(endpoint, environ=environ) is None
        assert await resolve_key(endpoint, environ={**environ, "OPENAI_API_KEY": "sk-of-k"}) == Secret("sk-of-k")


async def test_a_custom_server_gets_no_ambient_key(home: Path) -> None:
    environ = {"HOME": str(home), "CODEX_API_KEY": "sk-of-ambient", "OPENAI_API_KEY": "ambient"}
    endpoint = Endpoint.custom("https://x.test/v1")
    with trio.fail_after(1):
        assert await resolve_key(endpoint, environ=environ) is None
        assert await resolve_key(endpoint, "sk-of-mine", environ=environ) == Secret("sk-of-mine")


async def test_azure_takes_its_own_keys_only(home: Path) -> None:
    environ = {"HOME": str(home), "CODEX_API_KEY": "sk-of-ambient", "OPENAI_API_KEY": "ambient"}
    with trio.fail_after(1):
        assert await resolve_key(Endpoint.azure(resource="r", api_key="sk-of-own"), environ=environ) == Secret(
            "sk-of-own"
        )
        token = await resolve_key(Endpoint.azure(resource="r", token_provider=_given), environ=environ)
        assert token == Secret("sk-of-asked")
        assert await resolve_key(Endpoint.azure(resource="r", api_key="sk-of-own"), "sk-of-mine") == Secret(
            "sk-of-mine"
        )
        with pytest.raises(ConfigurationError, match=r"no API key found: give Endpoint.azure"):
            await resolve_key(Endpoint.azure(resource="r"), environ=environ)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint.custom("http://x.test/v1"),
        Endpoint.custom("https://x.test/v1", realtime_url="ws://x.test/v1"),
        Endpoint.from_environment({"OPENAI_BASE_URL": "http://192.168.0.9/v1"}),
    ],
)
async def test_no_key_travels_unencrypted(endpoint: Endpoint) -> None:
    with trio.fail_after(1), pytest.raises(ConfigurationError, match="unencrypted") as caught:
        await resolve_key(endpoint, "hunter2", environ={})
    assert "hunter2" not in str(caught.value)


async def test_this_machine_may_have_it_in_plain() -> None:
    for host in ("localhost:8080", "127.0.0.1", "[::1]:9"):
        with trio.fail_after(1):
            assert await resolve_key(Endpoint.custom(f"http://{host}/v1"), "sk-of-k") == Secret("sk-of-k")


def test_the_search_shows_no_key(home: Path) -> None:
    search = find_key({"HOME": str(home), "OPENAI_API_KEY": "hunter2"})
    assert "hunter2" not in repr(search)
    assert search.looked_at[-1] == "OPENAI_API_KEY (found)"


# --- storing one ---


def test_a_stored_key_is_found(tmp_path: Path) -> None:
    environ = {"CODEX_HOME": str(tmp_path / "new" / "home")}
    file = store_key(Secret("sk-stored-key"), environ)
    assert file == tmp_path / "new" / "home" / "auth.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [entry.name for entry in file.parent.iterdir()] == ["auth.json"]
    assert find_key(environ).key == Secret("sk-stored-key")


def test_storing_keeps_what_else_is_there(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    file.write_text('{"auth_mode": "chatgpt", "tokens": {"account_id": "a"}, "OPENAI_API_KEY": null}')
    file.chmod(0o644)
    store_key("sk-stored-key", {"CODEX_HOME": str(tmp_path)})
    assert json.loads(file.read_text()) == {
        "auth_mode": "apikey",
        "tokens": {"account_id": "a"},
        "OPENAI_API_KEY": "sk-stored-key",
    }
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["{broken", "[]"])
def test_what_is_no_credentials_file_is_replaced(content: str, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text(content)
    store_key("sk-stored-key", {"CODEX_HOME": str(tmp_path)})
    assert find_key({"CODEX_HOME": str(tmp_path)}).key == Secret("sk-stored-key")


def test_what_is_not_stored(tmp_path: Path) -> None:
    environ = {"CODEX_HOME": str(tmp_path)}
    for key, said in ((" ", "blank"), ("two words", "no key has")):
        with pytest.raises(ConfigurationError, match=said):
            store_key(key, environ)
    (tmp_path / "auth.json.tmp").write_text("somebody writes")
    with pytest.raises(ConfigurationError, match=r"auth\.json\.tmp: File exists"):
        store_key("sk-stored-key", environ)
    (tmp_path / "config.toml").write_text('cli_auth_credentials_store = "keyring"')
    with pytest.raises(ConfigurationError, match="keyring"):
        store_key("sk-stored-key", environ)
    assert not (tmp_path / "auth.json").exists()
