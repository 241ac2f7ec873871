"""The library's loggers, `trio_codex.*`: silent unless the program wants to hear them.

Every module that logs gets its logger here, so that the tree has its null handler before the first line is written. (Not in the package's
`__init__`: importing `logging` is most of what an import may cost.)
"""

from __future__ import annotations

import logging

__all__ = ["get_logger"]

logging.getLogger("trio_codex").addHandler(logging.NullHandler())


def get_logger(name: str) -> logging.Logger:
    """Give the logger `trio_codex.<name>`."""
    return logging.getLogger(f"trio_codex.{name}")
