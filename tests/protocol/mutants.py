"""What mutation testing has found: how many mutants of each module the tests notice, and those that they do not.

    python -m tests.protocol.mutants [module …]

Reads what `mutmut run` has left. A mutant that no test notices has to be excused in `excused.toml`, which says why it makes no difference;
one that is not is reported, and so is an excuse that nothing needs any more.
"""

from __future__ import annotations

import fnmatch
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FOUND = Path("mutants/trio_codex/protocol")
EXCUSES = Path(__file__).with_name("excused.toml")
EXPECTED = ("killed", "timeout", "survived", "no tests", "not checked")


def change_of(mutant: str) -> str:
    """What a mutant changes: `function: the new lines`, or the lines that it takes away."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    lines = get_diff_for_mutant(mutant).splitlines()
    added = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    removed = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    function = mutant.split(".")[-1].split("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return f"{function}: {' '.join(added) if added else 'without ' + ' '.join(removed)}"


def results(patterns: list[str]) -> Iterator[tuple[str, dict[str, int | None]]]:
    """The exit status of every mutant, by module; None where it was not tried."""
    for path in sorted(FOUND.glob("*.py.meta")):
        module = path.name.removesuffix(".py.meta")
        statuses = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        if statuses and any(fnmatch.fnmatch(module, pattern) for pattern in patterns):
            yield module, statuses


def main(patterns: list[str]) -> int:
    """Report; gives 1 if something is not as it should be."""
    from mutmut.stats import status_by_exit_code

    excused: dict[str, dict[str, str]] = tomllib.loads(EXCUSES.read_text(encoding="utf-8"))
    amiss: list[str] = []
    print(f"{'module':<16}{'tried':>7}{'killed':>8}{'timed out':>11}{'excused':>9}{'survived':>10}{'not tried':>11}")
    for module, statuses in results(patterns):
        excuses = excused.get(module, {})
        named = {mutant: status_by_exit_code[status] for mutant, status in statuses.items()}
        survivors = [change_of(mutant) for mutant, name in named.items() if name in ("survived", "no tests")]
        forgiven = sum(change in excuses for change in survivors)
        counts = Counter(named.values())
        untried = counts["not checked"]
        print(
            f"{module:<16}{len(named) - untried:>7}{counts['killed']:>8}{counts['timeout']:>11}{forgiven:>9}"
            f"{len(survivors) - forgiven:>10}{untried:>11}"
        )
        amiss += [f"{module}: {name}: {mutant}" for mutant, name in named.items() if name not in EXPECTED]
        amiss += [f"{module}: survived: {change}" for change in survivors if change not in excuses]
        if not untried:
            amiss += [f"{module}: needs no excuse: {change}" for change in excuses if change not in survivors]
    print("\n".join(amiss))
    return int(bool(amiss))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["*"]))
