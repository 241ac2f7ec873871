"""Whose turn it is to end a user's turn: our commit or the server's turn detection, and who asks for the answer.

`send_audio(commit=True)` promises one answer, whoever noticed the end first, never two. Without turn detection the answer is asked for
with the commit. With it, the create waits until the server has told what it made of our commit: an item of its own, or nothing because
its detection had ended the turn already. What the detection ended, the server answers, unless it was told not to or somebody was
answering just then. Pure bookkeeping: the methods say whether an answer is now ours to ask for.
"""

from __future__ import annotations

from typing import Final

import attrs

EMPTY: Final = "input_audio_buffer_commit_empty"


@attrs.define
class _Commit:
    event_id: str
    respond: bool
    answered: bool = False  # somebody has answered since, and nobody has spoken after that


class Turns:
    """What is known of the user's turns. The server detects turns unless it was told not to."""

    def __init__(self) -> None:
        self.detection: bool = True
        self.interrupts: bool = True
        self._creates = True
        self._commits: list[_Commit] = []  # sent, and not answered by the server yet
        self._detected: str | None = None  # the item of the turn that the server ended and has not committed yet
        self._ended = False  # the server ended a turn and nobody has spoken since
        self._ours = False  # that turn's answer is for us to ask, and has not been given
        self.theirs: bool = False  # that turn's answer is for the server to give, and has not been given

    def configured(self, *, create: bool | None, interrupt: bool | None) -> None:
        """The server told its turn detection; both flags are on unless they are off."""
        self.detection = True
        self._creates = create is not False
        self.interrupts = interrupt is not False

    def switched_off(self) -> None:
        """The server told that it detects no turns."""
        self.detection = self._creates = self.interrupts = False

    def commit(self, event_id: str, *, respond: bool) -> bool:
        """We commit; says whether to ask for an answer right away."""
        if not self.detection:
            return respond
        self._commits.append(_Commit(event_id, respond))
        return False

    def speech_started(self) -> None:
        """The server hears the user: whatever was answered so far, it was not this."""
        self._ended = False
        for commit in self._commits:
            commit.answered = False

    def detected(self, item_id: str) -> None:
        """The server's detection ended a turn (or its idle timeout did), which becomes this item."""
        self._detected = item_id

    def committed(self, item_id: str, *, busy: bool) -> bool:
        """The server made an item of the buffer, `busy` answering or not; says whether to ask for an answer now."""
        if item_id == self._detected:
            self._detected = None
            self._ended, self._ours = True, busy or not self._creates
            self.theirs = not self._ours
            return False
        return self._settle(self._commits.pop(0), empty=False) if self._commits else False

    def refused(self, event_id: str | None, code: str | None) -> tuple[bool, bool]:
        """The server refused our commit: whether that was to be expected, and whether to ask for an answer now."""
        commit = next((commit for commit in self._commits if commit.event_id == event_id), None)
        if commit is None:
            return False, False
        self._commits.remove(commit)
        if code != EMPTY or not self._ended:
            return False, False
        return True, self._settle(commit, empty=True)

    def created(self, *, ours: bool) -> None:
        """A response of the default conversation was created."""
        self._ours = self.theirs = False
        if not ours and self._commits:
            self._commits[0].answered = True  # those after it end turns of their own

    def _settle(self, commit: _Commit, *, empty: bool) -> bool:
        ended, self._ended = self._ended, self._ended and empty
        if commit.answered or not commit.respond:
            return False
        if ended:  # the server noticed first
            ours, self._ours = self._ours, False
            return ours
        return True
