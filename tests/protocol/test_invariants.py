"""The page of invariants names tests that exist, for all fifteen of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_invariant_is_there() -> None:
    assert re.findall(r"^\| (I\d+) \|", PAGE, re.MULTILINE) == [f"I{number}" for number in range(1, 16)]


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) >= 30
    assert [(path, name) for path, name in named if name and name not in functions(ROOT / path)] == []


def test_every_page_that_is_linked_exists() -> None:
    assert all((ROOT / "docs" / page).is_file() for page in re.findall(r"\]\((\w+\.md)\)", PAGE))
