"""How much of each answer has been heard.

What was heard is what a sink reported; else what was taken to be played; else an estimate: the time since an item's first delta, one
item after the other. It is never more than was received, nor more than guardrails have let pass. Lengths are counted in bytes and
turned into ms, rounded down, only where they leave. The queue holds the parts that may still be sounding; what is through is dropped, so
it stays short in a call of any length.
"""

from __future__ import annotations

import enum

import attrs

from trio_codex.audio import AudioFormat


class Ear(enum.Enum):
    """How we know what was heard."""

    ESTIMATED = "estimated"
    TAKEN = "taken"
    REPORTED = "reported"


@attrs.define
class Track:
    """One part of an item that sounds: bytes received (those that may be heard), bytes held back, bytes heard."""

    response_id: str
    item_id: str
    content_index: int
    began: float
    received: int = 0
    held: int = 0
    heard: int = 0
    complete: bool = False

    @property
    def through(self) -> bool:
        """Whether all of it has come and been heard."""
        return self.complete and self.heard >= self.received and not self.held


@attrs.frozen
class Heard:
    """What was heard of a part when it was cut off, in ms; `share` is that part of what had been received."""

    response_id: str
    item_id: str
    content_index: int
    heard_ms: int
    share: float


class Playback:
    """The tracks that may still be sounding, oldest first."""

    def __init__(self, audio_format: AudioFormat = AudioFormat.PCM16) -> None:
        self.audio_format = audio_format
        self._ear = Ear.ESTIMATED
        self._tracks: list[Track] = []
        self._free = 0.0  # when, by the estimate, the parts that were dropped were over

    def received(self, response_id: str, item_id: str, content_index: int, nbytes: int, now: float) -> None:
        """More audio has come: whole samples."""
        self._track(response_id, item_id, content_index, now).received += nbytes

    def held(self, response_id: str, item_id: str, content_index: int, nbytes: int, now: float) -> None:
        """More audio has come that may not be heard yet."""
        self._track(response_id, item_id, content_index, now).held += nbytes

    def passed(self, item_id: str, content_index: int, nbytes: int, now: float) -> None:
        """So much of what was held may be heard from now on."""
        track = self._find(item_id, content_index)
        if track is None:
            return
        silent_s = now - track.began - track.received / self.audio_format.bytes_per_ms / 1000
        track.began += max(silent_s, 0)  # what was free before is over: it has been silent since
        track.held -= min(nbytes, track.held)
        track.received += nbytes

    def completed(self, item_id: str, content_index: int) -> None:
        """No more audio will come for this part."""
        if track := self._find(item_id, content_index):
            track.complete = True

    def ended(self, response_id: str) -> None:
        """No more audio will come for any part of this response."""
        for track in self._tracks:
            track.complete = track.complete or track.response_id == response_id

    def played(self, item_id: str, content_index: int, nbytes: int) -> None:
        """A sink reports what was really heard; from now on only reports count."""
        self._listen(Ear.REPORTED)
        self._advance(item_id, content_index, nbytes)

    def taken(self, item_id: str, content_index: int, nbytes: int) -> None:
        """Audio was taken to be played, which counts as heard unless a sink reports."""
        if self._ear is not Ear.REPORTED:
            self._listen(Ear.TAKEN)
            self._advance(item_id, content_index, nbytes)

    def interrupted(self, now: float, response_id: str | None = None) -> list[Heard]:
        """Cut off everything, or all of one response: what was heard of each part that was not yet through, oldest first."""
        self._settle(now)
        gone = [track for track in self._tracks if response_id in (None, track.response_id)]
        self._tracks = [track for track in self._tracks if track not in gone]
        if gone and (not self._tracks or self._tracks[0].heard == 0):
            self._free = now  # what is left begins to sound now
        return [self._heard(track) for track in gone if not track.through]

    def _track(self, response_id: str, item_id: str, content_index: int, now: float) -> Track:
        track = self._find(item_id, content_index)
        if track is None:
            self._settle(now)
            track = Track(response_id, item_id, content_index, began=now)
            self._tracks.append(track)
        return track

    def _find(self, item_id: str, content_index: int) -> Track | None:
        for track in reversed(self._tracks):
            if track.item_id == item_id and track.content_index == content_index:
                return track
        return None

    def _listen(self, ear: Ear) -> None:
        """What was thought to be heard until now was thought by another ear."""
        if self._ear is not ear:
            self._ear = ear
            for track in self._tracks:
                track.heard = 0

    def _advance(self, item_id: str, content_index: int, nbytes: int) -> None:
        track = self._find(item_id, content_index)
        if track is None:
            return
        track.heard = min(track.heard + max(nbytes, 0), track.received)
        while self._tracks[0] is not track:  # a later part sounds, so what came before it is over
            del self._tracks[0]

    def _settle(self, now: float) -> None:
        """Bring the estimate up to date and drop what is through."""
        if self._ear is Ear.ESTIMATED:
            self._estimate(now)
        while self._tracks and self._tracks[0].through:
            self._free = self._end(self._tracks.pop(0), self._free)

    def _estimate(self, now: float) -> None:
        free = self._free
        for track in self._tracks:
            elapsed_ms = max(0, round((now - max(track.began, free)) * 1_000_000) // 1000)
            track.heard = min(elapsed_ms * self.audio_format.bytes_per_ms, track.received)
            free = self._end(track, free)

    def _end(self, track: Track, free: float) -> float:
        """When a part that can sound from `free` on is over, by the estimate."""
        return max(track.began, free) + track.received / self.audio_format.bytes_per_ms / 1000

    def _heard(self, track: Track) -> Heard:
        heard_ms = self.audio_format.duration_ms(track.heard)
        share = track.heard / max(track.received + track.held, 1)
        return Heard(track.response_id, track.item_id, track.content_index, heard_ms, share)
