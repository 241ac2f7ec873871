"""What answers say: to the user's events, to the speaker, to whoever asked; as far as guardrails let it pass.

Words are told as they come; sound as it comes or, where a guardrail holds it back, as its words pass. Answers sound in the order in
which they began, so what follows a held one waits behind it. Out-of-band answers are for who asked for them alone: they are neither
played nor checked.
"""

from __future__ import annotations

from collections.abc import Iterable

from trio_codex.agent import Guardrail
from trio_codex.audio import WholeSamples
from trio_codex.events import Audio, AudioEndEvent, AudioEvent, TextDeltaEvent, TranscriptDeltaEvent
from trio_codex.protocol.effects import Effects, Play, StartCheck
from trio_codex.protocol.guarded import Guarded
from trio_codex.protocol.guardrails import Check, Trip
from trio_codex.protocol.history import SPOKEN, WRITTEN, History
from trio_codex.protocol.items import Item
from trio_codex.protocol.playback import Playback
from trio_codex.protocol.running import Running, Sound

__all__ = ["Saying"]


class Saying:
    """The words and the sound of all answers of a session; every method may cause effects."""

    def __init__(self, effects: Effects, history: History) -> None:
        self.playback: Playback = Playback()
        self.audible: bool = False  # audio has come at some time, which fixes the voice
        self._effects = effects
        self._history = history
        self._whole = WholeSamples()
        self._sounding: tuple[str, int] | None = None  # the part whose samples `_whole` cuts
        self._line: list[Running] = []  # whose sound waits to be heard, in order
        self._checks: dict[str, tuple[Running, int]] = {}  # check id → the answer and the place of the guardrail

    def guard(self, running: Running) -> None:
        """An answer begins."""
        if guardrails := running.agent.guardrails:
            running.guarded = Guarded(guardrails)

    # --- sound -----------------------------------------------------------------------------------------------------

    def audio(
        self, running: Running | None, response_id: str, item_id: str, content_index: int, data: bytes, now: float
    ) -> None:
        """Audio of an answer."""
        self.audible = True
        if running is not None and (running.cut or running.out_of_band):
            if running.asked and running.guarded is None:
                running.said.audio.append(data)
            return
        if self._sounding != (item_id, content_index):
            self._sounding = (item_id, content_index)
            self._whole = WholeSamples(self.playback.audio_format.sample_width)
        samples = self._whole.feed(data)
        if self._waits(running):
            self.playback.held(response_id, item_id, content_index, len(samples), now)
            self._join(running, Sound(response_id, item_id, content_index, data, samples), now)
            return
        if samples:
            self.playback.received(response_id, item_id, content_index, len(samples), now)
        self._sounds(running, response_id, item_id, content_index, data, samples)

    def audio_ended(
        self, running: Running | None, response_id: str, item_id: str, content_index: int, now: float
    ) -> None:
        """All audio of a part has come, or it was cut off."""
        if running is not None and (running.cut or running.out_of_band):
            return
        sound = Sound(response_id, item_id, content_index)
        if self._waits(running):
            self._join(running, sound, now)
        else:
            self._sound(running, sound)

    def _waits(self, running: Running | None) -> bool:
        return running is not None and bool(self._line or (running.guarded is not None and running.guarded.holding))

    def _join(self, running: Running | None, sound: Sound, now: float) -> None:
        assert running is not None
        if running.guarded is None:
            running.guarded = Guarded(())
        running.guarded.hold((sound.item_id, sound.content_index), sound)
        if running not in self._line:
            self._line.append(running)
        self._flush(now)

    def _flush(self, now: float) -> None:
        """Let sound what has passed, as far as nothing before it waits."""
        while self._line:
            running = self._line[0]
            assert running.guarded is not None
            for sound in running.guarded.take():
                if sound.samples:
                    self.playback.passed(sound.item_id, sound.content_index, len(sound.samples), now)
                self._sound(running, sound)
            if running.guarded.holding or not (running.over or running.cut):
                return
            self._line.pop(0)

    def _sound(self, running: Running | None, sound: Sound) -> None:
        item_id, content_index = sound.item_id, sound.content_index
        if sound.data is None:
            self.playback.completed(item_id, content_index)
            self._effects.emit(AudioEndEvent(item_id, content_index))
            return
        self._sounds(running, sound.response_id, item_id, content_index, sound.data, sound.samples)

    def _sounds(
        self, running: Running | None, response_id: str, item_id: str, content_index: int, data: bytes, samples: bytes
    ) -> None:
        if running is not None and running.asked:
            running.said.audio.append(data)
        self._effects.emit(AudioEvent(Audio(data, item_id, content_index, response_id)))
        if samples:
            self._effects.add(Play(response_id, item_id, content_index, samples))

    # --- words -----------------------------------------------------------------------------------------------------

    def words(self, running: Running | None, item_id: str, content_index: int, delta: str, *, spoken: bool) -> None:
        """Words of an answer: of its transcript if they are spoken, else of its text."""
        if running is not None:
            if running.asked and not running.over:
                running.said.words.setdefault((item_id, content_index), []).append(delta)
            if running.out_of_band:
                return
        self._history.delta(item_id, content_index, delta, SPOKEN if spoken else WRITTEN)
        if running is not None and running.cut:
            return
        self._effects.emit(TranscriptDeltaEvent(item_id, delta) if spoken else TextDeltaEvent(item_id, delta))
        if running is not None and running.guarded is not None:
            self._check(running, running.guarded.said((item_id, content_index), delta))

    def said(self, running: Running | None, item_id: str, content_index: int, text: str, *, spoken: bool) -> None:
        """All words of a part, once more; a server that has cut the part off may have none left."""
        if text and running is not None and running.asked and not running.over:
            running.said.words[item_id, content_index] = [text]  # deltas may have been lost, doubled or out of order
        if running is not None and running.out_of_band:
            return
        if text:
            self._history.transcribe(item_id, content_index, text, SPOKEN if spoken else WRITTEN)
        self._whole_part(running, item_id, content_index, text)

    def _whole_part(self, running: Running | None, item_id: str, content_index: int, text: str) -> None:
        if running is not None and running.guarded is not None and not running.cut:
            self._check(running, running.guarded.whole((item_id, content_index), text))

    def item_done(self, running: Running, item: Item) -> None:
        """An item of an answer is finished, or was broken off; some servers tell its words only here."""
        if running.asked and not running.over:
            running.said.items.append(item)
        self._read(running, (item,))

    def ended(self, running: Running, items: Iterable[Item], now: float) -> None:
        """An answer is over; these are its items."""
        self.playback.ended(running.id)
        if running.guarded is not None:
            self._read(running, items)
            self._check(running, running.guarded.ended())
        self._flush(now)

    def _read(self, running: Running, items: Iterable[Item]) -> None:
        for item in items:
            for index, part in enumerate(getattr(item, "content", ())):
                if text := part.text or part.transcript:
                    self._whole_part(running, getattr(item, "id", None) or "", index, text)

    # --- guardrails ------------------------------------------------------------------------------------------------

    def guardrail(self, check_id: str) -> Guardrail:
        """Who made a check that is under way."""
        running, index = self._checks[check_id]
        assert running.guarded is not None
        return running.guarded.guardrails[index]

    def find(self, check_id: str) -> tuple[Running, int] | None:
        """The answer that a check is about, and the place of its guardrail; None if nobody waits for it."""
        return self._checks.get(check_id)

    def passed(self, check_id: str, now: float) -> None:
        """A check found nothing."""
        running, index = self._checks.pop(check_id)
        assert running.guarded is not None
        self._check(running, running.guarded.passed(index))
        self._flush(now)

    def tripped(self, check_id: str, now: float) -> tuple[Trip, str] | None:
        """A check found something: the trip that follows, if one does, and the text. The answer makes no more sound."""
        running, index = self._checks.pop(check_id)
        assert running.guarded is not None
        trips = [outcome for outcome in running.guarded.tripped(index) if isinstance(outcome, Trip)]
        if not trips:
            return None
        self.stop(running)
        self._flush(now)
        return trips[0], running.guarded.text(index)

    def stop(self, running: Running) -> None:
        """Nothing more of an answer is to be heard."""
        running.cut = True
        if running.guarded is not None:
            running.guarded.cut_off()

    def stop_all(self) -> None:
        """Nothing more of what waits is to be heard."""
        for running in self._line:
            self.stop(running)
        self._line.clear()

    def _check(self, running: Running, outcomes: Iterable[Check | Trip]) -> None:
        assert running.guarded is not None
        for outcome in outcomes:
            if isinstance(outcome, Check):
                check_id = self._effects.new_id("check")
                self._checks[check_id] = running, outcome.index
                guardrail = running.guarded.guardrails[outcome.index]
                text = running.guarded.text(outcome.index)
                self._effects.add(StartCheck(check_id, guardrail, running.agent, text))
