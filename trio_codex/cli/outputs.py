"""Where a recording goes: looked at before the call, because afterwards it would be too late to say it again."""

from __future__ import annotations

import os
from pathlib import Path

from trio_codex.errors import ConfigurationError


def check(path: Path) -> None:
    """Raise ConfigurationError unless a file can be written there, as far as one can tell beforehand."""
    folder = path.resolve().parent if not path.exists() or path.is_file() else None
    if path.is_dir():
        flaw = "it is a folder"
    elif folder is not None and not folder.is_dir():
        flaw = f"there is no folder {folder}"
    elif not os.access(folder or path, os.W_OK):
        flaw = "permission denied"
    else:
        return
    raise ConfigurationError(f"{path}: cannot be written: {flaw}")
