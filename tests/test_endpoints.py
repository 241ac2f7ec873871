"""URLs and headers of endpoints, and what may not travel unencrypted."""

import socket
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_codex.credentials import Endpoint, Secret
from trio_codex.endpoints import is_loopback
from trio_codex.errors import ConfigurationError

KEY = Secret("sk-verysecret")


def headers(endpoint: Endpoint, key: Secret | None = KEY) -> dict[str, str]:
    pairs = endpoint.headers(key)
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return dict(pairs)


# --- OpenAI ---


def test_openai_urls() -> None:
    endpoint = Endpoint.openai()
    assert endpoint.http_url == "https://api.openai.com/v1"
    assert endpoint.url("audio/speech") == "https://api.openai.com/v1/audio/speech"
    assert endpoint.realtime_url("gpt-realtime-2.1") == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    assert endpoint.realtime_url("a b&c") == "wss://api.openai.com/v1/realtime?model=a%20b%26c"
    assert endpoint.realtime_url(None, "rtc_1/2") == "wss://api.openai.com/v1/realtime?call_id=rtc_1%2F2"
    assert endpoint.realtime_url() == "wss://api.openai.com/v1/realtime"


def test_model_and_call_id_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        Endpoint.openai().realtime_url("m", "c")


def test_openai_headers() -> None:
    names = headers(Endpoint.openai(organization="org-1", project="proj_1"))
    assert names["Authorization"] == "Bearer sk-verysecret"
    assert names["User-Agent"].startswith("trio-codex")
    assert (names["OpenAI-Organization"], names["OpenAI-Project"]) == ("org-1", "proj_1")
    assert not any("beta" in name.lower() for name in names)
    assert headers(Endpoint.openai(), None).keys() == {"User-Agent"}


# --- Azure ---


@pytest.mark.parametrize(
    "resource",
    [
        "mine",
        "https://mine.openai.azure.com",
        "https://mine.openai.azure.com/",
        "https://mine.openai.azure.com/openai/v1/",
    ],
)
def test_azure_urls(resource: str) -> None:
    endpoint = Endpoint.azure(resource=resource, deployment="my realtime", api_key="k")
    assert endpoint.http_url == "https://mine.openai.azure.com/openai/v1"
    assert endpoint.realtime_url("gpt-realtime-2.1") == (
        "wss://mine.openai.azure.com/openai/v1/realtime?model=my%20realtime"
    )
    assert endpoint.realtime_url(None, "c1").endswith("/realtime?call_id=c1")
    assert Endpoint.azure(resource=resource).realtime_url("m").endswith("/realtime?model=m")


def test_azure_headers() -> None:
    with_key = headers(Endpoint.azure(resource="mine", api_key="k"))
    assert with_key["api-key"] == "sk-verysecret"
    assert "Authorization" not in with_key
    with_token = headers(Endpoint.azure(resource="mine", token_provider=lambda: "t"))
    assert with_token["Authorization"] == "Bearer sk-verysecret"
    assert "api-key" not in with_token


