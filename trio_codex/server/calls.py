"""Telephone calls as the API's control endpoints see them. Pure.

There is no telephony here: a call exists as soon as somebody speaks of it, rings until it is accepted, and is over when it is rejected,
referred or hung up. An accepted call has a session, which websockets join by its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

MOST_REMEMBERED: Final = 10_000


@attrs.define
class Calls:
    """The calls that are going on, and those that are over."""

    _accepted: dict[str, Mapping[str, Any]] = attrs.field(factory=dict, init=False)
    _over: dict[str, None] = attrs.field(factory=dict, init=False)

    def is_over(self, call_id: str) -> bool:
        """Whether a call has ended."""
        return call_id in self._over

    def session_of(self, call_id: str) -> Mapping[str, Any] | None:
        """The session of a call that was accepted and is not over."""
        return self._accepted.get(call_id)

    def accept(self, call_id: str, session: Mapping[str, Any]) -> None:
        """Answer a call."""
        self._accepted[call_id] = session
        _forget_oldest(self._accepted)

    def end(self, call_id: str) -> None:
        """A call is over."""
        self._accepted.pop(call_id, None)
        self._over[call_id] = None
        _forget_oldest(self._over)


def _forget_oldest(calls: dict[str, Any]) -> None:
    while len(calls) > MOST_REMEMBERED:
        del calls[next(iter(calls))]
