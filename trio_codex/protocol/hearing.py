"""The user's audio on its way to the server: cut into whole samples, sent in pieces, committed.

Knows how much is in the server's buffer as long as nobody but us empties it, and keeps the book of turns (`turns`). The methods that end
a turn say whether an answer is now ours to ask for.
"""

from __future__ import annotations

from typing import Final

from trio_codex.audio import AudioFormat, WholeSamples
from trio_codex.errors import LocalProtocolError
from trio_codex.protocol.client_events import InputAudioBufferAppend, InputAudioBufferCommit
from trio_codex.protocol.effects import Effects
from trio_codex.protocol.sessions import InputAudioConfig, MediaFormat
from trio_codex.protocol.turns import Turns

PIECE_BYTES: Final = 256 * 1024
"""A longer piece of input audio is sent in several appends, so that a slow uplink is not held by one; the API allows 15 MiB each."""

LEAST_COMMIT_MS: Final = 100


class Hearing:
    """The input audio buffer, as the client fills it."""

    def __init__(self, effects: Effects) -> None:
        self.turns: Turns = Turns()
        self._effects = effects
        self._format = AudioFormat.PCM16
        self._whole = WholeSamples()
        self._uncommitted = 0  # bytes sent since the last commit

    def hear(self, audio: bytes, *, commit: bool, respond: bool) -> bool:
        """Audio of any length. Raises LocalProtocolError when there is nothing worth committing; nothing is sent then."""
        if commit:
            self._check_commit(self._uncommitted + len(self._whole.rest) + len(audio))
        whole = self._whole.feed(audio)
        for start in range(0, len(whole), PIECE_BYTES):
            piece = whole[start : start + PIECE_BYTES]
            append = InputAudioBufferAppend(audio=piece, event_id=self._effects.new_id("event"))
            self._effects.send(append)
        self._uncommitted += len(whole)
        return self.commit(InputAudioBufferCommit(), respond=respond) if commit else False

    def _check_commit(self, nbytes: int) -> None:
        heard_ms = self._format.duration_ms(nbytes)
        if not self.turns.detection and heard_ms < LEAST_COMMIT_MS:
            raise LocalProtocolError(
                f"only {heard_ms} ms of audio are in the buffer; the API commits {LEAST_COMMIT_MS} ms or more"
            )

    def append(self, event: InputAudioBufferAppend) -> None:
        """A raw append."""
        self._uncommitted += len(event.audio)
        self._effects.send(event)

    def commit(self, event: InputAudioBufferCommit, *, respond: bool) -> bool:
        """The turn is over."""
        event_id = self._effects.send(event)
        self.cleared()
        return self.turns.commit(event_id, respond=respond)

    def cleared(self) -> None:
        """The buffer is empty; half a sample that is left has no meaning."""
        self._uncommitted = 0
        self._whole = WholeSamples(self._format.sample_width)

    def configured(self, config: InputAudioConfig) -> None:
        """The server has told how it hears; what it does not tell stays."""
        if config.format is not None and format_of(config.format) is not self._format:
            self._format = format_of(config.format)
            self._whole = WholeSamples(self._format.sample_width)
        detection = config.turn_detection
        if detection is not None:
            self.turns.configured(create=detection.create_response, interrupt=detection.interrupt_response)
        elif "turn_detection" in config.extra:
            self.turns.switched_off()


def format_of(wire: MediaFormat) -> AudioFormat:
    """The audio format that the server names; an unknown one counts as PCM."""
    return _FORMATS.get(wire.type or "", AudioFormat.PCM16)


_FORMATS: Final = {audio_format.value: audio_format for audio_format in AudioFormat}
