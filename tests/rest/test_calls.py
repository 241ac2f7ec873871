"""Calls and client secrets: what goes over the wire, and what comes of the answers."""

from __future__ import annotations

import email.utils
import json
from types import MappingProxyType
from typing import Any

import pytest
import trio

from trio_codex import Agent, ServerVAD, SessionSettings, tool
from trio_codex.errors import ConfigurationError, RemoteProtocolError, ServerRefused
from trio_codex.rest import ClientSecret, EphemeralKey, open_client

from .conftest import serving

KEY = "sk-test-of-nobody"


@tool
async def hang_up() -> str:
    """End the call."""
    return "done"


async def test_a_call_is_accepted() -> None:
    agent = Agent(instructions="Be brief.", tools=[hang_up], voice="marin")
    turns = ServerVAD(threshold=0.5, create_response=True)
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(200)
        await client.calls.accept(
            "rtc_1/x", SessionSettings(input_format="audio/pcmu", turn_detection=turns), agent=agent
        )
    [asked] = service.asked
    assert (asked.method, asked.path) == ("POST", "/v1/realtime/calls/rtc_1%2Fx/accept")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert (asked.body["type"], asked.body["model"]) == ("realtime", "gpt-realtime-2.1")
    assert (asked.body["instructions"], asked.body["tools"][0]["name"]) == ("Be brief.", "hang_up")
    assert asked.body["audio"] == {
        "input": {"turn_detection": {"type": "server_vad", "create_response": True}},
        "output": {"voice": "marin"},
    }


OFFER, ANSWER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n", b"v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\n"


async def test_a_call_is_made() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(201, ANSWER, location="/v1/realtime/calls/rtc_7", content_type="application/sdp")
        call = await client.calls.create(
            OFFER, SessionSettings(output_format="audio/pcmu", voice="marin"), agent=Agent(instructions="Be brief.")
        )
    assert (call.call_id, call.sdp) == ("rtc_7", ANSWER.decode())
    [asked] = service.asked
    assert (asked.method, asked.path, asked.headers["accept"]) == ("POST", "/v1/realtime/calls", "application/sdp")
    kind, offer = asked.body["sdp"]
    assert (kind, offer) == ("application/sdp", OFFER)
    kind, session = asked.body["session"]
    assert kind == "application/json"
    assert json.loads(session) == {
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "Be brief.",
        "tools": [],
        "audio": {"output": {"voice": "marin"}},
    }


async def test_a_session_of_any_mappings_and_numbers_goes_as_json_has_it() -> None:
    session = {"audio": MappingProxyType({"output": {"voice": "marin"}}), "tracing": {"metadata": {"number": 2**70}}}
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        for _ in range(2):
            service.will_answer(201, ANSWER, location="/v1/realtime/calls/rtc_7", content_type="application/sdp")
        await client.calls.create(OFFER, MappingProxyType(session))
        await client.calls.accept("rtc_7", MappingProxyType(session))
    made, accepted = service.asked
    for said in (json.loads(made.body["session"][1]), accepted.body):
        assert said["audio"] == {"output": {"voice": "marin"}}
        assert said["tracing"] == {"metadata": {"number": 2**70}}


async def test_a_call_is_made_with_the_session_of_its_key() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(201, ANSWER, location="/v1/realtime/calls/rtc_7")
        assert (await client.calls.create(OFFER)).call_id == "rtc_7"
    [asked] = service.asked
    assert (asked.headers["content-type"], asked.body) == ("application/sdp", OFFER.encode())


async def test_a_call_that_was_not_made() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(201, ANSWER)
        with pytest.raises(RemoteProtocolError, match="no Location"):
            await client.calls.create(OFFER)
        service.will_answer(201, None, location="/v1/realtime/calls/rtc_7")
        with pytest.raises(RemoteProtocolError, match="no SDP"):
            await client.calls.create(OFFER)
        with pytest.raises(ConfigurationError, match="sdp"):
            await client.calls.create(" ")


async def test_the_other_verbs() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        for _ in range(5):
            service.will_answer(200)
        await client.calls.accept("rtc_1", {"model": "gpt-realtime"})
        await client.calls.reject("rtc_1")
        await client.calls.reject("rtc_1", status_code=486)
        await client.calls.refer("rtc_1", "tel:+15550100")
        await client.calls.hangup("rtc_1")
    assert [(asked.path.rpartition("/")[2], asked.body) for asked in service.asked] == [
        ("accept", {"type": "realtime", "model": "gpt-realtime"}),
        ("reject", {}),
        ("reject", {"status_code": 486}),
        ("refer", {"target_uri": "tel:+15550100"}),
        ("hangup", None),
    ]


