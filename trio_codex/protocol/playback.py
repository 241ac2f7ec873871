"""How much of each answer has been heard.

What was heard is what a sink reported; else what was taken to be played; else an estimate: the time since an item's first delta, one
item after the other. It is never more than was received. Lengths are counted in bytes and turned into ms, rounded down, only where
they leave. The queue holds the parts that may still be sounding; what is through is dropped, so it stays short in a call of any length.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator

import attrs

from trio_codex.audio import AudioFormat


class Ear(enum.Enum):
    """How we know what was heard."""

    ESTIMATED = "estimated"
    TAKEN = "taken"
    REPORTED = "reported"


@attrs.define
class Track:
    """One part of an item that sounds: bytes received and bytes heard."""

    response_id: str
    item_id: str
    content_index: int
    began: float
    received: int = 0
    heard: int = 0
    complete: bool = False

    @property
    def through(self) -> bool:
        """Whether all of it has come and been heard."""
        return self.complete and self.heard >= self.received


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
        self._tracks: deque[Track] = deque()

    def received(self, response_id: str, item_id: str, content_index: int, nbytes: int, now: float) -> None:
        """More audio has come."""
        track = self._find(item_id, content_index)
        if track is None:
            self._settle(now)
            track = Track(response_id, item_id, content_index, began=now)
            self._tracks.append(track)
        track.received += nbytes

    def completed(self, item_id: str, content_index: int) -> None:
        """No more audio will come for this part."""
        if track := self._find(item_id, content_index):
            track.complete = True

    def played(self, item_id: str, content_index: int, nbytes: int) -> None:
        """A sink reports what was really heard; from now on only reports count."""
        if self._ear is not Ear.REPORTED:
            self._ear = Ear.REPORTED
            for track in self._tracks:
                track.heard = 0
        self._advance(item_id, content_index, nbytes)

    def taken(self, item_id: str, content_index: int, nbytes: int) -> None:
        """Audio was taken to be played, which counts as heard unless a sink reports."""
        if self._ear is Ear.REPORTED:
            return
        self._ear = Ear.TAKEN
        self._advance(item_id, content_index, nbytes)

    def interrupted(self, now: float) -> list[Heard]:
        """Cut everything off: what was heard of each part that was not yet through, oldest first. The queue is empty after."""
        self._settle(now)
        cut = [self._heard(track) for track in self._tracks if track.received and not track.through]
        self._tracks.clear()
        return cut

    def sounding(self, now: float) -> bool:
        """Whether anything received has not been heard yet."""
        self._settle(now)
        return any(track.heard < track.received for track in self._tracks)

    def _find(self, item_id: str, content_index: int) -> Track | None:
        for track in reversed(self._tracks):
            if track.item_id == item_id and track.content_index == content_index:
                return track
        return None

    def _advance(self, item_id: str, content_index: int, nbytes: int) -> None:
        track = self._find(item_id, content_index)
        if track is None:
            return
        track.heard = min(track.heard + max(nbytes, 0), track.received)
        while self._tracks[0] is not track:  # a later part sounds, so what came before it is over
            self._tracks.popleft()

    def _settle(self, now: float) -> None:
        """Bring the estimate up to date and drop what is through."""
        if self._ear is Ear.ESTIMATED:
            for track, heard in self._estimates(now):
                track.heard = heard
        while self._tracks and self._tracks[0].through:
            self._tracks.popleft()

    def _estimates(self, now: float) -> Iterator[tuple[Track, int]]:
        free = 0.0  # when the part before is over
        for track in self._tracks:
            start = max(track.began, free)
            elapsed = max(0, int((now - start) * 1000)) * self.audio_format.bytes_per_ms
            free = start + track.received / self.audio_format.bytes_per_ms / 1000
            yield track, min(elapsed, track.received)

    def _heard(self, track: Track) -> Heard:
        heard_ms = self.audio_format.duration_ms(track.heard)
        return Heard(track.response_id, track.item_id, track.content_index, heard_ms, track.heard / track.received)
