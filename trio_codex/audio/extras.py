"""Importing what an extra brings, with an error that names the extra."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from trio_codex.errors import ConfigurationError


@cache
def require(module: str, *, extra: str) -> Any:
    """Import an optional module; ConfigurationError says what to install when it is not there or does not load."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise ConfigurationError(
            f"{module} is needed here and cannot be imported ({error}): pip install 'trio-codex[{extra}]'"
        ) from error
