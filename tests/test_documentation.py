"""The pages: each is in the index, and each link leads to a file that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def targets(page: Path) -> list[str]:
    """What a page links to in the project, without the part of the page."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [link.partition("#")[0] for link in links if not link.startswith(("http", "#"))]


def test_the_index_has_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    assert {page.name for page in PAGES} - {index.name} <= set(targets(index))
    assert "docs/README.md" in targets(ROOT / "README.md")


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in targets(page) if not (page.parent / target).exists()] == []