async def test_what_makes_no_sense_is_not_sent() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        for verb in (client.calls.accept, client.calls.reject, client.calls.hangup):
            with pytest.raises(ConfigurationError, match="call_id"):
                await verb(" ")
        with pytest.raises(ConfigurationError, match="target_uri"):
            await client.calls.refer("rtc_1", "")
        with pytest.raises(ConfigurationError, match="speed"):
            await client.calls.accept("rtc_1", SessionSettings(speed=9))
        with pytest.raises(ConfigurationError, match="10 to 7200"):
            await client.client_secrets.create(expires_after=5)
    assert service.asked == []


async def test_a_refusal() -> None:
    error = {"message": f"Key {KEY} may not.", "type": "invalid_request_error", "code": "call_not_found", "param": None}
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(404, {"error": error}, x_request_id="req_1")
        with pytest.raises(ServerRefused, match="Key … may not") as caught:
            await client.calls.hangup("rtc_1")
    refused = caught.value
    assert (refused.status, refused.code, refused.request_id, refused.retryable) == (
        404,
        "call_not_found",
        "req_1",
        False,
    )


# --- client secrets ---


def minted(number: int, expires_at: int = 2_000_000_600) -> dict[str, Any]:
    return {"value": f"ek_number_{number}", "expires_at": expires_at, "session": {"type": "realtime", "id": "sess_1"}}


async def test_a_client_secret() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(200, minted(1), date=email.utils.formatdate(2_000_000_570))
        secret = await client.client_secrets.create(
            SessionSettings(voice="alloy"), model="gpt-realtime", expires_after=60
        )
    assert service.asked[0].path == "/v1/realtime/client_secrets"
    assert service.asked[0].body == {
        "session": {"type": "realtime", "model": "gpt-realtime", "audio": {"output": {"voice": "alloy"}}},
        "expires_after": {"anchor": "created_at", "seconds": 60},
    }
    assert secret.value.reveal() == "ek_number_1"
    assert (secret.expires_at, secret.session["id"], secret.lives_s) == (2_000_000_600, "sess_1", 30)
    assert "ek_number" not in repr(secret)


async def test_a_secret_for_transcription() -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(200, minted(1))
        secret = await client.client_secrets.create({"type": "transcription", "audio": {}})
    assert service.asked[0].body == {"session": {"type": "transcription", "audio": {}}}
    assert secret.lives_s == 600


@pytest.mark.parametrize(
    "body", [None, [], {}, {"value": "ek"}, {"value": 1, "expires_at": 1}, {"value": "ek", "expires_at": None}]
)
async def test_an_answer_that_is_no_secret(body: Any) -> None:
    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(200, body)
        with pytest.raises(RemoteProtocolError):
            await client.client_secrets.create()


class Mint:
    """Mints secrets that live for a minute, slowly."""

    def __init__(self) -> None:
        self.count = 0

    async def create(self, **options: Any) -> ClientSecret:
        from trio_codex.credentials import Secret

        assert options == {"session": None, "model": "m"}
        await trio.sleep(1)
        self.count += 1
        return ClientSecret(Secret(f"ek_number_{self.count}"), 0, {}, 60)


async def test_an_ephemeral_key_is_renewed_before_it_expires(autojump_clock: Any) -> None:
    mint = Mint()
    key = EphemeralKey(mint, 30, {"session": None, "model": "m"})  # type: ignore[arg-type]
    given: list[str] = []

    async def ask() -> None:
        given.append((await key()).reveal())

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert given == ["ek_number_1"] * 5
    await trio.sleep(28.9)
    await ask()
    await trio.sleep(0.2)
    await ask()
    assert given[5:] == ["ek_number_1", "ek_number_2"]


async def test_an_ephemeral_key_is_a_key_for_connections() -> None:
    from trio_codex.credentials import resolve_key

    async with serving() as service, open_client(service.endpoint, KEY) as client:
        service.will_answer(200, minted(7))
        found = await resolve_key(service.endpoint, client.client_secrets.as_key(model="gpt-realtime"))
    assert found
    assert found.reveal() == "ek_number_7"
