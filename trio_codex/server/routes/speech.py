"""`POST /v1/audio/speech`: a text into sound, sentence by sentence, as fast as the engine speaks and the client takes it.

Sound is `pcm` (s16le mono 24 kHz) or `wav`. Who asks for no format in particular gets `wav`, for there is no MP3 encoder here.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import attrs
from pybase64 import b64encode_as_string
from starlette.requests import Request
from starlette.responses import Response

from trio_codex.audio import RATE, AudioFormat
from trio_codex.grammar import Refusal, each, either, fields, nullable, number, one_of, text, wrong_value
from trio_codex.protocol import tokens_of, tokens_spoken
from trio_codex.server.answering import sentences
from trio_codex.server.routes.exchange import EVENT_STREAM, Body, Made, read_json
from trio_codex.server.service import Service

LONGEST_TEXT: Final = 4096
LARGEST_BODY: Final = 256 << 10
MEDIA: Final = {"pcm": "audio/pcm", "wav": "audio/wav"}

_ORDER: Final = fields(
    "input",
    "model",
    "voice",
    input=text(at_most=LONGEST_TEXT),
    model=text(),
    voice=either(text(), fields("id", id=text())),
    instructions=nullable(text()),
    response_format=nullable(one_of("mp3", "opus", "aac", "flac", "wav", "pcm")),
    speed=nullable(number(0.25, 4)),
    stream_format=nullable(one_of("audio", "sse")),
    languages=nullable(each(text())),
)


async def create_speech(service: Service, request: Request) -> Response:
    """`POST /v1/audio/speech`."""
    order = await read_json(request, _ORDER, LARGEST_BODY)
    form = order.get("response_format") or "wav"
    if form not in MEDIA:
        raise wrong_value("response_format", f"this server makes no {form}; ask for 'pcm' or 'wav'.")
    if not order["input"].strip():
        raise Refusal("invalid_value", "Invalid 'input': there is nothing to say.", "input")
    as_events = order.get("stream_format") == "sse"
    if as_events and order["model"].startswith("tts-1"):
        raise wrong_value("stream_format", f"'sse' is not supported by the model '{order['model']}'.")

    async def make(body: Body) -> None:
        mouth = _Mouth(body, order, as_events, _endless_wav_header() if form == "wav" else b"")
        with service.working():
            await _say(service, order, mouth)
        await mouth.end()

    return Made(make, EVENT_STREAM if as_events else MEDIA[form])


async def _say(service: Service, order: dict[str, Any], mouth: _Mouth) -> None:
    voice = order["voice"] if isinstance(order["voice"], str) else order["voice"]["id"]
    for sentence in sentences(order["input"]):
        async with service.engines.tts.speak(sentence, voice=voice, speed=order.get("speed") or 1.0) as speech:
            async for pcm in speech:
                await mouth.say(pcm)


@attrs.define
class _Mouth:
    """Where the sound goes: as it is, or as events. What it begins with goes with the first of it, for until then all may fail."""

    body: Body
    order: dict[str, Any]
    as_events: bool
    beginning: bytes
    spoken_bytes: int = 0

    async def say(self, pcm: bytes) -> None:
        self.spoken_bytes += len(pcm)
        sound, self.beginning = self.beginning + pcm, b""
        if self.as_events:
            await self.body.event({"type": "speech.audio.delta", "audio": b64encode_as_string(sound)})
        else:
            await self.body.write(sound)

    async def end(self) -> None:
        if self.beginning or not self.body.begun:
            await self.say(b"")
        if not self.as_events:
            return
        spoken = tokens_spoken(AudioFormat.PCM16.duration_ms(self.spoken_bytes))
        read = tokens_of(self.order["input"] + (self.order.get("instructions") or ""))
        usage = {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}
        await self.body.event({"type": "speech.audio.done", "usage": usage})


def _endless_wav_header() -> bytes:
    """The header of a WAV whose length nobody knows yet: the widest sizes, as streaming writers leave them."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 0xFFFFFFFF, b"WAVE") + fmt + struct.pack("<4sI", b"data", 0xFFFFFFFF)
