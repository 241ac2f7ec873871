"""Sound on its way from Trio to the audio thread, and which item of the conversation it belongs to.

The sound is one queue of bytes: the audio thread takes what it needs, `flush` empties it at once, `cut` takes out a part. What was taken
cannot be called back: it sounds within the device's own latency, so it counts as heard. `CueSheet` says which items the bytes belong
to. Knows neither the device nor the session.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

import attrs

from trio_codex.audio import AudioFormat
from trio_codex.device.bell import Bell

Played: TypeAlias = Callable[[str, int, int], None]
"""Is told what was heard: item_id, content_index, bytes."""


@attrs.define(eq=False)
class _Cue:
    item_id: str
    content_index: int
    nbytes: int  # that were not heard yet


class CueSheet:
    """Which part of which item sounds when, in bytes, in the order of sounding."""

    def __init__(self) -> None:
        self._cues: deque[_Cue] = deque()

    def note(self, item_id: str, content_index: int, nbytes: int) -> None:
        """More audio of this part is coming."""
        if self._cues and (self._cues[-1].item_id, self._cues[-1].content_index) == (item_id, content_index):
            self._cues[-1].nbytes += nbytes
        else:
            self._cues.append(_Cue(item_id, content_index, nbytes))

    def heard(self, nbytes: int) -> Iterator[tuple[str, int, int]]:
        """The parts that the next `nbytes` belong to, in whole samples: `session.audio` leaves out an odd byte at a part's end."""
        while self._cues:
            cue = self._cues[0]
            if share := min(nbytes, cue.nbytes - cue.nbytes % 2):
                cue.nbytes -= share
                nbytes -= share
                yield cue.item_id, cue.content_index, share
            if nbytes == 0 or len(self._cues) == 1:
                return
            self._cues.popleft()

    def cut(self, item_id: str, content_index: int, at: int) -> list[tuple[int, int]]:
        """Nothing more of this part will be heard: where its bytes are, from first to last, when those from `at` on are next to sound."""
        gone = []
        for cue in tuple(self._cues):
            end = at + cue.nbytes - cue.nbytes % 2
            if (cue.item_id, cue.content_index) == (item_id, content_index):
                gone.append((at, end))
                self._cues.remove(cue)
            at = end
        return gone

    def clear(self) -> None:
        """Nothing of it will be heard any more."""
        self._cues.clear()


class Loudspeaker:
    """Takes sound (PCM16, 24 kHz, mono) in Trio, gives it to the audio thread, and reports what was heard."""

    def __init__(self) -> None:
        self.cues: CueSheet = CueSheet()
        self.tape: bytearray | None = None
        """Where what sounds is kept, without the pauses, if anybody wants it."""
        self._sound = bytearray()
        self._taken = 0
        self._reported = 0  # never more than taken
        # Held for the copy of one block, by either side; nothing waits or runs foreign code while it is.
        self._lock = threading.Lock()
        self._bell = Bell()

    def play(self, pcm: bytes) -> None:
        """Let this sound after all that is queued."""
        with self._lock:
            self._sound += pcm

    def take(self, nbytes: int) -> bytes:
        """Take what sounds next; less than `nbytes`, or nothing, when there is no more. For the audio thread."""
        with self._lock:
            pcm = bytes(self._sound[:nbytes])
            del self._sound[:nbytes]
            self._taken += len(pcm)
            if self.tape is not None:
                self.tape += pcm
        if pcm:
            self._bell.ring()
        return pcm

    def flush(self) -> None:
        """Be silent at once; what was not taken will not be heard."""
        with self._lock:
            self._sound.clear()
            self._reported = self._taken
        self.cues.clear()

    def cut(self, item_id: str, content_index: int) -> None:
        """Let nothing more of this part sound; what was to sound before or after it goes on."""
        with self._lock:
            for start, end in reversed(self.cues.cut(item_id, content_index, self._reported - self._taken)):
                del self._sound[max(start, 0) : max(end, 0)]
                self._reported += max(min(end, 0) - start, 0)  # was taken, and nobody wants to know any more

    @property
    def queued(self) -> int:
        """Bytes that wait to sound."""
        return len(self._sound)

    @property
    def heard_s(self) -> float:
        """Seconds of sound that the audio thread took."""
        return AudioFormat.PCM16.duration_ms(self._taken) / 1000

    async def report(self, played: Played) -> None:
        """Tell `played` what is heard, as it is heard, for ever. Cancel-safe."""
        while True:
            await self._bell.wait()
            for item_id, content_index, nbytes in self.cues.heard(self._taken - self._reported):
                self._reported += nbytes
                played(item_id, content_index, nbytes)
