"""The local server over a real socket, with scripted speech."""

from __future__ import annotations

import base64
import json
import socket
from contextlib import suppress
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed

from trio_codex.errors import ConfigurationError, VoiceError
from trio_codex.protocol import (
    ConversationItemCreate,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    ResponseParams,
)
from trio_codex.server import Answer, AnswerRequest, LocalServer, open_local_server
from trio_codex.testing.engines import ScriptedSTT, ToneTTS

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
    "Sec-WebSocket-Version": "13",
}
MANUAL = {"input": {"turn_detection": None, "transcription": {"model": "gpt-transcribe"}}}


def scripted(*transcripts: str | VoiceError, **options: Any) -> Any:
    tts = options.pop("tts", None) or ToneTTS()
    return open_local_server(stt=ScriptedSTT(transcripts), tts=tts, **options)


async def test_a_spoken_turn_with_a_tool(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted("what is the weather in london") as server, connect(server) as client:
            await client.update(audio=MANUAL, tools=[WEATHER])
            await client.append(bytes(48 * 500))
            await client.send(InputAudioBufferCommit(), ResponseCreate())
            events = await client.until("response.done")
            call = events[-1].response.output[0]
            assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "London"})
            transcript = next(event for event in events if event.type.endswith("transcription.completed"))
            assert transcript.transcript == "what is the weather in london"
            output = FunctionCallOutput(call_id=call.call_id, output="It is sunny in London.")
            await client.send(ConversationItemCreate(item=output), ResponseCreate())
            events = await client.until("response.done")
            (message,) = events[-1].response.output
            assert message.content[0].transcript == "It is sunny in London."
            audio = b"".join(event.delta for event in events if event.type == "response.output_audio.delta")
            assert len(audio) == 48 * 20 * len("It is sunny in London.")


