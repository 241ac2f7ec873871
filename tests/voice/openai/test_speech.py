"""Text to speech by the endpoint: what is asked, how failures are told, and that a request ends with its block."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.voice import TTSSettings
from trio_codex.voice.openai import OpenAITTS

KEY = "sk-test-of-nobody"
QUIET = TTSSettings(instructions=None)


async def say(tts: OpenAITTS, text: str = "Hello.", settings: TTSSettings = QUIET) -> bytes:
    async with tts.speak(text, settings) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_speaks_as_it_comes(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.begin()
        for piece in (b"ab", b"cde", b"f"):
            await said.piece(piece)
        await said.end()

    settings = TTSSettings(model="m", voice="nova", speed=1.5, instructions="Whisper.")
    async with serving(script) as service:
        assert await say(OpenAITTS(endpoint=service.endpoint, api_key=KEY), "Hello.", settings) == b"abcdef"
        await service.all_hung_up.wait()
    (request,) = service.asked
    assert request.path == "/v1/audio/speech"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json == {
        "model": "m",
        "input": "Hello.",
        "voice": "nova",
        "response_format": "pcm",
        "speed": 1.5,
        "instructions": "Whisper.",
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (TTSSettings(voice={"id": "voice_7"}), {"voice": {"id": "voice_7"}}),
        (TTSSettings(model="tts-1-hd"), {"model": "tts-1-hd"}),
    ],
)
async def test_what_is_asked(serving: Any, settings: TTSSettings, expected: dict[str, Any]) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(200, b"")

    async with serving(script) as service:
        assert await say(OpenAITTS(endpoint=service.endpoint, api_key=KEY), "Hi.", settings) == b""
    asked = service.asked[0].json
    assert asked | expected == asked
    assert ("instructions" in asked) == (settings.model != "tts-1-hd")
    assert "speed" not in asked


async def test_the_first_chunk_does_not_wait_for_the_second(serving: Any) -> None:
    goes_on = trio.Event()

    async def script(request: Any, said: Any) -> None:
        await said.begin()
        await said.piece(b"first")
        await goes_on.wait()
        await said.piece(b"second")
        await said.end()

    async with serving(script) as service, OpenAITTS(endpoint=service.endpoint, api_key=KEY).speak("", QUIET) as chunks:
        assert await anext(chunks) == b"first"
        goes_on.set()
        assert await anext(chunks) == b"second"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_a_request_ends_with_its_block_and_what_the_body_raises_comes_out(serving: Any) -> None:
    hung_up = trio.Event()

    async def script(request: Any, said: Any) -> None:
        await said.begin()
        await said.piece(b"ab")
        await said.hung_up.wait()
        hung_up.set()

    async with serving(script) as service, OpenAITTS(endpoint=service.endpoint, api_key=KEY).open() as tts:
        error = LookupError("mine")
        with pytest.raises(LookupError) as raised:
            async with tts.speak("Hello.", QUIET) as chunks:
                assert await anext(chunks) == b"ab"
                raise error
        assert raised.value is error
        with trio.fail_after(60):
            await hung_up.wait()


async def test_opened_it_keeps_its_connection(serving: Any) -> None:
    connections = 0

    async def script(request: Any, said: Any) -> None:
        nonlocal connections
        connections = max(connections, service.connections)
        await said.whole(200, b"ab", "content-type: audio/pcm")

    async with serving(script) as service:
        async with OpenAITTS(endpoint=service.endpoint, api_key=KEY).open() as tts:
            for _ in range(3):
                assert await say(tts) == b"ab"
            assert service.connections == 1
        with trio.fail_after(60):
            await service.all_hung_up.wait()
    assert (len(service.asked), connections) == (3, 1)


async def test_a_refusal_says_everything(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        error = {"message": "You have no voice.", "type": "invalid_request_error", "code": "voice_not_found"}
        await said.whole(400, {"error": error}, "x-request-id: req_7")

    async with serving(script) as service:
        with pytest.raises(VoiceError, match=r"text to speech failed: You have no voice\.") as raised:
            await say(OpenAITTS(endpoint=service.endpoint, api_key=KEY))
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (400, "voice_not_found", "req_7")
    assert len(service.asked) == 1


async def test_what_passes_is_asked_again_but_never_once_an_answer_has_begun(serving: Any) -> None:
    async def busy(request: Any, said: Any) -> None:
        await said.whole(429, {"error": {"message": "Later."}}, "retry-after-ms: 1")

    async def dying(request: Any, said: Any) -> None:
        await said.begin()
        await said.piece(b"ab")
        await said.die()

    async with serving(busy, dying) as service:
        heard = []
        with pytest.raises(VoiceError, match="text to speech failed: no whole answer came"):
            async with OpenAITTS(endpoint=service.endpoint, api_key=KEY).speak("", QUIET) as chunks:
                async for chunk in chunks:
                    heard.append(chunk)
    assert heard == [b"ab"]
    assert len(service.asked) == 2


async def test_what_is_no_audio_is_not_played(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.whole(200, b"<html>Please log in.</html>", "content-type: text/html")

    async with serving(script) as service:
        with pytest.raises(VoiceError, match="the server sent text/html in the place of audio"):
            await say(OpenAITTS(endpoint=service.endpoint, api_key=KEY))


async def test_silence_is_an_error(serving: Any) -> None:
    async def script(request: Any, said: Any) -> None:
        await said.begin()
        await said.hung_up.wait()

    async with serving(script) as service:
        with pytest.raises(VoiceError, match="did not answer in time"):
            await say(OpenAITTS(endpoint=service.endpoint, api_key=KEY, timeout=0.05))


async def test_nobody_answers() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
    await listener.aclose()
    from trio_codex import Endpoint

    with pytest.raises(VoiceError, match="text to speech failed"):
        await say(OpenAITTS(endpoint=Endpoint.custom(url), api_key=KEY))


async def test_no_key_is_found_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no API key"):
        await say(OpenAITTS())


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(OpenAITTS(api_key=KEY))