@pytest.mark.parametrize(
    "settings",
    [
        {"resource": "mine", "api_key": "k", "token_provider": lambda: "t"},
        {"resource": "mine", "token_provider": "t"},
        {"resource": "evil.example/x"},
        {"resource": "https://mine.openai.azure.com/openai/realtime?api-version=2024-10-01-preview"},
        {"resource": ""},
    ],
)
def test_refused_azure(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Endpoint.azure(**settings)


def test_the_legacy_azure_path_is_explained() -> None:
    with pytest.raises(ConfigurationError, match="v1 path"):
        Endpoint.custom("https://mine.openai.azure.com/openai/deployments/rt", headers={"api-key": "k"})
    with pytest.raises(ConfigurationError, match="v1 path"):
        Endpoint.custom("https://x.test/v1", realtime_url="wss://mine.openai.azure.com/openai/realtime?deployment=d")


# --- custom ---


@pytest.mark.parametrize(
    ("url", "http_url", "realtime"),
    [
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1", "ws://127.0.0.1:8080/v1/realtime?model=m"),
        ("https://x.test/v1/", "https://x.test/v1", "wss://x.test/v1/realtime?model=m"),
        ("https://x.test", "https://x.test", "wss://x.test/realtime?model=m"),
        ("https://x.test/v1?a=1&b=%20", "https://x.test/v1", "wss://x.test/v1/realtime?a=1&b=%20&model=m"),
        ("https://x.test/v1?model=own", "https://x.test/v1", "wss://x.test/v1/realtime?model=own"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1", "ws://[::1]:9/v1/realtime?model=m"),
    ],
)
def test_custom_urls(url: str, http_url: str, realtime: str) -> None:
    endpoint = Endpoint.custom(url)
    assert endpoint.http_url == http_url
    assert endpoint.realtime_url("m") == realtime


def test_a_realtime_url_is_taken_as_it_is() -> None:
    endpoint = Endpoint.custom("https://x.test/v1", realtime_url="wss://rt.test/a/?q=%7e", query={"v": "1 2"})
    assert endpoint.realtime_url("m") == "wss://rt.test/a/?q=%7e&v=1%202"
    assert endpoint.url("/models") == "https://x.test/v1/models?v=1%202"


@given(st.dictionaries(st.text("ab?&=#/ %ä", min_size=1, max_size=4), st.text("ab?&=#/ %ä", max_size=4), max_size=4))
def test_never_a_second_question_mark(query: dict[str, str]) -> None:
    for url in ("https://x.test/v1", "https://x.test/v1?c=d"):
        assert Endpoint.custom(url, query=query).realtime_url("m").count("?") == 1


def test_custom_headers_replace_ours() -> None:
    endpoint = Endpoint.custom(
        "https://x.test/v1", headers={"authorization": "Basic x", "USER-AGENT": "me", "X-A": "1"}
    )
    assert headers(endpoint) == {"authorization": "Basic x", "USER-AGENT": "me", "X-A": "1"}


@pytest.mark.parametrize(
    "url",
    ["", "x.test/v1", "ftp://x.test", "https://", "https://x.test:99999", "https://x.test/a b", "https://x.test/#top",
     "https://x.test/\r\nX: y", "wss://x.test/v1"],
)  # fmt: skip
def test_refused_urls(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Endpoint.custom: url must"):
        Endpoint.custom(url)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Endpoint.custom("https://user:hunter2@x.test/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("pair", [("a b", "x"), ("", "x"), ("X", "a\r\nY: b"), ("X", "sn\u2603w"), ("X", 3)])
def test_refused_headers(pair: tuple[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Endpoint.custom("https://x.test/v1", headers=dict([pair]))


# --- the environment ---


@pytest.mark.parametrize("value", ["", "  ", "https://api.openai.com/v1", " https://api.openai.com/v1/ "])
def test_blank_means_openai(value: str) -> None:
    assert Endpoint.from_environment({"OPENAI_BASE_URL": value}) == Endpoint.openai()
    assert Endpoint.from_environment({}) == Endpoint.openai()


def test_base_url() -> None:
    endpoint = Endpoint.from_environment({"OPENAI_BASE_URL": " http://localhost:1/v1/?a=b "})
    assert endpoint.realtime_url("m") == "ws://localhost:1/v1/realtime?a=b&model=m"
    assert (endpoint.key_required, endpoint.ambient_keys) == (False, True)


def test_a_bad_base_url_is_named() -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL must be"):
        Endpoint.from_environment({"OPENAI_BASE_URL": "localhost:1"})


# --- secrets ---


def test_repr_hides_what_may_be_secret() -> None:
    endpoint = Endpoint.custom(
        "https://x.test/v1?key=hunter1",
        realtime_url="wss://x.test/rt?token=hunter2",
        headers={"X-Api-Key": "hunter3"},
        query={"sig": "hunter4"},
    )
    azure = Endpoint.azure(resource="mine", api_key="hunter5")
    shown = repr(endpoint) + repr(azure) + str(endpoint)
    assert "hunter" not in shown
    assert "X-Api-Key" in shown


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "http://x.test/v1", "headers": {"Authorization": "Bearer hunter2"}},
        {"url": "http://x.test/v1", "headers": {"api-key": "hunter2"}},
        {"url": "http://x.test/v1", "query": {"access_token": "hunter2"}},
        {"url": "https://x.test/v1", "realtime_url": "ws://x.test/v1", "headers": {"api-key": "hunter2"}},
    ],
)
def test_credentials_in_headers_do_not_travel_unencrypted(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted") as caught:
        Endpoint.custom(**settings)
    assert "hunter2" not in str(caught.value)


def test_plain_is_fine_for_this_machine_and_for_what_is_no_secret() -> None:
    Endpoint.custom("http://localhost:1/v1", headers={"Authorization": "x"})
    Endpoint.custom("http://x.test/v1", headers={"X-Trace": "1"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("192.168.0.1", False),
        ("localhost.test", False),
        ("127.0.0.1.test", False),
        ("2130706433", False),
        (socket.gethostname() + ".test", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_secret() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1


# --- intents ---


def test_the_url_of_a_transcription_session() -> None:
    """Its model is told with its settings; everything else is as in a conversation."""
    openai = Endpoint.openai()
    assert openai.realtime_url(intent="transcription") == "wss://api.openai.com/v1/realtime?intent=transcription"
    azure = Endpoint.azure(resource="r", deployment="d")
    assert azure.realtime_url(intent="transcription").endswith("/openai/v1/realtime?intent=transcription")
    custom = Endpoint.custom("http://127.0.0.1/v1", realtime_url="ws://127.0.0.1/live?a=b", query={"c": "d"})
    assert custom.realtime_url(intent="transcription") == "ws://127.0.0.1/live?a=b&c=d&intent=transcription"
    assert custom.realtime_url("m") == "ws://127.0.0.1/live?a=b&c=d"
