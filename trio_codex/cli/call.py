"""A spoken call without a microphone: recorded utterances go in, the agent's audio comes out, and both are kept on a tape.

In real time one loop is microphone and loudspeaker at once: every 20 ms it sends 20 ms of the user (an utterance or silence) and plays
20 ms of the agent, and tells the session what was heard. `fast` sends each utterance as quickly as the server takes it, with the
silence that ends the turn, and lets the agent have its say before the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from trio_codex.audio import RATE, stereo, voiced_end_ms
from trio_codex.cli.beside import beside
from trio_codex.cli.console import Console
from trio_codex.cli.minutes import Minutes
from trio_codex.errors import ConnectionLost, TrioCodexError, VoiceError
from trio_codex.events import AudioEvent, AudioInterruptedEvent
from trio_codex.session import Session

TICK_MS: Final = 20
ANSWER_LIMIT_S: Final = 30.0
SPEECH_LIMIT_S: Final = 4.0
"""How long the server may take, after everything was sent, to notice that somebody spoke."""
SETTLE_S: Final = 0.5
"""How long it may take to notice that more was said, after it has answered the beginning."""

_BYTES_PER_MS: Final = RATE * 2 // 1000
_TICK_BYTES: Final = TICK_MS * _BYTES_PER_MS
_SILENCE: Final = bytes(_TICK_BYTES)
_CLOSING_SILENCE_MS: Final = (
    1200  # ends a turn: the server waits for 500 ms unless told otherwise, semantic detection longer
)
_PAUSE_MS: Final = 400


class Call:
    """One call: `play` the utterances, then look at the tape and the minutes."""

    def __init__(self, session: Session, console: Console, *, fast: bool) -> None:
        self.minutes: Minutes = Minutes(console)
        self.user: bytearray = bytearray()
        self.agent: bytearray = bytearray()
        self.heard: bytearray = bytearray()  # what the agent said and was played, without the pauses
        self._session = session
        self._fast = fast
        self._loudspeaker: deque[AudioEvent] = deque()
        self._played = 0  # bytes of the first piece in the loudspeaker
        self._next_tick = 0.0

    @property
    def tape(self) -> bytes:
        """The whole conversation, interleaved: the user left, the agent right."""
        return stereo(bytes(self.user), bytes(self.agent))

    @property
    def heard_s(self) -> float:
        """Seconds of the agent's speech."""
        return len(self.heard) / (2 * RATE)

    async def play(self, utterances: Sequence[bytes]) -> None:
        """Hold the conversation. Raises TrioCodexError when it breaks off, VoiceError when an answer does not come."""
        async with beside(partial(self.minutes.follow, self._session), self._listen):
            self._next_tick = trio.current_time()
            for utterance in utterances:
                self.minutes.begin_turn()
                await (self._exchange_fast(utterance) if self._fast else self._exchange(utterance))

    async def _listen(self) -> None:
        with self._session.subscribe({AudioEvent, AudioInterruptedEvent}) as events, suppress(ConnectionLost):
            async for event in events:
                if isinstance(event, AudioEvent):
                    self._loudspeaker.append(event)
                elif isinstance(event, AudioInterruptedEvent):
                    self._cut(event.item_id, event.content_index)

    def _cut(self, item_id: str, content_index: int) -> None:
        first, cut = next(iter(self._loudspeaker), None), (item_id, content_index)
        if first is not None and (first.item_id, first.content_index) == cut:
            self._played = 0
        self._loudspeaker = deque(piece for piece in self._loudspeaker if (piece.item_id, piece.content_index) != cut)

    # --- in real time ----------------------------------------------------------------------------------------------

    async def _exchange(self, utterance: bytes) -> None:
        voiced_until = voiced_end_ms(utterance) * _BYTES_PER_MS
        for start in range(0, len(utterance), _TICK_BYTES):
            await self._tick(utterance[start : start + _TICK_BYTES].ljust(_TICK_BYTES, b"\0"))
            if start < voiced_until <= start + _TICK_BYTES:
                self.minutes.voice_ended_at = trio.current_time()
        sent_at = trio.current_time()
        with self._limit() as limit:
            while not self.minutes.turn_over.is_set() or self._loudspeaker:
                await self._tick(_SILENCE)
                if trio.current_time() > sent_at + SPEECH_LIMIT_S:
                    self._check_speech()
        self._check(limit)
        for _ in range(_PAUSE_MS // TICK_MS):
            await self._tick(_SILENCE)

    async def _tick(self, microphone: bytes) -> None:
        await trio.sleep_until(self._next_tick)
        self._next_tick += TICK_MS / 1000
        await self._session.send_audio(microphone)
        self.user += microphone
        self.agent += self._play(_TICK_BYTES).ljust(_TICK_BYTES, b"\0")

    def _play(self, nbytes: int) -> bytes:
        """Take from the loudspeaker what sounds in this tick, and report it as heard."""
        sound = bytearray()
        while self._loudspeaker and len(sound) < nbytes:
            piece = self._loudspeaker[0]
            part = piece.data[self._played : self._played + nbytes - len(sound)]
            self._session.playback.played(piece.item_id, piece.content_index, len(part))
            sound += part
            self._played += len(part)
            if self._played == len(piece.data):
                self._loudspeaker.popleft()
                self._played = 0
        self.heard += sound
        return bytes(sound)

    # --- as quickly as it goes -------------------------------------------------------------------------------------

    async def _exchange_fast(self, utterance: bytes) -> None:
        sound = utterance + bytes(_CLOSING_SILENCE_MS * _BYTES_PER_MS)
        for start in range(0, len(sound), _TICK_BYTES):
            await self._session.send_audio(sound[start : start + _TICK_BYTES])
        with trio.move_on_after(SPEECH_LIMIT_S):
            await self.minutes.speech_started.wait()
        self._check_speech()
        if self.minutes.turn_over.is_set():
            await trio.sleep(SETTLE_S)
        with self._limit() as limit:
            while not self.minutes.turn_over.is_set():
                await self.minutes.turn_over.wait()
        self._check(limit)
        answer = bytearray()
        while piece := self._play(1 << 20):
            answer += piece
        both = max(len(self.user), len(self.agent))
        self.user.extend(bytes(both - len(self.user)) + sound + bytes(len(answer)))
        self.agent.extend(bytes(both - len(self.agent)) + bytes(len(sound)) + answer)

    # --- when it does not work -------------------------------------------------------------------------------------

    def _limit(self) -> trio.CancelScope:
        return trio.CancelScope(deadline=trio.current_time() + ANSWER_LIMIT_S)

    def _check_speech(self) -> None:
        if not self.minutes.speech_started.is_set():
            raise VoiceError("no speech was heard in it")

    def _check(self, limit: trio.CancelScope) -> None:
        if self.minutes.errors:
            raise TrioCodexError(f"the conversation broke off: {self.minutes.errors[-1]}")
        if limit.cancelled_caught:
            raise VoiceError(f"the answer did not come to an end within {ANSWER_LIMIT_S:g} s")
