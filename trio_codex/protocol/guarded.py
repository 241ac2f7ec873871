"""One answer under guard: its text as it grows, and what of it waits to be heard.

Joins the machine of `guardrails` with a text that comes in parts and with whatever carries it (pieces of sound, of any type). Nothing
tells which sound belongs to which words, so a piece is marked with the length of the text when it came. Where the words run ahead, it
holds nothing that has not been written yet, and may be heard when the sentence in which its mark falls has passed; where the sound of a
part began before its words, it belongs to the sentence that comes next. Held pieces keep their order; each is given once, or dropped
with the answer.

Knows no clock and no protocol: a text that is spoken elsewhere can be guarded in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import attrs

from trio_codex.agent import Guardrail
from trio_codex.protocol.guardrails import (
    TAIL,
    Check,
    CutOff,
    Ended,
    Given,
    Passed,
    Release,
    Said,
    Trip,
    Tripped,
    Watching,
    holds,
    sentence_end,
    step,
    watching,
)

T = TypeVar("T")


@attrs.define
class _Part:
    """A part of an answer: its words so far, and whether they began before its sound; None: nothing has come yet."""

    words: list[str] = attrs.field(factory=list)
    leads: bool | None = None
    whole: bool = False


@attrs.frozen
class _Held(Generic[T]):
    """A piece, and the end of a sentence that it waits for: the first one at `mark` or, if `beyond`, after it."""

    piece: T
    mark: int
    beyond: bool


class Guarded(Generic[T]):
    """The text of one answer, its guardrails and what is held. What changes it gives the checks to begin and the trip, if one follows."""

    def __init__(self, guardrails: Sequence[Guardrail]) -> None:
        self.guardrails: Sequence[Guardrail] = guardrails
        self._state = watching(guardrails)
        self._parts: dict[Hashable, _Part] = {}
        self._latest: Hashable = None  # the part that is being said
        self._text: list[str] = [""]
        self._length = 0
        self._sentence = 0  # where the last whole sentence ends
        self._whole = 0  # where the last whole part ends
        self._ends: deque[int] = deque()  # ends of sentences that are not free yet
        self._free: int | None = 0  # the end of the last sentence that may be heard; None: everything
        self._seen: dict[int, int] = {}  # how much each guardrail was given last
        self._held: deque[_Held[T]] = deque()

    @property
    def pending(self) -> bool:
        """Whether something is still to be said or checked, and nobody has stopped it."""
        return isinstance(self._state, Watching)

    @property
    def holding(self) -> bool:
        """Whether what comes now has to wait."""
        return holds(self._state)

    def text(self, index: int) -> str:
        """The text that this guardrail was given last."""
        self._text = ["".join(self._text)]
        return self._text[0][: self._seen.get(index)]

    # --- what comes ------------------------------------------------------------------------------------------------

    def said(self, part: Hashable, delta: str) -> tuple[Check | Trip, ...]:
        """More words of a part."""
        known = self._parts.setdefault(part, _Part())
        if not delta or known.whole:
            return ()
        if known.leads is None:
            known.leads = True
        known.words.append(delta)
        return self._grown(part, delta)

    def whole(self, part: Hashable, text: str) -> tuple[Check | Trip, ...]:
        """All words of a part, once more or for the first time. What differs from before is checked as well."""
        known = self._parts.setdefault(part, _Part())
        before = "".join(known.words)
        if known.whole or not (text or before):
            return ()
        rest = text.removeprefix(before) if text.startswith(before) else f"\n{text}" if text else ""
        begun = self._grown(part, rest) if rest else ()
        known.whole, known.words = True, []
        self._whole = self._length
        self._end_sentence(self._length)
        return (*begun, *self._step(self._so_far))

    def hold(self, part: Hashable, piece: T) -> None:
        """A piece of what is heard; `take` gives it when its words have passed, at once if nothing holds it."""
        known = self._parts.setdefault(part, _Part())
        if known.leads is None:
            known.leads = False
        self._held.append(_Held(piece, self._length, beyond=not (known.leads or known.whole)))

    def take(self) -> list[T]:
        """What may be heard now and was not given yet, in order."""
        taken: list[T] = []
        while self._held and self._is_free(self._held[0]):
            taken.append(self._held.popleft().piece)
        return taken

    # --- what is decided -------------------------------------------------------------------------------------------

    def ended(self) -> tuple[Check | Trip, ...]:
        """No more of the answer comes."""
        return self._step(Ended())

    def passed(self, index: int) -> tuple[Check | Trip, ...]:
        """A guardrail found nothing in what it was given."""
        return self._step(Passed(index))

    def tripped(self, index: int) -> tuple[Check | Trip, ...]:
        """A guardrail found something; what is held will never be heard."""
        return self._step(Tripped(index))

    def cut_off(self) -> None:
        """Somebody stopped the answer; what is held will never be heard."""
        self._step(CutOff())
        self._held.clear()

    def _grown(self, part: Hashable, words: str) -> tuple[Check | Trip, ...]:
        if self._length and part != self._latest:
            self._append("\n")
        self._latest = part
        tail = self._text[-1][-TAIL:]
        before = self._length - len(tail)
        self._append(words)
        if (end := sentence_end(tail + words)) is not None:
            self._end_sentence(before + end)
        return self._step(self._so_far)

    @property
    def _so_far(self) -> Said:
        return Said(self._length, self._sentence, self._whole)

    def _append(self, words: str) -> None:
        self._text.append(words)
        self._length += len(words)

    def _end_sentence(self, at: int) -> None:
        if at > self._sentence:
            self._sentence = at
            if self.holding:
                self._ends.append(at)

    def _step(self, given: Given) -> tuple[Check | Trip, ...]:
        self._state, outcomes = step(self._state, given)
        begun: list[Check | Trip] = []
        for outcome in outcomes:
            match outcome:
                case Release(length):
                    self._release(length)
                case Check(index, length):
                    self._seen[index] = length
                    begun.append(outcome)
                case Trip():
                    self._held.clear()
                    begun.append(outcome)
        return tuple(begun)

    def _release(self, length: int | None) -> None:
        if length is None:
            self._free = None
            return
        while self._ends and self._ends[0] <= length:
            self._free = self._ends.popleft()

    def _is_free(self, held: _Held[T]) -> bool:
        if self._free is None or not self.holding:
            return True
        return self._free > held.mark or (self._free == held.mark and not held.beyond)
