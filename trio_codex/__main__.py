"""`python -m trio_codex`, the same as `trio-codex`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from trio_codex.cli import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while it is imported, which takes a moment
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
