from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings

from trio_codex.protocol import CLIENT_EVENTS, SERVER_EVENTS, UnknownEvent
from trio_codex.testing.strategies import client_events, server_events, wire_objects

QUICKLY = settings(max_examples=20_000, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("cls", [*dict.fromkeys((*CLIENT_EVENTS.values(), *SERVER_EVENTS.values()))])
def test_every_event_has_a_strategy(cls: type[Any]) -> None:
    drawn = find(wire_objects(cls), lambda event: True, settings=QUICKLY)
    assert type(drawn) is cls


@pytest.mark.parametrize(("events", "table"), [(client_events, CLIENT_EVENTS), (server_events, SERVER_EVENTS)])
def test_all_of_them_are_drawn(events: Any, table: Any) -> None:
    missing = {*table.values(), UnknownEvent}

    def is_last(event: Any) -> bool:
        missing.discard(type(event))
        return not missing

    find(events(), is_last, settings=QUICKLY)
    assert not missing
