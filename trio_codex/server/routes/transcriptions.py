"""`POST /v1/audio/transcriptions`: a WAV file into words, whole or as server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import trio
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from trio_codex.audio import AudioFormat, read_wav
from trio_codex.errors import ConfigurationError
from trio_codex.grammar import Refusal, number, one_of, text, wrong_value
from trio_codex.server.recordings import PAUSE, Segment, recognised
from trio_codex.server.routes.exchange import Body, HttpRefusal, Made, read_form
from trio_codex.server.service import Service
from trio_codex.server.transcripts import Transcript, diarized

LARGEST_FILE: Final = 25 << 20
LONGEST_S: Final = 1500
FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_VAD_NUMBERS: Final = {
    "threshold": number(0, 1),
    "prefix_padding_ms": number(0, whole=True),
    "silence_duration_ms": number(0, whole=True),
}


@attrs.frozen(kw_only=True)
class _Order:
    """What a client wants to have written down, and how."""

    pcm: bytes = attrs.field(repr=False)
    model: str
    form: str
    streamed: bool
    prompt: str
    pause: Mapping[str, Any]

    def transcript(self, segments: list[Segment]) -> Transcript:
        duration_ms = AudioFormat.PCM16.duration_ms(len(self.pcm))
        return Transcript(segments, duration_ms, self.model, prompt=self.prompt)


async def create_transcription(service: Service, request: Request) -> Response:
    """`POST /v1/audio/transcriptions`."""
    with service.working():
        async with read_form(request, LARGEST_FILE + (1 << 20)) as form:
            order = await _order(form)

    async def make(body: Body) -> Response | None:
        with service.working():
            if order.streamed:
                await _stream(service, order, body)
                return None
            async with recognised(order.pcm, service.engines, order.pause) as segments:
                return _whole(order, [segment async for segment in segments])

    return Made(make)


def _whole(order: _Order, segments: list[Segment]) -> Response:
    transcript = order.transcript(segments)
    match order.form:
        case "json":
            return JSONResponse(transcript.json())
        case "verbose_json":
            return JSONResponse(transcript.verbose_json())
        case "diarized_json":
            return JSONResponse(transcript.diarized_json())
        case "srt":
            return PlainTextResponse(transcript.srt())
        case "vtt":
            return PlainTextResponse(transcript.vtt())
        case _:
            return PlainTextResponse(transcript.text + "\n")


async def _stream(service: Service, order: _Order, body: Body) -> None:
    said: list[Segment] = []
    async with recognised(order.pcm, service.engines, order.pause) as segments:
        async for segment in segments:
            for word in segment.text.split():
                await body.event({"type": "transcript.text.delta", "delta": f" {word}" if said else word})
                said = said or [segment]
            said = [*said, segment] if said[-1] is not segment else said
            if order.form == "diarized_json":
                await body.event(diarized(len(said) - 1, segment))
    transcript = order.transcript(said)
    await body.event({"type": "transcript.text.done", "text": transcript.text, "usage": transcript.usage})
    await body.write(b"data: [DONE]\n\n")


# --- reading the form --------------------------------------------------------------------------------------------------


async def _order(form: FormData) -> _Order:
    model = _field(form, "model")
    if model is None:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'model'.", "model")
    chosen = _field(form, "response_format") or "json"
    one_of(*FORMATS)(chosen, "response_format")
    if "word" in form.getlist("timestamp_granularities[]"):
        raise wrong_value("timestamp_granularities", "this server knows the times of segments, not of words.")
    streamed = _field(form, "stream") or "false"
    one_of("true", "false")(streamed, "stream")
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise Refusal("missing_required_parameter", "Missing required parameter: 'file'.", "file")
    return _Order(
        pcm=await _sound(upload),
        model=model,
        form=chosen,
        streamed=streamed == "true" and not model.startswith("whisper"),
        prompt=_field(form, "prompt") or "",
        pause=_pause(form),
    )


def _field(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if value is None:
        return None
    text()(value, name)
    return str(value)


def _pause(form: FormData) -> Mapping[str, Any]:
    given: dict[str, Any] = {}
    for name, rule in _VAD_NUMBERS.items():
        written = _field(form, f"chunking_strategy[{name}]")
        if written is not None:
            try:
                given[name] = float(written) if name == "threshold" else int(written)
            except ValueError:
                raise wrong_value(f"chunking_strategy.{name}", f"'{written}' is no number.") from None
            rule(given[name], f"chunking_strategy.{name}")
    return {**PAUSE, **given}


async def _sound(upload: UploadFile) -> bytes:
    data = await upload.read()
    if len(data) > LARGEST_FILE:
        message = f"Maximum content size limit ({LARGEST_FILE}) exceeded ({len(data)} bytes read)."
        raise HttpRefusal(413, message, param="file")
    try:
        sound = read_wav(data)
        if sound.duration_ms > LONGEST_S * 1000:
            duration_s = sound.duration_ms / 1000
            message = f"audio duration {duration_s:g} seconds is longer than {LONGEST_S} seconds which is the maximum."
            raise Refusal("invalid_value", message, "file")
        return await trio.to_thread.run_sync(sound.pcm24k)
    except ConfigurationError as error:
        message = f"The audio file could not be decoded; this server reads WAV files. ({error})"
        raise Refusal("invalid_value", message, "file") from error
