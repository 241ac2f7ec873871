"""A client of the peer for tests: it speaks JSON, and sees what comes back as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from trio_codex.protocol import Peer, PeerEffect, Say, encode_server_event

SILENCE_100_MS = bytes(4800)
VOICE_100_MS = b"\x00\x40\x00\xc0" * 1200


class Client:
    """Sends JSON to a peer and keeps what comes back, as JSON."""

    def __init__(self, **arguments: Any) -> None:
        self.peer = Peer(model="gpt-realtime-2.1", **arguments)
        self.effects: list[PeerEffect] = []
        self.opening = self.take(self.peer.open())

    def send(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        return self.take(self.peer.receive_frame(json.dumps({"type": kind, **fields})))

    def take(self, effects: Iterable[PeerEffect]) -> list[dict[str, Any]]:
        self.effects = list(effects)
        return [json.loads(encode_server_event(effect.event)) for effect in self.effects if isinstance(effect, Say)]

    def others(self) -> list[PeerEffect]:
        return [effect for effect in self.effects if not isinstance(effect, Say)]

    def update(self, **session: Any) -> list[dict[str, Any]]:
        return self.send("session.update", event_id="update", session={"type": "realtime", **session})

    def manual(self) -> Client:
        self.update(audio={"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}})
        return self

    def say(self, text: str, **fields: Any) -> str:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        added, _ = self.send("conversation.item.create", item={**item, **fields.pop("item", {})}, **fields)
        return str(added["item"]["id"])

    def append(self, audio: bytes) -> list[dict[str, Any]]:
        return self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    def respond(self, **response: Any) -> str:
        created = self.send("response.create", response=response)[0]
        return str(created["response"]["id"])

    def answer(self, text: str = "Hello.", ms: int = 200) -> tuple[str, str]:
        """A whole spoken answer: the ids of the response and of its item."""
        response_id = self.respond()
        self.take(self.peer.answer_text(response_id, text))
        self.take(self.peer.answer_audio(response_id, bytes(48 * ms)))
        done = self.take(self.peer.finish(response_id))[-1]
        return response_id, done["response"]["output"][0]["id"]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def error_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    (event,) = events
    assert event["type"] == "error"
    assert event["error"]["type"] == "invalid_request_error"
    return event["error"]  # type: ignore[no-any-return]
