"""Whose turn it is to end a user's turn: our commit or the server's turn detection, and who asks for the answer.

`send_audio(commit=True)` promises one answer, whoever noticed the end first, never two. Without turn detection the answer is asked for
with the commit. With it, the create waits until the server has told what it made of our commit: an item of its own, or nothing because
its detection had ended the turn already. Pure bookkeeping: the methods say whether an answer is now ours to ask for.
"""

from __future__ import annotations

from collections import deque

import attrs


@attrs.define
class _Commit:
    event_id: str
    respond: bool
    answered: bool = False  # somebody has answered since


class Turns:
    """What is known of the user's turns. The server detects turns unless it was told not to."""

    def __init__(self) -> None:
        self.detection = True
        self.creates = True
        self.interrupts = True
        self._commits: deque[_Commit] = deque()
        self._detected: set[str] = set()  # items of turns that the server ended and has not committed yet
        self._ended = False  # the server ended a turn and nobody has spoken since
        self._ended_answered = False

    def configured(self, *, create: bool | None, interrupt: bool | None) -> None:
        """The server told its turn detection; both flags are on unless they are off."""
        self.detection = True
        self.creates = create is not False
        self.interrupts = interrupt is not False

    def switched_off(self) -> None:
        """The server told that it detects no turns."""
        self.detection = self.creates = self.interrupts = False

    def commit(self, event_id: str, *, respond: bool) -> bool:
        """We commit; says whether to ask for an answer right away."""
        if not self.detection:
            return respond
        self._commits.append(_Commit(event_id, respond))
        return False

    def speech_started(self) -> None:
        """The server hears the user."""
        self._ended = False

    def detected(self, item_id: str) -> None:
        """The server's detection ended a turn (or its idle timeout did), which becomes this item."""
        self._detected.add(item_id)

    def committed(self, item_id: str) -> bool:
        """The server made an item of the buffer; says whether to ask for an answer now."""
        if item_id in self._detected:
            self._detected.remove(item_id)
            self._ended, self._ended_answered = True, False
            return False
        return self._settle(self._commits.popleft(), empty=False) if self._commits else False

    def refused(self, event_id: str | None, code: str | None) -> tuple[bool, bool]:
        """The server refused our commit: whether that was to be expected, and whether to ask for an answer now."""
        commit = next((commit for commit in self._commits if commit.event_id == event_id), None)
        if commit is None:
            return False, False
        self._commits.remove(commit)
        if code != "input_audio_buffer_commit_empty" or not self._ended:
            return False, False
        return True, self._settle(commit, empty=True)

    def created(self, *, ours: bool) -> None:
        """A response of the default conversation was created."""
        self._ended_answered = True
        if not ours:
            for commit in self._commits:
                commit.answered = True

    def _settle(self, commit: _Commit, *, empty: bool) -> bool:
        ended, self._ended = self._ended, self._ended and empty
        if commit.answered or not commit.respond:
            return False
        if ended:  # the server noticed first: the answer is its own, unless it was told to leave that to us
            unanswered, self._ended_answered = not self._ended_answered, True
            return unanswered and not self.creates
        return True
