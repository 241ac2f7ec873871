"""In virtual time (`CLOCK = "virtual"`), in several orders, with nothing left behind, as sessions are tested; and without a key."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.session.conftest import in_real_time, in_virtual_time


@pytest.hookimpl(trylast=True)  # once pytest-trio has marked what is async
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    runs = {"virtual": functools.partial(in_virtual_time, seed=config.getoption("--trio-seed")), "real": in_real_time}
    for item in items:
        clock = getattr(getattr(item, "module", None), "CLOCK", None)
        if Path(__file__).parent in item.path.parents and clock is not None and item.get_closest_marker("trio"):
            item.add_marker(pytest.mark.trio(run=runs[clock]), append=False)


@pytest.fixture(autouse=True)
def no_ambient_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "no-such-home"))