async def test_deltas_are_short_and_words_go_along_with_the_sound(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted(tts=ToneTTS(chunk_ms=330)) as server, connect(server) as client:
            await client.say("Say one two three. And then four")
            await client.send(ResponseCreate())
            events = await client.until("response.done")
            audio = [event.delta for event in events if event.type == "response.output_audio.delta"]
            assert max(map(len, audio)) == 4800
            words = [event.delta for event in events if event.type == "response.output_audio_transcript.delta"]
            assert words == ["one", " two", " three.", " And", " then", " four"]


async def test_g711_answers(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted("hello") as server, connect(server) as client:
            wanted = {
                "input": {"format": {"type": "audio/pcmu"}, "turn_detection": None},
                "output": {"format": {"type": "audio/pcma"}},
            }
            await client.update(audio=wanted)
            await client.send(InputAudioBufferAppend(audio=b"\x7f" * 1600), InputAudioBufferCommit(), ResponseCreate())
            events = await client.until("response.done")
            audio = b"".join(event.delta for event in events if event.type == "response.output_audio.delta")
            assert len(audio) == 8 * 20 * len("You said: hello.")


async def test_two_sessions_at_once_do_not_mix(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted() as server, connect(server) as one, connect(server) as other:
            await one.say("I am the first")
            await other.say("I am the second")
            await one.send(ResponseCreate())
            await other.send(ResponseCreate())
            said = [
                (await client.until("response.done"))[-1].response.output[0].content[0].transcript
                for client in (one, other)
            ]
            assert said == ["You said: I am the first.", "You said: I am the second."]
            ids = [{event.event_id for event in client.events} for client in (one, other)]
            assert not ids[0] & ids[1]


async def test_cancel_stops_the_speech(connect: Any) -> None:
    with trio.fail_after(60):
        tts = ToneTTS(ms_per_character=1000, delay_s=0.02)
        async with scripted(tts=tts) as server, connect(server) as client:
            await client.say("hello")
            await client.send(ResponseCreate())
            await client.until("response.output_audio.delta")
            await client.send(ResponseCancel())
            events = await client.until("response.done")
            assert events[-1].response.status == "cancelled"
            await client.say("again")
            await client.send(ResponseCreate())
            await client.until("response.created")
            await client.until("response.output_audio.delta")
            assert tts.said == ["You said: hello.", "You said: again."]


async def test_out_of_band_beside_a_running_response(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted(tts=ToneTTS(ms_per_character=1000, delay_s=0.02)) as server, connect(server) as client:
            await client.say("hello")
            await client.send(ResponseCreate())
            await client.until("response.output_audio.delta")
            params = ResponseParams(conversation="none", output_modalities=("text",), metadata={"for": "me"})
            await client.send(ResponseCreate(response=params))
            done = (await client.until("response.done"))[-1].response
            assert (done.metadata, done.conversation_id) == ({"for": "me"}, None)
            assert done.output[0].content[0].text == "You said: hello."


async def test_a_client_that_vanishes_in_mid_answer_leaves_nothing(connect: Any) -> None:
    with trio.fail_after(60):
        tts = ToneTTS(ms_per_character=1000, delay_s=0.01)
        async with scripted(tts=tts) as server:
            before = len(trio.lowlevel.current_task().child_nurseries[-1].child_tasks)
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def vanish() -> None:
                    async with connect(server) as client:
                        await client.say("hello")
                        await client.send(ResponseCreate())
                        await client.until("response.output_audio.delta")
                        client.websocket._stream.socket.close()
                        nursery.cancel_scope.cancel()

            async with connect(server) as client:
                await client.say("still there?")
                await client.send(ResponseCreate(response=ResponseParams(output_modalities=("text",))))
                await client.until("response.done")
            assert len(trio.lowlevel.current_task().child_nurseries[-1].child_tasks) == before


async def test_a_client_that_does_not_read_cannot_grow_memory_nor_hold_up_the_end() -> None:
    with trio.fail_after(60):
        tts = ToneTTS(ms_per_character=100_000)  # 25 minutes of audio, if anybody took it
        async with scripted(tts=tts) as server:
            stream = await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port)
            headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
            await stream.send_all(f"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
            assert b"101" in await stream.receive_some(64)
            frame = json.dumps({"type": "response.create"}).encode()
            await stream.send_all(b"\x81" + bytes([0x80 | len(frame)]) + bytes(4) + frame)
            while not tts.said:  # noqa: ASYNC110 - what is waited for is inside the server
                await trio.sleep(0.05)
            await trio.sleep(0.5)
            assert tts.said == ["Hello!"]
            began = trio.current_time()
        assert trio.current_time() - began < 20
        await trio.aclose_forcefully(stream)


async def test_the_end_of_the_server_is_said_to_its_clients(connect: Any) -> None:
    async def run(task_status: trio.TaskStatus[LocalServer] = trio.TASK_STATUS_IGNORED) -> None:
        async with scripted() as server:
            task_status.started(server)
            await leave.wait()

    leave = trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(run)
            async with connect(server) as client:
                leave.set()
                with pytest.raises(ConnectionClosed) as closed:
                    await client.receive()
                assert closed.value.reason.code == 1001
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port)


async def test_a_client_that_breaks_the_rules_harms_nobody_else(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted() as server, connect(server) as client:
            headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
            early = f"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode() + b"\x81\x80\0\0\0\0"
            for rude in (early, b"\0\0\0\r\n\r\n", b"GET / HTTP/1.1\r\n" * 100_000):
                async with await trio.open_tcp_stream("127.0.0.1", httpx.URL(server.http_url).port) as stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(rude)
                        while await stream.receive_some():
                            pass
            await client.update()


# --- failures ----------------------------------------------------------------------------------------------------------


async def test_a_bad_frame_is_an_error_event_and_the_session_goes_on(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted() as server, connect(server) as client:
            for frame in ("{", b"\xff\xfe", '{"type":"dance"}'):
                await client.websocket.send_message(frame)
                assert (await client.receive()).type == "error"
            await client.update()


async def test_too_much_audio_at_once_is_the_api_s_error(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted() as server, connect(server) as client:
            await client.update(audio=MANUAL)
            await client.send(InputAudioBufferAppend(audio=bytes(15 << 20), event_id="fits"))
            await client.send(InputAudioBufferAppend(audio=bytes((15 << 20) + 2), event_id="not"))
            error = (await client.until("error"))[-1].error
            assert (error.event_id, error.param) == ("not", "audio")
            await client.send(InputAudioBufferCommit())
            await client.until("input_audio_buffer.committed")


async def test_a_recogniser_that_dies_is_asked_again(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted(VoiceError("worker died"), "hello") as server, connect(server) as client:
            await client.update(audio=MANUAL)
            await client.append(bytes(48 * 500))
            await client.send(InputAudioBufferCommit(), ResponseCreate())
            events = await client.until("response.done")
            assert events[-1].response.output[0].content[0].transcript == "You said: hello."


async def test_a_recogniser_that_keeps_dying_fails_the_transcription_not_the_session(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted(VoiceError("dead"), VoiceError("dead")) as server, connect(server) as client:
            await client.update(audio=MANUAL)
            await client.append(bytes(48 * 500))
            await client.send(InputAudioBufferCommit(), ResponseCreate())
            kinds = [event.type for event in await client.until("response.done")]
            assert "conversation.item.input_audio_transcription.failed" in kinds


class Broken:
    """A responder that fails in the middle."""

    async def respond(self, request: AnswerRequest, answer: Answer) -> None:
        await answer.say("I am about to")
        raise ValueError("a secret")


async def test_a_responder_that_fails_fails_the_response(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    with trio.fail_after(60):
        async with scripted(responder=Broken()) as server, connect(server) as client:
            await client.send(ResponseCreate())
            response = (await client.until("response.done"))[-1].response
            assert response.status == "failed"
            assert response.status_details.error.code == "server_error"
            assert "secret" not in response.status_details.error.message
            await client.update()
    assert "the responder failed" in caplog.text


class Mute(ToneTTS):
    """A voice that cannot speak."""

    def speak(self, text: str, **_: Any) -> Any:
        raise VoiceError("no voice")


async def test_a_voice_that_fails_fails_the_response(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted(tts=Mute()) as server, connect(server) as client:
            await client.send(ResponseCreate())
            assert (await client.until("response.done"))[-1].response.status_details.error.code == "speech_failed"


async def test_a_responder_of_one_s_own(connect: Any) -> None:
    class Parrot:
        async def respond(self, request: AnswerRequest, answer: Answer) -> None:
            await answer.say("Polly.")
            await answer.say("Cracker.")
            await answer.call("feed", {"nuts": 3})
            await answer.say("Thanks.")

    with trio.fail_after(60):
        async with scripted(responder=Parrot()) as server, connect(server) as client:
            await client.update(output_modalities=["text"])
            await client.send(ResponseCreate())
            output = (await client.until("response.done"))[-1].response.output
            assert output[0].content[0].text == "Polly. Cracker."
            assert json.loads(output[1].arguments) == {"nuts": 3}
            assert output[2].content[0].text == "Thanks."


# --- HTTP and admission ------------------------------------------------------------------------------------------------


async def test_models_and_unknown_paths() -> None:
    with trio.fail_after(60):
        async with scripted() as server, httpx.AsyncClient() as http:
            models = (await http.get(f"{server.http_url}/models")).json()
            assert models["object"] == "list"
            assert "gpt-realtime-2.1" in [model["id"] for model in models["data"]]
            missing = await http.get(f"{server.http_url}/nothing")
            assert (missing.status_code, missing.json()["error"]["type"]) == (404, "invalid_request_error")
            wrong = await http.post(f"{server.http_url}/models")
            assert wrong.status_code == 405


async def test_a_key_is_asked_for_when_there_is_one(connect: Any) -> None:
    with trio.fail_after(60):
        async with scripted(api_key="sk-right") as server, httpx.AsyncClient() as http:
            for headers, code in (({}, None), ({"Authorization": "Bearer sk-wrong"}, "invalid_api_key")):
                refused = await http.get(f"{server.http_url}/models", headers=headers)
                assert (refused.status_code, refused.json()["error"]["code"]) == (401, code)
                refused = await http.get(f"{server.http_url}/realtime", headers={**UPGRADE, **headers})
                assert (refused.status_code, refused.json()["error"]["code"]) == (401, code)
            right = [("Authorization", "Bearer sk-right")]
            assert (await http.get(f"{server.http_url}/models", headers=dict(right))).status_code == 200
            async with connect(server, extra_headers=right):
                pass
            async with connect(server, extra_headers=[("api-key", "sk-right")]):
                pass
            async with connect(server, subprotocols=["realtime", "openai-insecure-api-key.sk-right"]) as client:
                assert client.websocket.subprotocol == "realtime"
            async with connect(server, extra_headers=server.endpoint.headers(None)):
                pass
            assert "sk-right" not in repr(server)


async def test_what_this_server_does_not_have_is_refused_before_the_upgrade() -> None:
    with trio.fail_after(60):
        async with scripted() as server, httpx.AsyncClient() as http:
            for query in ("intent=telepathy", "call_id=rtc_1"):
                refused = await http.get(f"{server.http_url}/realtime?{query}", headers=UPGRADE)
                assert refused.status_code in (400, 404)
                assert refused.json()["error"]["param"] in query


async def test_a_port_in_use() -> None:
    with trio.fail_after(60), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            async with scripted(port=port):
                pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
async def test_only_loopback_without_a_key(host: str) -> None:
    with pytest.raises(ConfigurationError, match="api_key"):
        async with scripted(host=host):
            pass


async def test_everywhere_with_a_key() -> None:
    with trio.fail_after(60):
        async with scripted(host="0.0.0.0", api_key="sk") as server:
            assert server.http_url.startswith("http://127.0.0.1:")


async def test_ipv6(connect: Any) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with trio.fail_after(60):
        try:
            async with scripted(host="::1") as server, connect(server):
                assert server.http_url.startswith("http://[::1]:")
        except ConfigurationError as error:
            pytest.skip(str(error))


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
async def test_what_the_body_raises_comes_out_as_it_is(error: BaseException) -> None:
    with trio.fail_after(60), pytest.raises(type(error)) as raised:
        async with scripted():
            raise error
    assert raised.value is error


@pytest.mark.parametrize("error", [ValueError("defect"), SystemExit(3)])
async def test_a_defect_ends_one_session_and_not_the_server(connect: Any, error: BaseException) -> None:
    class Defective(ScriptedSTT):
        def stream(self) -> Any:
            raise error

    with trio.fail_after(60):
        async with open_local_server(stt=Defective(), tts=ToneTTS()) as server, connect(server) as other:
            async with connect(server) as client:
                await client.update(audio=MANUAL)
                await client.append(bytes(48 * 100))
                with pytest.raises(ConnectionClosed) as closed:
                    await client.receive()
                assert closed.value.reason.code == 1011
            await other.update()


class Turns(trio.abc.Instrument):
    """Counts the turns of the scheduler that tasks of one name take."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith(self._name)


async def test_frames_that_wait_together_are_written_in_one_turn(connect: Any) -> None:
    """With fifty sessions that speak, the answer would be late by as many turns."""
    with trio.fail_after(60):
        async with scripted() as server, connect(server) as client:
            await client.say("Say one two three.")
            await client.until("conversation.item.done")
            turns = Turns("RealtimeConnection._write")
            trio.lowlevel.add_instrument(turns)
            await client.send(ResponseCreate())
            frames = len(await client.until("response.done"))
            trio.lowlevel.remove_instrument(turns)
            assert frames > 12
            assert turns.count < frames / 2


async def test_leaving_by_cancellation(connect: Any) -> None:
    with trio.fail_after(60):
        with trio.CancelScope() as scope:
            async with scripted() as server, connect(server):
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught


async def test_who_asks_for_the_beta_is_told_that_it_is_over(connect: Any) -> None:
    with trio.fail_after(60):
        async with (
            scripted() as server,
            connect(server, first="error", extra_headers=[("OpenAI-Beta", "realtime=v1")]) as client,
        ):
            assert client.events[0].error.code == "beta_api_shape_disabled"
            with pytest.raises(ConnectionClosed) as closed:
                await client.receive()
            assert closed.value.reason.code == 4000
