"""The demo as a whole, with real speech: what a newcomer sees first."""

from __future__ import annotations

import json
import signal
import time
from array import array

import pytest
import trio

from trio_codex import Agent, ServerVAD, SessionSettings, Transcription, audio, open_realtime_session, tool
from trio_codex.cli.call import Call
from trio_codex.cli.console import Console
from trio_codex.cli.demo import recordings
from trio_codex.server import open_local_server

from .conftest import Cli, finish


def test_the_conversation(cli: Cli) -> None:
    done = cli.run("demo", "--fast", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told) == {"turns", "tool_calls", "handoffs", "audio_in_s", "audio_out_s", "output"}
    assert len(told["turns"]) == len(recordings())
    # Words only where the recogniser is sure of them.
    for turn, words in zip(
        told["turns"], (["good"], ["weather", "boston"], ["problem", "software"], ["status"], ["goodbye"]), strict=True
    ):
        assert all(word in turn["user"] for word in words)
        assert turn["agent"]
        assert turn["first_audio_ms"] is None
    assert [call["name"] for call in told["tool_calls"]] == ["get_weather", "check_status"]
    assert told["tool_calls"][0]["arguments"] == {"city": "Boston"}
    assert told["handoffs"] == [["Greeter", "TechSupport"]]
    assert [turn["agent_name"] for turn in told["turns"]] == [
        "Greeter",
        "Greeter",
        "TechSupport",
        "TechSupport",
        "TechSupport",
    ]

    wav = audio.read_wav(cli.folder / told["output"])
    assert (wav.rate, wav.channels) == (24_000, 2)
    user, agent = tracks(wav.samples)
    assert audio.rms(user) > 0.01
    assert audio.rms(agent) > 0.01
    assert told["audio_in_s"] == pytest.approx(sum(map(len, recordings())) / 48_000, abs=0.01)
    assert 5 < told["audio_out_s"] < 60
    assert wav.duration_ms / 1000 > told["audio_in_s"] + told["audio_out_s"]


def tracks(stereo: bytes) -> tuple[bytes, bytes]:
    samples = array("h", stereo)
    return samples[0::2].tobytes(), samples[1::2].tobytes()


def test_people_see_both_sides_and_the_figures(cli: Cli) -> None:
    done = cli.run("demo", "--fast", "--output", "call.wav")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("you: ") and "boston" in line for line in lines)
    assert any(line.startswith("Greeter: ") for line in lines)
    assert any("[Greeter hands over to TechSupport]" in line for line in lines)
    assert any("5 turns, 2 tool calls, 1 handoff, " in line for line in lines)
    assert (cli.folder / "call.wav").exists()


async def test_in_real_time_the_wait_for_the_first_audio_is_measured() -> None:
    agent = Agent(name="Echo", instructions="Repeat.")
    with trio.fail_after(60):
        async with open_local_server() as server, open_session(server.endpoint, agent) as session:
            call = Call(session, Console(quiet=True), fast=False)
            await call.play(recordings()[:1])
    [turn] = call.minutes.turns
    assert turn.first_audio_ms is not None
    assert turn.first_audio_ms > 0
    assert f"{turn.first_audio_ms} ms" in call.minutes.figures(1, 1)
    assert len(call.user) == len(call.agent)
    assert audio.rms(bytes(call.agent)) > 0.005


async def test_nothing_knows_the_demo_by_name() -> None:
    """The same recordings drive other agents and other tools, so no branch of the library waits for this conversation."""

    @tool
    async def forecast(town: str) -> str:
        """Look up the weather for a town."""
        return f"Rain over {town}."

    @tool
    async def server_report(machine: str) -> str:
        """Report the status of a server."""
        return f"{machine} is fine."

    repairs = Agent(name="Repairs", handoff_description="Repairs every problem with software.", tools=[server_report])
    desk = Agent(name="Desk", tools=[forecast], handoffs=[repairs])
    with trio.fail_after(60):
        async with open_local_server() as server, open_session(server.endpoint, desk) as session:
            call = Call(session, Console(quiet=True), fast=True)
            await call.play(recordings())
            assert session.current_agent is repairs
    assert call.minutes.handoffs == [["Desk", "Repairs"]]
    assert [entry["name"] for entry in call.minutes.tool_calls] == ["forecast", "server_report"]
    assert call.minutes.tool_calls[0]["output"] == "Rain over Boston."


def open_session(endpoint, agent):  # type: ignore[no-untyped-def]
    settings = SessionSettings(turn_detection=ServerVAD(), transcription=Transcription(model="gpt-transcribe"))
    return open_realtime_session(agent, settings=settings, endpoint=endpoint)


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5, 3.0])
def test_ctrl_c_leaves_nothing_behind(cli: Cli, after_s: float) -> None:
    with cli.start("demo", "--output", "call.wav") as process:
        time.sleep(after_s)  # a person presses Ctrl-C in real time; whatever it hits must do
        process.send_signal(signal.SIGINT)
        finish(process)
    # Before Python has got as far as our own code, its default is all there is.
    assert process.returncode in (130, -signal.SIGINT)
    assert list(cli.folder.iterdir()) == []
    assert cli.survivors() == []
