"""A virtual environment for each contestant, made once and kept in a folder that is not part of the tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.contestants import Contestant

ROOT: Final = Path(__file__).parent.parent
KEPT: Final = ROOT / ".nox" / "benchmarks"


def interpreter(contestant: Contestant, folder: Path = KEPT) -> Path:
    """The contestant's Python; makes the environment if there is none for these requirements."""
    home = folder / contestant.home
    python = home / "bin" / "python"
    wanted = "\n".join((sys.version, *contestant.requirements))
    stamp = home / "made-for"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"making the environment {contestant.home} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *contestant.requirements], check=True, cwd=ROOT)
        stamp.write_text(wanted, encoding="utf-8")
    return python
