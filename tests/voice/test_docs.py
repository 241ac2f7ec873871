"""The programs of docs/voice.md are programs, and the names that they import are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "voice.md"
PROGRAMS = (
    re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL) if PAGE.exists() else []
)


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_of_the_documentation(program: str) -> None:
    compile(program, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    imports = [line for line in program.splitlines() if line.startswith(("import", "from"))]
    exec("\n".join(imports), {})
